"""Temporal schedules: the units' closing checks, a minute after each has closed (P6); the auditor; the canary.

Whoever loads a directory need not know of them: every worker looks for a newer one now and then, and brings them in
line with it. Less often it looks at the schedules themselves: what somebody has deleted comes back. That several do so
at once does no harm. A schedule that operators have paused stays paused.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.directory import Rules
from decisions.audit import EVERY
from decisions.closing import DAY, WEEK, check_times
from decisions.closing_check import ClosingUnit
from decisions.region import Region
from omhand.contract.names import AUDITOR_TYPE, CANARY_TYPE, CASES_QUEUE, CLOSING_TYPE, closing_workflow_id

AFTER_CLOSING: Final = 60
"""Seconds: what happens at closing has happened by then."""

CATCH_UP: Final = timedelta(hours=1)
"""So late a check is still made, where Temporal was away when it was due."""

LOOK_EVERY: Final = timedelta(seconds=30)
LOOK_ANEW_EVERY: Final = timedelta(minutes=10)

AUDITOR: Final = "auditor"
AUDITOR_NOTE: Final = "looks at all cases, in Postgres and in Temporal, and names what differs"
CANARY: Final = "canary"
CANARY_NOTE: Final = "opens a case of nobody's, and lives it: its silence is an alarm"
GIVEN_UP: Final = timedelta(minutes=30)
"""A run that has not come to its end by then never will; its silence has been an alarm for long."""

NOTE: Final = "Compares the unit's open cases in Postgres with those that run, and tells its manager what differs (P6)."

log = structlog.get_logger(__name__)


@asynccontextmanager
async def keeping_schedules(
    client: Client,
    rules: Rules,
    *,
    every: timedelta = LOOK_EVERY,
    anew_every: timedelta = LOOK_ANEW_EVERY,
    canary_every: timedelta | None = None,
) -> AsyncIterator[None]:
    """While the context is open the schedules follow the newest directory; it is looked for that often.

    They are set right every ``anew_every``, where there is no newer one too.
    """
    keeping = asyncio.create_task(_keep_schedules(client, rules, every, anew_every, canary_every))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def _keep_schedules(
    client: Client, rules: Rules, every: timedelta, anew_every: timedelta, canary_every: timedelta | None
) -> None:
    loop = asyncio.get_running_loop()
    set_by: int | None = None
    anew_at = loop.time()
    while True:
        try:
            if loop.time() >= anew_at:
                await set_watch(client, canary_every)
                set_by, anew_at = None, loop.time() + anew_every.total_seconds()
            region = await rules.current()
            if region.version != set_by:
                await set_schedules(client, region)
                set_by = region.version
                log.info("the closing checks are scheduled", units=len(region.units), rules=set_by)
        except Exception as error:  # noqa: BLE001 - whatever it is, cases are served meanwhile, and it is tried again
            log.warning("the closing checks could not be scheduled, and will be tried again", error=repr(error))
        await asyncio.sleep(every.total_seconds())


async def set_watch(client: Client, canary_every: timedelta | None) -> None:
    """Bring the auditor's schedule and the canary's in line; without ``canary_every`` there is no canary.

    Raises:
        RPCError: as `set_schedules`.
    """
    await _set(client, AUDITOR, _watching(AUDITOR_TYPE, AUDITOR, EVERY, AUDITOR_NOTE), at_once=True)
    if canary_every:
        await _set(client, CANARY, _watching(CANARY_TYPE, CANARY, canary_every, CANARY_NOTE), at_once=True)
    else:
        await _remove(client, CANARY)


async def set_schedules(client: Client, region: Region) -> None:
    """Bring the schedules of all units in line with a directory; those of units that it has not are removed.

    Raises:
        RPCError: Temporal is away, or refuses. What has been done by then stays, and may be done again.
    """
    for unit in region.units:
        await _set(client, closing_workflow_id(unit), schedule_of(unit, region))
    prefix = closing_workflow_id("")
    async for each in await client.list_schedules():
        if each.id.startswith(prefix) and each.id.removeprefix(prefix) not in region.units:
            await _remove(client, each.id)


async def _set(client: Client, schedule_id: str, schedule: Schedule, *, at_once: bool = False) -> None:
    meant = schedule.action
    if not isinstance(meant, ScheduleActionStartWorkflow):
        msg = "a schedule here starts a workflow"
        raise TypeError(msg)
    try:
        await client.create_schedule(
            schedule_id, schedule, memo={"what": schedule.state.note}, trigger_immediately=at_once
        )
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(schedule_id)
        argument = await client.data_converter.encode(meant.args)

        def updated(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
            there = found.description.schedule
            # An update lets go of a check that is due and has not been started: only where something has changed.
            if _are_alike(there, schedule, argument):
                return None
            return ScheduleUpdate(Schedule(schedule.action, schedule.spec, schedule.policy, there.state))

        await handle.update(updated)


async def _remove(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    else:
        log.info("a schedule is not needed any more, and has been removed", schedule=schedule_id)


def schedule_of(unit: str, region: Region) -> Schedule:
    """The schedule of a unit's closing checks, by its hours in the directory."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            CLOSING_TYPE,
            args=_arguments(unit),
            id=closing_workflow_id(unit),
            task_queue=CASES_QUEUE,
            static_summary=f"closing check of {unit}",
        ),
        spec=ScheduleSpec(
            calendars=_calendars(check_times(region.calendars[unit])),
            time_zone_name=str(region.zone),  # of a ZoneInfo: its name
        ),
        # One that waits for a gateway that is silent must not keep the next day's from being made.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=CATCH_UP),
        state=ScheduleState(note=NOTE),
    )


def _watching(workflow: str, schedule_id: str, every: timedelta, note: str) -> Schedule:
    """One that runs from time to time; what was missed is not made up for, as the next one sees it too."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            workflow, args=[{}], id=schedule_id, task_queue=CASES_QUEUE, static_summary=note, execution_timeout=GIVEN_UP
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=every),
        state=ScheduleState(note=note),
    )


def _arguments(unit: str) -> list[dict[str, str]]:
    return [ClosingUnit(unit=unit).to_json()]


def _calendars(times: Sequence[int]) -> list[ScheduleCalendarSpec]:
    """A little later than these seconds of the week, which begins on Monday: one entry a time of day, with its days.

    In tuples, as the server's answers are, so that the two can be compared.
    """
    days = defaultdict(set)
    for time in times:
        day, second = divmod((time + AFTER_CLOSING) % WEEK, DAY)
        days[second].add((day + 1) % 7)  # Temporal's weeks begin on Sunday
    return [
        ScheduleCalendarSpec(
            second=(ScheduleRange(second % 60),),
            minute=(ScheduleRange(second // 60 % 60),),
            hour=(ScheduleRange(second // 3600),),
            day_of_week=tuple(ScheduleRange(day) for day in sorted(weekdays)),
        )
        for second, weekdays in sorted(days.items())
    ]


def _are_alike(there: Schedule, wanted: Schedule, argument: Sequence[Payload]) -> bool:
    """Whether the schedule is as it should be. Its argument too: a key that is retired must not have locked it."""
    found, meant = there.action, wanted.action
    return (
        isinstance(found, ScheduleActionStartWorkflow)
        and isinstance(meant, ScheduleActionStartWorkflow)
        and (found.workflow, found.id, found.task_queue) == (meant.workflow, meant.id, meant.task_queue)
        and [each.metadata for each in found.args] == [each.metadata for each in argument]
        and (there.spec, there.policy) == (wanted.spec, wanted.policy)
    )
