"""What is away comes back: Postgres, the gateway, the worker, a key. Nothing is lost, and nothing happens twice."""

import asyncio
import base64
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from omhand.codec import EncryptionCodec, data_converter
from workers.children import free_ports
from workers.embedded import TemporalServer, running_postgres

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import (
    FAST_POLICY,
    Gateway,
    Line,
    Stage,
    hang_up,
    line_to,
    listening,
    load_rules,
    new_database,
    pending_activities,
    says,
    silent_until,
    staged,
    until,
)
from stories import DOCTOR_NORTH, NURSE_NORTH, NURSE_SOUTH, failure_of, opening, refusal_of

ROOT = Path(__file__).parents[2]
CLOSE = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}


# Postgres is away


@pytest.fixture(scope="module")
async def line(postgres_server: str) -> AsyncIterator[tuple[Line, str, str]]:
    """The worker's line to its database, which can be cut; the DSN through it, and the straight one."""
    dsn = await new_database(postgres_server, "outages")
    await load_rules(dsn, FAST_POLICY)
    async with line_to(dsn) as (line, through):
        yield line, through, dsn


@pytest.fixture(scope="module")
async def stage(line: tuple[Line, str, str], temporal_server: TemporalServer) -> AsyncIterator[Stage]:
    """A worker in this process whose line to Postgres can be cut; its ladders take seconds."""
    async with staged(line[2], temporal=temporal_server, through=line[1]) as stage:
        yield stage


@pytest.fixture
async def wire(line: tuple[Line, str, str]) -> AsyncIterator[Line]:
    """The worker's line to Postgres, whole again after the test."""
    yield line[0]
    line[0].let_go()
    if not line[0].is_whole:
        await line[0].mend()


async def test_a_case_opened_while_the_database_is_away_waits_and_goes_on(stage: Stage, wire: Line) -> None:
    await wire.cut()
    handle = await stage.start("opened-away")
    await handle.signal("note", {"by": NURSE_NORTH, "text": "while it is away"})
    accept = asyncio.create_task(handle.execute_update("accept", {"by": NURSE_NORTH}))
    # Operators see what it waits for, how often it was tried, and why it failed; nothing of what is inside.
    [waiting] = await until(lambda: retried(stage, "opened-away"))
    assert waiting.activity_type.name == "look_up_opening"
    assert waiting.attempt > 1
    assert waiting.last_failure.message
    await wire.mend()
    view = await accept
    assert view["status"] == "accepted"
    assert await stage.is_whole("opened-away") == ["opened", "notified", "noted", "accepted"]
    await handle.execute_update("close", CLOSE)
    await handle.result()
    assert_each_key_once(stage, "opened-away")


async def test_what_falls_due_and_what_is_done_while_the_database_is_away_happens_in_its_order(
    stage: Stage, wire: Line
) -> None:
    handle = await stage.start("acted-away")
    await stage.gateway.until(lambda: stage.gateway.reasons("acted-away") == ["new_case"])
    await stage.settled("acted-away")
    await wire.cut()
    note = asyncio.create_task(handle.execute_update("note", {"by": NURSE_NORTH, "text": "before it is due"}))
    [waiting] = await until(lambda: retried(stage, "acted-away"))
    assert waiting.activity_type.name in {"look_up", "record"}
    due = datetime.fromisoformat((await handle.query("view"))["due_at"])
    await until(lambda: passed(due))
    await handle.signal("accept", {"by": NURSE_SOUTH, "action_id": "south"})
    late = asyncio.create_task(handle.execute_update("accept", {"by": DOCTOR_NORTH}))
    await wire.mend()
    await note
    with pytest.raises(Exception, match="failed") as refused:
        await late
    assert refused.value.cause.type == "AlreadyAccepted"
    events = await stage.is_whole("acted-away")
    # The note came before the deadline, the acceptances after it: time decides.
    first = ["opened", "notified", "noted", "escalated", "offered"]
    assert events[: len(first)] == first
    assert events[-2:] == ["accepted", "rejected"]
    rows = await stage.log("acted-away")
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    view = await handle.query("view")
    assert view["responsible_unit"] == NURSE_SOUTH["unit"]
    notices = await stage.settled("acted-away")
    assert all(row["status"] == "sent" or row["error"].startswith("withdrawn") for row in notices)
    assert_each_key_once(stage, "acted-away")


