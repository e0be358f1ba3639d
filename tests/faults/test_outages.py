"""What is away comes back: Postgres, the gateway, the worker, a key. Nothing is lost, and nothing happens twice."""

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.converter import DataConverter

from omhand.codec import EncryptionCodec, KeyRing, data_converter
from workers.embedded import free_ports, running_postgres

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("workflows", "scenarios")]
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
from stories import DOCTOR_NORTH, NORTH, NURSE_NORTH, NURSE_SOUTH, failure_of, opening, refusal_of

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
async def stage(line: tuple[Line, str, str]) -> AsyncIterator[Stage]:
    """A worker in this process whose line to Postgres can be cut; its ladders take seconds."""
    async with staged(line[2], through=line[1]) as stage:
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
    view = await handle.query("view")
    assert view["overdue"], "its deadline, of 1 s, has passed meanwhile"
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
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as resources:
        until_killed = await resources.enter_async_context(AsyncExitStack())
        first = await until_killed.enter_async_context(running_postgres(tmp_path / "pg"))
        dsn = await new_database(first.dsn, "killed")
        await load_rules(dsn, FAST_POLICY)
        line, through = await resources.enter_async_context(line_to(dsn))
        stage = await resources.enter_async_context(staged(through))
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


async def retried(stage: Stage, case_id: str) -> list[Any]:
    """The activities of a case that have been tried in vain, where operators see them."""
    pending = await pending_activities(stage.client.get_workflow_handle(f"case-{case_id}"))
    return [activity for activity in pending if activity.attempt > 1]


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
