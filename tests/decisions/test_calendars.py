"""Opening hours, on-call time and holidays: tables of days that go wrong, and properties.

The tables are in local time of Europe/Stockholm, as a unit would say it. The properties compare
with an oracle that walks every minute of two weeks and never calls the code under test.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisions.calendars import HORIZON_DAYS, LONGEST_PAUSE, NO_HOURS, Calendar, Span, WeeklyHours

STOCKHOLM = ZoneInfo("Europe/Stockholm")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
EVERY_DAY = (*WEEKDAYS, "sat", "sun")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# Written out, so that these tests stand still when the holiday library moves.
HOLIDAYS = frozenset(
    map(
        date.fromisoformat,
        (
            *("2026-06-06", "2026-12-24", "2026-12-25", "2026-12-26", "2026-12-31"),
            *("2027-01-01", "2027-01-06", "2027-03-26", "2027-03-27", "2027-03-28", "2027-03-29"),
        ),
    )
)


def seconds(clock: str) -> int:
    """Return seconds of the day of "HH:MM" or "HH:MM:SS", up to "24:00"."""
    hours, minutes, *rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + sum(rest)


def hours(**days: str) -> WeeklyHours:
    """Return weekly hours: `hours(weekdays="08:00-12:00 13:00-17:00", sat="10:00-14:00")`."""
    of_day = {
        **dict.fromkeys(EVERY_DAY, days.pop("every_day", "")),
        **(dict.fromkeys(WEEKDAYS, days.pop("weekdays")) if "weekdays" in days else {}),
        **days,
    }
    return tuple(tuple(span(text) for text in of_day[day].split()) for day in EVERY_DAY)


def span(text: str) -> Span:
    """Return the span of "08:00-12:00"."""
    start, end = text.split("-")
    return seconds(start), seconds(end)


def unit(opening: WeeklyHours = NO_HOURS, on_call: WeeklyHours = NO_HOURS) -> Calendar:
    """Return the calendar of a unit in Stockholm that keeps the holidays above."""
    return Calendar(opening, on_call, STOCKHOLM, HOLIDAYS)


def local(text: str, fold: int = 0) -> datetime:
    """Return "2026-11-24 09:00" in Stockholm; `fold` 1 for the second 02:30 of an autumn night."""
    return datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM, fold=fold)


def utc(text: str) -> datetime:
    """Return "2026-11-24 09:00" in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instant(text: str | None) -> datetime | None:
    """Return the instant of a local time of a table, or None."""
    return None if text is None else local(text).astimezone(UTC)


OFFICE = unit(hours(weekdays="08:00-12:00 13:00-17:00"))
SATURDAYS_TOO = unit(hours(weekdays="08:00-17:00"), hours(sat="10:00-18:00", sun="12:00-16:00"))
TO_THE_SECOND = unit(hours(every_day="08:00:01-08:00:03 12:00-12:00:01"))
NIGHTS = unit(
    hours(weekdays="08:00-17:00"),
    hours(mon="18:00-24:00", tue="00:00-07:00 18:00-24:00", wed="00:00-07:00"),
)
ALWAYS = unit(hours(weekdays="00:00-24:00"), hours(sat="00:00-24:00", sun="00:00-24:00"))
WEEKEND_NIGHT = unit(on_call=hours(sat="20:00-24:00", sun="00:00-08:00"))
NEVER = unit()


# 2026-11-24 is a Tuesday.


