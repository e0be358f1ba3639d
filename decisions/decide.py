"""The single way in: opening, acting, the passing of time, and a notification that did not arrive.

``decide`` is ``(case, action, now, facts) -> Decision | Refusal``. What may not be done changes nothing; ``rejected``
puts it in the log.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from decisions import booking, consultation, handling, handover, messages
from decisions.case import Case
from decisions.deadlines import pass_moments
from decisions.effects import Course, Decision, Notice, Refusal
from decisions.errands import Asking, Ended
from decisions.facts import Facts
from decisions.lifecycle import actions_of
from decisions.receiving import OpeningFacts
from decisions.standing import who_has
from decisions.telling import alert_manager
from omhand.contract.actions import ACTIONS, Action, ActionId, By, ThePatient
from omhand.contract.events import (
    Asker,
    ConsultationWithdrawn,
    MessageWritten,
    Noted,
    Opened,
    Rejected,
    TicketIssued,
)
from omhand.contract.names import ActionName, Code, ConsultationStatus, Kind, Reason
from omhand.contract.opening import Opening
from omhand.contract.wire import Malformed, Wire, read


class Actor(Wire):
    """The part of an action that says who."""

    by: By


class Identified(Wire):
    """The part of an action that says whether it is the same as before."""

    action_id: ActionId | None


Rule = Callable[[Course, Action, Facts], Refusal | None]

RULES: Final[Mapping[ActionName, Rule]] = MappingProxyType({
    ActionName.ACCEPT: handling.accept,
    ActionName.REFUSE: handling.refuse,
    ActionName.HAND_OVER: handover.hand_over,
    ActionName.WITHDRAW: handling.withdraw,
    ActionName.RELEASE: handling.release,
    ActionName.CONSULT: consultation.consult,
    ActionName.ANSWER: consultation.answer,
    ActionName.REPLY: messages.reply,
    ActionName.MESSAGE: messages.message,
    ActionName.BOOK: booking.book,
    ActionName.CANCEL_BOOKING: booking.cancel_booking,
    ActionName.REPRIORITISE: handling.reprioritise,
    ActionName.NOTE: handling.note,
    ActionName.CLOSE: handling.close,
    ActionName.CANCEL: handling.cancel,
})  # fmt: skip


LONGEST_MESSAGE: Final = 1_000
"""Of a refusal, in the log: a payload with very many faults is told of in full to whoever sent it."""


def open_case(kind: Kind, opening: Opening, facts: OpeningFacts, now: datetime, about: str | None = None) -> Decision:
    """A unit receives the case; what is due at once happens at once.

    ``about`` is the case that asks, where this is a consultation of one.
    """
    course = Course(at=now)
    plan = facts.first_phase()
    course.open(
        opening.case_id,
        Opened(
            kind=kind,
            unit=opening.unit,
            profession=opening.profession,
            priority=opening.priority,
            origin=opening.origin,
            plan=plan,
            level=opening.level,
            asker=_asker(kind, opening, about),
            question=opening.question,
            service=opening.service,
            to=opening.to if kind is Kind.MESSAGE_THREAD else None,
            started_by=None if kind is Kind.CONSULTATION else opening.asked_by,
            patient_region=opening.patient.region if opening.patient else None,
            out_of_region=facts.out_of_region,
        ),
    )
    _comes_with(course, kind, opening, facts)
    pass_moments(course)
    return course.decision()


def _comes_with(course: Course, kind: Kind, opening: Opening, facts: OpeningFacts) -> None:
    """The ticket, the booked time or the first message with which the case comes (K2, K3, K6)."""
    course.by = opening.asked_by
    if opening.ticket:
        course.happens(
            TicketIssued(
                unit=opening.unit,
                profession=opening.profession,
                valid_from=opening.ticket.valid_from,
                valid_until=opening.ticket.valid_until,
            )
        )
    if facts.slot:
        booking.holds(course, facts.slot, facts.first_phase())
    if opening.message is not None:
        # What an administrative case asks for is always the patient's.
        if opening.patient_writes or kind is Kind.ADMINISTRATIVE_CASE:
            course.by = ThePatient(patient=True)
        course.happens(MessageWritten(text=opening.message, attachments=opening.attachments))
    course.by = None


def _asker(kind: Kind, opening: Opening, about: str | None) -> Asker | None:
    if kind is not Kind.CONSULTATION or opening.asked_by is None:
        return None
    to_staff = opening.to.staff if opening.to else None
    return Asker(by=opening.asked_by, case_id=about, to_staff=to_staff, wants_handover=opening.wants_handover)


def read_action(name: str, payload: object) -> Action | Refusal:
    """The action of that name, or why it cannot be read."""
    model = ACTIONS.get(ActionName(name)) if name in ACTIONS else None
    if model is None:
        return Refusal(code=Code.INVALID_ACTION, message=f"There is no such action; there are {', '.join(ACTIONS)}.")
    try:
        return read(model, payload)
    except Malformed as error:
        return Refusal(code=Code.INVALID_ACTION, message=str(error))


def actor_of(payload: Mapping[str, object]) -> By | None:
    """Who tried, as far as it can be read: also an action that makes no sense is logged with who sent it."""
    try:
        return read(Actor, {"by": payload.get("by")}).by
    except Malformed:
        return None


def action_id_of(payload: Mapping[str, object]) -> str | None:
    """The action's id, as far as it can be read."""
    try:
        return read(Identified, {"action_id": payload.get("action_id")}).action_id
    except Malformed:
        return None


