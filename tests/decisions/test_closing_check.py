"""The closing check (P6): when in the week it is made, what it calls a fault, and what is said of one."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_region import DOCTOR_NORTH, EVERY_DAY, NORTH, OPENING, STOCKHOLM, WEEKDAYS, Told, a_unit, local, on

from decisions.calendars import Calendar, WeeklyHours
from decisions.closing import DAY, WEEK, check_times
from decisions.closing_check import (
    FAULT_WORDS,
    GRACE,
    Alarm,
    Comparing,
    Comparison,
    Difference,
    Fault,
    alarm_of,
    alarm_text,
    by_email,
    fault_in,
    report,
)
from decisions.region import weekly
from omhand.contract.directory import Unit
from omhand.contract.names import Kind

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_MIDNIGHT = tuple(f"{day} 00:00" for day in DAYS)


def checks(opening: dict[str, Any], on_call: dict[str, Any] | None = None) -> tuple[str, ...]:
    """The times of the week, as one reads them; 24:00 of Sunday is the week's end."""
    calendar = Calendar(weekly(opening), weekly(on_call or {}), STOCKHOLM, frozenset({date(2024, 1, 3)}))
    return tuple(map(shown, check_times(calendar)))


def shown(time: int) -> str:
    day, second = divmod(time, DAY)
    return f"{DAYS[day] if day < 7 else 'end'} {second // 3600:02}:{second // 60 % 60:02}"


@pytest.mark.parametrize(
    ("opening", "on_call", "expected"),
    [
        (on(("mon", "fri"), "08:00-17:00"), {}, ("mon 17:00", "fri 17:00")),
        (on(("mon",), "08:00-12:00", "13:00-17:00"), {}, ("mon 17:00",)),
        (on(("mon",), "08:00-17:00"), on(("mon",), "17:00-21:00"), ("mon 21:00",)),
        (on(("mon",), "08:00-17:00"), on(("sat",), "10:00-18:00"), ("mon 17:00", "sat 18:00")),
        (on(("mon",), "08:00-24:00"), {}, ("tue 00:00",)),
        (on(("sun",), "08:00-24:00"), {}, ("end 00:00",)),
        (on(("fri",), "18:00-24:00") | on(("sat",), "00:00-02:00"), {}, ("sat 02:00",)),
        (on(("sun",), "18:00-24:00") | on(("mon",), "00:00-02:00"), {}, ("mon 02:00",)),
        (on(EVERY_DAY, "00:00-24:00"), {}, EVERY_MIDNIGHT),
        (on(WEEKDAYS, "00:00-24:00"), on(("sat", "sun"), "00:00-24:00"), EVERY_MIDNIGHT),
        (on(EVERY_DAY, "00:00-07:00", "08:00-24:00"), {}, EVERY_MIDNIGHT),
        ({}, {}, EVERY_MIDNIGHT),
    ],
)
def test_a_unit_is_checked_where_it_closes_for_the_day_or_daily(
    opening: dict[str, Any], on_call: dict[str, Any], expected: tuple[str, ...]
) -> None:  # P6
    assert checks(opening, on_call) == expected


@st.composite
def weeks(draw: st.DrawFn) -> WeeklyHours:
    """Hours of a week, with full hours and quarters."""
    bounds = st.lists(st.integers(0, 96), unique=True, max_size=4).map(sorted)
    return tuple(
        tuple((start * 900, end * 900) for start, end in zip(edges[::2], edges[1::2], strict=False))
        for edges in draw(st.tuples(*[bounds] * 7))
    )


@given(weeks(), weeks())
def test_the_checks_of_a_week_are_the_closings_of_every_ordinary_week(
    opening: WeeklyHours, on_call: WeeklyHours
) -> None:
    calendar = Calendar(opening, on_call, STOCKHOLM, frozenset())
    monday = local("2026-11-23 00:00")
    at, closings = monday, []
    while (at := calendar.closing_after(at)) and at <= monday + timedelta(seconds=WEEK):
        closings.append(int((at - monday).total_seconds()))
    times = check_times(calendar)
    assert times == (tuple(closings) or tuple(range(0, WEEK, DAY)))
    assert list(times) == sorted(set(times))
    assert all(0 <= time <= WEEK for time in times)


def rows(story: Told) -> list[dict[str, Any]]:
    """The log as Postgres gives it: instants are instants, the rest is JSON."""
    return [event.model_dump(mode="json") | {"at": event.at} for event in story.log]


def fault(story: Told, at: datetime, log: list[dict[str, Any]] | None = None) -> Fault | None:
    return fault_in(story.case.case_id, rows(story) if log is None else log, at, is_running=True)


def test_a_case_that_does_what_is_due_has_no_fault(story: Told) -> None:
    moment = story.case.next_moment()
    assert moment
    assert fault(story, moment.at) is None
    assert fault(story, moment.at + GRACE) is None