@pytest.mark.parametrize(
    ("calendar", "at", "is_open", "is_on_call"),
    [
        # K5d: weekdays in the daytime
        (OFFICE, "2026-11-24 07:59:59", False, False),
        (OFFICE, "2026-11-24 08:00", True, False),
        (OFFICE, "2026-11-24 11:59:59.999999", True, False),
        (OFFICE, "2026-11-24 12:00", False, False),
        (OFFICE, "2026-11-24 13:00", True, False),
        (OFFICE, "2026-11-24 17:00", False, False),
        (OFFICE, "2026-11-28 10:00", False, False),
        (OFFICE, "2026-12-24 10:00", False, False),
        # K5e: on-call time
        (SATURDAYS_TOO, "2026-11-27 10:30", True, False),
        (SATURDAYS_TOO, "2026-11-28 10:30", False, True),
        (SATURDAYS_TOO, "2026-11-29 10:30", False, False),
        (SATURDAYS_TOO, "2026-11-29 12:00", False, True),
        # a holiday has Sunday's spans: on a Thursday, and on a Saturday
        (SATURDAYS_TOO, "2026-12-24 10:30", False, False),
        (SATURDAYS_TOO, "2026-12-24 12:30", False, True),
        (SATURDAYS_TOO, "2026-06-06 10:30", False, False),
        (SATURDAYS_TOO, "2026-06-06 15:59", False, True),
        (TO_THE_SECOND, "2026-11-24 08:00:00", False, False),
        (TO_THE_SECOND, "2026-11-24 08:00:02", True, False),
        (TO_THE_SECOND, "2026-11-24 08:00:03", False, False),
        (NIGHTS, "2026-11-24 00:00", False, True),
        (NIGHTS, "2026-11-24 23:59:59", False, True),
        (NIGHTS, "2026-11-25 07:00", False, False),
        (NEVER, "2026-11-24 10:00", False, False),
    ],
)
def test_unit_is_open_and_on_call_in_its_hours(calendar: Calendar, at: str, *, is_open: bool, is_on_call: bool) -> None:
    assert calendar.is_open(local(at)) is is_open
    assert calendar.is_on_call(local(at)) is is_on_call
    assert calendar.is_running(local(at)) is (is_open or is_on_call)


def test_opening_and_on_call_time_may_overlap() -> None:
    # K5e
    calendar = unit(hours(tue="08:00-17:00"), hours(tue="10:00-12:00 16:00-20:00"))
    assert calendar.is_open(local("2026-11-24 16:30"))
    assert calendar.is_on_call(local("2026-11-24 16:30"))
    assert next(calendar.running(local("2026-11-24 06:00"))) == (
        local("2026-11-24 08:00"),
        local("2026-11-24 20:00"),
    )
    assert calendar.after(local("2026-11-24 08:00"), 9 * HOUR) == local("2026-11-24 17:00")
    assert calendar.after(local("2026-11-24 08:00"), 12 * HOUR) == local("2026-12-01 08:00")


@pytest.mark.parametrize(
    ("calendar", "start", "minutes", "expected"),
    [
        # over lunch, as K5d's daytime has one
        (OFFICE, "2026-11-24 11:50", 5, "2026-11-24 11:55"),
        (OFFICE, "2026-11-24 11:50", 10, "2026-11-24 13:00"),
        (OFFICE, "2026-11-24 11:50", 30, "2026-11-24 13:20"),
        (OFFICE, "2026-11-24 12:30", 0, "2026-11-24 13:00"),
        # evenings, weekends
        (OFFICE, "2026-11-24 08:00", 480, "2026-11-25 08:00"),
        (OFFICE, "2026-11-24 22:00", 15, "2026-11-25 08:15"),
        (OFFICE, "2026-11-25 03:00", 15, "2026-11-25 08:15"),
        (OFFICE, "2026-11-27 16:45", 30, "2026-11-30 08:15"),
        (OFFICE, "2026-11-24 08:00", 5 * 480 + 1, "2026-12-01 08:01"),
        # julafton is a Thursday, nyårsafton too, trettondedag jul a Wednesday
        (OFFICE, "2026-12-23 16:45", 30, "2026-12-28 08:15"),
        (OFFICE, "2026-12-30 17:00", 0, "2027-01-04 08:00"),
        (OFFICE, "2027-01-05 16:59", 1, "2027-01-07 08:00"),
        # Easter, with the spring night in it
        (OFFICE, "2027-03-25 16:30", 60, "2027-03-30 08:30"),
        # K5e: on-call time counts; a Friday before a holiday, whose Saturday is a Sunday
        (SATURDAYS_TOO, "2026-11-27 16:30", 60, "2026-11-28 10:30"),
        (SATURDAYS_TOO, "2026-06-05 16:30", 60, "2026-06-06 12:30"),
        (SATURDAYS_TOO, "2026-06-05 16:30", 30 + 240, "2026-06-07 12:00"),
        # over midnight
        (NIGHTS, "2026-11-23 23:50", 30, "2026-11-24 00:20"),
        (NIGHTS, "2026-11-23 23:50", 10, "2026-11-24 00:00"),
        (NIGHTS, "2026-11-24 06:50", 10, "2026-11-24 08:00"),
        (NIGHTS, "2026-11-24 16:50", 11, "2026-11-24 18:01"),
        (ALWAYS, "2026-11-27 23:50", 24 * 60, "2026-11-28 23:50"),
    ],
)
def test_only_running_time_counts_and_the_answer_is_never_in_closed_time(
    calendar: Calendar, start: str, minutes: int, expected: str
) -> None:
    answer = calendar.after(local(start), timedelta(minutes=minutes))
    assert answer == instant(expected)
    assert answer is not None
    assert answer.tzinfo is UTC
    assert calendar.is_running(answer)