async def test_deadlines_do_not_wait_for_an_action_that_cannot_be_looked_up(stage: Stage, wire: Line) -> None:
    handle = await stage.start("patient")
    await stage.gateway.until(lambda: stage.gateway.reasons("patient") == ["new_case"])
    await stage.settled("patient")
    await wire.cut()
    notes = [
        asyncio.create_task(handle.execute_update("note", {"by": NURSE_NORTH, "text": text})) for text in ("one", "two")
    ]
    # The look-up is given up after 10 s, for what has fallen due meanwhile.
    await until(lambda: pending_of(handle, "record"), seconds=30)
    await wire.mend()
    answers = await asyncio.gather(*notes)
    assert len(answers[0]["log"]) != len(answers[1]["log"])
    events = await stage.is_whole("patient")
    assert Counter(events)["noted"] == 2
    assert {"escalated", "offered", "manager_alerted"} <= set(events)
    rows = await stage.log("patient")
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows), "the log's times go backwards"
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    await stage.settled("patient")
    assert_each_key_once(stage, "patient")


async def test_an_answer_that_is_lost_after_the_commit_does_not_make_anything_twice(stage: Stage, wire: Line) -> None:
    for event in ("opened", "accepted", "closed"):
        case_id = f"lost-{event}"
        wire.lose_the_answer_to(json.dumps({"event": event})[1:-1].encode())
        handle = await stage.start(case_id)
        await handle.execute_update("accept", {"by": NURSE_NORTH})
        closed = await handle.execute_update("close", CLOSE)
        assert await handle.result() == closed
        assert wire.lost.is_set()
        assert await stage.is_whole(case_id) == ["opened", "notified", "accepted", "closed"]
        assert_each_key_once(stage, case_id)
        touched = await stage.rows("select action from omhand.access_log where case_id = $1", case_id)
        assert sorted(row["action"] for row in touched) == ["accept", "close"]


async def test_a_notification_whose_row_cannot_be_written_is_not_sent_again(stage: Stage, wire: Line) -> None:
    taken = asyncio.Event()
    stage.gateway.answers["unwritten"] = [silent_until(taken)]
    await stage.start("unwritten", priority=5)
    await stage.gateway.until(lambda: bool(stage.gateway.reasons("unwritten")))
    await wire.cut()
    taken.set()
    handle = stage.client.get_workflow_handle("case-unwritten")
    await until(lambda: retried(stage, "unwritten"))
    await wire.mend()
    notices = await stage.settled("unwritten")
    assert notices[0]["status"] == "sent"
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    assert_each_key_once(stage, "unwritten")


async def test_a_database_that_hangs_is_waited_for(stage: Stage, wire: Line) -> None:
    handle = await stage.start("hangs", priority=5)
    await stage.gateway.until(lambda: bool(stage.gateway.reasons("hangs")))
    wire.hold()
    update = asyncio.create_task(handle.execute_update("accept", {"by": NURSE_NORTH}))
    # Tried locally for 2 s, twice; then where operators see it.
    await until(lambda: pending_of(handle, "look_up", "record"))
    wire.let_go()
    assert (await update)["status"] == "accepted"
    assert (await stage.is_whole("hangs"))[-1] == "accepted"
    await handle.execute_update("close", CLOSE)


