"""Whether nothing was lost while the demo played: every case, notification and bookable time is where it should be."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from omhand.contract.names import EventName, Kind, NoticeStatus, Status
from workers.demo.board import Snapshot
from workers.demo.tally import WITHDRAWN, Row, asks_in_vain, fate_of


def what_is_lost(opened: Collection[str], then: Snapshot, calls: Counter[str]) -> list[str]:
    """Every way in which something was lost or went out twice, a sentence each; empty where all is well.

    ``opened`` are the ids that were answered with, of consultations too; ``calls`` says how often the gateway took
    each key.
    """
    stored = {case["case_id"]: case for case in then.cases}
    on_a_worklist = {row["case_id"] for row in then.worklist}
    faults = [f"case {case_id} was opened and is not in the database" for case_id in opened if case_id not in stored]
    faults += [
        f"case {case_id} is neither closed nor on anybody's worklist"
        for case_id, case in stored.items()
        if case["closed_at"] is None and case_id not in on_a_worklist
    ]
    faults += [
        f"consultation {each} is open, and the case that asked is closed" for each in asks_in_vain(stored.values())
    ]
    faults += _lost_handovers(then.worklist, then.log)
    faults += _wrong_times(then.cases, then.times)
    faults += _lost_notices(then.notices, calls)
    return faults


def kinds_not_played(cases: Iterable[Row]) -> list[str]:
    """The demo plays every kind of case: a sentence for each of which there was none."""
    played = {case["kind"] for case in cases}
    return [f"there was no case of the kind {kind}" for kind in Kind if kind not in played]


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


def _wrong_times(cases: Iterable[Row], times: Iterable[Row]) -> Iterator[str]:
    """Two cases never hold one time, and what the times say of cases is what the cases say of times (K2a)."""
    holders: set[str | None] = set()
    for time in times:
        slot, held_by, booked_by = time["slot_id"], time["held_by"], time["booked_by"]
        holders.add(held_by)
        if len(booked_by) > 1:
            yield f"the time {slot} is held by {len(booked_by)} cases: {', '.join(booked_by)}"
        elif booked_by != ([held_by] if held_by else []):
            yield f"the time {slot} is held by {held_by or 'nobody'}, and booked by {' '.join(booked_by) or 'nobody'}"
    for case in cases:
        if case["status"] == Status.BOOKED and case["case_id"] not in holders:
            yield f"visit {case['case_id']} is booked, and holds no time"
        if case["closed_at"] is not None and case["case_id"] in holders:
            yield f"case {case['case_id']} is closed, and holds a time that others could have"


def _lost_notices(notices: Iterable[Row], calls: Counter[str]) -> Iterator[str]:
    for notice in notices:
        key, fate = notice["key"], fate_of(notice)
        if fate not in {NoticeStatus.SENT, WITHDRAWN}:
            yield f"notification {key} is neither sent nor withdrawn, but {fate}"
        if fate == NoticeStatus.SENT and not calls[key]:
            yield f"notification {key} is logged as sent, and the gateway never had it"
    yield from (f"notification {key} went out {times} times" for key, times in calls.items() if times > 1)
