"""A schedule a unit on a real server: it follows the directory, and starts the unit's closing check (P6)."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from stories import DIRECTORY, EAST, JOUR, NORTH, SOUTH
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from activities.directory import Rules
from activities.postgres.pool import open_pool
from omhand.codec import EncryptionCodec, KeyRing, data_converter
from omhand.rotation import rotate
from workers.schedules import AUDITOR, keeping_schedules, set_schedules

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

ROOT = Path(__file__).parents[2]
STOCKHOLM = ZoneInfo("Europe/Stockholm")
WEST = "SE2321000198-HC04"
LATE = "SE2321000198-LATE"
CLOSING = f"""
[[unit]]
id = "{WEST}"
name = "Väst"
kind = "health_centre"
opening = {{ mon = ["08:00-12:00", "13:00-17:00"], tue = ["08:00-17:00"], fri = ["08:00-24:00"] }}
on_call = {{ sun = ["18:00-23:59:30"] }}
phone = "+46701740604"
manager = {{ name = "Chef", email = "vast@example.org" }}
professions = ["nurse"]
"""
ANOTHER = f"""
[[unit]]
id = "{LATE}"
name = "Sent"
kind = "clinic"
opening = {{ sun = ["18:00-24:00"] }}
phone = "+46701740605"
manager = {{ name = "Chef", email = "sent@example.org" }}
professions = ["nurse"]
"""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OFTEN = timedelta(milliseconds=50)


@pytest.fixture
async def stage(postgres_server: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage of each test's own, as schedules are the whole namespace's."""
    dsn = await new_database(postgres_server, request.node.name)
    await load_rules(dsn, directory=DIRECTORY + CLOSING)
    async with staged(dsn) as whole:
        yield whole


async def keep(stage: Stage, client: Client | None = None) -> None:
    """Bring the schedules in line with the newest directory, once."""
    async with open_pool(stage.dsn, most=1) as pool:
        await set_schedules(client or stage.client, await Rules(pool).current())


async def scheduled(client: Client) -> set[str]:
    """The ids in Temporal's list of schedules, which follows a moment later; the auditor's is every worker's own."""
    return {each.id async for each in await client.list_schedules()} - {AUDITOR}


async def are_scheduled(client: Client, *ids: str) -> None:
    """The list comes to hold these and no others."""
    await until(lambda: _has(client, set(ids)))


async def _has(client: Client, ids: set[str]) -> bool:
    return await scheduled(client) == ids


async def described(stage: Stage, unit: str) -> ScheduleDescription:
    """The unit's schedule."""
    return await stage.client.get_schedule_handle(f"closing-{unit}").describe()


async def next_times(stage: Stage, unit: str) -> set[str]:
    """When it starts its checks, on the wall clock."""
    times = (await described(stage, unit)).info.next_action_times
    return {f"{at.astimezone(STOCKHOLM):%a %H:%M:%S}" for at in times}


async def test_every_unit_is_checked_a_minute_after_it_has_closed(stage: Stage) -> None:
    await keep(stage)
    await are_scheduled(stage.client, *(f"closing-{unit}" for unit in (NORTH, SOUTH, EAST, JOUR, WEST)))
    assert await next_times(stage, WEST) == {"Mon 17:01:00", "Tue 17:01:00", "Sat 00:01:00", "Mon 00:00:30"}
    # One that never closes is checked every night.
    assert await next_times(stage, NORTH) == {f"{day} 00:01:00" for day in DAYS}
    schedule = (await described(stage, WEST)).schedule
    assert schedule.spec.time_zone_name == "Europe/Stockholm"
    assert schedule.policy.overlap is ScheduleOverlapPolicy.ALLOW_ALL
    assert schedule.policy.catchup_window == timedelta(hours=1)
    action = schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert (action.workflow, action.id, action.task_queue) == ("ClosingTime", f"closing-{WEST}", "cases")
    assert "P6" in (schedule.state.note or "")
    assert "P6" in str(await (await described(stage, WEST)).memo())


