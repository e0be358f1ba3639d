"""Opening hours, on-call time and holidays, drawn at random: what holds of any hours.

The first of these properties compare with an oracle that walks every minute of two weeks and never calls the code
under test.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_calendars import DAY, HOLIDAYS, HOUR, MINUTE, NIGHTS, OFFICE, STOCKHOLM, utc

from decisions.calendars import HORIZON_DAYS, LONGEST_PAUSE, Calendar, Span, WeeklyHours

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
properties = settings(deadline=None, max_examples=60)


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