@pytest.mark.parametrize(
    ("start", "elapsed", "expected"),
    [
        ("2026-11-24 08:00:00", 0, "2026-11-24 08:00:01"),
        ("2026-11-24 08:00:00", 1, "2026-11-24 08:00:02"),
        ("2026-11-24 08:00:02.5", 0.25, "2026-11-24 08:00:02.75"),
        ("2026-11-24 08:00:00", 2, "2026-11-24 12:00:00"),
        ("2026-11-24 08:00:02", 2, "2026-11-25 08:00:01"),
    ],
)
def test_hours_are_kept_to_the_second(start: str, elapsed: float, expected: str) -> None:
    assert TO_THE_SECOND.after(local(start), timedelta(seconds=elapsed)) == instant(expected)


@pytest.mark.parametrize(
    ("calendar", "at", "expected"),
    [
        (OFFICE, "2026-11-24 09:30:15.5", "2026-11-24 09:30:15.5"),
        (OFFICE, "2026-11-24 08:00", "2026-11-24 08:00"),
        (OFFICE, "2026-11-24 12:00", "2026-11-24 13:00"),
        (OFFICE, "2026-11-27 17:00", "2026-11-30 08:00"),
        (NIGHTS, "2026-11-24 07:30", "2026-11-24 08:00"),
        (NEVER, "2026-11-24 09:30", None),
    ],
)
def test_next_running_is_now_or_the_next_opening(calendar: Calendar, at: str, expected: str | None) -> None:
    assert calendar.next_running(local(at)) == instant(expected)


def test_midnight_between_two_spans_is_no_closing() -> None:
    first = next(NIGHTS.running(local("2026-11-23 20:00")))
    assert first == (local("2026-11-23 20:00"), local("2026-11-24 07:00"))


def test_running_time_comes_in_order_and_is_cut_at_the_start() -> None:
    running = OFFICE.running(local("2026-11-24 10:00"))
    assert [next(running) for _ in range(3)] == [
        (local("2026-11-24 10:00"), local("2026-11-24 12:00")),
        (local("2026-11-24 13:00"), local("2026-11-24 17:00")),
        (local("2026-11-25 08:00"), local("2026-11-25 12:00")),
    ]


def test_running_time_that_ends_at_the_start_is_left_out() -> None:
    first = next(OFFICE.running(local("2026-11-24 12:00")))
    assert first == (local("2026-11-24 13:00"), local("2026-11-24 17:00"))


@pytest.mark.parametrize(
    ("calendar", "at", "expected"),
    [
        # P6: lunch is no closing
        (OFFICE, "2026-11-24 09:00", "2026-11-24 17:00"),
        (OFFICE, "2026-11-24 12:30", "2026-11-24 17:00"),
        (OFFICE, "2026-11-24 16:59:59", "2026-11-24 17:00"),
        # P6: asked in closed time, or at the closing
        (OFFICE, "2026-11-24 17:00", "2026-11-25 17:00"),
        (OFFICE, "2026-11-24 03:00", "2026-11-24 17:00"),
        (OFFICE, "2026-11-28 12:00", "2026-11-30 17:00"),
        (OFFICE, "2026-12-23 18:00", "2026-12-28 17:00"),
        # P6: on-call time after the opening hours, without and with a gap
        (SATURDAYS_TOO, "2026-11-27 09:00", "2026-11-27 17:00"),
        (SATURDAYS_TOO, "2026-11-27 18:00", "2026-11-28 18:00"),
        (SATURDAYS_TOO, "2026-06-05 18:00", "2026-06-06 16:00"),
        # P6: Monday to Wednesday hang together: every gap is followed by more on the same day
        (NIGHTS, "2026-11-23 09:00", "2026-11-25 17:00"),
        (NIGHTS, "2026-11-24 06:59", "2026-11-25 17:00"),
        (NIGHTS, "2026-11-25 17:00", "2026-11-26 17:00"),
        # P6: 24:00 belongs to the day that it ends
        (unit(hours(mon="20:00-24:00", tue="08:00-12:00")), "2026-11-23 21:00", "2026-11-24 00:00"),
        (unit(hours(mon="20:00-24:00", tue="00:00-02:00")), "2026-11-23 21:00", "2026-11-24 02:00"),
        (WEEKEND_NIGHT, "2026-11-28 21:00", "2026-11-29 08:00"),
        # P6: a clinic of nights goes home in the morning, not for the hour in which the guard changes
        (unit(hours(every_day="00:00-06:00 20:00-24:00")), "2026-11-24 21:00", "2026-11-25 06:00"),
        (unit(hours(every_day="00:00-06:00 20:00-24:00")), "2026-11-24 02:00", "2026-11-24 06:00"),
        (unit(hours(every_day="00:00-06:00 10:00-12:00 20:00-24:00")), "2026-11-24 02:00", None),
        # no closing at all (P6)
        (ALWAYS, "2026-11-24 09:00", None),
        (NEVER, "2026-11-24 09:00", None),
        (unit(hours(every_day="00:00-07:00 08:00-24:00")), "2026-11-24 09:00", None),
    ],
)
def test_unit_closes_when_it_does_not_run_again_that_day(calendar: Calendar, at: str, expected: str | None) -> None:
    assert calendar.closing_after(local(at)) == instant(expected)