async def test_a_postgres_that_is_killed_and_started_again_has_everything_that_was_acknowledged(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as resources:
        until_killed = await resources.enter_async_context(AsyncExitStack())
        first = await until_killed.enter_async_context(running_postgres(tmp_path / "pg"))
        dsn = await new_database(first.dsn, "killed")
        await load_rules(dsn, FAST_POLICY)
        line, through = await resources.enter_async_context(line_to(dsn))
        stage = await resources.enter_async_context(staged(through, temporal=temporal_server))
        handles = [await stage.start(f"killed-{number}") for number in range(12)]
        await asyncio.gather(*(handle.execute_update("accept", {"by": NURSE_NORTH}) for handle in handles[:4]))
        acting = [
            asyncio.create_task(handle.execute_update("note", {"by": NURSE_NORTH, "text": "now"}))
            for handle in handles
            for _ in range(3)
        ]
        first.child.process.kill()
        await first.child.exited()
        await until_killed.aclose()
        await until(lambda: any_pending(handles))
        for handle in handles[4:]:
            await handle.signal("accept", {"by": NURSE_NORTH})
        second = await resources.enter_async_context(running_postgres(tmp_path / "pg"))
        line.target = ("127.0.0.1", urlsplit(second.dsn).port or 0)
        await asyncio.gather(*acting)
        closed = await asyncio.gather(*(handle.execute_update("close", CLOSE) for handle in handles))
        for number, view in enumerate(closed):
            events = Counter(await stage.is_whole(f"killed-{number}"))
            assert (events["noted"], events["accepted"], events["closed"]) == (3, 1, 1)
            assert view["outcome"] == "treated"
            assert_each_key_once(stage, f"killed-{number}")


# The gateway is away


async def test_a_gateway_that_fails_in_every_way_gets_each_notification_in_the_end_under_one_key(
    stage: Stage,
) -> None:
    answers = stage.gateway.answers
    answers["busy"] = [says(503), says(500), says(408)]
    answers["asks-to-wait"] = [says(429, Retry_After="3")]
    answers["hangs-up"] = [hang_up]
    answers["silent"] = [silent_until(asyncio.Event())]
    case_ids = ("busy", "asks-to-wait", "hangs-up", "silent")
    for case_id in case_ids:
        handle = await stage.start(case_id)
        await handle.execute_update("note", {"by": NURSE_NORTH, "text": "opened"})

    async def all_told() -> bool:
        rows = await stage.rows(
            "select case_id from omhand.notification_log where reason = 'new_case' and status = 'sent'"
        )
        return set(case_ids) <= {row["case_id"] for row in rows}

    # The silent one is given 10 s, and is tried again within 2.
    await until(all_told, seconds=20)
    attempts = {"busy": 4, "asks-to-wait": 2, "hangs-up": 2, "silent": 2}
    for case_id, expected in attempts.items():
        times, [row] = calls_about(stage, case_id, "new_case"), await first_notice(stage, case_id)
        assert (len(times), row["attempts"]) == (expected, expected), case_id
        assert stage.gateway.keys(case_id)[row["key"]] == expected
        pause = times[1] - times[0] - (10 if case_id == "silent" else 0)
        assert pause < 2.5 or case_id == "asks-to-wait", (case_id, pause)
    waited = calls_about(stage, "asks-to-wait", "new_case")
    assert waited[1] - waited[0] >= 3, "Retry-After is heeded"
    for case_id in case_ids:
        await stage.is_whole(case_id)
        handle = stage.client.get_workflow_handle(f"case-{case_id}")
        await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
        # Beside the first nothing had to be said twice.
        [row] = await first_notice(stage, case_id)
        assert set((stage.gateway.keys(case_id) - Counter({row["key"]: 99})).values()) <= {1}


async def test_a_gateway_that_is_not_there_gets_everything_when_it_comes(
    postgres_server: str, temporal_server: TemporalServer
) -> None:
    dsn = await new_database(postgres_server, "no_gateway")
    await load_rules(dsn, FAST_POLICY.replace('do = "alert_manager"', 'do = "notify"'))
    (port,) = free_ports(0)
    gateway = Gateway(url=f"http://127.0.0.1:{port}/notify")
    async with staged(dsn, temporal=temporal_server, gateway=gateway) as stage:
        handles = {case_id: await stage.start(case_id) for case_id in ("waits", "taken", "withdrawn")}
        for handle in handles.values():
            await until(lambda handle=handle: refused_by_gateway(handle))
        taken = await handles["taken"].execute_update("accept", {"by": NURSE_NORTH})
        assert taken["status"] == "accepted"
        await handles["withdrawn"].execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
        # What asked for somebody to take it is not tried any more (contract §6).
        for case_id in ("taken", "withdrawn"):
            rows = await stage.settled(case_id)
            assert rows
            assert all(row["status"] == "failed" and row["error"].startswith("withdrawn") for row in rows)
        await handles["withdrawn"].result()
        async with listening(gateway, port):
            await stage.settled("waits")
            await handles["waits"].execute_update("accept", {"by": NURSE_NORTH})
        events = await stage.is_whole("waits")
        told = events.count("notified") + events.count("offered") * 2 + events.count("escalated")
        assert len(gateway.keys("waits")) == told
        assert_each_key_once(stage, "waits")
        assert not gateway.keys("taken") + gateway.keys("withdrawn")


# The worker is killed


async def test_a_worker_that_is_killed_with_work_in_hand_does_nothing_twice(
    postgres_server: str, temporal_server: TemporalServer, tmp_path: Path
) -> None:
    dsn = await new_database(postgres_server, "killed_worker")
    await load_rules(dsn)
    async with AsyncExitStack() as resources:
        await resources.enter_async_context(asyncio.timeout(90))
        stage = await resources.enter_async_context(staged(dsn, temporal=temporal_server, served=False))
        silence = asyncio.Event()
        stage.gateway.answers["in-hand"] = [silent_until(silence)]
        worker = await a_worker(stage, dsn, tmp_path)
        resources.push_async_callback(kill, worker)
        handles = [await started_briefly(stage, case_id) for case_id in ("in-hand", *(f"crew-{n}" for n in range(10)))]
        await asyncio.gather(*(handle.execute_update("accept", {"by": NURSE_NORTH}) for handle in handles[1:6]))
        await stage.gateway.until(lambda: bool(stage.gateway.reasons("in-hand")))
        acting = [
            asyncio.create_task(handle.execute_update("note", {"by": NURSE_NORTH, "text": f"note {number}"}))
            for number in range(4)
            for handle in handles
        ]
        await until(lambda: any_done(acting))
        await kill(worker)
        assert not all(task.done() for task in acting), "nothing was in hand"
        for handle in handles[6:]:
            await handle.signal("accept", {"by": NURSE_NORTH})
        resources.push_async_callback(kill, await a_worker(stage, dsn, tmp_path))
        await asyncio.gather(*acting)
        closed = await asyncio.gather(*(handle.execute_update("close", CLOSE) for handle in handles[1:]))
        assert {view["status"] for view in closed} == {"closed"}
        for number, handle in enumerate(handles):
            events = Counter(await stage.is_whole(handle.id.removeprefix("case-")))
            assert (events["noted"], events["accepted"]) == (4, min(number, 1))
        # The call in hand was read by the gateway and never answered: the same key again, and once.
        await until(lambda: sent(stage, "in-hand"))
        repeated = [key for key, times in stage.gateway.keys().items() if times > 1]
        assert repeated == ["in-hand/2"]
        assert stage.gateway.keys()["in-hand/2"] == 2


# A key is missing, a payload is damaged


def key_line(key_id: str) -> str:
    """A line of a key ring."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(32)).decode()}\n"


@pytest.fixture(scope="module")
async def sealed(
    postgres_server: str, temporal_server: TemporalServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Stage, Path]]:
    """A worker that encrypts and takes nothing that is plain, and its key ring."""
    dsn = await new_database(postgres_server, "sealed")
    await load_rules(dsn)
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(key_line("first"))
    async with staged(dsn, temporal=temporal_server, keys=keys, require_encryption=True) as stage:
        yield stage, keys


async def sealed_payload(codec: EncryptionCodec, value: Any) -> Payload:
    """A value as it travels, encrypted."""
    [payload] = await data_converter(codec).encode([value])
    return payload


async def test_what_is_encrypted_under_a_missing_key_waits_and_goes_on_when_the_key_is_back(
    sealed: tuple[Stage, Path], tmp_path: Path
) -> None:
    stage, keys = sealed
    other = tmp_path / "other"
    other.write_text(key_line("second"))
    stranger = await stage.connect(data_converter=data_converter(EncryptionCodec(other)))
    there = await stage.start("has-its-key")
    await there.execute_update("note", {"by": NURSE_NORTH, "text": "opened"})
    await stranger.start_workflow("DropInVisit", opening("no-key"), id="case-no-key", task_queue="cases")
    await stranger.get_workflow_handle("case-has-its-key").signal("accept", {"by": NURSE_NORTH})
    for case_id in ("no-key", "has-its-key"):
        handle = stage.client.get_workflow_handle(f"case-{case_id}")
        await until(lambda handle=handle: stuck(handle))
    keys.write_text(keys.read_text() + other.read_text())
    handle = stage.client.get_workflow_handle("case-no-key")
    # The task is tried again with pauses that grow.
    await until(lambda: stage.log("no-key"), seconds=40)
    await until(lambda: goes_on(handle), seconds=40)
    assert (await handle.execute_update("accept", {"by": NURSE_NORTH}))["status"] == "accepted"
    await until(lambda: goes_on(there), seconds=40)
    view = await there.execute_update("close", CLOSE)
    assert [event["event"] for event in view["log"]] == ["opened", "notified", "noted", "accepted", "closed"]


async def test_a_damaged_payload_is_refused_and_the_case_goes_on(sealed: tuple[Stage, Path]) -> None:
    stage, keys = sealed
    codec = EncryptionCodec(keys)
    plain = await stage.connect()
    good = await sealed_payload(codec, {"by": NURSE_NORTH, "text": "x"})
    cut_short, changed, unnamed = Payload(), Payload(), Payload()
    for damaged in (cut_short, changed, unnamed):
        damaged.CopyFrom(good)
    cut_short.data = good.data[:20]
    changed.data = good.data[:-1] + bytes([good.data[-1] ^ 1])
    del unnamed.metadata["encryption-key-id"]
    not_encrypted = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(opening("x")).encode())
    handle = await stage.start("damage")
    others = {"short": cut_short, "changed": changed, "unnamed": unnamed, "plain": not_encrypted}
    for name, payload in others.items():
        started = await plain.start_workflow(
            "DropInVisit", RawValue(payload), id=f"case-damage-{name}", task_queue="cases"
        )
        failure = await failure_of(stage.client.get_workflow_handle(started.id))
        assert failure.type == "InvalidCase", name
        await plain.get_workflow_handle(handle.id).signal("note", RawValue(payload))
        refusal = await refusal_of(plain.get_workflow_handle(handle.id), "note", RawValue(payload))
        assert refusal.type == "InvalidAction", name
    view = await handle.execute_update("accept", {"by": NURSE_NORTH})
    assert Counter(event["event"] for event in view["log"])["rejected"] == 2 * len(others)


# What is asked of a stage


async def retried(stage: Stage, case_id: str) -> list[Any]:
    """The activities of a case that have been tried in vain, where operators see them."""
    pending = await pending_activities(stage.client.get_workflow_handle(f"case-{case_id}"))
    return [activity for activity in pending if activity.attempt > 1]


async def passed(instant: datetime) -> bool:
    """Whether the instant has passed."""
    return datetime.now(UTC) > instant


async def pending_of(handle: WorkflowHandle[Any, Any], *names: str) -> list[Any]:
    """The activities of these names that the case waits for."""
    return [activity for activity in await pending_activities(handle) if activity.activity_type.name in names]


async def any_pending(handles: list[WorkflowHandle[Any, Any]]) -> bool:
    """Whether any of these cases waits for its database where operators see it."""
    pending = await asyncio.gather(*(pending_of(handle, "look_up", "record") for handle in handles))
    return any(pending)


def assert_each_key_once(stage: Stage, case_id: str) -> None:
    """The gateway was not asked twice for anything."""
    assert set(stage.gateway.keys(case_id).values()) <= {1}, stage.gateway.keys(case_id)


def calls_about(stage: Stage, case_id: str, reason: str) -> list[float]:
    """When the gateway was told so about this case."""
    reasons = stage.gateway.reasons(case_id)
    return [at for at, said in zip(stage.gateway.times_of(case_id), reasons, strict=True) if said == reason]


async def first_notice(stage: Stage, case_id: str) -> list[dict[str, Any]]:
    """The row of the case's first notification."""
    return [row for row in await stage.notices(case_id) if row["reason"] == "new_case"]


async def refused_by_gateway(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether operators see that the gateway could not be reached."""
    pending = await pending_of(handle, "send_notice")
    return any("gateway" in activity.last_failure.message for activity in pending)


async def sent(stage: Stage, case_id: str) -> bool:
    """Whether all its notifications have been sent."""
    return all(row["status"] == "sent" for row in await stage.notices(case_id))


async def stuck(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether operators see that the case's task is tried again and again."""
    description = await handle.describe()
    return description.raw_description.pending_workflow_task.attempt > 1


async def goes_on(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether its tasks succeed again. Until then the server turns updates down."""
    return not await stuck(handle)


async def any_done(tasks: list[asyncio.Task[Any]]) -> bool:
    """Whether at least one has come to its end."""
    return any(task.done() for task in tasks)


SERVE = """
import asyncio
from datetime import timedelta
from workflows import errands
from workers.settings import read_settings
from workers.worker import run_worker
# What a killed worker had in hand is tried again after so long; shorter here, to spare the test half a minute.
errands.ATTEMPT = errands.GATEWAY_ATTEMPT = timedelta(seconds=4)
asyncio.run(run_worker(read_settings()))
"""


async def started_briefly(stage: Stage, case_id: str) -> WorkflowHandle[Any, Any]:
    """A case whose tasks are taken from a dead worker after 2 s in place of 10."""
    return await stage.client.start_workflow(
        "DropInVisit",
        opening(case_id),
        id=f"case-{case_id}",
        task_queue="cases",
        task_timeout=timedelta(seconds=2),
    )


async def a_worker(stage: Stage, dsn: str, folder: Path) -> asyncio.subprocess.Process:
    """A worker process that serves the stage."""
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": stage.address,
        "TEMPORAL_NAMESPACE": stage.client.namespace,
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "OMHAND_DATABASE_URL": dsn,
        "OMHAND_GATEWAY_URL": stage.gateway.url,
        "OMHAND_NOTICES_PER_SECOND": "1000",
    }
    with (folder / "worker.log").open("ab") as log:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, env=env, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert worker.stdout
    async with asyncio.timeout(30):
        while line := await worker.stdout.readline():
            if line == b"ready\n":
                return worker
    pytest.fail((folder / "worker.log").read_text()[-2000:])


async def kill(worker: asyncio.subprocess.Process) -> None:
    """End a process at once."""
    if worker.returncode is None:
        worker.kill()
    await worker.wait()
