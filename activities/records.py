"""Writes the steps of a case to Postgres: one transaction each, once each (contract §5).

No patient's identity is stored: a case has a token, by which the cases of one patient are found (P7; ``patients.py``).
"""

from collections.abc import Collection
from typing import Any, Final, Literal

import asyncpg
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.directory import Rules
from activities.lag import observe_lag
from activities.patients import LinkingKeyMissing, Patients
from activities.postgres.pool import query
from decisions.effects import Notice
from decisions.errands import RECORD, Access, Earlier, Recorded, Step
from decisions.notices import address, text
from decisions.region import Region
from omhand.contract.events import Event
from omhand.contract.names import Channel, NoticeStatus, StartFault
from omhand.contract.opening import StaffMember
from omhand.contract.wire import read

MOST_AHEAD: Final = 500_000
"""Bytes of events that a case is given at a time: a payload may have 2 MB. It asks for more."""

WITHDRAWN: Final = "withdrawn: the case has been taken or has ended"
SETTLED: Final = "withdrawn: the handover has been answered or withdrawn"
NOBODY: Final = {Channel.PHONE: "no phone", Channel.EMAIL: "no email"}

_ANOTHER_RUN: Final = "OM001"
_NOT_IN_SEQUENCE: Final = "OM002"
_NO_LINKING_KEY: Final = "OM006"
_SLOT_FAULTS: Final[dict[str, Literal["taken", "unknown"]]] = {"OM004": "taken", "OM005": "unknown"}


