"""The results as a picture: how many cases, and where the processors' time goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")  # no display is needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from workers.bench.lives import IN_FLIGHT
from workers.bench.meter import PARTS
from workers.bench.results import Results
from workers.bench.table import PART_NAMES

COLOURS: Final = {"worker": "#2f6f9f", "server": "#e0a030", "postgres": "#7a9f4f", "driver": "#c9c9c9"}
INCHES: Final = (8.4, 2.7)
DOTS_PER_INCH: Final = 110


def draw(results: Results, names: Sequence[str], file: Path) -> None:
    """Write the picture, a PNG, to ``file``."""
    figure, (speed, cpu) = plt.subplots(1, 2, figsize=INCHES, layout="constrained")
    order = list(reversed(names))  # bars are drawn from below
    _draw_speed(speed, results, order)
    _draw_cpu(cpu, results, order)
    for axes in (speed, cpu):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.savefig(file, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _draw_speed(axes: Axes, results: Results, names: Sequence[str]) -> None:
    spreads = [results.spread(name, lambda block: block.cases_per_second) for name in names]
    middles = [spread.median for spread in spreads]
    reach = [
        [spread.median - spread.least for spread in spreads],
        [spread.most - spread.median for spread in spreads],
    ]
    axes.barh(names, middles, xerr=reach, color="#2f6f9f", ecolor="#333333", capsize=3, height=0.6)
    for place, middle in enumerate(middles):
        axes.text(middle * 0.04, place, f"{middle:.1f}", va="center", color="white", fontweight="bold")
    axes.set_title(f"Cases a second, {IN_FLIGHT} in flight", fontsize=10, loc="left")


def _draw_cpu(axes: Axes, results: Results, names: Sequence[str]) -> None:
    left = [0.0] * len(names)
    for part in PARTS:
        used = [results.spread(name, lambda block, part=part: block.cpu_ms[part]).median for name in names]  # type: ignore[misc]
        axes.barh(names, used, left=left, color=COLOURS[part], label=PART_NAMES[part], height=0.6)
        left = [before + more for before, more in zip(left, used, strict=True)]
    axes.set_yticklabels([])
    axes.set_title("CPU milliseconds a case", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12), columnspacing=1)
