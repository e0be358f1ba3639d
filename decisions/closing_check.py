"""The closing check: whether the cases that Postgres has are those that run, and whether all of them are awake (P6).

The timers in each case see to it that none is forgotten; this is for the day on which a timer is not there: a case that
was ended by force, a database that was restored from yesterday, a task that fails again and again. What differs is an
alarm to the unit's manager (R1), and a run that has failed, for operators. It never says a word about the patient.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from decisions.free_times import missing_times_text
from decisions.lifecycle import replay
from decisions.notices import KIND_WORDS
from omhand.contract.directory import Unit
from omhand.contract.events import Event
from omhand.contract.names import Kind, Reason, closing_workflow_id
from omhand.contract.wire import CaseId, Flag, HsaId, Number, Time, Wire, read

COMPARE: Final = "compare"
"""``Comparing -> Comparison``: Postgres and Temporal, as they are now."""
RECORD_ALARMS: Final = "record_alarms"
"""``Alarms -> Alarms``: the rows of the notifications, which can be sent then. Idempotent on their keys."""

GRACE: Final = timedelta(minutes=2)
"""So much later than it was due may something happen: a busy worker is no alarm."""


class Fault(StrEnum):
    """What is wrong with a case."""

    NOT_RUNNING = "not_running"
    """Open in Postgres, and nothing runs that watches it."""
    NOT_RECORDED = "not_recorded"
    """It runs, and Postgres has no open case of that id: it is on no worklist."""
    OVERSLEPT = "overslept"
    """Something was due by itself, and has not happened."""
    UNREADABLE = "unreadable"
    """Its log does not give a case."""


FAULT_WORDS: Final = {
    Fault.NOT_RUNNING: "ärendet är öppet men bevakas inte längre",
    Fault.NOT_RECORDED: "ärendet bevakas men syns inte i någon arbetslista",
    Fault.OVERSLEPT: "det som skulle ha hänt i ärendet har inte hänt",
    Fault.UNREADABLE: "ärendets logg går inte att läsa",
}


class ClosingUnit(Wire):
    """The argument of ``ClosingTime``: the unit that closes."""

    unit: HsaId


class Comparing(ClosingUnit):
    """A unit's cases are to be compared, as of an instant: what was due before that should have happened."""

    at: Time


class Difference(Wire):
    """A case that is not the same in both, or does not do what it should."""

    case_id: CaseId
    kind: Kind
    priority: Number | None
    fault: Fault


class Comparison(Wire):
    """What a look has found. ``compared`` is the number of open cases that were looked at, in either."""

    compared: Number
    differences: tuple[Difference, ...] = ()

    def still(self, later: "Comparison") -> "Comparison":
        """What has differed in both looks, as the later one saw it: what only passed by is no difference."""
        before = {each.case_id for each in self.differences}
        lasting = tuple(each for each in later.differences if each.case_id in before)
        return later.model_copy(update={"differences": lasting})


class Checked(Comparing):
    """The result of a check that found nothing wrong."""

    compared: Number
    no_free_times: Flag = False
    """The unit takes bookings and has nothing to book: its manager has been told (P2)."""


class Alarm(Wire):
    """A manager is to be told of a difference (R1), or that patients have nothing to book (P2).

    By email where that has failed by the way that is theirs.
    """

    key: str
    """Unique; the gateway's idempotency key. One a day for each case and fault: a repeated check calls nobody again."""
    case_id: CaseId
    """What is about no case stands under the closing check's own name."""
    unit: HsaId
    to: Literal["manager", "manager_by_email"]
    kind: Kind
    priority: Number | None
    fault: Fault | None
    """Of a case; null where there is no free time."""
    reason: Reason = Reason.MANAGER_ALERT


class Alarms(Wire):
    """All of a check."""

    alarms: tuple[Alarm, ...]


def fault_in(case_id: str, log: Sequence[Mapping[str, Any]], at: datetime, *, is_running: bool) -> Fault | None:
    """What is wrong with a case that Postgres has as open. ``log`` has the rows of its events, in their order."""
    if not is_running:
        return Fault.NOT_RUNNING
    try:
        case = replay(case_id, (read(Event, row) for row in log))
    except (ValueError, AttributeError):
        # Rows that are missing, malformed, out of order, or do not begin with the opening.
        return Fault.UNREADABLE
    moment = case.next_moment()
    return Fault.OVERSLEPT if moment is not None and moment.at < at - GRACE else None


def alarm_of(difference: Difference, comparing: Comparing) -> Alarm:
    """The alarm to the unit's manager."""
    return Alarm(
        key=f"{difference.case_id}/closing/{comparing.at:%Y-%m-%d}/{difference.fault}",
        case_id=difference.case_id,
        unit=comparing.unit,
        to="manager",
        kind=difference.kind,
        priority=difference.priority,
        fault=difference.fault,
    )


def alarm_of_missing_times(comparing: Comparing, day: date) -> Alarm:
    """The unit's manager is told, once a day, that nobody can book there (P2)."""
    check = closing_workflow_id(comparing.unit)
    return Alarm(
        key=f"{check}/{Reason.NO_FREE_TIMES}/{day}",
        case_id=check,
        unit=comparing.unit,
        to="manager",
        kind=Kind.SCHEDULED_VISIT,
        priority=None,
        fault=None,
        reason=Reason.NO_FREE_TIMES,
    )


def by_email(alarm: Alarm) -> Alarm:
    """The same alarm by another way."""
    return alarm.model_copy(update={"key": f"{alarm.key}/email", "to": "manager_by_email"})


def alarm_text(alarm: Alarm, unit: Unit | None) -> str:
    """What is said, in Swedish: the fault, what kind, how urgent, at which unit, the case's id, and what to do."""
    if alarm.fault is None:
        return missing_times_text(alarm.unit, unit)
    parts = [f"Till verksamhetschef: kontroll vid stängning, {FAULT_WORDS[alarm.fault]}: {KIND_WORDS[alarm.kind]}"]
    if alarm.priority is not None:
        parts.append(f"prio {alarm.priority}")
    parts.append(unit.name if unit else alarm.unit)
    return f"{', '.join(parts)}. Ärende {alarm.case_id}. Se till att det tas om hand, och kontakta systemets drift."


def report(comparing: Comparing, comparison: Comparison, untold: Mapping[str, str]) -> str:
    """What an operator reads of a check that failed. ``untold``: case ids of which nobody could be told, and why."""
    found = "; ".join(f"{each.case_id}: {each.fault}" for each in comparison.differences)
    said = f"unit {comparing.unit}, of {comparison.compared} open cases these differ: {found}"
    if not untold:
        return said
    why = "; ".join(f"{case_id}: {error}" for case_id, error in untold.items())
    return f"{said}. NOBODY COULD BE TOLD of these: {why}"
