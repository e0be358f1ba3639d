"""The actions of a visit: who may, and what happens (K1d, K1e, P4, P5; contract §2).

Each rule looks at the case, and either refuses or lets something happen on the course. The checks stand in the
contract's order: the offer, then whether the unit may, then whether it is too late or too early, then the rest.
"""

from typing import cast

from decisions.case import Case
from decisions.effects import Course, Refusal
from decisions.facts import Facts
from decisions.lifecycle import TABLE
from omhand.contract.actions import Accept, Action, Cancel, Close, Note, Refuse, Release, Reprioritise, ThePatient
from omhand.contract.events import Accepted, Cancelled, Closed, Noted, Notified, Released, Reprioritised
from omhand.contract.names import VISITS, Code, Reason, Status
from omhand.contract.opening import StaffMember


def who_has(case: Case) -> str:
    """A sentence's beginning: who has the case now."""
    if case.holder:
        return f"{case.holder.staff} at {case.holder.unit} has the case"
    return f"{case.responsible_unit} is responsible for the case, and nobody has accepted it yet"


def accept(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Take the case: the first one wins, and its unit becomes responsible (K1e, P5)."""
    asked, case = cast("Accept", action), course.now
    by = asked.by
    if case.holder and (case.holder.staff, case.holder.unit) == (by.staff, by.unit):
        return None
    refusal = _offer_gone(case, asked) or _never_asked(case, by.unit) or _somebody_has(case)
    if refusal:
        return refusal
    if case.kind in VISITS and not facts.clinical:
        return Refusal(
            code=Code.NOT_CLINICAL,
            message=f"A visit is taken by a profession that works clinically, which yours does not. {who_has(case)}.",
        )
    offer = case.offer_to(by.unit)
    course.happens(
        Accepted(
            unit=by.unit,
            staff=by.staff,
            profession=by.profession,
            from_unit=case.responsible_unit,
            offer=offer.offer if offer else None,
            substituted=by.profession != case.profession,
            plan=facts.next_phase(),
        )
    )
    return None


def refuse(course: Course, action: Action, _facts: Facts) -> Refusal:
    """A drop-in cannot be refused; it can be handed over (clauses, "who may refuse what")."""
    asked, case = cast("Refuse", action), course.now
    return (
        _offer_gone(case, asked)
        or _never_asked(case, asked.by.unit)
        or Refusal(
            code=Code.MAY_NOT_BE_REFUSED,
            message=f"This case may not be refused. {who_has(case)}; leave it to others, or hand it over.",
        )
    )


def withdraw(course: Course, action: Action, _facts: Facts) -> Refusal:
    """There is no handover or consultation to take back."""
    case = course.now
    return _not_responsible(case, action) or Refusal(
        code=Code.NOTHING_PENDING, message="There is no handover and no consultation to withdraw."
    )


def release(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Give it back to the unit's queue: the clock starts again."""
    asked, case = cast("Release", action), course.now
    refusal = _not_responsible(case, asked) or _too_early(case, asked)
    if refusal:
        return refusal
    if case.holder and case.holder.staff != asked.by.staff:
        return Refusal(code=Code.NOT_RESPONSIBLE, message=f"{who_has(case)}, and nobody else may give it back.")
    course.happens(Released(reason=asked.reason, plan=facts.next_phase()))
    return None


def reprioritise(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Triage was wrong: another priority, and a new clock from now."""
    asked, case = cast("Reprioritise", action), course.now
    if not case.concerns(asked.by.unit):
        return _not_offered(case)
    if case.priority is None:
        return Refusal(code=Code.WRONG_KIND, message="This case has no priority.")
    if case.priority == asked.priority:
        # A new clock for nothing could put a case off for ever.
        return Refusal(code=Code.INVALID_ACTION, message="priority: the case has this priority already.")
    course.happens(
        Reprioritised(priority=asked.priority, was=case.priority, reason=asked.reason, plan=facts.next_phase())
    )
    if asked.priority < case.priority:
        _tell_the_offered(course)
    return None


def _tell_the_offered(course: Course) -> None:
    """Their last word was of a less urgent case; their offers stand as they are."""
    for offer in course.now.offers:
        key = f"{course.now.case_id}/{course.next_seq}"
        course.happens(Notified(key=key, unit=offer.unit, reason=Reason.OFFERED))


def note(course: Course, action: Action, _facts: Facts) -> None:
    """A row in the log."""
    course.happens(Noted(text=cast("Note", action).text))


def close(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The case is handled (R2). A visit is not held by phone (P4)."""
    asked, case = cast("Close", action), course.now
    refusal = _not_responsible(case, asked) or _too_early(case, asked)
    if refusal:
        return refusal
    if asked.held_as == "phone":
        return Refusal(
            code=Code.MUST_BE_DIGITAL,
            message="A digital visit is held as one, by video or chat, and not replaced by a phone call (P4).",
        )
    course.happens(Closed(outcome=asked.outcome, held_as=asked.held_as, note=asked.note))
    return None


def cancel(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The patient, or the responsible unit, does not want it any more."""
    asked, case = cast("Cancel", action), course.now
    if not isinstance(asked.by, ThePatient):
        refusal = _not_responsible(case, asked)
        if refusal:
            return refusal
    course.happens(Cancelled(reason=asked.reason))
    return None


def _offer_gone(case: Case, asked: Accept | Refuse) -> Refusal | None:
    own = case.offer_to(asked.by.unit)
    if asked.offer is None or (own is not None and own.offer == asked.offer):
        return None
    return Refusal(code=Code.OFFER_GONE, message=f"Your unit has no such offer, or not any more. {who_has(case)}.")


def _never_asked(case: Case, unit: str) -> Refusal | None:
    if unit in case.asked or unit == case.responsible_unit:
        return None
    return _not_offered(case)


def _not_offered(case: Case) -> Refusal:
    return Refusal(
        code=Code.NOT_OFFERED,
        message=f"Your unit is neither responsible for this case nor offered it. {who_has(case)}.",
    )


def _somebody_has(case: Case) -> Refusal | None:
    if case.status is not Status.ACCEPTED:
        return None
    return Refusal(code=Code.ALREADY_ACCEPTED, message=f"{who_has(case)} already.")


def _too_early(case: Case, action: Action) -> Refusal | None:
    if action.name in TABLE[case.kind][case.status]:
        return None
    return Refusal(code=Code.NOT_ACCEPTED, message=f"Accept the case first: {who_has(case)}.")


def _not_responsible(case: Case, action: Action) -> Refusal | None:
    if isinstance(action.by, StaffMember) and action.by.unit == case.responsible_unit:
        return None
    return Refusal(code=Code.NOT_RESPONSIBLE, message=f"Only the responsible unit may do this. {who_has(case)}.")