# The autumn night: 03:00 CEST becomes 02:00 CET at 01:00 UTC on 2026-10-25.
# The spring night: 02:00 CET becomes 03:00 CEST at 01:00 UTC on 2027-03-28.


@pytest.mark.parametrize(
    ("start", "elapsed", "expected"),
    [
        ("2026-10-24 23:00", 5, "2026-10-25 02:00"),
        ("2026-10-24 20:00", 13, "2026-10-31 19:00"),
        ("2027-03-27 23:00", 5, "2027-03-28 03:00"),
        ("2027-03-27 20:00", 11, "2027-04-03 18:00"),
    ],
)
def test_daylight_saving_nights_count_elapsed_hours(start: str, elapsed: int, expected: str) -> None:
    # K5e
    night = Calendar(WEEKEND_NIGHT.opening, WEEKEND_NIGHT.on_call, STOCKHOLM, frozenset())
    assert night.after(local(start), elapsed * HOUR) == utc(expected)


def test_holiday_takes_the_on_call_time_of_a_saturday_too() -> None:
    # K5e: 2027-03-27 is påskafton, so it has Sunday's night
    assert WEEKEND_NIGHT.next_running(local("2027-03-27 12:00")) == local("2027-03-28 00:00")


@pytest.mark.parametrize(
    ("spans", "start", "end"),
    [
        ("01:00-02:00", "2026-10-24 23:00", "2026-10-25 01:00"),
        ("02:15-02:45", "2026-10-25 00:15", "2026-10-25 01:45"),
        ("02:00-02:30 02:30-03:00", "2026-10-25 00:00", "2026-10-25 02:00"),
        ("02:00-02:10 02:50-03:00", "2026-10-25 00:00", "2026-10-25 02:00"),
        ("03:00-04:00", "2026-10-25 02:00", "2026-10-25 03:00"),
        ("00:00-24:00", "2026-10-24 22:00", "2026-10-25 23:00"),
    ],
)
def test_hour_that_comes_twice_is_entered_at_its_first_and_left_at_its_second(spans: str, start: str, end: str) -> None:
    calendar = unit(hours(sun=spans))
    assert next(calendar.running(local("2026-10-24 12:00"))) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("spans", "start", "end"),
    [
        ("01:00-02:00", "2027-03-28 00:00", "2027-03-28 01:00"),
        ("01:00-02:30", "2027-03-28 00:00", "2027-03-28 01:00"),
        ("02:15-02:45 05:00-06:00", "2027-03-28 03:00", "2027-03-28 04:00"),
        ("02:59:59-04:00", "2027-03-28 01:00", "2027-03-28 02:00"),
        ("01:00-02:20 02:40-04:00", "2027-03-28 00:00", "2027-03-28 02:00"),
        ("00:00-24:00", "2027-03-27 23:00", "2027-03-28 22:00"),
    ],
)
def test_hour_that_does_not_come_is_the_instant_of_the_change(spans: str, start: str, end: str) -> None:
    calendar = Calendar(hours(sun=spans), NO_HOURS, STOCKHOLM, frozenset())
    assert next(calendar.running(local("2027-03-27 12:00"))) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("zone", "every_day", "asked", "start", "end"),
    [
        # 01:00 becomes 00:00 at 01:00 UTC: the day before is left at its second 24:00
        (
            *("Atlantic/Azores", "20:00-24:00", "2026-10-24 12:00"),
            *("2026-10-24 20:00", "2026-10-25 01:00"),
        ),
        # 02:00 becomes 02:30 at 15:30 UTC: a gap of half an hour
        (
            *("Australia/Lord_Howe", "02:10-03:00", "2026-10-03 12:00"),
            *("2026-10-03 15:30", "2026-10-03 16:00"),
        ),
        # UTC-10 becomes UTC+14 after 2011-12-29: the 30th did not come, the 31st is next
        (
            *("Pacific/Apia", "10:00-12:00", "2011-12-29 22:00"),
            *("2011-12-30 20:00", "2011-12-30 22:00"),
        ),
    ],
)
def test_other_zones_follow_the_same_rule(zone: str, every_day: str, asked: str, start: str, end: str) -> None:
    calendar = Calendar(hours(every_day=every_day), NO_HOURS, ZoneInfo(zone), frozenset())
    assert next(calendar.running(utc(asked))) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("zone", "weekly", "at", "runs"),
    [
        # the first 00:30 of the 25th is still before the second 24:00 of the 24th
        ("Atlantic/Azores", hours(sat="20:00-24:00"), "2026-10-25 00:30", True),
        ("Atlantic/Azores", hours(sat="20:00-24:00"), "2026-10-25 01:00", False),
        # Sunday began at 02:30 UTC; a minute later the wall read Saturday 23:01 again
        ("America/St_Johns", hours(sun="00:00-08:00"), "2010-11-07 02:29", False),
        ("America/St_Johns", hours(sun="00:00-08:00"), "2010-11-07 03:00", True),
    ],
)
def test_unit_runs_in_hours_of_a_neighbouring_day_where_midnight_comes_twice(
    zone: str, weekly: WeeklyHours, at: str, *, runs: bool
) -> None:
    calendar = Calendar(weekly, NO_HOURS, ZoneInfo(zone), frozenset())
    assert calendar.is_open(utc(at)) is runs
    assert (calendar.next_running(utc(at)) == utc(at)) is runs


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/St_Johns", "Atlantic/Azores"])
def test_unit_that_never_closes_has_no_gap_where_clocks_change_at_midnight(zone: str) -> None:
    calendar = Calendar(hours(every_day="00:00-24:00"), NO_HOURS, ZoneInfo(zone), frozenset())
    assert len(list(calendar.running(utc("2010-01-15 12:00")))) == 1
    assert len(list(calendar.running(utc("2026-01-15 12:00")))) == 1


