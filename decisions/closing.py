"""Closing time: no drop-in and no consultation from 1177 by phone is left when a unit closes (P6).

A case that waits passes its unit's closings. Before each the unit is warned; at each the case is left, which its log
says, its manager is told, and units that are open then may take it. What closing means is the calendar's: the end of
the day's last opening or on-call time, so that lunch is none.

Beside that, each closing of the unit's week is followed by a check of all its cases (``decisions.closing_check``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from decisions.calendars import Calendar
from decisions.offers import before_it_opens, offered_when_open
from decisions.region import Region, Subject
from omhand.contract.directory import Unit
from omhand.contract.names import OfferWhy
from omhand.contract.plan import Moment

CLOSINGS_WITHIN: Final = timedelta(days=7)
"""So far ahead they are worked out. What still waits then has been left every day, and its manager is told daily."""

DAY: Final = 86_400
WEEK: Final = 7 * DAY
"""Both in seconds of the wall clock."""
A_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


def closings(region: Region, subject: Subject, since: datetime, *, given_back: bool = False) -> Iterator[Moment]:
    """What happens at the responsible unit's closings while a case waits from ``since`` on.

    One that is ``given_back`` when the unit has closed already is left there and then: nobody was told of it before, as
    somebody had it.
    """
    rules = region.policy.closing
    if subject.kind not in rules.kinds:
        return
    calendar = region.calendars[subject.unit]
    if given_back and not calendar.is_running(since):
        yield from _left(region, subject, since)
    closes = calendar.closing_after(since)
    while closes is not None and closes - since <= CLOSINGS_WITHIN:
        if rules.warn_before:
            yield Moment(at=max(since, closes - rules.warn_before), do="warn_of_closing")
        yield from _left(region, subject, closes)
        closes = calendar.closing_after(closes)


def _left(region: Region, subject: Subject, closed: datetime) -> Iterator[Moment]:
    """The case is left, and offered to who runs then; who runs later, but before the unit does again, is asked then."""
    latest = before_it_opens(region, subject.unit, closed)
    offers = [*offered_when_open(_who_may_take_it(region, subject, closed), OfferWhy.CLOSING, latest)]
    at_once = [unit for offer in offers if offer.at == closed for unit in offer.units]
    yield Moment(at=closed, do="leave_at_closing", units=tuple(at_once))
    yield from (offer for offer in offers if offer.at > closed)


def _who_may_take_it(region: Region, subject: Subject, closed: datetime) -> Iterable[tuple[Unit, datetime]]:
    """The units that policy names and that have the profession, each once, with the first instant at which it runs."""
    rules = region.policy.closing
    first: dict[str, tuple[Unit, datetime]] = {}
    for to in rules.offer_to:
        for unit in region.all_candidates(to, subject.unit):
            calendar = region.calendars[unit.id]
            at = region.next_on_call(unit, closed) if to == "on_call" else calendar.next_running(closed)
            has_it = rules.any_profession or subject.profession in unit.professions
            if has_it and at is not None and (unit.id not in first or at < first[unit.id][1]):
                first[unit.id] = (unit, at)
    return first.values()


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
