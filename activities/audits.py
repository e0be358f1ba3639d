"""Looks at every case on both sides, and writes down what differs (``decisions/audit.py``)."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import aiohttp
import asyncpg
import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.common import SearchAttributeKey, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.postgres.pool import query
from activities.shown import shown
from decisions.audit import (
    AUDIT,
    LOOKS_BACK,
    LOOKS_FAR_BACK,
    SEND_HEARTBEAT,
    TOLD_WITHIN,
    Audited,
    Auditing,
    Fault,
    Heartbeat,
    Recorded,
    Running,
    faults_of,
    is_of_slice,
    next_in,
)
from decisions.closing_check import GRACE
from omhand.contract.names import VIEW_QUERY, SearchAttribute, Status, case_workflow_id, intake_workflow_id

Findings = set[tuple[str, Fault]]

LOOK_AGAIN_AFTER: Final = 3.0
"""Seconds: what differs in both looks differs. Temporal's lists follow a moment later, and so does a record."""
SECONDS_TO_QUERY: Final = 10.0
AT_ONCE: Final = 4
HEARTBEAT_SECONDS: Final = 10.0
MOST_NAMED: Final = 20
"""Cases that the result names; the table has all of them."""

SEEN_CLOSELY: Final = frozenset({Fault.BEHIND, Fault.AHEAD, Fault.UNREADABLE, Fault.OF_ANOTHER_RUN})
"""What only a look at each event of a case can see: it stands until the case's next turn."""

_STATUS: Final = SearchAttributeKey.for_keyword(SearchAttribute.CASE_STATUS)
_CASES: Final = f"ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{case_workflow_id('')}'"
_CLOSED: Final = f"ExecutionStatus = 'Completed' AND WorkflowId STARTS_WITH '{case_workflow_id('')}'"
_INTAKES: Final = f"ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{intake_workflow_id('')}'"
_STUCK: Final = "ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL"

log = structlog.get_logger(__name__)


