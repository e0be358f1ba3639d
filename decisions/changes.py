"""What each kind of event makes of a case: for each the fields that change, and nothing else."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

from decisions.case import Case, Consultation, Handover
from omhand.contract.actions import ThePatient
from omhand.contract.events import (
    Accepted,
    Answered,
    Booked,
    BookingCancelled,
    Closed,
    ConsultationWithdrawn,
    Consulted,
    Detail,
    Escalated,
    Event,
    HandedOver,
    HandoverRequested,
    LeftAtClosing,
    ManagerAlerted,
    MessageWritten,
    Notified,
    Offered,
    Refused,
    Released,
    Reprioritised,
    TicketIssued,
)
from omhand.contract.names import ConsultationStatus, EventName, Kind, Outcome, Phase, Status
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Plan
from omhand.contract.view import BookingView, OfferView, TicketView


def waits_as(plan: Plan) -> Status:
    """What a case does that nobody has: its plan says what it waits for."""
    if plan.phase is Phase.TICKET:
        return Status.TICKET
    if plan.phase is Phase.MESSAGE and plan.due_at is None:
        return Status.IDLE
    return Status.BOOKED if plan.moments and plan.moments[0].do == "begin_visit" else Status.WAITING


def accept_by(plan: Plan) -> datetime | None:
    """By when a case is to be taken, or answered: a ticket asks that of nobody (contract §5, ``handling_times``)."""
    return None if plan.phase is Phase.TICKET else plan.late_from


def only_the_log(_case: Case, _event: Event, _told: Detail) -> dict[str, object]:
    """Nothing but the row in the log."""
    return {}


def _moment_done(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    said = cast("Notified | ManagerAlerted", told)
    if said.moment is None:
        return {}
    if not said.handover:
        # A visit's first moment is its time: its unit is told, and from there on the patient waits (K2).
        has_begun = {"status": Status.WAITING} if case.status is Status.BOOKED else {}
        return has_begun | _done(case, said.moment)
    handover = case.handover and case.handover.model_copy(update={"done": said.moment + 1})
    return {"handover": handover}


def _done(case: Case, moment: int) -> dict[str, object]:
    return {"done": max(case.done, moment + 1)}


def _escalated(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    raised = cast("Escalated", told)
    highest = max(case.highest_level, raised.level)
    return {"escalation_level": raised.level, "highest_level": highest, **_done(case, raised.moment)}


def _offered(case: Case, event: Event, told: Detail) -> dict[str, object]:
    made = cast("Offered", told)
    new = tuple(
        OfferView(offer=offer.offer, unit=offer.unit, profession=case.profession, why=made.why, since=event.at)
        for offer in made.offers
    )
    return {
        "offers": case.offers + new,
        "asked": _also_asked(case, *(offer.unit for offer in new)),
        **_done(case, made.moment),
    }


def _also_asked(case: Case, *units: str) -> tuple[str, ...]:
    return case.asked + tuple(unit for unit in units if unit not in case.asked)


def _accepted(case: Case, event: Event, told: Detail) -> dict[str, object]:
    taken = cast("Accepted", told)
    return {
        # In a thread in which nothing waits, nothing waits whoever has it.
        "status": case.status if case.status is Status.IDLE else Status.ACCEPTED,
        "offers": (),
        "accepted_at": event.at,
        "accepted_by_unit": taken.unit,
        "was_late": case.was_late or _is_late(case, event.at),
        **_held(case, taken),
    }


def _is_late(case: Case, at: datetime) -> bool:
    """Whether it has waited longer than it should: a ticket that is not used is nobody's delay."""
    return case.status is not Status.TICKET and case.is_late(at)


def _held(case: Case, taken: Accepted | HandedOver) -> dict[str, object]:
    return {
        "responsible_unit": taken.unit,
        "holder": StaffMember(staff=taken.staff, unit=taken.unit, profession=taken.profession),
        # Who takes a case reads what has been written in it; a thread's clock goes on to the answer (K3, K6).
        "unanswered_since": case.unanswered_since if case.kind is Kind.MESSAGE_THREAD else None,
        **(_phase(taken.plan) if taken.plan else {}),
    }


