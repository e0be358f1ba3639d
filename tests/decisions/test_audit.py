"""The audit: what it calls a fault, and whose turn it is to be looked at closely."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_region import DOCTOR_NORTH, Told

from decisions.audit import EVERY, SLICES, Fault, Recorded, Running, faults_of, is_of_slice, next_in
from decisions.closing_check import GRACE

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
JUST_PAST = NOW - GRACE
LONG_PAST = NOW - GRACE - timedelta(seconds=1)

OPEN = Running(is_running=True, is_open=True)
LAST_WORDS = Running(is_running=True, is_open=False)
COMPLETED = Running(is_running=False, is_open=False)


BEGINS = Running(is_running=True, is_open=False, began_at=JUST_PAST)
HANGS = Running(is_running=True, is_open=False, began_at=LONG_PAST)


def row(*, is_open: bool = True, seq: int = 3, next_at: datetime | None = SOON, run_id: str | None = None) -> Recorded:
    return Recorded(is_open=is_open, seq=seq, next_at=next_at, run_id=run_id)


@pytest.mark.parametrize(
    ("recorded", "running", "expected"),
    [
        (row(), OPEN, []),
        (row(next_at=None), OPEN, []),
        (row(next_at=JUST_PAST), OPEN, []),
        (row(next_at=LONG_PAST), OPEN, [Fault.OVERSLEPT]),
        (row(), Running(is_running=True, is_open=True, seq=3), []),
        (row(), Running(is_running=True, is_open=True, seq=4), [Fault.BEHIND]),
        (row(), Running(is_running=True, is_open=True, seq=2), [Fault.AHEAD]),
        (row(next_at=LONG_PAST), Running(is_running=True, is_open=True, seq=4), [Fault.BEHIND, Fault.OVERSLEPT]),
        (row(), LAST_WORDS, []),
        (row(), None, [Fault.NOT_RUNNING]),
        (row(), COMPLETED, [Fault.NOT_CLOSED]),
        (row(is_open=False), None, []),
        (row(is_open=False), COMPLETED, []),
        (row(is_open=False), LAST_WORDS, []),
        (row(is_open=False), OPEN, [Fault.NOT_OPEN]),
        (None, OPEN, [Fault.NOT_RECORDED]),
        (None, LAST_WORDS, []),
        (None, COMPLETED, [Fault.NOT_RECORDED]),
        (None, None, []),
        (None, BEGINS, []),
        (None, HANGS, [Fault.NOT_RECORDED]),
        (row(), BEGINS, []),
        (row(), HANGS, [Fault.NOT_BEGUN]),
        (row(), Running(is_running=True, is_open=True, is_paused=True), [Fault.PAUSED]),
        (row(), Running(is_running=True, is_open=True, is_silent=True), [Fault.STUCK]),
        (row(run_id="a"), Running(is_running=True, is_open=True, run_id="a"), []),
        (row(run_id="a"), Running(is_running=True, is_open=True, run_id="b"), [Fault.OF_ANOTHER_RUN]),
    ],
)  # fmt: skip
def test_a_case_is_the_same_on_both_sides_or_it_is_named(
    recorded: Recorded | None, running: Running | None, expected: list[Fault]
) -> None:
    assert faults_of(recorded, running, NOW) == expected


OPENED = {
    "seq": 1, "at": "2026-11-24T08:00:00+00:00", "event": "opened", "by": None, "detail": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "log",
    [[], [OPENED], [{**OPENED, "event": "noted", "detail": {"text": "x"}}], [{"seq": 1}]],
    ids=["empty", "without detail", "no opening", "malformed"],
)
def test_a_log_that_gives_no_case_is_an_error(log: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        next_in("a", log, len(log))


def test_the_rows_of_a_case_say_when_something_happens_next(story: Told) -> None:
    rows = [event.to_json() for event in story.log]
    moment = story.case.next_moment()
    assert moment is not None
    assert next_in("c-1", rows, story.case.seq) == moment.at
    with pytest.raises(ValueError, match="does not end where"):
        next_in("c-1", rows, story.case.seq + 1)
    story.may("cancel", DOCTOR_NORTH, reason="by mistake")
    assert next_in("c-1", [event.to_json() for event in story.log], story.case.seq) is None


@given(case_id=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True), first=st.datetimes(timezones=st.just(UTC)))
def test_each_case_has_its_turn_once_in_so_many_audits(case_id: str, first: datetime) -> None:
    if not datetime(2000, 1, 1, tzinfo=UTC) < first < datetime(2200, 1, 1, tzinfo=UTC):
        return
    turns = [is_of_slice(case_id, first + EVERY * number) for number in range(SLICES)]
    assert turns.count(True) == 1