def test_calendar_without_hours_answers_none_instead_of_looping() -> None:
    assert list(NEVER.running(local("2026-11-24 09:00"))) == []
    assert NEVER.after(local("2026-11-24 09:00"), MINUTE) is None


def test_search_ends_at_the_horizon() -> None:
    start = local("2026-11-24 09:00")
    ((begin, end),) = ALWAYS.running(start)
    last_day = start.date() + HORIZON_DAYS * DAY
    assert begin == start
    assert end == datetime.combine(last_day + DAY, time(), STOCKHOLM)
    assert ALWAYS.after(start, (end - begin) - MINUTE) == end - MINUTE
    assert ALWAYS.after(start, end - begin) is None


def test_last_running_time_before_the_horizon_is_a_closing() -> None:
    # P6: all Mondays but one are holidays
    monday = date(2026, 11, 30)
    others = frozenset(monday + 7 * DAY * week for week in range(1, 60))
    calendar = Calendar(hours(mon="08:00-17:00"), NO_HOURS, STOCKHOLM, others)
    assert calendar.closing_after(local("2026-11-24 09:00")) == local("2026-11-30 17:00")


def test_question_may_come_in_any_zone() -> None:
    tokyo = local("2026-11-24 11:50").astimezone(ZoneInfo("Asia/Tokyo"))
    assert OFFICE.is_open(tokyo)
    assert OFFICE.after(tokyo, HOUR) == local("2026-11-24 13:50")
    assert OFFICE.closing_after(tokyo) == local("2026-11-24 17:00")


def test_second_hour_of_the_autumn_night_is_told_from_the_first() -> None:
    calendar = unit(hours(sun="03:00-04:00"))
    first, second = local("2026-10-25 02:30"), local("2026-10-25 02:30", fold=1)
    assert calendar.next_running(first) == calendar.next_running(second) == utc("2026-10-25 02:00")
    whole_night = unit(hours(sun="00:00-08:00"))
    assert whole_night.after(first, HOUR) == second.astimezone(UTC)


