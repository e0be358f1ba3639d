"""Closing time: no drop-in and no consultation from 1177 by phone is left when a unit closes (P6).

A case that waits passes its unit's closings. Before each the unit is warned; at each the case is left, which its log
says, its manager is told, and units that are open then may take it. What closing means is the calendar's: the end of
the day's last opening or on-call time, so that lunch is none.

Beside that, each closing of the unit's week is followed by a check of all its cases (``decisions.closing_check``).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from decisions.calendars import Calendar
from decisions.region import Region, Subject
from omhand.contract.plan import Moment

CLOSINGS_WITHIN: Final = timedelta(days=7)
"""So far ahead they are worked out. What still waits then has been left every day, and its manager is told daily."""

DAY: Final = 86_400
WEEK: Final = 7 * DAY
"""Both in seconds of the wall clock."""
A_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


def closings(region: Region, subject: Subject, since: datetime) -> Iterator[Moment]:
    """What happens at the responsible unit's closings while a case waits from ``since`` on, in the order of time."""
    rules = region.policy.closing
    if subject.kind not in rules.kinds:
        return
    closes = region.calendars[subject.unit].closing_after(since)
    while closes is not None and closes - since <= CLOSINGS_WITHIN:
        if rules.warn_before:
            yield Moment(at=max(since, closes - rules.warn_before), do="warn_of_closing")
        yield Moment(at=closes, do="leave_at_closing", units=_who_may_take_it(region, subject, closes))
        closes = region.calendars[subject.unit].closing_after(closes)


def _who_may_take_it(region: Region, subject: Subject, at: datetime) -> tuple[str, ...]:
    rules = region.policy.closing
    open_then = (
        unit.id
        for to in rules.offer_to
        for unit in region.candidates(to, subject.unit, at)
        if region.may_be_offered(unit, subject.profession, at, any_profession=rules.any_profession)
    )
    return tuple(dict.fromkeys(open_then))


def check_times(calendar: Calendar) -> tuple[int, ...]:
    """When a unit's cases are checked in an ordinary week: where it closes for the day, in seconds of that week.

    Counted on the wall clock from Monday 00:00, sorted, 0 <= time <= ``WEEK``; 24:00 is of the day that it ends. On a
    holiday the check comes when that weekday's would. A unit that never closes is checked as each day begins.
    """
    # Of UTC, in which every day has 24 hours, and without holidays: then any week is an ordinary one.
    ordinary = replace(calendar, zone=UTC, holidays=frozenset())
    times: list[int] = []
    closes = ordinary.closing_after(A_MONDAY)
    while closes is not None and closes - A_MONDAY <= timedelta(seconds=WEEK):
        times.append(int((closes - A_MONDAY).total_seconds()))
        closes = ordinary.closing_after(closes)
    return tuple(times) or tuple(range(0, WEEK, DAY))
