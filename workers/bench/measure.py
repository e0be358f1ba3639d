"""The measuring: rounds in which every variant has its turn, then the memory of cases that wait."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from workers.bench.lives import QUIET, Driver, driving
from workers.bench.meter import PARTS, Reading, read_meter, settled_kib
from workers.bench.results import Block, History
from workers.bench.stack import Servers, Serving, serving
from workers.bench.variants import Variant

WARMING: Final = 40
"""Lives before the first reading: connections, prepared statements and caches are there."""
DRAINING: Final = 1.0
"""Seconds after the last life before the second reading: what a life leaves behind is counted with it."""
HISTORIES: Final = 10

Say = Callable[[str], None]


async def play_rounds(
    on: Servers, variants: Sequence[Variant], *, rounds: int, lives: int, alone: int, say: Say
) -> list[Block]:
    """Each round lets every variant have its turn, another one first each time."""
    blocks = []
    for number in range(rounds):
        first = number % len(variants)
        for variant in (*variants[first:], *variants[:first]):
            block = await _play(on, variant, number, lives=lives, alone=alone)
            blocks.append(block)
            say(f"round {number + 1} of {rounds}: {block}")
    return blocks


async def kib_a_waiting_case(on: Servers, variant: Variant, *, cases: int, cached: int | None) -> float:
    """The worker's memory with so many cases waiting, less its memory with none, divided by the cases."""
    async with _serving(on, variant, f"w{cached}", cached) as (worker, driver):
        before = await settled_kib(worker)
        await driver.open_all(f"{variant.name}-w{cached}-{number}" for number in range(cases))
        return (await settled_kib(worker) - before) / cases


async def _play(on: Servers, variant: Variant, number: int, *, lives: int, alone: int) -> Block:
    tag = f"{variant.name}-r{number}"
    async with _serving(on, variant, f"r{number}") as (worker, driver):
        before = read_meter(on, worker)
        seconds = await driver.live_all(f"{tag}-{nth}" for nth in range(lives))
        await asyncio.sleep(DRAINING)
        after = read_meter(on, worker)
        solitary = [f"{tag}-alone-{nth}" for nth in range(alone)]
        accept_to_row = [await driver.live(case_id, QUIET) for case_id in solitary]
        histories = [await driver.history_of(case_id) for case_id in solitary[:HISTORIES]]
    return Block(
        variant=variant.name,
        cases_per_second=lives / seconds,
        cpu_ms={part: (after.parts[part] - before.parts[part]) / lives for part in PARTS},
        others=_others(before, after, seconds + DRAINING),
        accept_to_row_ms=tuple(took * 1000 for took in accept_to_row),
        history=History(**{name: statistics.mean(each[name] for each in histories) for name in histories[0]}),
    )


@asynccontextmanager
async def _serving(
    on: Servers, variant: Variant, tag: str, cached: int | None = None
) -> AsyncIterator[tuple[Serving, Driver]]:
    async with serving(on, variant, cached) as worker, driving(on, variant, worker) as driver:
        await driver.live_all(f"{variant.name}-{tag}-warm-{nth}" for nth in range(WARMING))
        await asyncio.sleep(DRAINING)
        yield worker, driver


def _others(before: Reading, after: Reading, seconds: float) -> float:
    """How many processors everything else on the machine used meanwhile, on average."""
    ours = sum(after.parts[part] - before.parts[part] for part in PARTS)
    return max(0.0, (after.machine - before.machine - ours) / 1000 / seconds)