def hindrance(case: Case, action: Action) -> Refusal | None:
    """What makes the action impossible whoever tries it: the checks that come before who it is."""
    if not case.is_open:
        was = f"{case.responsible_unit} was responsible for it"
        return Refusal(code=Code.CASE_CLOSED, message=f"The case is closed ({case.outcome}); {was}.")
    if action.name not in actions_of(case.kind):
        return wrong_kind(case, action)
    return None


def wrong_kind(case: Case, action: Action) -> Refusal:
    """The case does not have this action."""
    message = f"A case of kind {case.kind} does not have the action {action.name}. {who_has(case)}."
    return Refusal(code=Code.WRONG_KIND, message=message)


def _no_priority(case: Case, action: Action) -> Refusal | None:
    """Of a kind that need not have a priority, only a case that has one can get another."""
    if action.name is not ActionName.REPRIORITISE or case.priority is not None:
        return None
    return Refusal(code=Code.WRONG_KIND, message="This case has no priority.")


def decide(case: Case, action: Action, now: datetime, facts: Facts) -> Decision | Refusal:
    """What the action does to the case at this instant, or why it does nothing."""
    refusal = hindrance(case, action) or _no_priority(case, action) or facts.fault
    course = Course(at=now, by=action.by, case=case)
    refusal = refusal or RULES[action.name](course, action, facts)
    if refusal:
        return _saying_who_has_it(case, refusal)
    # A phase that began just now may have something to do at once, which nobody does but the routine.
    course.by = None
    pass_moments(course)
    return course.decision()


def _saying_who_has_it(case: Case, refusal: Refusal) -> Refusal:
    """Whoever is refused is told who has the case: the next thing that they have to know."""
    # Whoever is not vouched for may be anybody.
    if refusal.code is Code.NOT_ASSERTED or case.responsible_unit in refusal.message:
        return refusal
    return refusal.model_copy(update={"message": f"{refusal.message} {who_has(case)}."})


def rejected(case: Case, action: str, by: By | None, refusal: Refusal, now: datetime) -> Decision:
    """A refused action: nothing but a row in the log, which says who, what and why."""
    course = Course(at=now, by=by, case=case)
    course.happens(Rejected(action=action, code=refusal.code, message=refusal.message[:LONGEST_MESSAGE]))
    return course.decision()


def tick(case: Case, now: datetime) -> Decision:
    """What has become due by this instant."""
    course = Course(at=now, case=case)
    pass_moments(course)
    return course.decision()


def undelivered(case: Case, notice: Notice, error: str, now: datetime) -> Decision:
    """A notification failed for good: the manager is told, by another way where there is one; never nobody."""
    course = Course(at=now, case=case)
    if _is_of_no_use(case, notice):
        return course.decision()
    because = f"{notice.reason} to {notice.unit} could not be delivered: {error}"
    # Whoever waits for an answer has to know that nobody has been asked; of what has ended, whoever was to be told.
    about = notice.scope == "handover"
    unit = notice.unit if notice.scope == "always" or (about and notice.to != "unit") else None
    by_email = notice.to == "manager"
    if notice.to != "manager_by_email":
        alert_manager(
            course,
            Reason.GATEWAY_FAILED,
            because,
            by_email=by_email,
            unit=unit,
            handover=about,
            also_when_taken=not notice.until_taken,
        )
    else:
        course.happens(Noted(text=f"Nobody could be told: {because}"))
    return course.decision()


def _is_of_no_use(case: Case, notice: Notice) -> bool:
    if notice.scope == "always":
        return False
    is_answered = notice.scope == "handover" and case.handover is None
    is_taken = notice.until_taken and not case.needs_somebody
    return is_answered or is_taken or not case.is_open


def consultations_ended(case: Case, ended: Sequence[Ended], now: datetime) -> Decision:
    """Consultations of this case have ended: its log tells of it (K4a)."""
    course = Course(at=now, case=case)
    consultation.learn(course, ended)
    return course.decision()


def consultation_lost(case: Case, which: str, why: str, now: datetime) -> Decision:
    """A consultation could not be opened, or was ended by force: nobody waits for an answer that cannot come."""
    course = Course(at=now, case=case)
    known = next((each for each in case.consultations if each.case_id == which), None)
    if known is None or known.status is not ConsultationStatus.OPEN:
        return course.decision()
    course.happens(ConsultationWithdrawn(consultation=which, unit=known.to_unit, because=why))
    because = f"the consultation {which} will not be answered, ask again: {why}"
    alert_manager(course, Reason.MANAGER_ALERT, because, unit=known.asked_by, also_when_taken=True)
    return course.decision()


def no_longer_asked(case: Case, asking: Asking, now: datetime) -> Decision:
    """What the case that asked says of its question: it is still open, or this consultation ends."""
    course = Course(at=now, by=asking.by, case=case)
    consultation.no_longer_asked(course, asking)
    return course.decision()
