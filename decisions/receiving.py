"""Whether the region can receive a case, and what happens first (contract §1, "what a bad start gets")."""

from datetime import datetime

from decisions.facts import FIRST_PHASES, FoundSlot, NextPhase, at_slot, plan_of
from decisions.ladders import Anchors
from decisions.region import Region, Subject
from decisions.routing import TO_A_NURSE, goes_to_a_nurse
from omhand.contract.names import VISITS, Kind, Phase, StartFault
from omhand.contract.opening import Opening
from omhand.contract.plan import Plan
from omhand.contract.wire import Flag, Wire


class StartRefused(Wire):
    """Why a case cannot be opened."""

    fault: StartFault
    message: str


class OpeningFacts(Wire):
    """Whether the directory lets a case be opened, and the plan of its first phase."""

    refused: StartRefused | None = None
    plan: Plan | None = None
    slot: FoundSlot | None = None
    """The time that the unit has booked (K2b)."""
    out_of_region: Flag = False
    """The patient is of another county than the region's own (P7)."""

    def first_phase(self) -> Plan:
        """The plan of the phase that the case begins with.

        Raises:
            LookupError: the case was refused, and has none.
        """
        if self.plan is None:
            msg = "a refused case has no plan"
            raise LookupError(msg)
        return self.plan


def answer_opening(
    kind: Kind, opening: Opening, at: datetime, region: Region, slot: FoundSlot | None = None
) -> OpeningFacts:
    """Whether the region can receive such a case, and what happens first; ``slot`` is the one that has been booked."""
    refused = _opening_fault(kind, opening, at, region)
    if refused:
        return OpeningFacts(refused=refused)
    home = opening.patient.region if opening.patient else None
    return OpeningFacts(
        plan=plan_of(_first_phase(kind, opening, slot), at, region) or _nothing_due(at, region),
        slot=slot,
        out_of_region=home is not None and region.code is not None and home != region.code,
    )


def _first_phase(kind: Kind, opening: Opening, slot: FoundSlot | None) -> NextPhase | None:
    subject = Subject(
        kind=kind,
        priority=opening.priority,
        profession=opening.profession,
        unit=opening.unit,
        origin=opening.origin,
    )
    if opening.ticket:
        window = Anchors(since=opening.ticket.valid_from, until=opening.ticket.valid_until)
        return NextPhase(phase=Phase.TICKET, subject=subject, anchors=window)
    if kind is Kind.MESSAGE_THREAD and not opening.patient_writes:
        return None
    named = opening.to.staff if kind is Kind.MESSAGE_THREAD and opening.to else None
    phase = NextPhase(phase=FIRST_PHASES.get(kind, Phase.WAITING), subject=subject, anchors=Anchors(named=named))
    return at_slot(phase, slot) if slot else phase


def _nothing_due(at: datetime, region: Region) -> Plan:
    """A unit starts a chat: nothing waits for an answer until the patient writes (K6a)."""
    return Plan(phase=Phase.MESSAGE, since=at, policy=region.version)


def slot_fault(opening: Opening, slot: FoundSlot | None, sent_at: datetime) -> StartRefused | None:
    """Why a unit cannot book the patient at this time (K2b); None where it can, or books none."""
    if opening.booking is None:
        return None
    message = _why_not(opening, slot, sent_at)
    return StartRefused(fault=StartFault.INVALID_CASE, message=f"booking.slot: {message}") if message else None


def _why_not(opening: Opening, slot: FoundSlot | None, sent_at: datetime) -> str | None:
    if slot is None:
        return "there is no such bookable time, or not any more"
    if slot.starts_at < sent_at:
        return "this time has passed"
    if slot.profession != opening.profession:
        return "this time is another profession's"
    return "this time is taken" if slot.held_by not in {None, opening.case_id} else None


def _opening_fault(kind: Kind, opening: Opening, at: datetime, region: Region) -> StartRefused | None:
    if opening.unit not in region.units:
        return StartRefused(fault=StartFault.UNKNOWN_UNIT, message="unit: there is no such unit in the directory")
    if opening.asked_by and opening.asked_by.unit not in region.units:
        return StartRefused(
            fault=StartFault.UNKNOWN_UNIT, message="asked_by.unit: there is no such unit in the directory"
        )
    if opening.profession not in region.professions:
        return StartRefused(
            fault=StartFault.UNKNOWN_PROFESSION,
            message="profession: there is no such profession in the directory",
        )
    if kind in VISITS and not region.is_clinical(opening.profession):
        return StartRefused(
            fault=StartFault.NOT_IN_ROUTINE,
            message="profession: a visit is for a profession that works clinically with patients (K1d);"
            " send an administrative case or a consultation instead",
        )
    if kind is Kind.PHONE_CONSULTATION and goes_to_a_nurse(opening, region.policy.routing, region.day_of(at)):
        return StartRefused(fault=StartFault.NOT_IN_ROUTINE, message=TO_A_NURSE)
    return _staff_of_opening_fault(opening, region)


def _staff_of_opening_fault(opening: Opening, region: Region) -> StartRefused | None:
    """Who asks, and the colleague who is asked, have to be in the directory as they are said to be."""
    by, to = opening.asked_by, opening.to.staff if opening.to else None
    if not opening.is_by_a_unit:
        # A patient may write to somebody who has left meanwhile: then the unit answers (K6b).
        to = None
    faults = []
    if by and by.profession not in region.professions:
        return StartRefused(
            fault=StartFault.UNKNOWN_PROFESSION,
            message="asked_by.profession: there is no such profession in the directory",
        )
    if by and not region.works(by.staff, by.unit, by.profession):
        faults.append("asked_by: no such member of staff works at that unit with that profession")
    if to and not region.works(to, opening.unit):
        faults.append("to.staff: no such member of staff works at the unit")
    return StartRefused(fault=StartFault.INVALID_CASE, message="; ".join(faults)) if faults else None
