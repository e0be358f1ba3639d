"""What happens by itself when its instant has come (K1e, K1f, H4, P5, P6, R1)."""

from typing import Final

from decisions import handover
from decisions.case import Case, has_notified
from decisions.effects import Course
from decisions.telling import alert_manager, key_of, tell
from omhand.contract.events import Closed, Escalated, LeftAtClosing, NewOffer, Notified, Offered
from omhand.contract.names import OfferWhy, Outcome, Reason
from omhand.contract.plan import Moment

NOBODY_OPEN: Final = "no further unit that is open or on call could be offered the case"
STILL_WAITING: Final = "the ladder asks for it: the case has not been handled in its time"
UNANSWERED: Final = "the ladder asks for it: the handover has not been answered in its time"
UNIT_CLOSES: Final = "the unit closes, and nobody has taken the case"


def pass_moments(course: Course) -> None:
    """Everything that is due at the course's instant or before happens, in order."""
    while (moment := course.now.next_moment()) is not None and moment.at <= course.at:
        if course.now.is_handover_next:
            _pass_handover_moment(course, moment)
        else:
            _ACTS[moment.do](course, moment)


def _notify(course: Course, moment: Moment) -> None:
    case = course.now
    reminded = has_notified(case.plan, case.done)
    first, again = (Reason.CONSULTATION, Reason.UNANSWERED) if case.is_question else (Reason.NEW_CASE, Reason.REMINDER)
    # Who was meant when the clock began is not called to what somebody else has by now: then it is their unit's (K6b).
    staff = moment.staff if moment.staff == case.answers_for else None
    _notify_unit(course, again if reminded else first, staff=staff)


def _notify_unit(course: Course, reason: Reason, *, escalation_off: bool = False, staff: str | None = None) -> None:
    case = course.now
    course.happens(
        Notified(
            key=key_of(course),
            unit=case.responsible_unit,
            reason=reason,
            moment=case.done,
            escalation_off=escalation_off,
            staff=staff,
        )
    )


def _offer(course: Course, moment: Moment) -> None:
    if moment.off:
        # The switch of K1e: nobody else is asked, but the own unit is told all the same.
        again = Reason.UNANSWERED if course.now.is_question else Reason.REMINDER
        _notify_unit(course, again, escalation_off=True)
        return
    index = course.now.done
    if course.now.holder:
        _offer_to_nobody(course, moment)
        return
    new = _not_yet_offered(course.now, moment)
    if moment.raises:
        _raise_level(course, index)
    if new:
        _make_offers(course, moment.why or OfferWhy.ESCALATION, new, index)
    elif moment.raises:
        alert_manager(course, Reason.MANAGER_ALERT, NOBODY_OPEN, index)
    else:
        # Everybody who covers has been offered it already; the offer stands.
        _make_offers(course, moment.why or OfferWhy.COVERAGE, (), index)


def _offer_to_nobody(course: Course, moment: Moment) -> None:
    """A consultation's clock goes on when somebody has it: nobody else can take it, so the manager is told (R1)."""
    if moment.raises:
        _alert(course, moment)
    else:
        _make_offers(course, moment.why or OfferWhy.COVERAGE, (), course.now.done)


def _not_yet_offered(case: Case, moment: Moment) -> tuple[str, ...]:
    """A unit that is asked to take the case over is offered it all the same: a handover can be withdrawn."""
    return tuple(unit for unit in moment.units if unit != case.responsible_unit and case.offer_to(unit) is None)


def _raise_level(course: Course, index: int) -> None:
    course.happens(Escalated(level=course.now.escalation_level + 1, key=key_of(course), moment=index))


def _make_offers(course: Course, why: OfferWhy, units: tuple[str, ...], index: int) -> None:
    seq = course.next_seq
    case_id = course.now.case_id
    offers = tuple(
        NewOffer(offer=f"{seq}.{number}", unit=unit, key=f"{case_id}/{seq}.{number}")
        for number, unit in enumerate(units, 1)
    )
    course.happens(Offered(offers=offers, why=why, moment=index))


def _alert(course: Course, _moment: Moment) -> None:
    alert_manager(course, Reason.MANAGER_ALERT, STILL_WAITING, course.now.done)


# Closing time (P6) -------------------------------------------------------------------------------------------------


def _warn_of_closing(course: Course, _moment: Moment) -> None:
    _notify_unit(course, Reason.CLOSING_SOON)


def _leave_at_closing(course: Course, moment: Moment) -> None:
    """The unit goes home and the case is left: its manager is told, and others who are open may take it."""
    index = course.now.done
    course.happens(LeftAtClosing(unit=course.now.responsible_unit, moment=index))
    alert_manager(course, Reason.LEFT_AT_CLOSING, UNIT_CLOSES)
    new = _not_yet_offered(course.now, moment)
    if new:
        _make_offers(course, OfferWhy.CLOSING, new, index)


# Tickets and booked times (K2) --------------------------------------------------------------------------------------


def _begin_visit(course: Course, _moment: Moment) -> None:
    """The visit's time has come: its unit is called to it."""
    _notify_unit(course, Reason.NEW_CASE)


def _expire(course: Course, _moment: Moment) -> None:
    """The ticket has not been used, and cannot be any more: its unit is to know that the patient booked nothing."""
    handover.withdrawn_because(course, "closed")
    tell(course, course.now.responsible_unit, Reason.TICKET_EXPIRED)
    course.happens(Closed(outcome=Outcome.TICKET_EXPIRED))


_ACTS: Final = {
    "begin_visit": _begin_visit,
    "expire": _expire,
    "notify": _notify,
    "offer": _offer,
    "alert_manager": _alert,
    "warn_of_closing": _warn_of_closing,
    "leave_at_closing": _leave_at_closing,
}


# A handover that nobody answers (H4) -------------------------------------------------------------------------------


def _pass_handover_moment(course: Course, moment: Moment) -> None:
    pending = course.now.handover
    assert pending is not None, "a moment of a handover is of one that is pending"
    index = pending.done
    if moment.do == "alert_manager":
        alert_manager(course, Reason.MANAGER_ALERT, UNANSWERED, index, unit=pending.to_unit, handover=True)
        return
    unit = course.now.responsible_unit if moment.do == "tell_sender" else pending.to_unit
    is_first = moment.do == "notify" and not pending.is_told_anew
    reason = Reason.HANDOVER_REQUESTED if is_first else Reason.HANDOVER_UNANSWERED
    course.happens(Notified(key=key_of(course), unit=unit, reason=reason, moment=index, handover=True))
