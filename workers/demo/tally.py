"""What the demo makes of Postgres's views: the tables by unit, and whether nothing was lost."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from omhand.contract.names import EventName, Kind, NoticeStatus, Outcome, Reason, asking_case_id

Row = Mapping[str, Any]

MANAGERS: Final = frozenset({Reason.MANAGER_ALERT, Reason.GATEWAY_FAILED, Reason.LEFT_AT_CLOSING})
WITHDRAWN: Final = "withdrawn"
"""The fourth way for a notification: not sent, as the case had been taken. The log says it in ``error``."""


class Tally(Protocol):
    """A unit's row of a table."""

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


def total(tallies: Sequence[Tally]) -> tuple[int, ...]:
    """The sum of each column."""
    return tuple(map(sum, zip(*(tally.numbers() for tally in tallies), strict=True)))


def state_of(case: Row) -> str:
    """Where a case of ``handling_times`` stands, in a word or two."""
    if case["closed_at"] is not None:
        return "closed"
    if case["accepted_at"] is not None:
        return "accepted"
    return "overdue" if case["in_time"] is False else "waiting"


def fate_of(notice: Row) -> str:
    """Where a notification stands: pending, sent, withdrawn or failed."""
    if notice["status"] == NoticeStatus.FAILED and (notice["error"] or "").startswith(WITHDRAWN):
        return WITHDRAWN
    return str(notice["status"])


KIND_WORDS: Final[Mapping[str, str]] = {
    Kind.DROP_IN_VISIT: "drop-in visits",
    Kind.PHONE_CONSULTATION: "consultations from 1177 by phone",
    Kind.CONSULTATION: "consultations between units",
}


def by_kind(cases: Sequence[Row]) -> str:
    """How many cases of each kind there are, and are closed, in words."""
    all_of_them = Counter(case["kind"] for case in cases)
    closed = Counter(case["kind"] for case in cases if case["closed_at"] is not None)
    return ", ".join(
        f"{closed[kind]} of {times} {KIND_WORDS.get(kind, kind)}" for kind, times in all_of_them.most_common()
    )


def asks_in_vain(cases: Iterable[Row]) -> list[str]:
    """The consultations that are open though the case that asked is closed: they should have ended with it."""
    is_open = {case["case_id"]: case["closed_at"] is None for case in cases}
    return [
        case_id for case_id, open_ in is_open.items() if open_ and not is_open.get(asking_case_id(case_id) or "", True)
    ]


def what_is_lost(
    opened: Collection[str],
    cases: Iterable[Row],
    worklist: Sequence[Row],
    log: Iterable[Row],
    notices: Iterable[Row],
    calls: Counter[str],
) -> list[str]:
    """Every way in which something was lost or went out twice, a sentence each; empty where all is well.

    ``opened`` are the ids that were answered with, of consultations too; ``log`` has the events of handovers, in the
    order of time; ``calls`` says how often the gateway took each key.
    """
    stored = {case["case_id"]: case for case in cases}
    on_a_worklist = {row["case_id"] for row in worklist}
    faults = [f"case {case_id} was opened and is not in the database" for case_id in opened if case_id not in stored]
    faults += [
        f"case {case_id} is neither closed nor on anybody's worklist"
        for case_id, case in stored.items()
        if case["closed_at"] is None and case_id not in on_a_worklist
    ]
    faults += [
        f"consultation {each} is open, and the case that asked is closed" for each in asks_in_vain(stored.values())
    ]
    faults += _lost_handovers(worklist, log)
    faults += _lost_notices(notices, calls)
    return faults


def _lost_handovers(worklist: Sequence[Row], log: Iterable[Row]) -> Iterator[str]:
    """A handover that nobody has answered or taken back has to stand on the worklist of whoever was asked (H4)."""
    pending: dict[str, str] = {}
    for row in log:
        if row["event"] == EventName.HANDOVER_REQUESTED:
            pending[row["case_id"]] = row["detail"]["to_unit"]
        elif row["event"] != EventName.LEFT_AT_CLOSING:
            pending.pop(row["case_id"], None)
    seen = {(row["case_id"], row["unit_id"]) for row in worklist}
    for case_id, unit in pending.items():
        if (case_id, unit) not in seen:
            yield f"the handover of case {case_id} has no answer, and {unit} does not see it"


def _lost_notices(notices: Iterable[Row], calls: Counter[str]) -> Iterator[str]:
    for notice in notices:
        key, fate = notice["key"], fate_of(notice)
        if fate not in {NoticeStatus.SENT, WITHDRAWN}:
            yield f"notification {key} is neither sent nor withdrawn, but {fate}"
        if fate == NoticeStatus.SENT and not calls[key]:
            yield f"notification {key} is logged as sent, and the gateway never had it"
    yield from (f"notification {key} went out {times} times" for key, times in calls.items() if times > 1)
