"""What the demo makes of Postgres's views: the tables, and where a case and a notification stand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from omhand.contract.names import EventName, Kind, NoticeStatus, Outcome, Reason, Status, asking_case_id

Row = Mapping[str, Any]

MANAGERS: Final = frozenset({Reason.MANAGER_ALERT, Reason.GATEWAY_FAILED, Reason.LEFT_AT_CLOSING})
WITHDRAWN: Final = "withdrawn"
"""The fourth way for a notification: not sent, as the case had been taken. The log says it in ``error``."""


class Tally(Protocol):
    """A row of a table."""

    name: str

    def numbers(self) -> tuple[int, ...]:
        """Every number, in the order of the table's columns."""
        ...


@dataclass(slots=True)
class UnitTally:
    """What became of the cases that one unit received; ``sent`` and ``alerts`` are what it was told itself.

    Questions of other units are no cases of the unit's: see ``BetweenTally``.
    """

    name: str
    received: int = 0
    in_time: int = 0
    late: int = 0
    escalated: int = 0
    by_others: int = 0
    closed: int = 0
    sent: int = 0
    alerts: int = 0

    def numbers(self) -> tuple[int, ...]:
        """Every number, in the order of the table's columns."""
        return (
            self.received, self.in_time, self.late, self.escalated, self.by_others, self.closed, self.sent, self.alerts,
        )  # fmt: skip


COLUMNS: Final = (
    "received", "in\ntime", "late", "escalated", "by\nothers", "closed", "notices\nsent", "manager\nalerts",
)  # fmt: skip


def by_unit(names: Mapping[str, str], cases: Iterable[Row], notices: Iterable[Row]) -> list[UnitTally]:
    """The table, of rows of ``handling_times`` and ``notification_log``, in the order of ``names``."""
    tallies = {unit: UnitTally(name) for unit, name in names.items()}
    for case in cases:
        if case["kind"] == Kind.CONSULTATION:
            continue
        tally = tallies[case["unit_id"]]
        tally.received += 1
        tally.in_time += case["in_time"] is True and case["accepted_at"] is not None
        tally.late += case["in_time"] is False
        tally.escalated += case["escalation_level"] > 0
        tally.by_others += case["accepted_by_unit"] not in (None, case["unit_id"])
        tally.closed += case["closed_at"] is not None
    for notice in notices:
        if notice["status"] == NoticeStatus.SENT:
            tallies[notice["unit_id"]].sent += 1
            tallies[notice["unit_id"]].alerts += notice["reason"] in MANAGERS
    return list(tallies.values())


@dataclass(slots=True)
class BetweenTally:
    """What other units asked of one, and what it left when it closed. What is not answered was taken back, or waits."""

    name: str
    handovers: int = 0
    accepted: int = 0
    handovers_refused: int = 0
    questions: int = 0
    answered: int = 0
    questions_refused: int = 0
    left: int = 0

    def numbers(self) -> tuple[int, ...]:
        """Every number, in the order of the table's columns."""
        return (
            self.handovers, self.accepted, self.handovers_refused,
            self.questions, self.answered, self.questions_refused, self.left,
        )  # fmt: skip


BETWEEN_COLUMNS: Final = (
    "handover\nasked", "\naccepted", "\nrefused", "question\nasked", "\nanswered", "\nrefused", "left at\nclosing",
)  # fmt: skip

ANSWERS: Final = frozenset({Outcome.ANSWERED, Outcome.TAKEN_OVER})


def between_units(names: Mapping[str, str], cases: Iterable[Row], log: Iterable[Row]) -> list[BetweenTally]:
    """The second table, of rows of ``handling_times`` and ``case_log``, in the order of ``names``."""
    tallies = {unit: BetweenTally(name) for unit, name in names.items()}
    for case in cases:
        if case["kind"] == Kind.CONSULTATION:
            tally = tallies[case["unit_id"]]
            tally.questions += 1
            tally.answered += case["outcome"] in ANSWERS
            tally.questions_refused += case["outcome"] == Outcome.REFUSED
    for row in log:
        detail = row["detail"]
        if row["event"] == EventName.HANDOVER_REQUESTED:
            tallies[detail["to_unit"]].handovers += 1
            continue
        tally = tallies[detail["unit"]]
        tally.accepted += row["event"] == EventName.HANDED_OVER
        tally.handovers_refused += row["event"] == EventName.HANDOVER_REFUSED
        tally.left += row["event"] == EventName.LEFT_AT_CLOSING
    return list(tallies.values())


@dataclass(slots=True)
class KindTally:
    """What became of the cases of one kind. What is neither in time nor late was not due: not booked, or cancelled."""

    name: str
    received: int = 0
    in_time: int = 0
    late: int = 0
    escalated: int = 0
    closed: int = 0

    def numbers(self) -> tuple[int, ...]:
        """Every number, in the order of the table's columns."""
        return (self.received, self.in_time, self.late, self.escalated, self.closed, self.received - self.closed)


KIND_COLUMNS: Final = ("received", "in\ntime", "late", "escalated", "closed", "open")

KIND_WORDS: Final[Mapping[Kind, str]] = {
    Kind.DROP_IN_VISIT: "drop-in visits",
    Kind.SCHEDULED_VISIT: "scheduled visits",
    Kind.ADMINISTRATIVE_CASE: "administrative cases",
    Kind.CONSULTATION: "questions between units",
    Kind.PHONE_CONSULTATION: "1177 by phone",
    Kind.MESSAGE_THREAD: "message threads",
}
"""In the order of the routine: K1 to K6."""


def by_kind(cases: Iterable[Row]) -> list[KindTally]:
    """The table of kinds, of rows of ``handling_times``, in the routine's order."""
    tallies = {kind: KindTally(words) for kind, words in KIND_WORDS.items()}
    for case in cases:
        tally = tallies[Kind(case["kind"])]
        tally.received += 1
        tally.in_time += case["in_time"] is True and case["accepted_at"] is not None
        tally.late += case["in_time"] is False
        tally.escalated += case["escalation_level"] > 0
        tally.closed += case["closed_at"] is not None
    return list(tallies.values())


def total(tallies: Sequence[Tally]) -> tuple[int, ...]:
    """The sum of each column."""
    return tuple(map(sum, zip(*(tally.numbers() for tally in tallies), strict=True)))


WITH_THE_PATIENT: Final = (Status.TICKET, Status.BOOKED, Status.IDLE)
"""The statuses in which nothing waits for staff: a ticket, a time that is to come, a thread that has been answered."""


def state_of(case: Row) -> str:
    """Where a case of ``handling_times`` stands, in a word; ``status`` is the worklist's, where it has it."""
    if case["closed_at"] is not None:
        return "closed"
    if case["status"] in WITH_THE_PATIENT:
        return str(case["status"])
    if case["accepted_at"] is not None:
        return "accepted"
    return "overdue" if case["in_time"] is False else "waiting"


def fate_of(notice: Row) -> str:
    """Where a notification stands: pending, sent, withdrawn or failed."""
    if notice["status"] == NoticeStatus.FAILED and (notice["error"] or "").startswith(WITHDRAWN):
        return WITHDRAWN
    return str(notice["status"])


def asks_in_vain(cases: Iterable[Row]) -> list[str]:
    """The consultations that are open though the case that asked is closed: they should have ended with it."""
    is_open = {case["case_id"]: case["closed_at"] is None for case in cases}
    return [
        case_id for case_id, open_ in is_open.items() if open_ and not is_open.get(asking_case_id(case_id) or "", True)
    ]