class SequenceConflict(ApplicationError):  # noqa: N818 - reads as what it says
    """A step does not follow what is stored. Retried: an operator has to see it, and settle it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="SequenceConflict")


class Records:
    """The activity that writes, with the connections and the rules that it needs."""

    def __init__(self, pool: asyncpg.Pool, rules: Rules, patients: Patients | None = None) -> None:
        self._pool = pool
        self._rules = rules
        self._patients = patients or Patients(pool)

    @activity.defn(name=RECORD)
    async def record(self, step: Step) -> Recorded:
        """Write a step, all of it or none, and find the other open cases of the same patient.

        The same step again writes nothing. One that tells otherwise of what has been written writes nothing either,
        and is given what stands there (``Recorded.ahead``). An older one that comes late changes nothing that is newer.
        Notifications are addressed by the directory of this moment. ``takes`` withdraws those that ask for somebody to
        take the case and have not gone out; the end of a case withdraws every one of its earlier ones. A step that
        books a time which is not free writes nothing (``Recorded.slot_fault``). One without events is given every event
        that the case does not know of.

        Raises:
            ApplicationError: ``CaseExists``, not to be retried: the case that is to be opened is another run's.
                ``RecordFailed``: Postgres refused; its words are kept back, as they may quote the row.
            LinkingKeyMissing: other workers have the linking key, and this one has not.
            SequenceConflict: the step leaves a gap, or the case's rows are another run's.
        """
        rows = await self._rows(step)
        try:
            recorded = await self._pool.fetchval(query("record_step"), rows)
        except asyncpg.PostgresError as error:
            if error.sqlstate in _SLOT_FAULTS:
                return Recorded(slot_fault=_SLOT_FAULTS[error.sqlstate])
            raise _told(error, step) from None
        except asyncpg.InterfaceError as error:
            raise _told(error, step) from None
        observe_lag(step)
        found = read(Recorded, recorded)
        return found if step.events or found.ahead else await self._with_what_is_ahead(found, step)

    async def _with_what_is_ahead(self, found: Recorded, step: Step) -> Recorded:
        """Rows that the case does not know of, where it only looks: Temporal has been put back, or a task was lost."""
        rows = await self._pool.fetch(query("some_events_after"), step.case.case_id, step.case.seq, MOST_AHEAD)
        ahead = tuple(_earlier(**row) for row in rows)
        return found.model_copy(update={"ahead": ahead})

    async def _rows(self, step: Step) -> dict[str, Any]:
        regions = await self._regions_of({notice.unit for notice in step.notices})
        patient = await self._patients.token(step.patient) if step.patient else None
        return {
            "case": _case_row(step, patient),
            "events": [event.to_json() for event in step.events],
            "booking": step.case.booking.to_json() if step.case.booking else None,
            "offers": [offer.to_json() for offer in step.case.open_offers],
            "notices": [_notice_row(notice, step, regions[notice.unit]) for notice in step.notices],
            "access": [_access_row(access, nth) for nth, access in enumerate(step.access, 1)],
            "takes": step.takes,
            "settles": step.settles,
            "cause": step.cause,
            "withdrawal": WITHDRAWN,
            "settled": SETTLED,
        }

    async def _regions_of(self, units: Collection[str]) -> dict[str, Region]:
        if not units:
            return {}
        now = await self._rules.current()
        return {unit: await self._rules.that_has(unit, now) for unit in units}


def _earlier(cause: str | None, **event: object) -> Earlier:
    return Earlier(event=read(Event, event), cause=cause)


_SAME_IN_ROW: Final = {
    "case_id", "kind", "status", "priority", "profession", "origin", "received_by", "responsible_unit",
    "escalation_level", "highest_level", "accept_by", "was_late", "opened_at", "accepted_at", "accepted_by_unit",
    "closed_at", "outcome", "seq", "patient_region", "out_of_region",
}  # fmt: skip


def _case_row(step: Step, patient: str | None) -> dict[str, Any]:
    case, moment = step.case, step.case.next_moment()
    return {
        **case.model_dump(mode="json", include=_SAME_IN_ROW),
        "run_id": step.run_id,
        # Only the first step's is stored, and nothing has redirected the case before that.
        "opened_profession": step.events[0].detail.get("profession") if step.events else None,
        "assigned_to": case.holder.staff if case.holder else None,
        "due_at": case.due_at.isoformat() if case.due_at else None,
        "next_at": moment.at.isoformat() if moment else None,
        "asker_case": case.asker.case_id if case.asker else None,
        # What has ended holds nothing: a visit that was held early leaves the time to others.
        "slot": case.booking.slot if case.booking and case.is_open else None,
        "ticket_unit": case.ticket.unit if case.ticket else None,
        "patient": patient,
    }


def _notice_row(notice: Notice, step: Step, region: Region) -> dict[str, Any]:
    unit = region.units.get(notice.unit)
    to = address(notice, unit, region.staff.get(notice.staff) if notice.staff else None)
    withdrawal = _withdrawal(notice, step)
    fault = withdrawal or (None if to.recipient else NOBODY[to.channel])
    return {
        **notice.model_dump(
            mode="json", include={"key", "reason", "kind", "priority", "due_at", "until_taken", "scope"}
        ),
        "unit_id": notice.unit,
        "channel": to.channel,
        "recipient": to.recipient,
        "text": text(notice, unit, region.zone),
        "status": NoticeStatus.FAILED if fault else NoticeStatus.PENDING,
        "withdrawn": withdrawal is not None,
        "error": fault,
    }


def _withdrawal(notice: Notice, step: Step) -> str | None:
    """Why a notification of this very step is of no use at its end; None where it is."""
    if notice.scope == "always":
        return None
    if step.settles and notice.scope == "handover" and step.case.handover is None:
        return SETTLED
    # Where somebody is needed at the end of a step that took it, what asks for somebody is about that.
    is_taken = step.takes and notice.until_taken and not step.case.needs_somebody
    return WITHDRAWN if is_taken or not step.case.is_open else None


def _access_row(access: Access, nth: int) -> dict[str, Any]:
    """Staff by their ids; the patient without one (``by_patient``); whoever could not be read by neither."""
    staff = access.by if isinstance(access.by, StaffMember) else None
    return {
        "at": access.at.isoformat(),
        "nth": nth,
        "staff": staff.staff if staff else None,
        "unit_id": staff.unit if staff else None,
        "by_patient": access.by is not None and staff is None,
        "action": access.action,
    }


def _told(error: asyncpg.PostgresError | asyncpg.InterfaceError, step: Step) -> ApplicationError:
    """What is said of a refusal. Only our own words are passed on: Postgres's and the driver's quote what was sent."""
    code = getattr(error, "sqlstate", None)
    if code == _ANOTHER_RUN and step.events and step.events[0].seq == 1:
        return ApplicationError(error.args[0], type=StartFault.CASE_EXISTS, non_retryable=True)
    if code == _ANOTHER_RUN:
        # An open case is not ended by what stands in the database, whatever happened to that.
        return SequenceConflict(error.args[0])
    if code == _NOT_IN_SEQUENCE:
        return SequenceConflict(error.args[0])
    if code == _NO_LINKING_KEY:
        return LinkingKeyMissing()
    where = f"case {step.case.case_id}, step to {step.case.seq}"
    return ApplicationError(f"{where}: Postgres refused it ({type(error).__name__})", type="RecordFailed")