def _handover_requested(case: Case, event: Event, told: Detail) -> dict[str, object]:
    asked = cast("HandoverRequested", told)
    handover = Handover(
        offer=asked.offer,
        to_unit=asked.to_unit,
        to_profession=asked.to_profession,
        to_staff=asked.to_staff,
        ground=asked.ground,
        reference=asked.reference,
        by=cast("StaffMember", event.by),
        at=event.at,
        plan=asked.plan,
    )
    return {"handover": handover, "asked": _also_asked(case, asked.to_unit)}


def _handed_over(case: Case, event: Event, told: Detail) -> dict[str, object]:
    taken = cast("HandedOver", told)
    to_profession = case.handover.to_profession if case.handover else None
    moved: dict[str, object] = {"handover": None, "profession": to_profession or case.profession}
    if case.ticket and case.booking is None:
        # What the ticket asks for is the other unit's from here on.
        moved["ticket"] = case.ticket.model_copy(update={"unit": taken.unit})
    if case.holder:
        # Somebody had accepted it in its time already; it has another holder now.
        return moved | _held(case, taken)
    return moved | _accepted(case, event, taken)


def _no_handover(_case: Case, _event: Event, _told: Detail) -> dict[str, object]:
    return {"handover": None}


def _consulted(case: Case, event: Event, told: Detail) -> dict[str, object]:
    asked = cast("Consulted", told)
    by = cast("StaffMember", event.by)
    new = Consultation(case_id=asked.consultation, to_unit=asked.to_unit, asked_by=by.unit)
    return {"consultations": (*case.consultations, new)}


