"""Many patients want few times, from several processes, through real workers of which one is killed (K2a, P3).

`make soak` plays a thousand patients and two hundred times; the ordinary test plays fewer.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from workers.embedded import embedded_temporal

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import load_rules, new_database, until
from stories import NORTH, POLICY, SOUTH

ROOT: Final = Path(__file__).parents[2]
PATIENTS: Final = Path(__file__).parent / "patients.py"


@dataclass
class Place:
    """Servers, and one worker process at a time."""

    address: str
    dsn: str
    log: Path
    worker: Process | None = None

    async def serve(self) -> None:
        """Start a worker."""
        with self.log.open("ab") as errors:
            self.worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "omhand", "worker"),
                cwd=ROOT,
                env={**os.environ, "TEMPORAL_ADDRESS": self.address, "OMHAND_DATABASE_URL": self.dsn},
                stdout=PIPE,
                stderr=errors,
            )
        assert self.worker.stdout
        while (line := await asyncio.wait_for(self.worker.stdout.readline(), 60)).strip() != b"ready":
            assert line, self.log.read_text()[-2000:]

    async def kill(self) -> None:
        """SIGKILL to the worker."""
        assert self.worker
        self.worker.kill()
        await self.worker.wait()

    async def booked(self) -> dict[str, str]:
        """Which case holds each time."""
        connection = await asyncpg.connect(self.dsn)
        rows = await connection.fetch("select slot_id, case_id from omhand.slots where case_id is not null")
        await connection.close()
        return {row["slot_id"]: row["case_id"] for row in rows}


@asynccontextmanager
async def a_place(postgres_server: str, name: str, folder: Path, slots: int) -> AsyncIterator[Place]:
    """Where so many times are published, at two units."""
    dsn = await new_database(postgres_server, name)
    await load_rules(dsn, POLICY)
    connection = await asyncpg.connect(dsn)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await connection.executemany(
        "insert into omhand.slots (slot_id, unit_id, profession, starts_at, length) values"
        " ($1, $2, 'nurse', $3, '9 min')",
        [(f"slot-{n}", (NORTH, SOUTH)[n % 2], tomorrow + timedelta(minutes=n)) for n in range(slots)],
    )
    await connection.close()
    async with embedded_temporal() as temporal:
        place = Place(temporal.address, dsn, folder / "worker.log")
        await place.serve()
        try:
            yield place
        finally:
            await place.kill()


async def race(place: Place, patients: int, slots: int, processes: int, *, kill_at: int | None) -> dict[str, str]:
    """What every patient was told, when all have begun at the same moment; the worker dies when so many have a time."""
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(PATIENTS), place.address, f"p{nth}", str(patients // processes), str(slots)),
            stdin=PIPE,
            stdout=PIPE,
        )
        for nth in range(processes)
    ]
    for process in running:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    ends = asyncio.gather(*(process.communicate(b"go\n") for process in running))
    if kill_at is not None:

        async def enough() -> bool:
            return len(await place.booked()) >= kill_at

        await until(enough, 120)
        await place.kill()
        await place.serve()
    told: dict[str, str] = {}
    for output, _ in await ends:
        told |= json.loads(output)
    return told


async def is_fair(place: Place, told: dict[str, str], slots: int) -> None:
    """Every time is one patient's, who was told so; every other patient was told that it is taken."""
    booked = await place.booked()
    assert len(booked) == slots
    assert {slot: case_id for case_id, slot in told.items() if slot != "SlotTaken"} == booked
    assert Counter(slot == "SlotTaken" for slot in told.values()) == {False: slots, True: len(told) - slots}
    connection = await asyncpg.connect(place.dsn)
    holding = await connection.fetch("select case_id, slot from omhand.cases where slot is not null")
    gaps = await connection.fetchval(
        "select count(*) from (select case_id from omhand.events group by case_id having max(seq) <> count(*)) as gap"
    )
    events = await connection.fetch("select case_id from omhand.case_log where event = 'booked'")
    await connection.close()
    assert {row["slot"]: row["case_id"] for row in holding} == booked
    assert (gaps, sorted(row["case_id"] for row in events)) == (0, sorted(booked.values()))


async def test_of_many_who_want_few_times_each_time_is_ones_though_the_worker_is_killed(
    postgres_server: str, tmp_path: Path
) -> None:  # K2a P3
    async with a_place(postgres_server, "race", tmp_path, slots=8) as place:
        told = await race(place, patients=40, slots=8, processes=2, kill_at=4)
        await is_fair(place, told, 8)


@pytest.mark.soak
@pytest.mark.parametrize("kill_at", [None, 100])
async def test_a_thousand_patients_want_two_hundred_times(
    postgres_server: str, tmp_path: Path, kill_at: int | None
) -> None:  # K2a P3
    async with a_place(postgres_server, f"race-{kill_at}", tmp_path, slots=200) as place:
        told = await race(place, patients=1_000, slots=200, processes=4, kill_at=kill_at)
        assert len(told) == 1_000
        await is_fair(place, told, 200)