async def test_set_again_nothing_changes_and_what_operators_did_stays(stage: Stage) -> None:
    await keep(stage)
    handle = stage.client.get_schedule_handle(f"closing-{WEST}")
    await handle.pause(note="vi bygger om")
    before = await handle.describe()
    await keep(stage)
    after = await handle.describe()
    assert after.info.last_updated_at == before.info.last_updated_at
    assert (after.schedule.state.paused, after.schedule.state.note) == (True, "vi bygger om")
    assert after.schedule.spec == before.schedule.spec
    assert (await described(stage, NORTH)).info.last_updated_at is None
    # Also where there was something to change.
    await load_rules(stage.dsn, directory=DIRECTORY + CLOSING.replace("08:00-17:00", "08:00-18:00"))
    await keep(stage)
    changed = await handle.describe()
    assert changed.schedule.spec != before.schedule.spec
    assert (changed.schedule.state.paused, changed.schedule.state.note) == (True, "vi bygger om")


async def test_what_has_been_changed_by_hand_is_set_right(stage: Stage) -> None:
    await keep(stage)
    right = (await described(stage, WEST)).schedule

    def meddle(found: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(replace(found.description.schedule, spec=ScheduleSpec(cron_expressions=["0 4 * * *"])))

    await stage.client.get_schedule_handle(f"closing-{WEST}").update(meddle)
    assert await next_times(stage, WEST) != {"Mon 17:01:00", "Tue 17:01:00", "Sat 00:01:00", "Mon 00:00:30"}
    await keep(stage)
    assert (await described(stage, WEST)).schedule == right


async def test_a_worker_that_keeps_them_follows_each_new_directory(stage: Stage) -> None:
    async with open_pool(stage.dsn, most=2) as pool:
        rules = Rules(pool)
        # Two workers keep them, as there are several everywhere.
        async with (
            keeping_schedules(stage.client, rules, every=OFTEN),
            keeping_schedules(stage.client, Rules(pool), every=OFTEN),
        ):
            usual = [f"closing-{unit}" for unit in (NORTH, SOUTH, EAST, JOUR)]
            await are_scheduled(stage.client, *usual, f"closing-{WEST}")
            # What others have scheduled is theirs, whatever its name begins with.
            await stage.client.create_schedule("close", _nightly("close"))
            later = CLOSING.replace('mon = ["08:00-12:00", "13:00-17:00"], ', "")
            await load_rules(stage.dsn, directory=DIRECTORY + later + ANOTHER)
            await are_scheduled(stage.client, "close", *usual, f"closing-{WEST}", f"closing-{LATE}")
            await until(lambda: _starts(stage, WEST, {"Tue 17:01:00", "Sat 00:01:00", "Mon 00:00:30"}))
            assert await next_times(stage, LATE) == {"Mon 00:01:00"}
            await load_rules(stage.dsn, directory=DIRECTORY + later)
            await are_scheduled(stage.client, "close", *usual, f"closing-{WEST}")
        # Nobody keeps them any more: a new directory changes nothing.
        await load_rules(stage.dsn, directory=DIRECTORY)
        await stage.client.create_schedule("closer", _nightly("closer"))
        await are_scheduled(stage.client, "close", "closer", *usual, f"closing-{WEST}")


async def test_what_has_been_deleted_by_hand_comes_back_while_a_worker_keeps_them(stage: Stage) -> None:
    closing = f"closing-{WEST}"
    async with (
        open_pool(stage.dsn, most=1) as pool,
        keeping_schedules(stage.client, Rules(pool), every=OFTEN, anew_every=2 * OFTEN),
    ):
        for each in (AUDITOR, closing):
            handle = stage.client.get_schedule_handle(each)
            await until(lambda handle=handle: exists(handle))
            await handle.delete()
            await until(lambda handle=handle: exists(handle))
    # What stood there as it should was looked at, and left alone.
    assert (await described(stage, NORTH)).info.last_updated_at is None


async def exists(handle: ScheduleHandle) -> bool:
    with suppress(RPCError):
        return bool((await handle.describe()).id)
    return False


def _nightly(name: str) -> Schedule:
    action = ScheduleActionStartWorkflow("Tidy", id=name, task_queue="others")
    return Schedule(action=action, spec=ScheduleSpec(cron_expressions=["0 4 * * *"]))


async def _starts(stage: Stage, unit: str, expected: set[str]) -> bool:
    return await next_times(stage, unit) == expected


async def test_where_nothing_is_loaded_yet_it_waits_until_something_is(postgres_server: str) -> None:
    dsn = await new_database(postgres_server, "closing_unruled")
    async with staged(dsn, served=False) as stage, open_pool(dsn, most=1) as pool:
        async with keeping_schedules(stage.client, Rules(pool), every=OFTEN):
            await load_rules(dsn)
            await are_scheduled(stage.client, *(f"closing-{unit}" for unit in (NORTH, SOUTH, EAST, JOUR)))
        assert len(await scheduled(stage.client)) == 4


async def test_triggered_it_runs_the_units_check(stage: Stage) -> None:
    await keep(stage)
    handle = stage.client.get_schedule_handle(f"closing-{WEST}")
    before = datetime.now(UTC)
    await handle.trigger()

    async def started() -> list[Any]:
        return list((await handle.describe()).info.recent_actions)

    (taken,) = await until(started)
    check = stage.client.get_workflow_handle(taken.action.workflow_id)
    async with asyncio.timeout(20):
        checked = await check.result()
    assert (checked["unit"], checked["compared"]) == (WEST, 0)
    assert abs(datetime.fromisoformat(checked["at"]) - before) < timedelta(seconds=20)
    assert check.id.startswith(f"closing-{WEST}-")
    assert (await check.describe()).workflow_type == "ClosingTime"


async def test_a_check_stays_readable_when_its_key_is_retired(stage: Stage, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    KeyRing.create(keys)
    await keep(stage, await encrypting(stage, keys))
    await keep(stage, await encrypting(stage, keys))
    assert (await described(stage, WEST)).info.last_updated_at is None, "with the same key nothing has changed"
    before = [payload.metadata["encryption-key-id"] for payload in await arguments(stage)]
    rotate(keys)
    await keep(stage, await encrypting(stage, keys))
    after = [payload.metadata["encryption-key-id"] for payload in await arguments(stage)]
    assert len(before) == len(after) == 1
    assert before != after


async def encrypting(stage: Stage, keys: Path) -> Client:
    """A client with that key ring, as a worker has that has just started."""
    return await Client.connect(stage.address, data_converter=data_converter(EncryptionCodec(keys)))


async def arguments(stage: Stage) -> list[Any]:
    """What the schedule starts its checks with, as the server keeps it."""
    action = (await described(stage, WEST)).schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    return list(action.args)


async def test_a_worker_process_schedules_the_checks_and_stops_cleanly(stage: Stage, tmp_path: Path) -> None:
    set_by_us = {"TEMPORAL_ADDRESS": stage.address, "TEMPORAL_CONFIG_FILE": os.devnull}
    log = tmp_path / "worker.log"
    with log.open("wb") as words:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omhand", "worker"),
            cwd=ROOT,
            env=os.environ | set_by_us | {"OMHAND_DATABASE_URL": stage.dsn},
            stdout=words,
            stderr=words,
        )

    async def has_scheduled() -> bool:
        # Its own word comes last: stopped before that, it would be stopped in the middle.
        assert worker.returncode is None, log.read_text()
        return "the closing checks are scheduled" in log.read_text()

    try:
        await until(has_scheduled, seconds=60)
        await are_scheduled(stage.client, *(f"closing-{unit}" for unit in (NORTH, SOUTH, EAST, JOUR, WEST)))
    finally:
        worker.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(worker.wait(), 20)
    assert status == 0, log.read_text()