@pytest.mark.parametrize("method", ["is_open", "is_on_call", "next_running", "closing_after"])
def test_naive_datetime_is_refused(method: str) -> None:
    naive = datetime(2026, 11, 24, 9, 0)  # noqa: DTZ001
    with pytest.raises(ValueError, match="naive"):
        getattr(OFFICE, method)(naive)


def test_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        OFFICE.after(local("2026-11-24 09:00"), -MINUTE)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (((),) * 6, "seven days"),
        ((((3600, 3600),), *((),) * 6), "day 0"),
        ((((7200, 3600),), *((),) * 6), "day 0"),
        (((), ((-1, 3600),), *((),) * 5), "day 1"),
        ((*((),) * 6, ((3600, 86401),)), "day 6"),
        ((*((),) * 6, ((3600, 7200), (7199, 9000))), "day 6"),
        ((*((),) * 6, ((7200, 9000), (3600, 5400))), "day 6"),
    ],
)
def test_hours_that_would_be_misread_are_refused(bad: WeeklyHours, message: str) -> None:
    with pytest.raises(ValueError, match=f"opening.*{message}"):
        Calendar(bad, NO_HOURS, STOCKHOLM, frozenset())
    with pytest.raises(ValueError, match=f"on_call.*{message}"):
        Calendar(NO_HOURS, bad, STOCKHOLM, frozenset())


class OnlyMembership(frozenset[date]):
    """Holidays that may be asked about, not walked through."""

    def __iter__(self) -> Iterator[date]:
        raise AssertionError


def test_holidays_are_asked_about_and_never_walked_through() -> None:
    calendar = Calendar(OFFICE.opening, NO_HOURS, STOCKHOLM, OnlyMembership(HOLIDAYS))
    start = local("2026-12-23 16:45")
    assert calendar.after(start, HOUR) == local("2026-12-28 08:45")
    assert calendar.closing_after(start + HOUR) == local("2026-12-28 17:00")
    assert {calendar: "hashable"}[calendar] == "hashable"


# Properties, against an oracle that walks every minute of two weeks.

WINDOWS = [
    ("Europe/Stockholm", date(2026, 10, 18)),  # autumn night
    ("Europe/Stockholm", date(2027, 3, 21)),  # spring night, Easter
    ("Europe/Stockholm", date(2026, 12, 20)),  # Christmas
    ("Atlantic/Azores", date(2026, 10, 18)),  # 01:00 -> 00:00
    ("America/St_Johns", date(2010, 11, 1)),  # 00:01 -> 23:01 of the day before
    ("America/St_Johns", date(2010, 3, 8)),  # 00:01 -> 01:01
    ("Africa/Cairo", date(2026, 4, 18)),  # 00:00 -> 01:00
    ("Australia/Lord_Howe", date(2026, 3, 29)),  # half an hour
    ("Pacific/Apia", date(2011, 12, 24)),  # a day that did not come
]
WINDOW_DAYS = 14
MARGIN_DAYS = 3


@cache
def walls(zone: str, first: date) -> tuple[datetime, list[datetime]]:
    """Return the first minute, in UTC, and the (naive) wall time of that and each later minute."""
    begin = datetime.combine(first - MARGIN_DAYS * DAY, time(), UTC)
    count = (WINDOW_DAYS + 2 * MARGIN_DAYS) * 24 * 60
    zoneinfo = ZoneInfo(zone)
    minutes = (begin + n * MINUTE for n in range(count))
    return begin, [minute.astimezone(zoneinfo).replace(tzinfo=None) for minute in minutes]


@cache
def occurrences(zone: str, first: date) -> dict[datetime, list[int]]:
    """Return the minutes (indices of `walls`) at which the wall reads each time."""
    found: dict[datetime, list[int]] = {}
    for index, wall in enumerate(walls(zone, first)[1]):
        found.setdefault(wall, []).append(index)
    return found


