"""Closing time: no drop-in and no consultation from 1177 by phone is left when a unit closes (P6).

A case that waits passes its unit's closings. Before each the unit is warned; at each the case is left, which its log
says, its manager is told, and units that are open then may take it. What closing means is the calendar's: the end of
the day's last opening or on-call time, so that lunch is none.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from decisions.region import Region, Subject
from omhand.contract.plan import Moment

CLOSINGS_WITHIN: Final = timedelta(days=7)
"""So far ahead they are worked out. What still waits then has been left every day, and its manager is told daily."""


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