class Audits:
    """The activities of the auditor; of ``omhand doctor`` too."""

    def __init__(self, pool: asyncpg.Pool, client: Client, heartbeat_url: str | None = None) -> None:
        """Without a ``heartbeat_url`` nobody outside waits for a sign of life."""
        self._pool = pool
        self._client = client
        self._heartbeat_url = heartbeat_url

    @activity.defn(name=AUDIT)
    async def audit(self, auditing: Auditing) -> Audited:
        """Look at all cases, again at those that differ, and write down what still does, and since when."""
        compared, closely, found = await self.lasting(auditing)
        return await self.write_down(auditing, compared, closely, found)

    async def lasting(self, auditing: Auditing) -> tuple[int, Collection[str], Findings]:
        """How many cases there are, of which each event was looked at, and what differs in two looks."""
        compared, closely, first = await self.look(auditing)
        if not first:
            return compared, closely, first
        await asyncio.sleep(LOOK_AGAIN_AFTER)
        return compared, closely, first & await self.look_again(auditing, {case_id for case_id, _ in first}, closely)

    async def write_down(self, auditing: Auditing, compared: int, closely: Collection[str], found: Findings) -> Audited:
        """Write what differs, since when, and that it was looked."""
        rows = [{"case_id": case_id, "fault": fault} for case_id, fault in sorted(found)]
        await self._pool.execute(
            query("record_audit"), auditing.at, compared, rows, sorted(closely), sorted(SEEN_CLOSELY)
        )
        for row in rows[:MOST_NAMED]:
            log.error("a case differs", **row)
        named = tuple(f"{row['case_id']}: {row['fault']}" for row in rows[:MOST_NAMED])
        return Audited(compared=compared, found=len(rows), cases=named)

    @activity.defn(name=SEND_HEARTBEAT)
    async def send_heartbeat(self, heartbeat: Heartbeat) -> Heartbeat:
        """Tell whoever waits outside that the audit was made; their alarm is our silence.

        Raises:
            ApplicationError: ``HeartbeatFailed``, to be retried.
        """
        if self._heartbeat_url is None:
            return heartbeat
        timeout = aiohttp.ClientTimeout(total=HEARTBEAT_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._heartbeat_url) as answer:
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # Only its name: the text holds the URL, which may be a secret.
            raise ApplicationError(f"it could not be sent ({type(error).__name__})", type="HeartbeatFailed") from None
        if status >= 400:  # noqa: PLR2004 - HTTP's
            raise ApplicationError(f"it was answered with {status}", type="HeartbeatFailed")
        return heartbeat.model_copy(update={"sent": True})

    async def look(self, auditing: Auditing) -> tuple[int, Collection[str], Findings]:
        """How many cases there are, of which each event was looked at, and what differs at this moment."""
        listed = await self._listed()
        rows = await self._pool.fetch(query("open_cases"))
        recorded = {row["case_id"]: Recorded(is_open=True, seq=row["seq"], next_at=row["next_at"]) for row in rows}
        everybody = listed.keys() | recorded.keys()
        closely = {each for each in everybody if auditing.deep or is_of_slice(each, auditing.at)}
        since = auditing.at - (LOOKS_FAR_BACK if auditing.deep else LOOKS_BACK)
        suspects = await self._not_known(await self._closed_since(since))
        suspects |= {
            each for each in everybody - closely if faults_of(recorded.get(each), listed.get(each), auditing.at)
        }
        found = await self._look_at(suspects, closely, auditing.at) | await self._stuck(auditing.at)
        return len(everybody), closely, found

    async def look_again(self, auditing: Auditing, cases: Collection[str], closely: Collection[str]) -> Findings:
        """What differs in these cases now."""
        suspects = set(cases)
        found = await self._look_at(suspects - set(closely), suspects & set(closely), auditing.at)
        return found | await self._stuck(auditing.at)

    async def _look_at(self, briefly: Collection[str], closely: Collection[str], at: datetime) -> Findings:
        """Each by itself, as it is now: lists follow a moment later."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def look_at(case_id: str, *, events: bool) -> Findings:
            async with limit:
                if activity.in_activity():
                    activity.heartbeat()
                return await self._faults_of(case_id, at, events=events)

        looks = [look_at(each, events=False) for each in sorted(briefly)]
        looks += [look_at(each, events=True) for each in sorted(closely)]
        return set().union(*await asyncio.gather(*looks))

    async def _faults_of(self, case_id: str, at: datetime, *, events: bool) -> Findings:
        recorded = _recorded(await self._pool.fetchrow(query("case_as_recorded"), case_id))
        running = await self.running(case_id, events=events)
        found: set[Fault] = set()
        if events and recorded and recorded.is_open:
            rows = [dict(each) for each in await self._pool.fetch(query("events_of_case"), case_id)]
            try:
                # Aside: the log of a thread may be long, and cases wait for this worker's loop.
                next_at = await asyncio.to_thread(next_in, case_id, rows, recorded.seq)
            except ValueError:
                found.add(Fault.UNREADABLE)
            else:
                recorded = replace(recorded, next_at=next_at)
        return {(case_id, fault) for fault in found.union(faults_of(recorded, running, at))}

    async def running(self, case_id: str, *, events: bool = False) -> Running | None:
        """The case's workflow as it says itself; None where there is none, or it did not end by itself."""
        found = await shown(self._client, case_id)
        if found is None:
            return None
        if not found.is_running:
            return Running(is_running=False, is_open=False) if found.has_completed else None
        running = replace(
            _running(found.attributes, found.started_at), is_paused=found.is_paused, run_id=found.first_run
        )
        if not (events and running.is_open) or found.is_paused:  # one that is paused cannot be asked
            return running
        seq = await self._last_event(case_id)
        return replace(running, seq=seq, is_silent=seq is None)

    async def _last_event(self, case_id: str) -> int | None:
        """The number of the case's last event; None where it does not answer."""
        handle = self._client.get_workflow_handle(case_workflow_id(case_id))
        try:
            async with asyncio.timeout(SECONDS_TO_QUERY):
                view: Mapping[str, Any] = await handle.query(VIEW_QUERY)
        except (WorkflowQueryFailedError, RPCError, TimeoutError) as error:
            log.warning("a case could not be asked how it stands", case_id=case_id, error=type(error).__name__)
            return None
        return int(view["log"][-1]["seq"])

    async def _listed(self) -> dict[str, Running]:
        """The cases in Temporal's list of what runs."""
        prefix = case_workflow_id("")
        return {
            each.id.removeprefix(prefix): _running(each.typed_search_attributes, each.start_time)
            async for each in self._client.list_workflows(_CASES, page_size=1000)
        }

    async def _closed_since(self, since: datetime) -> list[str]:
        """The cases that have come to their end since then."""
        closed = self._client.list_workflows(f"{_CLOSED} AND CloseTime > '{since.isoformat()}'", page_size=1000)
        return [each.id.removeprefix(case_workflow_id("")) async for each in closed]

    async def _not_known(self, case_ids: list[str]) -> set[str]:
        rows = await self._pool.fetch(query("cases_among"), case_ids)
        return set(case_ids) - {row["case_id"] for row in rows}

    async def _stuck(self, at: datetime) -> Findings:
        """Notifications that wait for too long, workflows whose tasks fail, intakes that do not come to their end.

        What is about no case is named by its workflow's id.
        """
        rows = await self._pool.fetch(query("untold"), at - TOLD_WITHIN)
        found = {(row["case_id"], Fault.UNTOLD) for row in rows}
        hanging = f"{_INTAKES} AND StartTime < '{(at - GRACE).isoformat()}'"
        for listed, fault in ((_STUCK, Fault.STUCK), (hanging, Fault.NOT_BEGUN)):
            async for each in self._client.list_workflows(listed):
                found.add((each.id.removeprefix(case_workflow_id("")), fault))
        return found


def _running(attributes: TypedSearchAttributes, started_at: datetime) -> Running:
    """One that has not begun yet shows no status; one that is closed may still be sending its last words."""
    status = attributes.get(_STATUS)
    is_open = status not in {None, Status.CLOSED}
    return Running(is_running=True, is_open=is_open, began_at=None if status else started_at)


def _recorded(row: asyncpg.Record | None) -> Recorded | None:
    return Recorded(**row) if row else None