class Oracle:
    """Every minute of a window of two weeks: does the unit run?"""

    def __init__(self, calendar: Calendar, zone: str, first: date) -> None:
        self.zone, self.first = zone, first
        self.begin, self.walls = walls(zone, first)
        self.open = self._minutes(calendar, calendar.opening)
        self.on_call = self._minutes(calendar, calendar.on_call)
        both = int.from_bytes(self.open, "big") | int.from_bytes(self.on_call, "big")
        self.runs = both.to_bytes(len(self.walls), "big")

    def _minutes(self, calendar: Calendar, weekly: WeeklyHours) -> bytearray:
        minutes = bytearray(len(self.walls))
        for offset in range(-2, WINDOW_DAYS + 2):
            day = self.first + offset * DAY
            weekday = 6 if day in calendar.holidays else day.weekday()
            for start, end in weekly[weekday]:
                midnight = datetime.combine(day, time())
                low = self._found(midnight + timedelta(seconds=start))[0]
                high = self._found(midnight + timedelta(seconds=end))[-1]
                minutes[low:high] = b"\1" * max(0, high - low)
        return minutes

    def _found(self, wall: datetime) -> list[int]:
        return occurrences(self.zone, self.first).get(wall) or [
            next(index for index, later in enumerate(self.walls) if later > wall)
        ]

    def at(self, index: int) -> datetime:
        return self.begin + index * MINUTE

    def index(self, instant: datetime) -> int:
        return (instant - self.begin) // MINUTE

    def closings(self) -> list[int]:
        """Return the minutes at which the unit stops and does not start again that day, or not soon after a night."""
        stops = (found.start() + 1 for found in re.finditer(b"\1\0", self.runs))
        return [stop for stop in stops if not self._starts_later_that_day(stop) or self._rests_after_a_night(stop)]

    def _rests_after_a_night(self, stop: int) -> bool:
        day = self.walls[stop - 1].date()
        midnight = stop - 1
        while midnight and self.walls[midnight - 1].date() >= day:
            midnight -= 1
        ran_over_it = bool(midnight) and b"\0" not in self.runs[midnight - 1 : stop]
        gap = self.runs.find(1, stop) - stop
        return ran_over_it and gap * MINUTE > LONGEST_PAUSE

    def _starts_later_that_day(self, stop: int) -> bool:
        # "Starts", not "runs": where clocks were turned back over midnight (St John's, to 2011),
        # time that started on Sunday runs on through a second Saturday evening.
        day = self.walls[stop - 1].date()
        starts = re.finditer(b"\0\1", self.runs[stop : stop + 2 * 1440])
        return any(self.walls[stop + start.start() + 1].date() == day for start in starts)


# Minutes of the day at which days begin, end, and change their clocks.
CUTS = st.one_of(
    st.sampled_from([0, 1, 60, 61, 100, 120, 135, 150, 165, 180, 480, 720, 1380, 1381, 1439, 1440]),
    st.integers(0, 1440),
)


@st.composite
def spans_of_a_day(draw: st.DrawFn) -> tuple[Span, ...]:
    cuts = sorted(draw(st.sets(CUTS, max_size=6)))
    touching = draw(st.booleans())
    pairs = pairwise(cuts) if touching else zip(cuts[::2], cuts[1::2], strict=False)
    return tuple((start * 60, end * 60) for start, end in pairs)


WEEKS: st.SearchStrategy[WeeklyHours] = st.tuples(*[spans_of_a_day()] * 7)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Calendar, Oracle, int]:
    """Draw a calendar, its oracle, and a minute in the first part of the window to start from."""
    zone, first = draw(st.sampled_from(WINDOWS))
    some_days = st.integers(0, WINDOW_DAYS).map(lambda offset: first + offset * DAY)
    holidays = HOLIDAYS | draw(st.frozensets(some_days, max_size=3))
    calendar = Calendar(draw(WEEKS), draw(WEEKS), ZoneInfo(zone), holidays)
    days_in = draw(st.integers(MARGIN_DAYS, MARGIN_DAYS + 9))
    return calendar, Oracle(calendar, zone, first), days_in * 1440 + draw(st.integers(0, 1439))


END = (MARGIN_DAYS + WINDOW_DAYS - 1) * 1440
"""The minute up to which an oracle is surely right: later days are not in it."""

DURATIONS = st.integers(0, 72 * 60).map(lambda minutes: minutes * MINUTE)
properties = settings(deadline=None, max_examples=100)


@properties
@given(case=cases())
def test_unit_runs_in_the_minutes_that_the_oracle_counts(
    case: tuple[Calendar, Oracle, int],
) -> None:
    # K5d, K5e
    calendar, oracle, start = case
    for index in range(start, start + 3 * 1440, 29):
        assert calendar.is_open(oracle.at(index)) is bool(oracle.open[index])
        assert calendar.is_on_call(oracle.at(index)) is bool(oracle.on_call[index])


@properties
@given(case=cases())
def test_running_time_is_that_of_the_oracle_with_gaps_between(
    case: tuple[Calendar, Oracle, int],
) -> None:
    calendar, oracle, start = case
    found = bytearray(END)
    previous_end = None
    for begin, end in calendar.running(oracle.at(start)):
        assert begin < end
        assert previous_end is None or previous_end < begin
        previous_end = end
        low, high = min(oracle.index(begin), END), min(oracle.index(end), END)
        found[low:high] = b"\1" * (high - low)
        if high == END:
            break
    assert found[start:] == oracle.runs[start:END]


