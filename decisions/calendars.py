"""Opening hours, on-call time and holidays of a unit, as pure functions (K5d, K5e, P6).

A unit *runs* when it is open (K5d: weekdays in the daytime) or on call (K5e). Every question that
the routine puts to a calendar is asked here: does it run now, when does it run next, at which
instant has so much running time passed, when does it close for the day (P6).

Weekly hours are written in local wall time; every answer is an instant in UTC. The step from the
one to the other is taken in one place, `_instant`, and all arithmetic after it is in UTC:
arithmetic on two datetimes of the same zone counts wall time, which is an hour wrong over a
daylight-saving night.

Nothing here reads a clock, a time-zone database or a holiday list: they come in as arguments.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

Span = tuple[int, int]
"""Start and end in seconds of the local day, 0 <= start < end <= 86400, half-open."""

WeeklyHours = tuple[tuple[Span, ...], ...]
"""Seven entries, Monday first; the spans of each are sorted and do not overlap (they may touch)."""

Interval = tuple[datetime, datetime]
"""Start and end as instants in UTC, start < end, half-open."""

NO_HOURS: WeeklyHours = ((),) * 7
"""Hours of a unit that has none of that sort, e.g. no on-call time."""

WORKING_DAYS: WeeklyHours = (((0, 86_400),),) * 5 + ((),) * 2
"""Monday to Friday."""

HORIZON_DAYS = 400
"""How far ahead a calendar is searched: local days after the one that was asked about.