def test_a_case_that_has_not_done_what_was_due_has_overslept(story: Told) -> None:
    moment = story.case.next_moment()
    assert moment
    late = moment.at + GRACE + timedelta(microseconds=1)
    assert fault(story, late) is Fault.OVERSLEPT
    story.until(f"{late.astimezone(STOCKHOLM):%Y-%m-%d %H:%M}")
    assert fault(story, late) is None


def test_a_case_that_ended_meanwhile_has_no_fault(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH).may("close", DOCTOR_NORTH, outcome="treated", held_as="video")
    assert fault(story, story.case.opened_at + timedelta(days=30)) is None


def test_what_does_not_run_is_a_fault_whatever_its_log_says(story: Told) -> None:
    assert fault_in("c-1", [], story.case.opened_at, is_running=False) is Fault.NOT_RUNNING


def test_a_log_that_gives_no_case_is_unreadable(story: Told) -> None:
    log = rows(story.until("2026-11-24 12:00"))
    at = local("2026-11-24 12:00")
    assert len(log) > 3
    for broken in (
        [],
        log[1:],
        [*log[:1], *log[2:]],
        [log[0] | {"detail": {}}, *log[1:]],
        [log[0] | {"event": "exploded"}, *log[1:]],
        [*log[:-1], log[-1] | {"detail": {"colour": "red"}}],
    ):
        assert fault_in("c-1", broken, at, is_running=True) is Fault.UNREADABLE


AT = local("2026-11-23 17:01")
HERE = Comparing(unit=NORTH, at=AT)


def differing(case_id: str = "c-1", what: Fault = Fault.OVERSLEPT, **changed: Any) -> Difference:
    return Difference.model_validate(
        {"case_id": case_id, "kind": "drop_in_visit", "priority": 3, "fault": what, **changed}
    )


def test_only_what_differs_in_every_look_is_a_difference() -> None:
    first = Comparison(compared=9, differences=(differing("passing"), differing("lasting")))
    later = Comparison(
        compared=8, differences=(differing("lasting", Fault.NOT_RUNNING), differing("new", Fault.NOT_RECORDED))
    )
    assert first.still(later) == Comparison(compared=8, differences=(differing("lasting", Fault.NOT_RUNNING),))


def test_an_alarm_goes_to_the_manager_once_a_day_for_each_fault_and_then_by_email() -> None:  # R1
    alarm = alarm_of(differing(), HERE)
    assert (alarm.key, alarm.to, alarm.unit) == ("c-1/closing/2026-11-23/overslept", "manager", NORTH)
    assert alarm == alarm_of(differing(), Comparing(unit=NORTH, at=AT + timedelta(hours=1)))
    assert alarm.key != alarm_of(differing(what=Fault.NOT_RUNNING), HERE).key
    assert alarm.key != alarm_of(differing(), Comparing(unit=NORTH, at=AT + timedelta(days=1))).key
    written = by_email(alarm)
    assert (written.key, written.to, written.case_id) == (f"{alarm.key}/email", "manager_by_email", "c-1")


NORTHERN = Unit.model_validate(a_unit(NORTH, ["doctor"], on(("mon",), "08:00-17:00"), name="Hälsocentral Norr"))


@pytest.mark.parametrize("what", Fault)
@pytest.mark.parametrize("kind", Kind)
def test_every_fault_of_every_kind_is_said_in_swedish_and_short(what: Fault, kind: Kind) -> None:
    said = alarm_text(alarm_of(differing(what=what, kind=kind), HERE), NORTHERN)
    assert FAULT_WORDS[what] in said
    assert "Hälsocentral Norr" in said
    assert "prio 3" in said
    assert "Ärende c-1." in said
    assert len(said) <= 300


def test_what_a_case_does_not_have_is_left_out_of_its_alarm() -> None:
    said = alarm_text(alarm_of(differing(priority=None), HERE), None)
    assert "prio" not in said
    assert f", {NORTH}. Ärende c-1." in said


def test_an_alarm_cannot_hold_a_word_about_the_patient() -> None:
    alarm = alarm_of(differing(), HERE)
    told_ = json.dumps(alarm.to_json()) + alarm_text(alarm, NORTHERN)
    patient = OPENING["patient"]
    assert not any(secret in told_ for secret in (patient["id"], patient["name"], OPENING["reason"]))
    assert set(Alarm.model_fields) == {"key", "case_id", "unit", "to", "kind", "priority", "fault", "reason"}


def test_the_report_names_each_case_its_fault_and_of_which_nobody_could_be_told() -> None:
    found = Comparison(compared=7, differences=(differing("a"), differing("b", Fault.NOT_RECORDED)))
    said = report(HERE, found, {})
    assert said == f"unit {NORTH}, of 7 open cases these differ: a: overslept; b: not_recorded"
    assert report(HERE, found, {"b": "no email"}) == f"{said}. NOBODY COULD BE TOLD of these: b: no email"


def test_instants_come_in_any_zone_and_mean_the_same() -> None:
    assert Comparing(unit=NORTH, at=AT.astimezone(STOCKHOLM)).at == AT.astimezone(UTC)