@properties
@given(case=cases(), duration=DURATIONS)
def test_running_time_between_start_and_answer_is_the_duration(
    case: tuple[Calendar, Oracle, int], duration: timedelta
) -> None:
    # K5d, K5e
    calendar, oracle, start = case
    answer = calendar.after(oracle.at(start), duration)
    if answer is None or oracle.index(answer) >= END:
        assert sum(oracle.runs[start:END]) * MINUTE <= duration
        return
    index = oracle.index(answer)
    assert oracle.at(index) == answer
    assert oracle.runs[index]
    assert sum(oracle.runs[start:index]) * MINUTE == duration


@properties
@given(case=cases())
def test_next_running_is_the_least_minute_that_runs(case: tuple[Calendar, Oracle, int]) -> None:
    calendar, oracle, start = case
    expected = oracle.runs.find(1, start, END)
    found = calendar.next_running(oracle.at(start))
    if expected == -1:
        assert found is None or found >= oracle.at(END)
    else:
        assert found == oracle.at(expected)


@properties
@given(case=cases())
def test_closing_is_the_first_stop_after_which_the_day_has_no_more(
    case: tuple[Calendar, Oracle, int],
) -> None:
    # P6
    calendar, oracle, start = case
    found = calendar.closing_after(oracle.at(start))
    # A day of margin: the last stop that the oracle sees may be followed by more.
    expected = [index for index in oracle.closings() if start < index < END - 1440]
    if expected:
        assert found == oracle.at(expected[0])
    else:
        assert found is None or found >= oracle.at(END - 1440)


ZONES = st.sampled_from([STOCKHOLM, ZoneInfo("Atlantic/Azores"), ZoneInfo("America/St_Johns")])
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
ELAPSED = st.timedeltas(timedelta(0), timedelta(hours=200))


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Draw hours to the second, of a unit that runs at least some hours every week."""
    marks = st.lists(st.integers(0, 86_400), min_size=0, max_size=4, unique=True).map(sorted)
    days = st.tuples(*[marks] * 7)
    opening, on_call = (tuple(tuple(zip(day[::2], day[1::2], strict=False)) for day in draw(days)) for _ in range(2))
    some_hours = ((8 * 3600, 8 * 3600 + draw(st.integers(4 * 3600, 16 * 3600))),)
    return Calendar((*opening[:6], some_hours), on_call, draw(ZONES), HOLIDAYS)


@properties
@given(calendar=calendars(), start=INSTANTS, first=ELAPSED, second=ELAPSED)
@example(calendar=NIGHTS, start=utc("2026-10-24 22:59:59"), first=HOUR, second=7 * HOUR)
@example(calendar=OFFICE, start=utc("2026-11-24 07:00"), first=4 * HOUR, second=4 * HOUR)
def test_running_time_adds_up(calendar: Calendar, start: datetime, first: timedelta, second: timedelta) -> None:
    halfway = calendar.after(start, first)
    whole = calendar.after(start, first + second)
    if whole is None:
        rest = halfway and calendar.after(halfway, second)
        assert rest is None or rest - start > HORIZON_DAYS * DAY
        return
    assert halfway is not None
    assert start <= halfway <= whole
    assert calendar.is_running(halfway)
    assert calendar.after(halfway, second) == whole


@properties
@given(calendar=calendars(), start=INSTANTS, later=ELAPSED, duration=ELAPSED)
def test_who_starts_later_is_done_no_earlier(
    calendar: Calendar, start: datetime, later: timedelta, duration: timedelta
) -> None:
    early, late = calendar.after(start, duration), calendar.after(start + later, duration)
    assert early is None or late is None or early <= late


@properties
@given(calendar=calendars(), at=INSTANTS)
def test_unit_runs_until_it_closes_and_not_after(calendar: Calendar, at: datetime) -> None:
    # P6
    closing = calendar.closing_after(at)
    if closing is None:
        return
    assert at < closing
    assert calendar.is_running(closing - timedelta.resolution)
    assert not calendar.is_running(closing)
    reopens = calendar.next_running(closing)
    assert reopens is not None
    last_moment = closing - timedelta.resolution
    another_day = reopens.astimezone(calendar.zone).date() > last_moment.astimezone(calendar.zone).date()
    assert another_day or reopens - closing > LONGEST_PAUSE
