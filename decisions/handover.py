"""Handovers (H1-H4): asked for, answered, taken back. The sender is responsible until the moment of acceptance (H3).

A pending handover stands beside whatever else happens to the case: its clock and its escalation go on. Whoever may take
the case takes it, and the first one wins; where that is not by the handover, the handover is withdrawn.
"""

from typing import cast

from decisions.case import Case, Handover
from decisions.effects import Course, Refusal
from decisions.facts import Facts
from decisions.standing import is_for, not_clinical, not_responsible, who_has
from decisions.telling import tell
from omhand.contract.actions import Accept, Action, HandOver, Refuse, Withdraw
from omhand.contract.events import HandedOver, HandoverRefused, HandoverRequested, HandoverWithdrawn, WithdrawnBecause
from omhand.contract.names import Code, ConsultationStatus, Ground, Reason
from omhand.contract.opening import StaffMember


def hand_over(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Ask another unit, profession or colleague to take the case; until they do, nothing else changes (H1, H3)."""
    asked, case = cast("HandOver", action), course.now
    refusal = (
        not_responsible(case, asked)
        or not_clinical(case, is_clinical=facts.to_clinical)
        or _to_oneself(case, asked)
        or _is_pending(case)
        or _ground_not_met(case, asked)
    )
    if refusal:
        return refusal
    course.happens(
        HandoverRequested(
            offer=f"{course.next_seq}.1",
            to_unit=asked.to_unit,
            to_profession=asked.to_profession,
            to_staff=asked.to_staff,
            ground=asked.ground,
            reference=asked.reference,
            note=asked.note,
            plan=facts.next_phase(),
        )
    )
    return None


def _to_oneself(case: Case, asked: HandOver) -> Refusal | None:
    if asked.to_staff == asked.by.staff and asked.to_unit == asked.by.unit:
        return Refusal(code=Code.INVALID_ACTION, message="to_staff: this is yourself.")
    if asked.to_unit == case.responsible_unit and asked.to_profession is None and asked.to_staff is None:
        return Refusal(
            code=Code.INVALID_ACTION,
            message="to_unit: this unit is responsible for the case already; name a profession or a colleague of it.",
        )
    return None


def _is_pending(case: Case) -> Refusal | None:
    if case.handover is None:
        return None
    return Refusal(
        code=Code.HANDOVER_PENDING,
        message=f"A handover to {case.handover.to_unit} waits for its answer; withdraw it first. {who_has(case)}.",
    )


def _ground_not_met(case: Case, asked: HandOver) -> Refusal | None:
    """Every ground has its proof: a routine's name, or a consultation that ended in the agreement (H2)."""
    if asked.ground is Ground.MISPLACED:
        return None
    if asked.reference is None:
        what = "the routine" if asked.ground is Ground.AGREED_PRACTICE else "the consultation"
        return Refusal(code=Code.GROUND_NOT_MET, message=f"reference: name {what} that this handover goes by (H2).")
    if asked.ground is Ground.AGREED_PRACTICE or _is_agreed(case, asked):
        return None
    return Refusal(
        code=Code.GROUND_NOT_MET,
        message="reference: there is no such consultation of this case in which that unit agreed to take it over (H2).",
    )


def _is_agreed(case: Case, asked: HandOver) -> bool:
    return any(
        each.case_id == asked.reference
        and each.status is ConsultationStatus.ANSWERED
        and each.takes_over
        and each.answered_by == asked.to_unit
        for each in case.consultations
    )


def accept(course: Course, action: Accept, facts: Facts) -> Refusal | None:
    """At this moment, and at no other, responsibility moves (H3)."""
    case, by = course.now, action.by
    refusal = not_clinical(case, is_clinical=facts.clinical)
    if refusal:
        return refusal
    pending = cast("Handover", case.handover)
    course.happens(
        HandedOver(
            unit=by.unit,
            staff=by.staff,
            profession=by.profession,
            from_unit=case.responsible_unit,
            offer=pending.offer,
            substituted=not is_for(pending, action)
            or (pending.to_profession is None and pending.to_staff is None and by.profession != case.profession),
            plan=facts.plan,
        )
    )
    return None


def refuse(course: Course, action: Refuse) -> None:
    """The receiving unit says no, and why; the sender is told, and has the case as before (H4)."""
    pending = cast("Handover", course.now.handover)
    course.happens(HandoverRefused(offer=pending.offer, unit=pending.to_unit, reason=action.reason))
    tell(course, course.now.responsible_unit, Reason.HANDOVER_REFUSED)


def withdraw(course: Course, action: Withdraw) -> Refusal | None:
    """The sender takes it back."""
    refusal = not_responsible(course.now, action)
    if refusal:
        return refusal
    withdrawn_because(course, "withdrawn")
    return None


def withdrawn_because(course: Course, because: WithdrawnBecause) -> None:
    """A pending handover is not asked for any more; who has been told of it is told that, too.

    But for another unit that has taken the case by another offer in this moment, and so knows.
    """
    pending = course.now.handover
    if pending is None:
        return
    takes_it = (
        because == "accepted"
        and isinstance(course.by, StaffMember)
        and course.by.unit == pending.to_unit != course.now.responsible_unit
    )
    course.happens(HandoverWithdrawn(offer=pending.offer, unit=pending.to_unit, because=because))
    if pending.is_told and not takes_it:
        tell(course, pending.to_unit, Reason.HANDOVER_WITHDRAWN)
