"""Booking tickets and booked times (K2, P3): booked, moved, cancelled.

Whether a time is free is seen here, and settled by the database when the step is written: it holds a time for one case.
"""

from datetime import datetime
from typing import Final, cast

from decisions import handover
from decisions.case import Case, has_notified
from decisions.effects import Course, Refusal
from decisions.facts import Facts, FoundSlot
from decisions.standing import who_has
from decisions.telling import tell
from omhand.contract.actions import Action, Book, CancelBooking, ThePatient
from omhand.contract.events import Booked, BookingCancelled, Cancelled
from omhand.contract.names import Code, Reason
from omhand.contract.plan import Plan

TAKEN: Final = Refusal(code=Code.SLOT_TAKEN, message="slot: this time is taken; choose another one.")
UNKNOWN: Final = Refusal(code=Code.UNKNOWN_SLOT, message="slot: there is no such bookable time, or not any more.")


def book(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Hold a time for the patient, in place of the one that the visit has; its unit is responsible from here (P3)."""
    asked, case, slot = cast("Book", action), course.now, facts.slot
    refusal = _not_theirs(case, asked, slot)
    if refusal:
        return refusal
    if slot is None:
        return UNKNOWN
    if case.booking and case.booking.slot == slot.id:
        return None
    refusal = _cannot_be_booked(case, slot, course.at)
    if refusal:
        return refusal
    _leaves_who_had_it(course)
    holds(course, slot, facts.next_phase())
    return None


def holds(course: Course, slot: FoundSlot, plan: Plan) -> None:
    """The visit has this time now."""
    case = course.now
    course.happens(
        Booked(
            slot=slot.id,
            unit=slot.unit,
            profession=slot.profession,
            starts_at=slot.starts_at,
            length=slot.length,
            instead_of=case.booking.slot if case.booking else None,
            from_unit=case.responsible_unit,
            plan=plan,
        )
    )


def _not_theirs(case: Case, action: Book | CancelBooking, slot: FoundSlot | None = None) -> Refusal | None:
    """The patient may, and the units that the visit concerns: that has it, that gave the ticket, whose time it is.

    Also the one whose time it has, where it has been handed over since.
    """
    if isinstance(action.by, ThePatient):
        return None
    concerned = {case.responsible_unit, case.received_by}
    concerned |= {case.ticket.unit} if case.ticket else set()
    concerned |= {case.booking.unit} if case.booking else set()
    concerned |= {slot.unit} if slot else set()
    if action.by.unit in concerned:
        return None
    return Refusal(code=Code.NOT_RESPONSIBLE, message=f"This visit and this time are other units'. {who_has(case)}.")


def _cannot_be_booked(case: Case, slot: FoundSlot, now: datetime) -> Refusal | None:
    if slot.starts_at <= now:
        return Refusal(code=Code.UNKNOWN_SLOT, message="slot: this time has passed.")
    why = _not_valid(case, slot, now)
    if why:
        return Refusal(code=Code.TICKET_NOT_VALID, message=why)
    return TAKEN if slot.held_by not in {None, case.case_id} else None


def _not_valid(case: Case, slot: FoundSlot, now: datetime) -> str | None:
    """What the ticket, or the visit where there is none, does not cover."""
    if _is_being_held(case, now):
        return f"The ticket has been used: the visit has begun. {who_has(case)}."
    if slot.profession != case.profession:
        return f"slot: this visit is for the profession {case.profession}, and this time is another's."
    if case.ticket is None:
        return None
    window = f"from {case.ticket.valid_from.isoformat()} until {case.ticket.valid_until.isoformat()}"
    if not case.ticket.valid_from <= now <= case.ticket.valid_until:
        return f"The ticket is not valid now: it is so {window}."
    if not case.ticket.valid_from <= slot.starts_at <= case.ticket.valid_until:
        return f"slot: this time is outside the ticket, which is valid {window}."
    return None


def _is_being_held(case: Case, now: datetime) -> bool:
    """Whether the visit has begun: its time has come, and somebody has taken it."""
    return case.booking is not None and case.booking.starts_at <= now and case.holder is not None


def cancel_booking(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """The time is free again; with a ticket that is still valid another one can be booked, else the visit ends."""
    asked, case = cast("CancelBooking", action), course.now
    refusal = _not_theirs(case, asked)
    if refusal:
        return refusal
    if case.booking is None:
        return Refusal(code=Code.NOTHING_PENDING, message="No time is booked.")
    if _is_being_held(case, course.at):
        return Refusal(
            code=Code.NOTHING_PENDING,
            message=f"The visit has begun; it is closed, or the whole case cancelled. {who_has(case)}.",
        )
    _leaves_who_had_it(course)
    plan = facts.next_phase() if case.ticket else None
    unit = case.ticket.unit if case.ticket else case.responsible_unit
    course.happens(BookingCancelled(slot=case.booking.slot, reason=asked.reason, unit=unit, plan=plan))
    if plan is None:
        course.happens(Cancelled(reason=asked.reason or "the booked time was cancelled"))
    return None


def _leaves_who_had_it(course: Course) -> None:
    """A handover that waits is not asked for any more; who had taken the visit, or has been called to it, is told."""
    handover.withdrawn_because(course, "booked")
    case = course.now
    if case.holder or (case.booking and has_notified(case.plan, case.done)):
        tell(course, case.responsible_unit, Reason.BOOKING_CANCELLED)
