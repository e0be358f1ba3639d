"""Scheduled visits (K2): tickets that patients book with, times that two want, and the visit when its time has come."""

import asyncio
from datetime import UTC, datetime

from omhand.client import Refused
from omhand.contract.actions import Book, CancelBooking
from omhand.contract.names import Code, Outcome, Reason, Status
from omhand.contract.opening import StaffMember
from omhand.contract.view import BookingView, View
from workers.demo import times
from workers.demo.staff import PATIENT, Staff, Unexpected, patiently, told


async def booked(staff: Staff) -> None:
    """A time of another day, at whatever health centre the patient likes (P3)."""
    await staff.pause(0.8, 4)
    await _book_later(staff)


async def held(staff: Staff) -> None:
    """At another health centre than the patient's own; the time comes, the visit waits, and is held by video (P4)."""
    booking = await _book_soon(staff, times.AT_ANOTHER_UNIT)
    staff.expect(booking.unit != staff.unit, "the time was not another health centre's (P3)")
    await _close(staff, await _take_at_its_time(staff, booking))


async def no_show(staff: Staff) -> None:
    """The time comes, somebody takes the visit, and the patient does not come."""
    booking = await _book_soon(staff, times.NOBODY_COMES)
    await _close(staff, await _take_at_its_time(staff, booking), Outcome.NO_SHOW)


async def from_elsewhere(staff: Staff) -> None:
    """A patient of another county is recognised as one, and served as everybody else (P7)."""
    staff.expect((await staff.view()).out_of_region, "nobody can see that the patient is of another county (P7)")
    booking = await _book_soon(staff, times.FROM_ELSEWHERE)
    await _close(staff, await _take_before_its_time(staff, booking))


async def booked_by_unit(staff: Staff) -> None:
    """The unit has booked the patient in (K2b): the visit waits for its time from the beginning."""
    view = await staff.view()
    staff.expect(view.status is Status.BOOKED and view.ticket is None, "the unit's booking is not booked (K2b)")
    await _close(staff, await _take_at_its_time(staff, _of(staff, view)))


async def same_time(staff: Staff) -> None:
    """Two want one time in the same instant: one gets it, the other is told so and books another one (K2a)."""
    rivals = staff.scene.rivals
    await rivals.meet()
    booking = await _try_to_book(staff, times.WANTED_BY_TWO.id)
    rivals.refused += booking is None
    await rivals.meet()
    staff.expect(rivals.refused == 1, f"of two who wanted one time {rivals.refused} were told that it is taken")
    booking = booking or await _book_soon(staff, times.SECOND_CHOICE)
    await _close(staff, await _take_before_its_time(staff, booking))


async def moved(staff: Staff) -> None:
    """The patient books, and then finds a better time at another unit, which has the visit from there on (P3)."""
    await staff.pause(0.8, 2)
    first = await _book_later(staff)
    await staff.pause(2, 5)
    second = await _book_later(staff, not_at=first.unit)
    await staff.finds_it_on_the_worklist(second.unit, "responsible")


async def booking_cancelled(staff: Staff) -> None:
    """The patient cancels the time; the ticket lives on, and its unit has the case again."""
    await staff.pause(0.8, 2)
    await _book_later(staff, not_at=staff.unit)
    await staff.pause(2, 5)
    view = await staff.act(CancelBooking(by=PATIENT, reason="Demo: has to work that day"))
    staff.expect(view.status is Status.TICKET and view.booking is None, "a cancelled time has ended the ticket")
    staff.expect(view.ticket is not None and view.responsible_unit == staff.unit, "the ticket's unit has not got it")
    await staff.finds_it_on_the_worklist(staff.unit, "responsible")


async def ticket_runs_out(staff: Staff) -> None:
    """Nobody books: the ticket runs out, which ends the case, and its unit is told."""
    view = await staff.look_until(lambda view: view.outcome is Outcome.TICKET_EXPIRED, "the end of a ticket")
    staff.expect(told(view, Reason.TICKET_EXPIRED), "the unit was not told that its ticket has run out")


# How a time is booked -------------------------------------------------------------------------------------------------


async def _book(staff: Staff, slot: str) -> BookingView:
    """The time is held for the patient, and its unit is responsible from here (P3)."""
    view = await staff.act(Book(by=PATIENT, slot=slot))
    booking = _of(staff, view)
    staff.expect(booking.slot == slot and view.status is Status.BOOKED, f"the time {slot} is not booked")
    staff.expect(view.responsible_unit == booking.unit, "the unit whose time is booked is not responsible (P3)")
    return booking


def _of(staff: Staff, view: View) -> BookingView:
    staff.expect(view.booking is not None, "no time is booked")
    assert view.booking is not None, "so it was expected"
    return view.booking


async def _try_to_book(staff: Staff, slot: str) -> BookingView | None:
    """The booking; None where somebody else was first."""
    try:
        return await _book(staff, slot)
    except Refused as refused:
        if refused.code != Code.SLOT_TAKEN:
            raise
        return None


async def _book_soon(staff: Staff, time: times.Time) -> BookingView:
    """Book a time that comes while the demo plays."""
    await staff.pause(0.3, 1)
    return await _book(staff, time.id)


async def _book_later(staff: Staff, not_at: str | None = None) -> BookingView:
    """Book a time of another day; if somebody is quicker, the next one that is free."""
    free = {row.slot_id for row in await patiently(lambda: staff.scene.client.slots(profession=staff.profession))}
    liked = [each.id for each in times.TIMES if each.ahead > times.SOON and each.unit != not_at]
    staff.chance.shuffle(liked)
    for slot in liked:
        booking = await _try_to_book(staff, slot) if slot in free else None
        if booking:
            return booking
    msg = "no time of another day is free"
    raise Unexpected(msg)


# How a visit is held --------------------------------------------------------------------------------------------------


async def _take_at_its_time(staff: Staff, booking: BookingView) -> StaffMember:
    """The time comes: the visit waits, its unit's phone rings, and somebody there takes it."""
    await asyncio.sleep((booking.starts_at - datetime.now(UTC)).total_seconds())
    view = await staff.look_until(lambda view: view.status is Status.WAITING, "the visit's time")
    staff.expect(view.due_at == booking.starts_at, "at its time a visit is not due at once (K2)")
    await staff.look_until(lambda view: told(view, Reason.NEW_CASE), "a call to the unit at the visit's time")
    await staff.finds_it_on_the_worklist(booking.unit, "responsible")
    taker = staff.someone_at(booking.unit)
    await staff.take(taker)
    return taker


async def _take_before_its_time(staff: Staff, booking: BookingView) -> StaffMember:
    """Somebody of the time's unit takes the visit when they see it coming; it begins when its time has come."""
    await staff.finds_it_on_the_worklist(booking.unit, "responsible")
    await staff.pause(1, 4)
    taker = staff.someone_at(booking.unit)
    await staff.take(taker)
    await asyncio.sleep((booking.starts_at - datetime.now(UTC)).total_seconds())
    return taker


async def _close(staff: Staff, by: StaffMember, outcome: Outcome = Outcome.TREATED) -> None:
    view = await staff.close(by, 4, outcome)
    staff.expect(view.outcome is outcome, f"the visit has not ended as {outcome}")
