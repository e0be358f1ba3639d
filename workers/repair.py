"""Mends what an audit has found (``omhand doctor --repair``): after one of the two stores was put back, or was lost.

Postgres behind: its rows are written again from what the case itself says, step by step as in life, also of a case that
has been closed meanwhile. Temporal behind: the case is told to look at its rows, and takes up what it does not know.
A case that Temporal has lost begins a new run from its rows. Each may be done again without harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

import asyncpg
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.audits import Audits, Findings
from activities.postgres.pool import query
from activities.records import WITHDRAWN, Records
from decisions.audit import Fault
from decisions.effects import Decision, notices_of
from decisions.errands import SEND_NOTICE, Delivery, Sending, Step
from decisions.lifecycle import evolve, opened
from omhand.contract.events import Event
from omhand.contract.names import CASES_QUEUE, VIEW_QUERY, WORKFLOW_TYPES, Channel, Kind, case_workflow_id
from omhand.contract.wire import read
from workflows.relatives import LINKS_CHANGED
from workflows.succession import REVIVED

WRITTEN_AGAIN: Final = frozenset({Fault.NOT_RECORDED, Fault.BEHIND, Fault.NOT_CLOSED})
LOOKED_AT: Final = frozenset({Fault.AHEAD, Fault.NOT_OPEN, Fault.OVERSLEPT})

UNKNOWN_FATE: Final = "restored: whether it went out is not known"

BEYOND: Final = {
    Fault.UNTOLD: "the gateway does not take its notification: see that it answers (`omhand doctor` asks it)",
    Fault.STUCK: "its workflow's tasks fail: see its page in the Web UI, and the worker's log",
    Fault.UNREADABLE: "its rows give no case: put Postgres back to an earlier hour, then repair",
}


@dataclass(frozen=True)
class Mended:
    """What was done about a case."""

    case_id: str
    fault: Fault
    done: str


class Repair:
    """Mends cases, one at a time."""

    def __init__(self, pool: asyncpg.Pool, client: Client, audits: Audits, records: Records) -> None:
        self._pool = pool
        self._client = client
        self._audits = audits
        self._records = records

    async def mend(self, findings: Findings) -> list[Mended]:
        """Do about each what can be done, and say it.

        In the order of their ids: a consultation's patient is that of the case that asks, which is written before it.
        """
        return [Mended(case_id, fault, await self._mend(case_id, fault)) for case_id, fault in sorted(findings)]

    async def _mend(self, case_id: str, fault: Fault) -> str:
        if fault in BEYOND:
            return BEYOND[fault]
        try:
            if fault in WRITTEN_AGAIN:
                return await self._write_again(case_id)
            if fault in LOOKED_AT:
                await self._handle(case_id).signal(LINKS_CHANGED)
                return "told to look at its rows"
            return await self._revive(case_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return "Temporal does not have it any more"

    def _handle(self, case_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(case_workflow_id(case_id))

    async def _revive(self, case_id: str) -> str:
        """A new run from the rows. One that is completed is no case that was lost: Temporal refuses to start it."""
        kind = await self._pool.fetchval(query("kind_of_open_case"), case_id)
        running = await self._audits.running(case_id)
        if kind is None or running is not None:
            return "it has been settled meanwhile"
        await self._client.start_workflow(
            WORKFLOW_TYPES[Kind(kind)],
            dict(REVIVED),
            id=case_workflow_id(case_id),
            task_queue=CASES_QUEUE,
            # A run that was ended by force is no hindrance; one that runs is, and is left alone.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{kind}, taken over from Postgres",
        )
        return "watched again: a new run has taken it over from its rows"

    # Rows are written again --------------------------------------------------------------------------------------

    async def _write_again(self, case_id: str) -> str:
        handle = self._handle(case_id)
        described = await handle.describe()
        is_running = described.close_time is None
        view = await handle.query(VIEW_QUERY) if is_running else await handle.result()
        told = [read(Event, event) for event in view["log"]]
        rows = [read(Event, dict(row)) for row in await self._pool.fetch(query("events_of_case"), case_id)]
        first_run = described.raw_description.workflow_execution_info.first_run_id
        written = await self._write(case_id, first_run, rows, [event for event in told if event.seq > len(rows)])
        await self._settle_notices(handle, case_id)
        return f"{written} events written again"

    async def _write(self, case_id: str, run_id: str, rows: Sequence[Event], missing: Sequence[Event]) -> int:
        """Each event as a step of its own, as the case wrote it: what has been taken withdraws what asked for that."""
        case = reduce(evolve, rows[1:], opened(case_id, rows[0])) if rows else None
        for event in missing:
            is_first = case is None
            case = evolve(case, event) if case else opened(case_id, event)
            decision = Decision(case, (event,), () if is_first else notices_of(case, event))
            step = Step(
                run_id=run_id,
                case=case,
                events=decision.events,
                notices=decision.notices,
                takes=decision.takes,
                settles=decision.settles,
                patient=await self._patient(case_id, run_id) if is_first else None,
            )
            await self._records.record(step)
        return len(missing)

    async def _patient(self, case_id: str, run_id: str) -> str | None:
        """Who the case is about, by what it was opened with; None where that says nobody, or is not kept any more."""
        handle = self._client.get_workflow_handle(case_workflow_id(case_id), run_id=run_id)
        async for event in handle.fetch_history_events(page_size=1):
            (opening,) = await self._decoded(event.workflow_execution_started_event_attributes.input, dict[str, Any])
            patient = opening.get("patient") or {}
            return patient.get("id")
        return None

    async def _settle_notices(self, handle: WorkflowHandle[Any, Any], case_id: str) -> None:
        """What became of the notifications whose rows were lost stands in the history of the case's newest run."""
        fates = await self._fates(handle)
        for key, (fate, at) in fates.items():
            if fate is not None:
                status = "sent" if fate.delivered else "failed"
                await self._pool.execute(query("settle_notice"), key, status, fate.error, at)
        for row in await self._pool.fetch(query("pending_notices"), case_id):
            if row["key"] not in fates:
                await self._pool.execute(query("settle_notice"), row["key"], "failed", UNKNOWN_FATE, None)

    async def _fates(self, handle: WorkflowHandle[Any, Any]) -> dict[str, tuple[Delivery | None, datetime]]:
        """By its key, how each notification went and when; None where it is still on its way."""
        keys: dict[int, str] = {}
        fates: dict[str, tuple[Delivery | None, datetime]] = {}
        async for event in handle.fetch_history_events():
            scheduled = event.activity_task_scheduled_event_attributes
            completed = event.activity_task_completed_event_attributes
            at = event.event_time.ToDatetime(UTC)
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                if scheduled.activity_type.name == SEND_NOTICE:
                    (sending,) = await self._decoded(scheduled.input, Sending)
                    keys[event.event_id] = sending.key
                    fates[sending.key] = (None, at)
            elif completed.scheduled_event_id in keys:
                (delivery,) = await self._decoded(completed.result, Delivery)
                fates[keys[completed.scheduled_event_id]] = (delivery, at)
            elif (gone := event.activity_task_canceled_event_attributes.scheduled_event_id) in keys:
                fates[keys[gone]] = (Delivery(delivered=False, channel=Channel.PHONE, error=WITHDRAWN), at)
        return fates

    async def _decoded(self, payloads: Payloads, form: type[Any]) -> list[Any]:
        return await self._client.data_converter.decode(payloads.payloads, [form])
