"""Closing time (P6): what nobody has taken when the unit closes is left, and others who are open take it."""

import asyncio
from datetime import UTC, datetime

from omhand.contract.names import EventName, OfferWhy, Reason
from omhand.contract.view import View
from workers.demo.plots import visits
from workers.demo.staff import Staff, events, has


async def left(staff: Staff) -> None:
    """Nobody of the unit takes it. It is warned, goes home; its manager is told, and another unit takes the case."""
    closes_at = staff.scene.closes_at
    if (await staff.view()).opened_at >= closes_at:
        # On a machine that is busy it may come when the unit has closed already, and waits there for others.
        await visits.by_others(staff)
        return
    await asyncio.sleep((closes_at - datetime.now(UTC)).total_seconds())
    view = await staff.look_until(lambda view: has(view, EventName.LEFT_AT_CLOSING), "closing time")
    told = {event.detail["reason"] for name in _TOLD for event in events(view, name)}
    staff.expect(Reason.CLOSING_SOON in told, "the unit was not warned before it closed (P6)")
    staff.expect(Reason.LEFT_AT_CLOSING in told, "the manager was not told of what is left at closing (P6)")
    offers = _offered_at_closing(view)
    staff.expect(bool(offers), "nobody else was offered what is left at closing (P6)")
    await staff.pause(0.5, 2.5)
    offer = view.offers[staff.chance.choice(offers)]
    await staff.take_and_close(staff.someone_at(offer.unit), offer.offer)


_TOLD = (EventName.NOTIFIED, EventName.MANAGER_ALERTED)


def _offered_at_closing(view: View) -> list[int]:
    return [index for index, offer in enumerate(view.offers) if offer.why is OfferWhy.CLOSING]
