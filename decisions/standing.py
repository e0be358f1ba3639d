"""How somebody stands to a case: the checks that rules share, in words that a nurse understands (contract §2)."""

from decisions.case import Case, Handover
from decisions.effects import Refusal
from decisions.lifecycle import TABLE
from omhand.contract.actions import Accept, Action, Refuse
from omhand.contract.names import Code
from omhand.contract.opening import StaffMember


def who_has(case: Case) -> str:
    """A sentence's beginning: who has the case now."""
    if case.holder:
        return f"{case.holder.staff} at {case.holder.unit} has the case"
    return f"{case.responsible_unit} is responsible for the case, and nobody has accepted it yet"


def offer_gone(case: Case, action: Accept | Refuse) -> Refusal | None:
    """An offer that is named has to be one that the unit has now."""
    own = {offer.offer for offer in case.open_offers if offer.unit == action.by.unit}
    if action.offer is None or action.offer in own:
        return None
    return Refusal(code=Code.OFFER_GONE, message=f"Your unit has no such offer, or not any more. {who_has(case)}.")


def not_offered(case: Case, unit: str) -> Refusal | None:
    """The unit has to be responsible, or to have an offer. One that had is told further on who was first."""
    was_asked = unit in case.asked and case.holder is not None
    return None if was_asked else not_concerned(case, unit)


def not_concerned(case: Case, unit: str) -> Refusal | None:
    """The unit has to be responsible, or to have an offer now."""
    if case.concerns(unit):
        return None
    return Refusal(
        code=Code.NOT_OFFERED,
        message=f"Your unit is neither responsible for this case nor offered it. {who_has(case)}.",
    )


def not_responsible(case: Case, action: Action) -> Refusal | None:
    """Only the responsible unit may."""
    if isinstance(action.by, StaffMember) and action.by.unit == case.responsible_unit:
        return None
    return Refusal(code=Code.NOT_RESPONSIBLE, message=f"Only the responsible unit may do this. {who_has(case)}.")


def somebody_has(case: Case) -> Refusal | None:
    """Nobody may have accepted it."""
    if case.holder is None:
        return None
    return Refusal(code=Code.ALREADY_ACCEPTED, message=f"{who_has(case)} already.")


def too_early(case: Case, action: Action) -> Refusal | None:
    """Somebody has to have accepted it."""
    if case.holder and action.name in TABLE[case.kind][case.status]:
        return None
    return Refusal(code=Code.NOT_ACCEPTED, message=f"Accept the case first: {who_has(case)}.")


def not_clinical(case: Case, *, is_clinical: bool) -> Refusal | None:
    """A visit is for a profession that works clinically (K1d)."""
    if is_clinical or not case.is_visit:
        return None
    return Refusal(
        code=Code.NOT_CLINICAL,
        message=f"A visit is for a profession that works clinically, which this one does not. {who_has(case)}.",
    )


def is_meant_by(case: Case, action: Accept | Refuse) -> bool:
    """Whether the answer is to the pending handover: the offer that it names, or the unit that was asked."""
    pending = case.handover
    return pending is not None and pending.to_unit == action.by.unit and action.offer in {None, pending.offer}


def is_accepted_by(case: Case, action: Accept) -> bool:
    """Whether an `accept` is of the pending handover.

    Within a unit that has not accepted the case, one who is not meant takes it as any colleague may.
    """
    pending = case.handover
    if pending is None or not is_meant_by(case, action):
        return False
    is_own = pending.to_unit == case.responsible_unit and case.holder is None and action.offer is None
    return not is_own or is_for(pending, action)


def is_for(pending: Handover, action: Accept) -> bool:
    """Whether a pending handover is meant for whoever accepts."""
    return pending.to_staff in {None, action.by.staff} and pending.to_profession in {None, action.by.profession}
