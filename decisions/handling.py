"""What units do with a case: take it, give it back, note, close (K1d, K1e, P4, P5, R2; contract §2).

Each rule looks at the case, and either refuses or lets something happen on the course. The checks stand in the
contract's order: the offer, then whether the unit may, then whether it is too late or too early, then the rest.
"""

from typing import cast

from decisions import consultation, handover
from decisions.case import Case
from decisions.effects import Course, Refusal
from decisions.facts import Facts
from decisions.standing import (
    is_accepted_by,
    is_meant_by,
    not_clinical,
    not_concerned,
    not_offered,
    not_responsible,
    offer_gone,
    somebody_has,
    too_early,
    who_has,
)
from decisions.telling import tell
from omhand.contract.actions import (
    Accept,
    Action,
    Cancel,
    Close,
    Note,
    Refuse,
    Release,
    Reprioritise,
    ThePatient,
    Withdraw,
)
from omhand.contract.events import Accepted, Cancelled, Closed, Noted, Released, Reprioritised
from omhand.contract.names import Code, Kind, Reason


def accept(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Take the case: the first one wins, and its unit becomes responsible (K1e, P5, H3)."""
    asked, case = cast("Accept", action), course.now
    if _has_it(case, asked):
        return None
    refusal = offer_gone(case, asked) or not_offered(case, asked.by.unit)
    if refusal:
        return refusal
    if is_accepted_by(case, asked):
        return handover.accept(course, asked, facts)
    refusal = somebody_has(case) or not_clinical(case, is_clinical=facts.clinical)
    if refusal:
        return refusal
    _take(course, asked, facts)
    return None


def _has_it(case: Case, asked: Accept) -> bool:
    return case.holder is not None and (case.holder.staff, case.holder.unit) == (asked.by.staff, asked.by.unit)


def _take(course: Course, asked: Accept, facts: Facts) -> None:
    handover.withdrawn_because(course, "accepted")
    case, by = course.now, asked.by
    offer = next((offer for offer in case.open_offers if offer.unit == by.unit), None)
    meant = case.asker.to_staff if case.asker else None
    course.happens(
        Accepted(
            unit=by.unit,
            staff=by.staff,
            profession=by.profession,
            from_unit=case.responsible_unit,
            offer=offer.offer if offer else None,
            substituted=by.profession != case.profession or meant not in {None, by.staff},
            plan=facts.plan,
        )
    )


def refuse(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """Say no to a handover or a consultation; nothing else can be refused (clauses, "who may refuse what")."""
    asked, case = cast("Refuse", action), course.now
    refusal = offer_gone(case, asked) or not_offered(case, asked.by.unit)
    if refusal:
        return refusal
    if is_meant_by(case, asked):
        handover.refuse(course, asked)
        return None
    if case.kind is Kind.CONSULTATION:
        return consultation.refuse(course, asked)
    return Refusal(
        code=Code.MAY_NOT_BE_REFUSED,
        message=f"This case may not be refused. {who_has(case)}; leave it to others, or hand it over.",
    )


def withdraw(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """Take a handover or a consultation back: the one that is named, else what is pending."""
    asked, case = cast("Withdraw", action), course.now
    if asked.consultation is None and consultation.is_asked_by(case, asked.by):
        pending = case.handover is not None and case.handover.by.unit == asked.by.unit
        if not pending:
            consultation.withdraw_question(course)
            return None
        return handover.withdraw(course, asked)
    if asked.consultation is None and case.handover:
        return handover.withdraw(course, asked)
    return consultation.withdraw(course, asked)


def release(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Give it back to the unit's queue: the clock starts again."""
    asked, case = cast("Release", action), course.now
    refusal = not_responsible(case, asked) or too_early(case, asked)
    if refusal:
        return refusal
    if case.holder and case.holder.staff != asked.by.staff:
        return Refusal(code=Code.NOT_RESPONSIBLE, message=f"{who_has(case)}, and nobody else may give it back.")
    course.happens(Released(reason=asked.reason, plan=facts.plan))
    return None


def reprioritise(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Triage was wrong: another priority, and a new clock from now."""
    asked, case = cast("Reprioritise", action), course.now
    was = cast("int", case.priority)
    refusal = not_concerned(case, asked.by.unit)
    if refusal:
        return refusal
    if was == asked.priority:
        # A new clock for nothing could put a case off for ever.
        return Refusal(code=Code.INVALID_ACTION, message="priority: the case has this priority already.")
    course.happens(
        Reprioritised(
            priority=asked.priority,
            was=was,
            reason=asked.reason,
            plan=facts.plan,
            answer_plan=facts.answer_plan,
        )
    )
    if asked.priority < was:
        _tell_the_offered(course)
    return None


def _tell_the_offered(course: Course) -> None:
    """Their last word was of a less urgent case; their offers stand as they are."""
    for offer in course.now.offers:
        tell(course, offer.unit, Reason.OFFERED)


def note(course: Course, action: Action, _facts: Facts) -> None:
    """A row in the log."""
    course.happens(Noted(text=cast("Note", action).text))


def close(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The case is handled (R2). A visit is not held by phone (P4)."""
    asked, case = cast("Close", action), course.now
    refusal = not_responsible(case, asked) or too_early(case, asked)
    if refusal:
        return refusal
    if asked.held_as == "phone" and case.is_visit:
        return Refusal(
            code=Code.MUST_BE_DIGITAL,
            message="A digital visit is held as one, by video or chat, and not replaced by a phone call (P4).",
        )
    handover.withdrawn_because(course, "closed")
    consultation.tell_the_asker(course)
    course.happens(Closed(outcome=asked.outcome, held_as=asked.held_as, note=asked.note))
    return None


def cancel(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The patient, or the responsible unit, does not want it any more."""
    asked, case = cast("Cancel", action), course.now
    if not isinstance(asked.by, ThePatient):
        refusal = not_responsible(case, asked)
        if refusal:
            return refusal
    handover.withdrawn_because(course, "cancelled")
    consultation.tell_the_asker(course)
    course.happens(Cancelled(reason=asked.reason))
    return None
