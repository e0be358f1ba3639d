"""Several worker processes under one: one is killed with work in hand, and the others and its successor do it."""

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Stage, new_database, staged, until
from stories import DIRECTORY, NURSE_NORTH, OTHER_PHASES, POLICY, opening

from omhand.codec import KeyRing
from workers import crew as crews
from workers.children import free_ports
from workers.crew import Member, working
from workers.load import load
from workers.migrate import migrate

LIVES = """
import os, sys, time
with open(sys.argv[1], "a+") as lives:
    lives.write(f"{os.getpid()}\\n")
    lives.flush()
    lives.seek(0)
    number = len(lives.readlines())
if number == 2:
    time.sleep(600)
print("ready", flush=True)
if number == 1:
    sys.exit(3)
time.sleep(600)
"""
"""A worker that ends when it has become ready, does not become ready the next time, and then does."""
ROOT = Path(__file__).parents[2]
PROCESSES = 3
CASES = 60


@dataclass
class Crew:
    """A running ``omhand worker --processes``."""

    process: asyncio.subprocess.Process

    @property
    def members(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    async def stop(self) -> int:
        members = self.members
        self.process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(self.process.wait(), 15)
        assert [each for each in members if each.is_running()] == []
        return status


@pytest.fixture
async def stage(postgres_server: str, tmp_path: Path) -> AsyncIterator[Stage]:
    dsn = await new_database(postgres_server, "crew")
    await asyncio.to_thread(migrate, dsn)
    (tmp_path / "directory.toml").write_text(DIRECTORY)
    (tmp_path / "policy.toml").write_text(POLICY + OTHER_PHASES)
    await load(dsn, tmp_path / "directory.toml", tmp_path / "policy.toml")
    keys = tmp_path / "keys"
    KeyRing.create(keys)
    async with staged(dsn, keys=keys, served=False) as stage:
        yield stage


@asynccontextmanager
async def crew(stage: Stage, keys: Path, **more: str) -> AsyncIterator[Crew]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMHAND_", "TEMPORAL_"))}
    env |= {
        "TEMPORAL_ADDRESS": stage.address,
        "OMHAND_DATABASE_URL": stage.dsn,
        "OMHAND_KEYS_FILE": str(keys),
        "OMHAND_GATEWAY_URL": stage.gateway.url,
        "OMHAND_NOTICES_PER_SECOND": "1000",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "omhand", "worker", "--processes", str(PROCESSES)),
        cwd=ROOT,
        env=env | more,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert await asyncio.wait_for(process.stdout.readline(), 90) == b"ready\n"
        yield Crew(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_one_of_three_is_killed_and_no_case_is_lost_or_told_twice(stage: Stage, tmp_path: Path) -> None:
    (port,) = free_ports(0)
    async with crew(stage, tmp_path / "keys", OMHAND_METRICS_ADDRESS=f"127.0.0.1:{port}") as running:
        assert len(running.members) == PROCESSES
        killed = running.members[0]

        async def open_case(number: int) -> None:
            case_id = f"crew-{number:02}"
            await stage.client.start_workflow("DropInVisit", opening(case_id), id=f"case-{case_id}", task_queue="cases")
            if number == CASES // 2:
                killed.kill()

        await asyncio.gather(*map(open_case, range(CASES)))
        # What it had in hand comes back when its time is up: 10 s of a case's task, 25 s of a notification.
        sent = "select count(*) from omhand.notifications where status = 'sent'"
        await until(lambda: is_count(stage, sent, CASES), seconds=60)
        await until(lambda: is_serving(running, killed), seconds=60)
        for number in range(CASES):
            await stage.client.get_workflow_handle(f"case-crew-{number:02}").execute_update(
                "accept", {"by": NURSE_NORTH}
            )
        rows = await stage.pool.fetch("select case_id, event from omhand.events")
        expected = Counter(dict.fromkeys(("opened", "notified", "accepted"), CASES))
        assert Counter(row["event"] for row in rows) == expected
        assert set(stage.gateway.keys()) == {f"crew-{number:02}/2" for number in range(CASES)}
        # The first has its metrics at the address that was given, the others on the next ports.
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port + 1}/metrics") as answer:
            assert "temporal_" in await answer.text()
        assert await running.stop() == 0


async def is_count(stage: Stage, query: str, count: int) -> bool:
    return bool(await stage.pool.fetchval(query) == count)


async def is_serving(running: Crew, killed: psutil.Process) -> bool:
    """Whether another process has taken the place of the one that was killed."""
    return len([each for each in running.members if each.pid != killed.pid]) == PROCESSES


async def test_a_crew_with_a_wrong_setting_does_not_start_and_names_it() -> None:
    env = os.environ | {"OMHAND_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "omhand", "worker", "--processes", "2"),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (2, b"")
    assert b"OMHAND_DATABASE_URL: Postgres does not answer" in errors


async def test_one_that_was_started_again_and_does_not_become_ready_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lives = tmp_path / "lives"
    monkeypatch.setattr(crews, "_COMMAND", (sys.executable, "-c", LIVES, str(lives)))
    monkeypatch.setattr(crews, "_FIRST_PAUSE", 0.01)
    caplog.set_level(logging.INFO, logger=crews.__name__)
    member = Member(1, os.environ, None, seconds_to_be_ready=1.0)

    async def is_ready_again() -> bool:
        return caplog.text.count("worker-1 is ready") == 2

    async with working([member]) as ending:
        await until(is_ready_again)
        assert not ending.done()
        second, *_, last = map(int, lives.read_text().split()[1:])
        assert (psutil.pid_exists(second), psutil.pid_exists(last)) == (False, True)
    assert "worker-1 was not ready within 1 s and is killed" in caplog.text
    assert "worker-1 ended (exit status -9) and is started again" in caplog.text