def _answered(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    answer = cast("Answered", told)
    update = {"takes_over": answer.takes_over, "answered_by": answer.unit}
    return _consultation(case, answer.consultation, ConsultationStatus.ANSWERED, **update)


def _refused(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    return _consultation(case, cast("Refused", told).consultation, ConsultationStatus.REFUSED)


def _consultation_withdrawn(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    ended = cast("ConsultationWithdrawn", told)
    return _consultation(case, ended.consultation, ended.status)


def _consultation(case: Case, which: str | None, status: ConsultationStatus, **update: object) -> dict[str, object]:
    """The case's consultations, of which this one (none, in a consultation's own log) has come so far."""
    ended = {"status": status, **update}
    return {
        "consultations": tuple(
            each.model_copy(update=ended) if each.case_id == which else each for each in case.consultations
        )
    }


def _released(case: Case, event: Event, told: Detail) -> dict[str, object]:
    plan = cast("Released", told).plan
    # The clock of what is to be answered has gone on while somebody had it.
    was_late = case.was_late or (case.is_being_answered and case.is_late(event.at))
    return _nobody_has(case, case.responsible_unit) | {"was_late": was_late} | (_waits(plan) if plan else {})


def _nobody_has(case: Case, unit: str) -> dict[str, object]:
    """It is the unit's, and nobody has accepted it."""
    return {
        "responsible_unit": unit,
        "holder": None,
        "offers": (),
        "asked": (unit, *((case.handover.to_unit,) if case.handover else ())),
        "accepted_at": None,
        "accepted_by_unit": None,
        "escalation_level": 0,
    }


def _waits(plan: Plan) -> dict[str, object]:
    """It waits for what this plan says."""
    return {"status": waits_as(plan), "accept_by": accept_by(plan), **_phase(plan)}


def _ticket_issued(_case: Case, _event: Event, told: Detail) -> dict[str, object]:
    given = cast("TicketIssued", told)
    ticket = TicketView(valid_from=given.valid_from, valid_until=given.valid_until, unit=given.unit)
    return {"ticket": ticket}


def _booked(case: Case, event: Event, told: Detail) -> dict[str, object]:
    made = cast("Booked", told)
    booking = BookingView(
        slot=made.slot, unit=made.unit, profession=made.profession, starts_at=made.starts_at, length=made.length
    )
    return {
        **_nobody_has(case, made.unit),
        "booking": booking,
        "was_late": case.was_late or _waited(case, event),
        **_waits(made.plan),
    }


def _waited(case: Case, event: Event) -> bool:
    """Who waited at the visit's time, and was not seen, has waited though they take another time, or none."""
    return case.booking is not None and case.status is Status.WAITING and case.is_late(event.at)


def _booking_cancelled(case: Case, event: Event, told: Detail) -> dict[str, object]:
    ended = cast("BookingCancelled", told)
    # Without a ticket the case ends here; it is the unit's that had the time.
    waits = _waits(ended.plan) if ended.plan else {}
    was_late = case.was_late or _waited(case, event)
    return {"booking": None, "was_late": was_late, **_nobody_has(case, ended.unit), **waits}


def _replied(case: Case, event: Event, _told: Detail) -> dict[str, object]:
    if case.kind is not Kind.MESSAGE_THREAD or case.status is Status.IDLE:
        return {"unanswered_since": None}
    return {
        "unanswered_since": None,
        "status": Status.IDLE,
        "offers": (),
        "escalation_level": 0,
        "accept_by": None,
        "was_late": case.was_late or case.is_late(event.at),
    }


def _message(case: Case, event: Event, told: Detail) -> dict[str, object]:
    written = cast("MessageWritten", told)
    if not isinstance(event.by, ThePatient):
        return {}
    changed: dict[str, object] = {"unanswered_since": case.unanswered_since or event.at}
    if written.back_to_unit:
        changed |= _nobody_has(case, case.responsible_unit)
    if written.plan:
        changed |= _waits(written.plan)
    holder = None if written.back_to_unit else case.holder
    if case.kind is Kind.MESSAGE_THREAD:
        changed["status"] = Status.ACCEPTED if holder else Status.WAITING
    return changed


def _reprioritised(case: Case, event: Event, told: Detail) -> dict[str, object]:
    new = cast("Reprioritised", told)
    changed: dict[str, object] = {"priority": new.priority, **(_phase(new.plan) if new.plan else {})}
    if case.handover and new.answer_plan:
        told_before = {"was_told": case.handover.is_told}
        changed["handover"] = case.handover.model_copy(update=told_before | _phase(new.answer_plan))
    if new.plan and (case.status in {Status.WAITING, Status.BOOKED} or case.is_being_answered):
        # Who may take it may take it still: a new clock takes nobody's offer away.
        changed |= {"was_late": case.was_late or case.is_late(event.at), "accept_by": new.plan.late_from}
    return changed


def _left_at_closing(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    return _done(case, cast("LeftAtClosing", told).moment)


def _closed(case: Case, event: Event, told: Detail) -> dict[str, object]:
    outcome = told.outcome if isinstance(told, Closed) else Outcome.CANCELLED
    waited = case.status is Status.WAITING or case.is_being_answered
    return {
        "status": Status.CLOSED,
        "offers": (),
        "handover": None,
        "consultations": tuple(
            each.model_copy(update={"status": ConsultationStatus.NOT_NEEDED})
            if each.status is ConsultationStatus.OPEN
            else each
            for each in case.consultations
        ),
        "closed_at": event.at,
        "outcome": outcome,
        "was_late": case.was_late or (waited and case.is_late(event.at)),
    }


def _phase(plan: Plan) -> dict[str, object]:
    return {"plan": plan, "done": 0}


CHANGES: Final[dict[EventName, Callable[[Case, Event, Detail], dict[str, object]]]] = {
    EventName.NOTIFIED: _moment_done,
    EventName.MANAGER_ALERTED: _moment_done,
    EventName.ESCALATED: _escalated,
    EventName.OFFERED: _offered,
    EventName.ACCEPTED: _accepted,
    EventName.HANDOVER_REQUESTED: _handover_requested,
    EventName.HANDED_OVER: _handed_over,
    EventName.HANDOVER_REFUSED: _no_handover,
    EventName.HANDOVER_WITHDRAWN: _no_handover,
    EventName.CONSULTED: _consulted,
    EventName.ANSWERED: _answered,
    EventName.REFUSED: _refused,
    EventName.CONSULTATION_WITHDRAWN: _consultation_withdrawn,
    EventName.TICKET_ISSUED: _ticket_issued,
    EventName.BOOKED: _booked,
    EventName.BOOKING_CANCELLED: _booking_cancelled,
    EventName.REPLIED: _replied,
    EventName.MESSAGE: _message,
    EventName.RELEASED: _released,
    EventName.REPRIORITISED: _reprioritised,
    EventName.LEFT_AT_CLOSING: _left_at_closing,
    EventName.CLOSED: _closed,
    EventName.CANCELLED: _closed,
}
