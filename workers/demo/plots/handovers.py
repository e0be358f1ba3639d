"""Handovers (H1-H4): accepted, refused, taken back, left without an answer, and overtaken by an escalation."""

from itertools import islice
from typing import Any

from omhand.contract.actions import Accept, HandOver, Refuse, Withdraw
from omhand.contract.names import Code, EventName, Ground, OfferWhy, Reason
from omhand.contract.opening import StaffMember
from omhand.contract.view import HandoverView, View
from workers.demo.staff import Staff, events, has

PRACTICE = "Demo: local routine 12"


async def hand_over(staff: Staff, by: StaffMember, to_unit: str, ground: Ground, **to: Any) -> HandoverView:  # noqa: ANN401 - the model checks it
    """Ask for a handover; the receiver finds it on its worklist, and the sender is responsible all the same (H3)."""
    view = await staff.act(HandOver(by=by, to_unit=to_unit, ground=ground, **to))
    staff.expect(view.responsible_unit == by.unit, "the sender is not responsible, and nobody has accepted (H3)")
    if to_unit != by.unit:
        await staff.finds_it_on_the_worklist(to_unit, "handover")
    return _pending(staff, view)


def _pending(staff: Staff, view: View) -> HandoverView:
    staff.expect(view.handover is not None, "the handover does not wait for its answer")
    assert view.handover is not None, "so it was expected"
    return view.handover


async def accept_it(staff: Staff, by: StaffMember, handover: HandoverView) -> None:
    """The receiver says yes: at this moment responsibility moves (H3)."""
    view = await staff.take(by, handover.offer)
    staff.expect(view.handover is None and view.assigned_to == by.staff, "the handover was accepted, and is pending")
    staff.expect(has(view, EventName.HANDED_OVER), "the log does not tell of the handover")


async def _sender(staff: Staff) -> StaffMember:
    """Whoever hands the case over: every other time somebody who has accepted it."""
    await staff.pause(0.8, 2)
    own = staff.own()
    if staff.chance.random() < 0.5:  # noqa: PLR2004 - every other time
        await staff.take(own)
        await staff.pause(0.5, 1.5)
    return own


async def accepted(staff: Staff) -> None:
    """To another unit, on one of the two grounds that need no consultation (H2)."""
    sender, to_unit = await _sender(staff), staff.other_unit()
    is_misplaced = staff.chance.random() < 0.5  # noqa: PLR2004 - every other time
    ground = Ground.MISPLACED if is_misplaced else Ground.AGREED_PRACTICE
    handover = await hand_over(staff, sender, to_unit, ground, reference=None if is_misplaced else PRACTICE)
    await staff.pause(1, 2.5)
    receiver = staff.someone_at(to_unit)
    await accept_it(staff, receiver, handover)
    await staff.close(receiver)


async def refused(staff: Staff) -> None:
    """The receiver says no, and why; the sender deals with it."""
    sender, to_unit = await _sender(staff), staff.other_unit()
    await hand_over(staff, sender, to_unit, Ground.AGREED_PRACTICE, reference=PRACTICE)
    await staff.pause(1, 2.5)
    view = await staff.act(Refuse(by=staff.someone_at(to_unit), reason="Demo: nobody here has time today"))
    staff.expect(view.responsible_unit == sender.unit, "a refused handover has moved the case (H3)")
    await staff.pause(0.5, 1.5)
    await staff.take_and_close(sender)


async def withdrawn(staff: Staff) -> None:
    """The sender asks twice, which is once too often, and then takes it back."""
    sender, to_unit = await _sender(staff), staff.other_unit()
    await hand_over(staff, sender, to_unit, Ground.MISPLACED)
    again = HandOver(by=sender, to_unit=to_unit, ground=Ground.MISPLACED)
    await staff.is_refused(again, Code.HANDOVER_PENDING)
    await staff.pause(0.5, 1.5)
    view = await staff.act(Withdraw(by=sender))
    staff.expect(view.handover is None, "a withdrawn handover is pending")
    await staff.take_and_close(sender)


async def unanswered(staff: Staff) -> None:
    """Nobody answers until the receiver has been reminded, the sender told and the receiver's manager alerted (H4)."""
    await staff.pause(0.8, 1.5)
    sender, to_unit = staff.own(), staff.other_unit()
    await staff.take(sender)
    handover = await hand_over(staff, sender, to_unit, Ground.AGREED_PRACTICE, reference=PRACTICE)
    view = await staff.look_until(lambda view: _manager_is_alerted(view, to_unit), "an alert to the receiver's manager")
    reminded = {
        event.detail["unit"]
        for event in events(view, EventName.NOTIFIED)
        if event.detail["reason"] == Reason.HANDOVER_UNANSWERED
    }
    staff.expect(reminded == {to_unit, sender.unit}, "the receiver was not reminded, or the sender not told (H4)")
    await staff.pause(0.5, 1.5)
    receiver = staff.someone_at(to_unit)
    await accept_it(staff, receiver, handover)
    await staff.close(receiver)


def _manager_is_alerted(view: View, unit: str) -> bool:
    alerts = events(view, EventName.MANAGER_ALERTED)
    return any(event.detail["handover"] and event.detail["unit"] == unit for event in alerts)


async def to_colleague(staff: Staff) -> None:
    """Within the unit, to somebody by name (H1)."""
    await staff.pause(0.8, 2)
    first, second = islice(staff.crew.at(staff.unit, staff.profession), 2)
    await staff.take(first)
    to = {"to_profession": second.profession, "to_staff": second.staff, "reference": PRACTICE}
    handover = await hand_over(staff, first, staff.unit, Ground.AGREED_PRACTICE, **to)
    await staff.pause(1, 2)
    await accept_it(staff, second, handover)
    await staff.close(second)


async def to_profession(staff: Staff) -> None:
    """Within the unit, to another profession, before anybody has taken it (H1)."""
    await staff.pause(0.8, 2)
    members = list(staff.crew.at(staff.unit, staff.profession))
    first, second = members[0], members[-1]
    to = {"to_profession": second.profession, "reference": PRACTICE}
    handover = await hand_over(staff, first, staff.unit, Ground.AGREED_PRACTICE, **to)
    await staff.pause(1, 2)
    await accept_it(staff, second, handover)
    await staff.close(second)


async def taken_meanwhile(staff: Staff) -> None:
    """Nobody answers, the case is escalated, and a third unit takes it: the handover is withdrawn."""
    await staff.pause(0.5, 1)
    handover = await hand_over(staff, staff.own(), staff.other_unit(), Ground.MISPLACED)
    view = await staff.look_until(lambda view: bool(_escalated_to(view, handover)), "an offer to a third unit")
    offer = staff.chance.choice(_escalated_to(view, handover))
    taker = staff.someone_at(view.offers[offer].unit)
    view = await staff.take(taker, view.offers[offer].offer)
    because = [event.detail["because"] for event in events(view, EventName.HANDOVER_WITHDRAWN)]
    staff.expect(because == ["accepted"] and view.handover is None, "the handover was not withdrawn")
    late = Accept(by=staff.someone_at(handover.to_unit), offer=handover.offer)
    await staff.is_refused(late, Code.OFFER_GONE)
    await staff.close(taker)


def _escalated_to(view: View, handover: HandoverView) -> list[int]:
    """Which of the offers are an escalation's, to another unit than the one that was asked."""
    return [
        index
        for index, offer in enumerate(view.offers)
        if offer.why is OfferWhy.ESCALATION and offer.unit != handover.to_unit
    ]
