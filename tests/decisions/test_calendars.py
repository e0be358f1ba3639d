"""Opening hours, on-call time and holidays: tables of days that go wrong.

They are in local time of Europe/Stockholm, as a unit would say it. What holds of any hours is in
``test_calendars_at_random.py``.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from decisions.calendars import HORIZON_DAYS, NO_HOURS, Calendar, Span, WeeklyHours

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
