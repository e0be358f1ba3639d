"""Mends what an audit has found (``omhand doctor --repair``): after one of the two stores was put back, or was lost.

Postgres behind: its rows are written again from what the case itself says, step by step as in life, also of a case that
has been closed meanwhile. Temporal behind: the case is told to look at its rows, and takes up what it does not know.
A case that Temporal has lost begins a new run from its rows. Each may be done again without harm.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

import asyncpg
import structlog
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.audits import Audits, Findings
from activities.postgres.pool import query
from activities.records import WITHDRAWN, Records
from activities.shown import shown
from decisions.audit import Fault
from decisions.effects import Decision, notices_of
from decisions.errands import SEND_NOTICE, Delivery, Sending, Step
from decisions.lifecycle import evolve, opened
from omhand.contract.events import Event
from omhand.contract.names import CASES_QUEUE, VIEW_QUERY, WORKFLOW_TYPES, Channel, Kind, case_workflow_id
from omhand.contract.wire import read
from workflows.errands import task_order
from workflows.relatives import LINKS_CHANGED
from workflows.succession import REVIVED

WRITTEN_AGAIN: Final = frozenset({Fault.NOT_RECORDED, Fault.BEHIND, Fault.NOT_CLOSED})
LOOKED_AT: Final = frozenset({Fault.AHEAD, Fault.NOT_OPEN, Fault.OVERSLEPT})

BEYOND: Final = {
    Fault.STUCK: "its workflow's tasks fail, or it does not answer: see its page in the Web UI, and the worker's log",
    Fault.NOT_BEGUN: "it hangs at its beginning: see its page in the Web UI, and the worker's log",
    Fault.PAUSED: "somebody has paused it: let it go on (`temporal workflow unpause`)",
}
log = structlog.get_logger(__name__)

SECONDS_TO_BEGIN: Final = 10.0
BETWEEN_LOOKS: Final = 0.2
SECONDS_TO_SEND: Final = 2.0
UNKNOWN_FATE: Final = "restored: whether it went out is not known"


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
        Whose a row is comes before what is in it.
        """
        of_runs_first = sorted(findings, key=lambda each: (each[0], each[1] is not Fault.OF_ANOTHER_RUN, each[1]))
        return [Mended(case_id, fault, await self._tried(case_id, fault)) for case_id, fault in of_runs_first]

    async def _tried(self, case_id: str, fault: Fault) -> str:
        try:
            return await self._mend(case_id, fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cases are to be mended
            log.warning("a case could not be mended", case_id=case_id, fault=fault, error=type(error).__name__)
            return f"NOT mended ({type(error).__name__}): see its page in the Web UI"

    async def _mend(self, case_id: str, fault: Fault) -> str:
        if fault in BEYOND:
            return BEYOND[fault]
        if fault in WRITTEN_AGAIN:
            return await self._write_again(case_id)
        if fault in LOOKED_AT:
            await self._handle(case_id).signal(LINKS_CHANGED)
            return "told to look at its rows"
        others = {
            Fault.UNTOLD: self._settle_untold,
            Fault.OF_ANOTHER_RUN: self._give_rows,
            Fault.UNREADABLE: self._fill,
            Fault.NOT_RUNNING: self._revive,
        }
        return await others[fault](case_id)

    def _handle(self, case_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(case_workflow_id(case_id))

    async def _give_rows(self, case_id: str) -> str:
        """The rows are the run's that is the case now: Temporal runs one workflow of its id at a time."""
        running = await self._audits.running(case_id)
        if running is None or not running.is_running:
            return "it has been settled meanwhile"
        await self._pool.execute(query("give_rows"), case_id, running.run_id)
        return "its rows are those of the run that is the case now"

    async def _revive(self, case_id: str) -> str:
        """A new run from the rows. One that is completed is no case that was lost: Temporal refuses to start it."""
        row = await self._pool.fetchrow(query("open_case"), case_id)
        if row is None or await self._audits.running(case_id) is not None:
            return "it has been settled meanwhile"
        kind = Kind(row["kind"])
        await self._client.start_workflow(
            WORKFLOW_TYPES[kind],
            dict(REVIVED),
            id=case_workflow_id(case_id),
            task_queue=CASES_QUEUE,
            # A run that was ended by force is no hindrance; one that runs is, and is left alone.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{kind}, taken over from Postgres",
            priority=task_order(row["priority"], row["responsible_unit"]),
        )
        return await self._begun(case_id)

    async def _begun(self, case_id: str) -> str:
        for _ in range(int(SECONDS_TO_BEGIN / BETWEEN_LOOKS)):
            running = await self._audits.running(case_id)
            if running is None:
                return "NOT taken over: its new run has failed, see its page in the Web UI"
            if running.began_at is None:
                return "watched again: a new run has taken it over from its rows"
            await asyncio.sleep(BETWEEN_LOOKS)
        return "NOT taken over yet: a new run has been started, see its page in the Web UI"

    # Rows are written again --------------------------------------------------------------------------------------

    async def _write_again(self, case_id: str) -> str:
        handle = self._handle(case_id)
        found = await shown(self._client, case_id)
        if found is None:
            return "Temporal does not have it any more"
        view = await handle.query(VIEW_QUERY) if found.is_running else await handle.result()
        told = [read(Event, event) for event in view["log"]]
        rows = [read(Event, dict(row)) for row in await self._pool.fetch(query("events_of_case"), case_id)]
        missing = [event for event in told if event.seq > len(rows)]
        if missing and missing[0].seq != len(rows) + 1:
            return "NOT written: its log is long, and the events before those that it remembers are in neither store"
        return await self._write(handle, case_id, found.first_run, rows, missing)

    async def _fill(self, case_id: str) -> str:
        """Rows that are missing among others are written as the case says."""
        if await self._audits.running(case_id) is None:
            return "NOT mended: its rows do not give the case, and Temporal does not have it: put Postgres back"
        view = await self._handle(case_id).query(VIEW_QUERY)
        await self._pool.execute(query("fill_events"), case_id, view["log"])
        return "what was missing among its rows has been written, as the case says"

    async def _write(
        self,
        handle: WorkflowHandle[Any, Any],
        case_id: str,
        run_id: str,
        rows: Sequence[Event],
        missing: Sequence[Event],
    ) -> str:
        """Each event as a step of its own, as the case wrote it: what has been taken withdraws what asked for that."""
        case = reduce(evolve, rows[1:], opened(case_id, rows[0])) if rows else None
        patient = None if rows else await self._patient(case_id)
        keys: set[str] = set()
        for nth, event in enumerate(missing):
            notices = notices_of(case, event) if (case := evolve(case, event) if case else None) else ()
            case = case or opened(case_id, event)
            decision = Decision(case, (event,), notices)
            step = Step(
                run_id=run_id,
                case=case,
                events=decision.events,
                notices=decision.notices,
                takes=decision.takes,
                settles=decision.settles,
                patient=patient if event.seq == 1 else None,
            )
            recorded = await self._records.record(step)
            if recorded.slot_fault:
                gone = f"its time has been given to another case ({recorded.slot_fault})"
                return f"{nth} events written again, and NOT the next one: {gone}. Let one of the two be cancelled"
            keys |= {notice.key for notice in decision.notices}
        settled = await self._settle_notices(handle, keys)
        is_nobodys = not rows and patient is None and case is not None and case.kind is not Kind.CONSULTATION
        said = [f"{len(missing)} events written again", settled]
        said += ["WITHOUT its patient, whom nobody remembers"] if is_nobodys else []
        return ", ".join(filter(None, said))

    async def _patient(self, case_id: str) -> str | None:
        """Who the case is about, by what it was opened with; None where that says nobody, or is not kept any more.

        A run that has taken the case over was not told: one before it was.
        """
        workflow_id = case_workflow_id(case_id)
        async for run in self._client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            handle = self._client.get_workflow_handle(workflow_id, run_id=run.run_id)
            async for event in handle.fetch_history_events(page_size=1):
                given = event.workflow_execution_started_event_attributes.input
                (opening,) = await self._decoded(given, dict[str, Any])
                if patient := (opening.get("patient") or {}).get("id"):
                    return str(patient)
                break
        return None

    async def _settle_untold(self, case_id: str) -> str:
        """A notification whose fate the case knows and its row does not is settled; one that is being tried goes on."""
        rows = await self._pool.fetch(query("pending_notices"), case_id)
        settled = await self._settle_notices(self._handle(case_id), {row["key"] for row in rows})
        return settled or "it is being tried: see that the gateway answers (`omhand doctor` asks it)"

    async def _settle_notices(self, handle: WorkflowHandle[Any, Any], keys: set[str]) -> str:
        """What became of notifications whose rows were lost stands in the history of the case's newest run.

        What it does not know of, an earlier one has sent, or nobody. What has come to that, or nothing.
        """
        fates = await self._fates(handle) if keys else {}
        if keys - fates.keys():
            await asyncio.sleep(SECONDS_TO_SEND)  # what has just been recorded is about to be sent
            fates = await self._fates(handle)
        for key in sorted(keys & fates.keys()):
            fate, at = fates[key]
            if fate is not None:
                status = "sent" if fate.delivered else "failed"
                await self._pool.execute(query("settle_notice"), key, status, fate.error, at)
        unknown = sorted(keys - fates.keys())
        for key in unknown:
            await self._pool.execute(query("settle_notice"), key, "failed", UNKNOWN_FATE, None)
        known = sum(fates[key][0] is not None for key in keys & fates.keys())
        said = [f"{known} notifications settled as the case knows they went"] if known else []
        said += [f"of {len(unknown)} NOBODY KNOWS WHETHER THEY WENT OUT: tell the unit"] if unknown else []
        return ", ".join(said)

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
