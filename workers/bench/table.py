"""The results as a table in Markdown, and that table put into the page that explains it."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from workers.bench.lives import IN_FLIGHT
from workers.bench.meter import PARTS
from workers.bench.results import Block, Goal, Results, Spread

BEGIN: Final = "<!-- table -->"
END: Final = "<!-- /table -->"

PART_NAMES: Final = {"worker": "worker", "server": "Temporal server", "postgres": "Postgres", "driver": "driver"}


def render(results: Results, names: Sequence[str], cached: int, default_cache: int, notes: Sequence[str]) -> str:
    """The table of what was measured, that of the goals, and a line for each note."""
    product, usual, floor = names
    rows = [
        *_rows(["", *(f"**{name}**" for name in names)], _measured(results, names)),
        *_memory(results, names, cached, default_cache),
        "",
        *_rows(
            ["goal", "bound", "measured", ""], map(_goal, results.goals(product, usual, floor, cached, default_cache))
        ),
        "",
        *(f"{note}  " for note in notes),
    ]
    return "\n".join(rows).rstrip()


def put_into(page: str, table: str) -> str:
    """The page with the table in place of what stood between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not marked.search(page):
        msg = f"the page has no {BEGIN} … {END}"
        raise ValueError(msg)
    return marked.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", page, count=1)


def write_into(page: Path, table: str) -> None:
    """Put the table into the file."""
    page.write_text(put_into(page.read_text(encoding="utf-8"), table), encoding="utf-8")


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _measured(results: Results, names: Sequence[str]) -> list[list[str]]:
    def row(what: str, value: Callable[[Block], float], digits: int = 1) -> list[str]:
        return [what, *(f"{results.spread(name, value).median:,.{digits}f}" for name in names)]

    speeds = [results.spread(name, lambda block: block.cases_per_second) for name in names]
    return [
        [f"cases a second, {IN_FLIGHT} in flight", *map(_spread, speeds)],
        *(
            row(f"CPU ms a case: {PART_NAMES[part]}", lambda block, part=part: block.cpu_ms[part])  # type: ignore[misc]
            for part in PARTS
        ),
        row("CPU ms a case, together", lambda block: sum(block.cpu_ms.values())),
        row("history events", lambda block: block.history.events, 0),
        row("history bytes", lambda block: block.history.bytes, 0),
        row("workflow tasks", lambda block: block.history.tasks, 0),
        *(
            [
                f"accept to row, alone, ms: p{share * 100:.0f}",
                *(f"{results.accept_to_row_ms(name, share):.1f}" for name in names),
            ]
            for share in (0.5, 0.99)
        ),
    ]


def _memory(results: Results, names: Sequence[str], cached: int, default_cache: int) -> list[str]:
    sizes = [(cached, f"a cache of {cached} cases"), (default_cache, f"the SDK's default cache of {default_cache}")]
    rows = []
    for size, words in sizes:
        found = [results.kib(name, size) for name in names]
        if any(kib is not None for kib in found):
            cells = ("" if kib is None else f"{kib:.1f}" for kib in found)
            rows.append(f"| worker KiB a waiting case, {words} | {' | '.join(cells)} |")
    return rows


def _goal(goal: Goal) -> list[str]:
    return [
        f"{goal.what}, beside {goal.beside}",
        f"{goal.kind} {goal.bound:.2f}",
        _spread(goal.reached, 2),
        "met" if goal.is_met else "**not met**",
    ]


def _spread(spread: Spread, digits: int = 1) -> str:
    median = f"{spread.median:.{digits}f}"
    if spread.least == spread.most:
        return median
    return f"{median} ({spread.least:.{digits}f} to {spread.most:.{digits}f})"
