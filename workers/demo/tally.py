"""What the demo makes of Postgres's views: the table by unit, and whether nothing was lost."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from omhand.contract.names import NoticeStatus, Reason

Row = Mapping[str, Any]

MANAGERS: Final = frozenset({Reason.MANAGER_ALERT, Reason.GATEWAY_FAILED, Reason.LEFT_AT_CLOSING})
WITHDRAWN: Final = "withdrawn"
"""The fourth way for a notification: not sent, as the case had been taken. The log says it in ``error``."""


@dataclass(slots=True)
class UnitTally:
    """What became of the cases that one unit received; ``sent`` and ``alerts`` are what it was told itself."""

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


def total(tallies: Sequence[UnitTally]) -> tuple[int, ...]:
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


def what_is_lost(
    opened: Collection[str], cases: Iterable[Row], worklist: Iterable[Row], notices: Iterable[Row], calls: Counter[str]
) -> list[str]:
    """Every way in which something was lost or went out twice, a sentence each; empty where all is well.

    ``opened`` are the ids that intake answered with, ``calls`` says how often the gateway took each key.
    """
    stored = {case["case_id"]: case for case in cases}
    on_a_worklist = {row["case_id"] for row in worklist}
    faults = [f"case {case_id} was opened and is not in the database" for case_id in opened if case_id not in stored]
    faults += [
        f"case {case_id} is neither closed nor on anybody's worklist"
        for case_id, case in stored.items()
        if case["closed_at"] is None and case_id not in on_a_worklist
    ]
    for notice in notices:
        key, fate = notice["key"], fate_of(notice)
        if fate not in {NoticeStatus.SENT, WITHDRAWN}:
            faults.append(f"notification {key} is neither sent nor withdrawn, but {fate}")
        if fate == NoticeStatus.SENT and not calls[key]:
            faults.append(f"notification {key} is logged as sent, and the gateway never had it")
    faults += [f"notification {key} went out {times} times" for key, times in calls.items() if times > 1]
    return faults
