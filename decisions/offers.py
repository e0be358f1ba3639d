"""Who may take a case that is another unit's, and from when, beside its ladder's steps (K1d, K4b, K5d, K5e, P6)."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from decisions.region import Region, Subject
from omhand.contract.directory import Unit
from omhand.contract.names import Kind, OfferWhy
from omhand.contract.plan import Moment

COVERING_WITHIN: Final = timedelta(days=7)
"""A unit that opens later than this covers nobody today."""

COVERED: Final = frozenset({
    Kind.DROP_IN_VISIT, Kind.SCHEDULED_VISIT, Kind.CONSULTATION, Kind.PHONE_CONSULTATION,
})  # fmt: skip
"""The kinds that a unit watches for every profession, those that it has nobody in included (K1d, K4b, K5d)."""


def coverage(region: Region, subject: Subject, since: datetime) -> Iterator[Moment]:
    """K1d: a profession that the unit does not have on site is covered from the start by units that cooperate.

    One that is closed then is offered the case when it next opens, so that nobody is left out in silence.
    """
    if subject.kind not in COVERED or subject.profession in region.units[subject.unit].professions:
        return
    opening = (
        (unit, region.calendars[unit.id].next_running(since))
        for unit in region.candidates("cooperating", subject.unit, since)
        if subject.profession in unit.professions
    )
    yield from offered_when_open(opening, OfferWhy.COVERAGE, since + COVERING_WITHIN)


def on_call_meanwhile(region: Region, subject: Subject, since: datetime) -> Iterator[Moment]:
    """K5d, K5e: what 1177 sends while the unit is neither open nor on call is offered to on-call units meanwhile."""
    if subject.kind is not Kind.PHONE_CONSULTATION or region.calendars[subject.unit].is_running(since):
        return
    on_call = (
        (unit, region.next_on_call(unit, since))
        for unit in region.units.values()
        if unit.id != subject.unit and subject.profession in unit.professions
    )
    yield from offered_when_open(on_call, OfferWhy.ON_CALL, before_it_opens(region, subject.unit, since))


def before_it_opens(region: Region, unit: str, since: datetime) -> datetime:
    """The last instant at which a unit that does not run at ``since`` has not opened again; at most a week later."""
    opens = region.calendars[unit].next_running(since)
    latest = since + COVERING_WITHIN
    return latest if opens is None else min(latest, opens - timedelta.resolution)


def offered_when_open(
    opening: Iterable[tuple[Unit, datetime | None]], why: OfferWhy, latest: datetime
) -> Iterator[Moment]:
    """An offer at each instant at which some of the units open, up to the latest."""
    offered: dict[datetime, list[str]] = {}
    for unit, at in opening:
        if at is not None and at <= latest:
            offered.setdefault(at, []).append(unit.id)
    for at, units in offered.items():
        yield Moment(at=at, do="offer", why=why, units=tuple(units))
