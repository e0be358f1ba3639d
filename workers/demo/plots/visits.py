"""Cases that a unit, or another through an escalation, takes: in time, late, two at once, given back, cancelled."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice

from omhand.client import Refused
from omhand.contract.actions import Accept, Cancel, Release, Reprioritise
from omhand.contract.names import Code, EventName
from omhand.contract.view import View
from workers.demo.region import CLOSING_UNIT
from workers.demo.staff import PATIENT, Staff, has


async def in_time(staff: Staff) -> None:
    """The unit takes it."""
    await staff.pause(0.8, 4)
    await staff.take_and_close(staff.own())


async def late(staff: Staff) -> None:
    """The unit takes it when it is overdue."""
    due = (await staff.view()).due_at
    assert due is not None, "a case that waits is due at some instant"
    await asyncio.sleep(max(timedelta(0), due - datetime.now(UTC)).total_seconds())
    await staff.pause(0.5, 3)
    await staff.take_and_close(staff.own())


async def by_others(staff: Staff) -> None:
    """Another unit takes it, by its offer; now and then the own unit tries, too late."""
    view = await staff.look_until(lambda view: bool(view.offers) or has(view, EventName.MANAGER_ALERTED), "an offer")
    if not view.offers:  # nobody else could be offered it
        await staff.take_and_close(staff.own())
        return
    await staff.pause(0.3, 1.5)
    # Not the unit that is about to close, where there is another.
    offer = staff.chance.choice([each for each in view.offers if each.unit != CLOSING_UNIT] or list(view.offers))
    taker = staff.someone_at(offer.unit)
    await staff.take(taker, offer.offer)
    if staff.chance.random() < 0.5:  # noqa: PLR2004 - every other time
        await staff.is_refused(Accept(by=staff.own()), Code.ALREADY_ACCEPTED)
    await staff.close(taker)


async def after_manager(staff: Staff) -> None:
    """The unit takes it when its manager has been told."""
    await staff.look_until(lambda view: has(view, EventName.MANAGER_ALERTED), "an alert to the manager")
    await staff.pause(0.5, 2)
    await staff.take_and_close(staff.own())


async def race(staff: Staff) -> None:
    """Two take it in the same instant: one gets it."""
    await staff.pause(0.8, 3)
    first, second = islice(staff.crew.at(staff.unit, staff.profession), 2)
    accepting = (staff.act(Accept(by=member)) for member in (first, second))
    answers = await asyncio.gather(*accepting, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    views = [answer for answer in answers if isinstance(answer, View)]
    staff.expect(
        len(views) == len(refused) == 1 and refused[0].code == Code.ALREADY_ACCEPTED,
        f"of two who accepted at once {len(views)} got it, not one",
    )
    await staff.close(first if views[0].assigned_to == first.staff else second)


async def released(staff: Staff) -> None:
    """Whoever has it gives it back; a colleague takes it."""
    await staff.pause(0.8, 2)
    first, second = islice(staff.crew.at(staff.unit, staff.profession), 2)
    await staff.take(first)
    await staff.pause(1, 2)
    await staff.act(Release(by=first, reason="Demo: called away"))
    await staff.pause(0.8, 3)
    await staff.take_and_close(second)


async def reprioritised(staff: Staff) -> None:
    """The unit finds that triage was wrong."""
    await staff.pause(1, 2.5)
    by = staff.own()
    priority = 3 if staff.part.given["priority"] == 2 else 2  # noqa: PLR2004 - any other one
    await staff.act(Reprioritise(by=by, priority=priority, reason="Demo: triage was wrong"))
    await staff.pause(0.8, 2)
    await staff.take_and_close(by)


async def cancelled(staff: Staff) -> None:
    """The patient does not want it any more."""
    await staff.pause(1, 4)
    await staff.act(Cancel(by=PATIENT, reason="Demo: feels well again"))


async def kept(staff: Staff) -> None:
    """Somebody takes it and has it still when the demo ends."""
    await staff.pause(0.8, 3)
    await staff.take(staff.own())
