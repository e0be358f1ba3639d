"""Looks at a unit that has closed: its cases on both sides (P6), its free times (P2); and who is to be told (R1)."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from temporalio import activity
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from activities.directory import Rules
from activities.postgres.pool import query
from activities.records import NOBODY
from activities.shown import shown
from decisions.closing_check import (
    COMPARE,
    RECORD_ALARMS,
    Alarm,
    Alarms,
    Comparing,
    Comparison,
    Difference,
    Fault,
    alarm_text,
    fault_in,
)
from decisions.free_times import LOOK_FOR_FREE_TIMES, FreeTimes
from decisions.notices import address
from decisions.region import Region
from omhand.contract.names import Kind, NoticeStatus, SearchAttribute, StartFault, Status, case_workflow_id

_KIND: Final = SearchAttributeKey.for_keyword(SearchAttribute.CASE_KIND)
_STATUS: Final = SearchAttributeKey.for_keyword(SearchAttribute.CASE_STATUS)
_PRIORITY: Final = SearchAttributeKey.for_int(SearchAttribute.CASE_PRIORITY)
_UNIT: Final = SearchAttributeKey.for_keyword(SearchAttribute.RESPONSIBLE_UNIT)


@dataclass(frozen=True, slots=True)
class Running:
    """A case as its running workflow shows it: what it says itself, not the list, which follows a moment later."""

    kind: str | None
    priority: int | None
    status: str | None
    unit: str | None


class Reports:
    """The activities of the closing check."""

    def __init__(self, pool: asyncpg.Pool, rules: Rules, client: Client) -> None:
        self._pool = pool
        self._rules = rules
        self._client = client

    @activity.defn(name=COMPARE)
    async def compare(self, comparing: Comparing) -> Comparison:
        """One look at the unit's open cases, on both sides. Who calls looks again before a difference counts.

        Raises:
            ApplicationError: ``UnknownUnit``, not to be retried: no directory has had such a unit.
        """
        if comparing.unit not in (await self._region_of(comparing.unit)).units:
            message = "unit: there is no such unit in the directory"
            raise ApplicationError(message, type=StartFault.UNKNOWN_UNIT, non_retryable=True)
        running = await self._listed(comparing.unit)
        recorded = await self._pool.fetch(query("open_cases_of_unit"), comparing.unit)
        # One after the other: the connections are for those who care for patients.
        found = [await self._look_at(row, comparing) for row in recorded]
        found += [await self._look_for(case_id, comparing) for case_id in await self._not_open(running)]
        compared = len({row["case_id"] for row in recorded} | set(running))
        return Comparison(compared=compared, differences=tuple(each for each in found if each))

    @activity.defn(name=RECORD_ALARMS)
    async def record_alarms(self, alarms: Alarms) -> Alarms:
        """Write the notifications' rows, addressed by the directory of this moment. Those that are there stay."""
        rows = [_row(alarm, await self._region_of(alarm.unit)) for alarm in alarms.alarms]
        await self._pool.execute(query("record_alarms"), rows)
        return alarms

    @activity.defn(name=LOOK_FOR_FREE_TIMES)
    async def look_for_free_times(self, comparing: Comparing) -> FreeTimes:
        """Whether the unit takes bookings, and whether anything of its can be booked after that instant (P2)."""
        region = await self._region_of(comparing.unit)
        row = await self._pool.fetchrow(query("free_times"), comparing.unit, comparing.at)
        return FreeTimes(day=region.day_of(comparing.at), **row)

    async def _region_of(self, unit: str) -> Region:
        return await self._rules.that_has(unit, await self._rules.current())

    async def _look_at(self, row: asyncpg.Record, comparing: Comparing) -> Difference | None:
        """What is wrong with a case that Postgres has."""
        activity.heartbeat()
        is_running = await self._running(row["case_id"]) is not None
        log = await self._pool.fetch(query("events_of_case"), row["case_id"]) if is_running else []
        # Aside: the log of a thread may be long, and cases wait for this worker's loop.
        events = [dict(event) for event in log]
        fault = await asyncio.to_thread(fault_in, row["case_id"], events, comparing.at, is_running=is_running)
        if fault is None:
            return None
        return Difference(case_id=row["case_id"], kind=row["kind"], priority=row["priority"], fault=fault)

    async def _look_for(self, case_id: str, comparing: Comparing) -> Difference | None:
        """Whether a case that is in the list of those that run does run, is open, and is this unit's still."""
        activity.heartbeat()
        case = await self._running(case_id)
        if case is None or case.kind is None or case.status == Status.CLOSED or case.unit != comparing.unit:
            return None
        return Difference(case_id=case_id, kind=Kind(case.kind), priority=case.priority, fault=Fault.NOT_RECORDED)

    async def _listed(self, unit: str) -> list[str]:
        """The ids of the unit's cases in Temporal's list. One that has ended may still be sending its last words."""
        prefix = case_workflow_id("")
        listed = self._client.list_workflows(
            f"ExecutionStatus = 'Running' AND {SearchAttribute.RESPONSIBLE_UNIT} = '{unit}'"
            f" AND {SearchAttribute.CASE_STATUS} != '{Status.CLOSED}' AND WorkflowId STARTS_WITH '{prefix}'"
        )
        return [each.id.removeprefix(prefix) async for each in listed]

    async def _not_open(self, case_ids: list[str]) -> Iterable[str]:
        """Those of them that Postgres does not have as open."""
        rows = await self._pool.fetch(query("open_cases_among"), case_ids)
        is_open = {row["case_id"] for row in rows}
        return [case_id for case_id in case_ids if case_id not in is_open]

    async def _running(self, case_id: str) -> Running | None:
        """The case's workflow; None where there is none, or none that runs."""
        found = await shown(self._client, case_id)
        if found is None or not found.is_running:
            return None
        attributes = found.attributes
        return Running(
            kind=attributes.get(_KIND),
            priority=attributes.get(_PRIORITY),
            status=attributes.get(_STATUS),
            unit=attributes.get(_UNIT),
        )


def _row(alarm: Alarm, region: Region) -> dict[str, Any]:
    unit = region.units.get(alarm.unit)
    to = address(alarm, unit)
    return {
        **alarm.model_dump(mode="json", include={"key", "case_id", "reason", "kind", "priority"}),
        "unit_id": alarm.unit,
        "channel": to.channel,
        "recipient": to.recipient,
        "text": alarm_text(alarm, unit),
        "status": NoticeStatus.PENDING if to.recipient else NoticeStatus.FAILED,
        "error": None if to.recipient else NOBODY[to.channel],
    }