More than a year, so that what happens yearly is found; not for ever, so that a calendar without any
hours gives an answer (None) instead of a loop without end.
"""

LONGEST_PAUSE = timedelta(hours=4)
"""A gap after a night that is longer than this is no pause in the day: everybody has gone home."""

_DAY = 86_400
_DAYS_A_WEEK = 7
_SUNDAY = 6


@dataclass(frozen=True, slots=True)
class Calendar:
    """When one unit is open (K5d) and on call (K5e).

    `zone` is a tzinfo that honours `fold` (PEP 495), such as `zoneinfo.ZoneInfo`. A date in
    `holidays` has Sunday's spans, for opening and on-call alike, whatever weekday it is. Hashable.

    Raises ValueError where hours are not seven sorted, non-overlapping rows of spans. Every method
    takes aware datetimes and raises ValueError on a naive one.
    """

    opening: WeeklyHours
    on_call: WeeklyHours
    zone: tzinfo
    holidays: frozenset[date]

    def __post_init__(self) -> None:
        """Refuse hours that the methods would silently misread."""
        _check("opening", self.opening)
        _check("on_call", self.on_call)

    def is_open(self, at: datetime) -> bool:
        """Whether the unit is open at `at` (K5d)."""
        return self._covers(self.opening, at)

    def is_on_call(self, at: datetime) -> bool:
        """Whether the unit is in its on-call time at `at` (K5e)."""
        return self._covers(self.on_call, at)

    def is_running(self, at: datetime) -> bool:
        """Whether the unit is open or on call at `at`: whether its opening-hours clock goes."""
        return self.is_open(at) or self.is_on_call(at)

    def only_on_call(self) -> "Calendar":
        """The unit's on-call time without its opening hours."""
        return replace(self, opening=NO_HOURS)

    def running(self, start: datetime) -> Iterator[Interval]:
        """Yield the running time from `start` on: intervals in UTC, in order, gaps between them.

        Opening and on-call time that overlap or touch are one interval, over midnight too: 24:00
        followed by 00:00 is no closing. The first interval is cut to begin at `start` where the
        unit runs then; the last is cut at the end of the last local day of the horizon
        (`HORIZON_DAYS`).
        """
        begin = end = _utc(start)
        for piece_start, piece_end in self._pieces(end):
            if piece_start > end:
                if begin < end:
                    yield begin, end
                begin = end = piece_start
            end = max(end, piece_end)
        if begin < end:
            yield begin, end

    def next_running(self, at: datetime) -> datetime | None:
        """Return `at`, in UTC, if the unit runs then, else the next instant at which it runs.

        None where it does not run before the horizon.
        """
        return self.after(at, timedelta(0))

    def after(self, start: datetime, duration: timedelta) -> datetime | None:
        """Return the instant, in UTC, at which `duration` of running time has passed since `start`.

        `duration` is elapsed time, and only running time counts. The answer is never in closed
        time: where the duration is used up just as an interval ends, it is the start of the next
        one. Nothing passes at once while the unit is closed: a duration of 0 gives
        `next_running(start)`. None where the horizon comes first. Raises ValueError on a negative
        duration.
        """
        if duration < timedelta(0):
            message = f"a duration of running time cannot be negative: {duration}"
            raise ValueError(message)
        counted_to = _utc(start)
        left = duration
        for piece_start, piece_end in self._pieces(counted_to):
            begin = max(piece_start, counted_to)
            if piece_end - begin > left:
                return begin + left
            if piece_end > begin:
                left -= piece_end - begin
                counted_to = piece_end
        return None

    def after_working_days(self, start: datetime, duration: timedelta) -> datetime:
        """Return the instant, in UTC, at which `duration` of working days has passed since `start` (K3).

        A working day is a weekday that is no holiday, all 24 hours of it; the others count nothing. Where that falls
        outside the unit's hours, it is when the unit next runs.
        """
        days = replace(self, opening=WORKING_DAYS, on_call=NO_HOURS)
        at = days.after(start, duration) or start + duration
        return self.next_running(at) or at

    def closing_after(self, at: datetime) -> datetime | None:
        """Return the first instant after `at`, in UTC, at which the unit closes for the day (P6).

        The unit *closes for the day* at the end of an interval of `running` if no other interval
        begins later on the same local day; that day is the one of the last running moment, so 24:00
        belongs to the day that it ends. It follows that

        - the beginning of lunch is no closing: the unit runs again on that day;
        - time that runs on over midnight closes where it ends at last, on that later day, unless
          the unit runs again within `LONGEST_PAUSE` on that day: a clinic of nights goes home in
          the morning, though it comes back in the evening;
        - asked in closed time, it is the closing of the next day that has one, or, in a gap such as
          lunch, of the same day; asked at a closing, it is the one after;
        - a unit that never closes has None, and so has one whose every gap is soon followed by
          running time on the same day (open but for 07:00-08:00, say), or that has no hours at all.

        None too where there is none before the last local day of the horizon.
        """
        asked = _utc(at)
        last_day_searched = self._local_day(asked) + timedelta(days=HORIZON_DAYS)
        end = None
        for start, next_end in self.running(asked):
            if end is not None and self._goes_home(end, start):
                return end
            end = next_end
        if end is None or self._last_local_day(end) >= last_day_searched:
            return None
        return end

    def _goes_home(self, end: datetime, reopens: datetime) -> bool:
        """Whether the gap between `end` and `reopens` is a closing for the day, and no pause in it."""
        if self._local_day(reopens) > self._last_local_day(end):
            return True
        midnight = _instant(self._last_local_day(end), 0, self.zone, is_end=False)
        before = midnight - timedelta.resolution
        ran_over_midnight = next(self.running(before), None) == (before, end)
        return ran_over_midnight and reopens - end > LONGEST_PAUSE

    def _covers(self, hours: WeeklyHours, at: datetime) -> bool:
        """Whether a span of `hours` covers `at`."""
        instant = _utc(at)
        # The neighbours too: where clocks are turned back at midnight, an instant can lie in a span
        # of the day before or after its own local date.
        first = self._local_day(instant) - timedelta(days=1)
        return any(
            start <= instant < end
            for offset in range(3)
            for start, end in self._day(first + timedelta(days=offset), hours)
        )

    def _pieces(self, instant: datetime) -> Iterator[Interval]:
        """Yield opening and on-call time day by day, from the day before `instant` to the horizon.

        In order of their starts; not merged, so that asking about the next hours costs only as many
        days, also for a unit that never closes.
        """
        first = self._local_day(instant) - timedelta(days=1)
        for offset in range(HORIZON_DAYS + 2):
            yield from self._day(first + timedelta(days=offset), self.opening, self.on_call)

    def _day(self, day: date, *kinds_of_hours: WeeklyHours) -> tuple[Interval, ...]:
        """Return the intervals of one local day, in order of their starts."""
        weekday = _SUNDAY if day in self.holidays else day.weekday()
        spans = sum((hours[weekday] for hours in kinds_of_hours), start=())
        return _intervals(day, spans, self.zone) if spans else ()

    def _local_day(self, instant: datetime) -> date:
        """Return the local date at `instant`."""
        return instant.astimezone(self.zone).date()

    def _last_local_day(self, end: datetime) -> date:
        """Return the local date of the last moment before `end`: 24:00 is of the day it ends."""
        return self._local_day(end - timedelta.resolution)


