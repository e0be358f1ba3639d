"""``python -m workers.bench.flood``: another unit's urgent case beside one unit's flood (docs/operations.md, "Size").

On an idle system, and then while 2,000 cases of one unit wait to be opened and announced, cases of priority 2 of
another unit are opened, one at a time. Measured is the time from asking for the start to the gateway's having taken the
first notification, with the gateway's rate limit as it comes (20 a second).
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from omhand.client import CaseClient
from omhand.contract.names import Kind
from workers.bench.lives import PATIENCE, Rows
from workers.bench.stack import Servers, servers, serving
from workers.bench.variants import PRODUCT

FLOODED: Final = "SE2321000198-HC01"
OTHER: Final = "SE2321000198-HC02"
AT_A_TIME: Final = 50
"""Cases of the flood that are being started at once."""
PAUSE: Final = 1.0
"""Seconds between two of the urgent cases."""

SIZE: Final = """
    select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'omhand'::regnamespace and relkind = 'r'
"""


@dataclass(frozen=True)
class Measured:
    """Seconds to notification."""

    idle: list[float]
    beside: list[float]
    left: int
    """How many cases of the flood had not been announced when the last of the others was."""
    postgres_bytes: float
    """That a case takes which has been opened and announced, with its logs and indexes."""
    worker_bytes: int
    """Resident memory of the worker process."""


async def measure(cases: int, probes: int) -> Measured:
    """The urgent cases on an idle system and beside the flood, in one run."""
    variant = replace(PRODUCT, notices_per_second=20)
    with tempfile.TemporaryDirectory(prefix="omhand-flood-") as folder:
        async with servers(Path(folder)) as on, serving(on, variant) as worker, _told(on) as (rows, database):
            client = await CaseClient.connect(await on.client(variant))
            await _urgent(client, rows, "warm", 5)
            idle = await _urgent(client, rows, "idle", probes)
            await _flood(client, cases)
            beside = await _urgent(client, rows, "beside", probes)
            announced = await database.fetchval(
                "select count(*) from omhand.notifications where status = 'sent' and unit_id = $1", FLOODED
            )
            recorded = await database.fetchval("select count(*) from omhand.cases")
            size = await database.fetchval(SIZE)
            return Measured(idle, beside, cases - announced, size / recorded, worker.process.memory_info().rss)


@asynccontextmanager
async def _told(on: Servers) -> AsyncIterator[tuple[Rows, asyncpg.Connection]]:
    rows = Rows()
    database = await asyncpg.connect(on.postgres.dsn)
    try:
        await database.add_listener("bench", rows.told)
        yield rows, database
    finally:
        await database.close()


async def _urgent(client: CaseClient, rows: Rows, name: str, cases: int) -> list[float]:
    took = []
    for nth in range(cases):
        announced = rows.expect(f"{name}-{nth}", "announced")
        begun = time.perf_counter()
        await client.open(Kind.DROP_IN_VISIT, _opening(f"{name}-{nth}", OTHER, 2))
        await asyncio.wait_for(announced, PATIENCE)
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(PAUSE)
    return took


async def _flood(client: CaseClient, cases: int) -> None:
    numbers = iter(range(cases))

    async def one_after_another() -> None:
        for nth in numbers:
            await client.open(Kind.DROP_IN_VISIT, _opening(f"flood-{nth}", FLOODED, 3))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(one_after_another())


def _opening(case_id: str, unit: str, priority: int) -> dict[str, Any]:
    return {
        "case_id": case_id, "origin": "min_vard", "unit": unit, "profession": "nurse", "priority": priority,
        "patient": {"id": f"ref:{case_id}", "digital": True},
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m workers.bench.flood", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of the flood")
    parser.add_argument("--probes", type=int, default=15, help="urgent cases, on the idle system and beside the flood")
    options = parser.parse_args(arguments)
    measured = asyncio.run(measure(options.cases, options.probes))
    for name, seconds in (("idle", measured.idle), ("beside the flood", measured.beside)):
        middle, most = statistics.median(seconds), max(seconds)
        sys.stdout.write(f"{name}: {1000 * middle:.0f} ms to notification (median), {1000 * most:.0f} ms at most\n")
    ratio = statistics.median(measured.beside) / statistics.median(measured.idle)
    mib = measured.worker_bytes / 2**20
    sys.stdout.write(f"{measured.postgres_bytes / 1024:.1f} KiB of Postgres a case, {mib:.0f} MiB of memory a worker\n")
    sys.stdout.write(f"ratio of the medians: {ratio:.2f}; of the flood {measured.left} were not announced by then\n")


if __name__ == "__main__":
    main()
