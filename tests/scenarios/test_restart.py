"""``omhand dev`` killed and started again on its folder, and stopped cleanly: cases go on, and nothing stays behind."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from temporalio.client import Client, WorkflowHandle

from omhand.codec import EncryptionCodec, data_converter

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Gateway, listening, until
from stories import DIRECTORY, NORTH, NURSE_NORTH, NURSE_SOUTH, OTHER_PHASES, SOUTH, opening

ROOT = Path(__file__).parents[2]
CASES = 50
CLOSE = {"outcome": "treated", "held_as": "video"}
SECONDS_TO_BE_READY = 90
POLICY = """
[[ladder]]
phase = "waiting"
clock = "always"
due = "PT5S"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT5S", do = "offer", to = "cooperating" },
  { after = "PT7S", do = "alert_manager" },
]
"""


@dataclass
class Dev:
    """A running ``omhand dev``: what its ready line says, and every process of it."""

    process: asyncio.subprocess.Process
    told: dict[str, Any]
    client: Client
    log: Path

    @property
    def family(self) -> list[psutil.Process]:
        """The process and all that it has started."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def case(self, case_id: str) -> WorkflowHandle[Any, Any]:
        """A case's handle."""
        return self.client.get_workflow_handle(f"case-{case_id}")

    async def open(self, case_id: str) -> WorkflowHandle[Any, Any]:
        """Open a drop-in at the northern unit."""
        return await self.client.start_workflow(
            "DropInVisit", opening(case_id), id=f"case-{case_id}", task_queue="cases"
        )

    async def rows(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """What a reader of its Postgres sees."""
        connection = await asyncpg.connect(self.told["postgres"])
        try:
            return [dict(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    async def kill(self) -> None:
        """SIGKILL to every process at once."""
        family = self.family
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert alive == []

    async def stop(self) -> None:
        """SIGTERM; it ends well, within 10 s, and leaves no process behind (contract §8)."""
        family = self.family
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            status = await self.process.wait()
        assert status == 0, last_words(self.log)
        assert [process for process in family if process.is_running()] == []


@asynccontextmanager
async def dev(folder: Path, gateway: Gateway, policy: str = POLICY) -> AsyncIterator[Dev]:
    """An ``omhand dev`` on that folder's state, with ladders of seconds; killed at the end if it still runs."""
    (folder / "directory.toml").write_text(DIRECTORY)
    (folder / "policy.toml").write_text(policy + OTHER_PHASES)
    log = folder / "dev.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command(folder), cwd=ROOT, env=environment(gateway), stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    running = None
    try:
        told = await ready_line(process, log)
        assert told["pid"] == process.pid
        converter = data_converter(EncryptionCodec(Path(told["keys_file"])))
        client = await Client.connect(told["temporal"], namespace=told["namespace"], data_converter=converter)
        running = Dev(process, told, client, log)
        yield running
    finally:
        if process.returncode is None:
            await (running or Dev(process, {}, None, log)).kill()  # type: ignore[arg-type]


def command(folder: Path) -> list[str]:
    """The command on that folder's state; every port is any free one."""
    return [
        *(sys.executable, "-m", "omhand", "dev", "--state", str(folder / "state"), "--no-ui"),
        *("--temporal-port", "0", "--ui-port", "0", "--codec-port", "0"),
        *("--directory", str(folder / "directory.toml"), "--policy", str(folder / "policy.toml")),
    ]


def environment(gateway: Gateway) -> dict[str, str]:
    """The settings of the environment."""
    return os.environ | {"OMHAND_GATEWAY_URL": gateway.url, "OMHAND_NOTICES_PER_SECOND": "1000"}


async def ready_line(process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    """What the one line on standard output says."""
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS_TO_BE_READY)
    assert line.startswith(b"ready "), last_words(log)
    told: dict[str, Any] = json.loads(line.removeprefix(b"ready "))
    assert set(told) >= {
        "temporal", "namespace", "ui", "codec", "postgres", "metrics", "keys_file", "pid",
    }  # fmt: skip
    return told


def last_words(log: Path) -> str:
    """The end of a log."""
    return log.read_text()[-2000:]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that outlives what calls it."""
    fake = Gateway()
    async with listening(fake):
        yield fake


async def test_after_everything_was_killed_every_deadline_fires_and_every_action_works(
    tmp_path: Path, gateway: Gateway
) -> None:
    case_ids = [f"open-{number:02}" for number in range(CASES)]
    async with dev(tmp_path, gateway) as before:
        await asyncio.gather(*map(before.open, case_ids))
        await until(lambda: count_is(before, "select count(distinct case_id) from omhand.case_log", CASES))
        noted = case_ids[::2]
        await asyncio.gather(
            *(before.case(case_id).signal("note", {"by": NURSE_NORTH, "text": "acknowledged"}) for case_id in noted)
        )
        # The signals are acknowledged; what becomes of them is in hand.
        await before.kill()
    async with dev(tmp_path, gateway) as after:
        alerted = "select count(distinct case_id) from omhand.case_log where event = 'manager_alerted'"
        await until(lambda: count_is(after, alerted, CASES), seconds=60)
        for number, case_id in enumerate(case_ids):
            who = NURSE_SOUTH if number % 3 == 0 else NURSE_NORTH
            # Half by signal, half by update: whichever way staff come.
            if number % 2:
                await after.case(case_id).signal("accept", {"by": who})
            else:
                await after.case(case_id).execute_update("accept", {"by": who})
        closings = (
            after.case(case_id).execute_update("close", CLOSE | {"by": NURSE_NORTH if number % 3 else NURSE_SOUTH})
            for number, case_id in enumerate(case_ids)
        )
        views = await asyncio.gather(*closings)
        for number, view in enumerate(views):
            events = [event["event"] for event in view["log"]]
            notes = ["noted"] if view["case_id"] in noted else []
            assert Counter(events) == Counter(
                ["opened", "notified", "escalated", "offered", "manager_alerted", "accepted", "closed", *notes]
            )
            assert view["responsible_unit"] == (NORTH if number % 3 else SOUTH)
        gaps = await after.rows("select case_id from omhand.case_log group by case_id having max(seq) <> count(*)")
        assert gaps == []
        times = await after.rows("select * from omhand.handling_times")
        assert [row["in_time"] for row in times] == [False] * CASES
        pending = "select count(*) from omhand.notification_log where status = 'pending'"
        await until(lambda: count_is(after, pending, 0))
        repeated = [key for key, sent in gateway.keys().items() if sent > 1]
        # A call may have been on its way when the worker was killed: its answer was lost, and only its.
        assert len(repeated) <= 2, repeated
        await after.stop()


async def test_a_clean_stop_leaves_no_process_and_open_cases_go_on_after_it(tmp_path: Path, gateway: Gateway) -> None:
    async with dev(tmp_path, gateway) as before:
        for case_id in ("waiting", "taken"):
            await (await before.open(case_id)).execute_update("note", {"by": NURSE_NORTH, "text": "opened"})
        await before.case("taken").execute_update("accept", {"by": NURSE_NORTH})
        second = await asyncio.create_subprocess_exec(
            *command(tmp_path),
            cwd=ROOT,
            env=environment(gateway),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, why = await asyncio.wait_for(second.communicate(), 60)
        assert (second.returncode, said) == (1, b"")
        assert str(before.process.pid).encode() in why, "who holds the state is not named"
        view = await before.case("taken").query("view")
        assert view["status"] == "accepted", "the first one does not mind"
        await before.stop()
    async with dev(tmp_path, gateway) as after:
        closed = await after.case("taken").execute_update("close", CLOSE | {"by": NURSE_NORTH})
        assert closed["outcome"] == "treated"
        alerted = "select count(*) from omhand.case_log where event = 'manager_alerted' and case_id = 'waiting'"
        await until(lambda: count_is(after, alerted, 1), seconds=40)
        assert (await after.case("waiting").query("view"))["escalation_level"] == 1
        assert set(gateway.keys().values()) == {1}
        await after.stop()


async def count_is(running: Dev, query: str, expected: int) -> bool:
    """Whether the query counts so many."""
    [row] = await running.rows(query)
    return bool(row["count"] == expected)