@lru_cache(maxsize=4096)
def _intervals(day: date, spans: tuple[Span, ...], zone: tzinfo) -> tuple[Interval, ...]:
    """Return `spans` of one local day as instants in UTC, in order of their starts.

    A span that falls wholly into the gap of a daylight-saving night does not exist and is left out.
    """
    instants = (
        (_instant(day, start, zone, is_end=False), _instant(day, end, zone, is_end=True))
        for start, end in sorted(spans)
    )
    return tuple((start, end) for start, end in instants if start < end)


def _instant(day: date, seconds: int, zone: tzinfo, *, is_end: bool) -> datetime:
    """Return the instant, in UTC, of a local wall time, `seconds` after 00:00 on the wall.

    A wall time that occurs twice (clocks turned back) is its first occurrence as a start and its
    second as an end: a unit that stays open an hour longer is the safe reading. One that does not
    occur (clocks turned forward) is the instant at which they are turned.
    """
    # A sum of wall time on purpose: 86400 is 00:00 of the next day, however long this one is.
    wall = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(seconds=seconds)
    first = wall.replace(fold=0).astimezone(UTC)
    second = wall.replace(fold=1).astimezone(UTC)
    if first > second:
        return _turning_forward(second, first, zone)
    return second if is_end else first


def _turning_forward(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the instant, to the second, at which `zone` leaves the offset it has at `before`.

    It lies in (before, after]. A tzinfo does not tell when it changes, so it is searched for.
    """
    offset = before.astimezone(zone).utcoffset()

    def has_changed(seconds: int) -> bool:
        return (before + timedelta(seconds=seconds)).astimezone(zone).utcoffset() != offset

    length = int((after - before).total_seconds())
    return before + timedelta(seconds=bisect_left(range(length), 1, key=has_changed))


def _utc(at: datetime) -> datetime:
    """Return `at` in UTC. Raises ValueError if it is naive."""
    if at.utcoffset() is None:
        # Python would read it in the time zone of the machine.
        message = f"a datetime with a time zone is needed, this one is naive: {at.isoformat()}"
        raise ValueError(message)
    return at.astimezone(UTC)


def _check(name: str, hours: WeeklyHours) -> None:
    """Raise ValueError unless `hours` are seven rows of sorted, non-overlapping spans."""
    if len(hours) != _DAYS_A_WEEK:
        message = f"{name}: seven days are needed, Monday first, not {len(hours)}"
        raise ValueError(message)
    for weekday, spans in enumerate(hours):
        earliest = 0
        for start, end in spans:
            if not earliest <= start < end <= _DAY:
                message = f"{name}, day {weekday} (0 is Monday): misplaced span ({start}, {end})"
                raise ValueError(message)
            earliest = end
