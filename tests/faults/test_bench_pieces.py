"""The pure parts of `make bench`: what is worked out of the measurements, and how it is written down."""

import pytest

from workers.bench.results import Block, History, Results, Spread, Waiting, percentile
from workers.bench.table import BEGIN, END, put_into, render

NAMES = ("product", "bare-usual", "bare-floor")


def block(variant: str, cases_per_second: float) -> Block:
    cpu = {"worker": 10.0, "server": 20.0, "postgres": 2.0, "driver": 3.0}
    return Block(variant, cases_per_second, cpu, 0.1, (10.0, 20.0), History(18, 3000, 3))


RESULTS = Results(
    [block(name, speed) for speeds in ((30, 20, 40), (24, 20, 30)) for name, speed in zip(NAMES, speeds, strict=True)],
    [Waiting("product", 500, 30.0), Waiting("bare-floor", 500, 20.0), Waiting("bare-floor", 1000, 25.0)],
)


def test_throughput_is_compared_within_each_round() -> None:
    usual, floor, memory, equal = RESULTS.goals(*NAMES, cached=500, default_cache=1000)
    assert usual.reached == Spread(pytest.approx(1.35), 1.2, 1.5)
    assert usual.is_met
    assert floor.reached == Spread(pytest.approx(0.775), 0.75, 0.8)
    assert not floor.is_met
    assert memory.reached.median == 1.2
    assert memory.is_met
    assert equal.reached.median == 1.5
    assert not equal.is_met


def test_memory_that_was_not_measured_is_no_goal() -> None:
    assert len(Results(RESULTS.blocks).goals(*NAMES, cached=500, default_cache=1000)) == 2


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


def test_table_shows_medians_spreads_and_goals_not_met() -> None:
    table = render(RESULTS, NAMES, cached=500, default_cache=1000, notes=["a note"])
    assert "| cases a second, 24 in flight | 27.0 (24.0 to 30.0) | 20.0 | 35.0 (30.0 to 40.0) |" in table
    assert "| history bytes | 3,000 | 3,000 | 3,000 |" in table
    assert "| worker KiB a waiting case, the SDK's default cache of 1000 |  |  | 25.0 |" in table
    assert "| throughput, beside bare-floor | at least 0.80 | 0.78 (0.75 to 0.80) | **not met** |" in table
    assert table.endswith("a note")


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put_into(page, r"new \1") == f"before\n{BEGIN}\n\nnew \\1\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        put_into("a page without marks", "new")
