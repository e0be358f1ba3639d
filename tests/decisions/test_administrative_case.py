"""Administrative cases (K3): not refusable, a response time in working days, messages both ways."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_region import (
    CLERK_NORTH,
    CLERK_SOUTH,
    NORTH,
    NOTIFY,
    NURSE_NORTH,
    PATIENT,
    SOUTH,
    Told,
    ladder,
    local,
    region,
    told,
)

from omhand.contract.names import Code, Kind, Outcome, Reason, Status

IN_TWO_DAYS = ladder("waiting", NOTIFY, {"after": "P2D", "do": "alert_manager"}, clock="working_days", due="P2D")
HERE = region(IN_TWO_DAYS)


def a_case(at: str = "2026-11-23 09:00") -> Told:
    return told(HERE, at, kind=Kind.ADMINISTRATIVE_CASE)


def test_it_waits_for_its_unit_with_what_the_patient_asks_for() -> None:
    # K3 P1
    story = a_case()
    assert story.events == ["opened", "message", "notified"]
    assert story.log[0].detail["service"] == "prescription_renewal"
    assert (story.case.status, story.case.responsible_unit) == (Status.WAITING, NORTH)
    assert story.log[1].by is not None
    assert story.log[1].by.to_json() == PATIENT


def test_what_staff_write_down_for_a_patient_is_the_patients_message() -> None:
    # K3
    story = told(HERE, kind=Kind.ADMINISTRATIVE_CASE, origin="staff", service="certificate")
    assert story.log[1].by is not None
    assert story.log[1].by.to_json() == PATIENT


@pytest.mark.parametrize(
    ("comes", "due"),
    [
        ("2026-11-23 09:00", "2026-11-25 09:00"),
        ("2026-11-26 14:00", "2026-11-30 14:00"),  # Thursday: over the weekend
        ("2026-11-27 16:30", "2026-12-01 16:30"),  # Friday
        ("2026-11-28 10:00", "2026-12-02 08:00"),  # Saturday counts from Monday 00:00; at 00:00 the unit is closed
        ("2026-11-23 12:30", "2026-11-25 13:00"),  # lunch
        ("2026-11-23 20:00", "2026-11-26 08:00"),  # an evening
        ("2026-12-22 09:00", "2026-12-28 09:00"),  # Christmas eve and day, and a weekend
        ("2026-12-30 09:00", "2027-01-04 09:00"),  # New Year here is only its eve
        ("2026-10-23 09:00", "2026-10-27 09:00"),  # clocks go back on the Sunday between
    ],
)
def test_the_response_time_is_in_working_days(comes: str, due: str) -> None:
    # K3
    assert a_case(comes).case.due_at == local(due)


@given(
    start=st.datetimes(datetime(2026, 10, 1), datetime(2027, 3, 31)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    days=st.integers(0, 20),
    more=st.integers(0, 86_399),
    unit=st.sampled_from(sorted(HERE.calendars)),
)
def test_working_days_end_in_the_units_hours_and_never_too_early(
    start: datetime, days: int, more: int, unit: str
) -> None:
    # K3
    calendar = HERE.calendars[unit]
    duration = timedelta(days=days, seconds=more)
    at = calendar.after_working_days(start, duration)
    assert calendar.is_running(at)
    assert at - start >= duration
    assert at <= calendar.after_working_days(start, duration + timedelta(hours=1))


def test_messages_go_both_ways_and_do_not_touch_its_clock() -> None:
    # K3
    story = a_case()
    due = story.case.due_at
    story.may("reply", CLERK_NORTH, text="Vilken?").may("message", PATIENT, text="Den vita.")
    assert (story.case.status, story.case.due_at) == (Status.WAITING, due)
    assert story.refused("reply", CLERK_SOUTH, text="x") is Code.NOT_RESPONSIBLE
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]


def test_what_the_patient_writes_when_somebody_has_it_is_told_once_until_they_reply() -> None:
    # K3
    story = a_case().may("message", PATIENT, text="a").may("accept", CLERK_NORTH)
    before = len(story.reasons)
    story.may("message", PATIENT, text="b").may("message", PATIENT, text="c")
    assert story.lately(before) == [(Reason.MESSAGE, NORTH)]
    story.may("reply", NURSE_NORTH, text="d").may("message", PATIENT, text="e")
    assert story.lately(before) == [(Reason.MESSAGE, NORTH)] * 2
    assert not any(notice.until_taken for notice in story.notices[before:])
    assert story.case.status is Status.ACCEPTED


def test_it_may_not_be_refused_but_is_handed_over_and_consulted_on() -> None:
    # K3 H1 K4a
    story = a_case()
    assert story.refused("refuse", CLERK_NORTH, reason="x") is Code.MAY_NOT_BE_REFUSED
    story.consult(NURSE_NORTH, SOUTH)
    story.may("hand_over", CLERK_NORTH, to_unit=SOUTH, ground="misplaced").may("accept", CLERK_SOUTH)
    assert story.case.responsible_unit == SOUTH
    story.may("close", CLERK_SOUTH, outcome="treated", held_as="phone")
    assert story.case.outcome is Outcome.TREATED


def test_unanswered_it_climbs_to_the_manager() -> None:
    # K3 R1
    story = a_case().until("2026-11-25 09:00")
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.MANAGER_ALERT, NORTH)]
    assert story.may("accept", CLERK_NORTH).case.was_late
