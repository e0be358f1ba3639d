"""What a rule has to know from outside before it can decide, asked and answered as plain data.

A workflow may not read a directory, a calendar or a database. So it puts a *question*, an activity fetches the region
of that moment and lets ``answer`` find the facts in it, and the rules decide by the facts alone.
"""

from datetime import datetime
from typing import Final

from decisions.case import Case
from decisions.effects import Refusal
from decisions.ladders import Anchors, plan
from decisions.region import Region, Subject
from decisions.standing import is_accepted_by
from omhand.contract.actions import (
    Accept,
    Action,
    Book,
    CancelBooking,
    Consult,
    HandOver,
    Message,
    Release,
    Reprioritise,
    ThePatient,
)
from omhand.contract.directory import Slot
from omhand.contract.names import Code, Kind, Phase, Status
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Plan
from omhand.contract.wire import Assertion, CaseId, Flag, HsaId, Number, ProfessionName, ShortText, Time, Wire


class NextPhase(Wire):
    """The phase that the action would begin."""

    phase: Phase
    subject: Subject
    given_back: Flag = False
    """It waits again, as whoever had it does not any more."""
    anchors: Anchors = Anchors()


class FoundSlot(Slot):
    """A bookable time as it stands in the database."""

    held_by: CaseId | None = None
    """The case that holds it."""


class Addressee(Wire):
    """Whom a handover or a consultation is meant for."""

    unit: HsaId
    profession: ProfessionName | None
    staff: HsaId | None
    preferred: ProfessionName
    """The case's: of a colleague with several professions it is this one that is meant, where they have it."""


class Named(Wire):
    """A member of staff at a unit."""

    staff: HsaId
    unit: HsaId


class Question(Wire):
    """What is asked before an action is decided."""

    at: Time
    by: StaffMember | None
    """Who acts, to be checked against the directory; null for the patient."""
    to: Addressee | None = None
    """Whom the action is addressed to, to be checked likewise."""
    next: NextPhase | None
    answer: NextPhase | None = None
    """The phase of a pending handover, where that begins anew, too."""
    slot: ShortText | None = None
    """The bookable time that is asked for; what happens next happens at its unit, from its time on (P3)."""
    named: Named | None = None
    """Whom the patient is to reach: are they there?"""
    policy: Number
    """The version that the case was opened under: cases keep their policy (§7)."""
    case_id: CaseId | None = None
    """The case that is acted on; a patient acts only on their own."""
    assertion: Assertion | None = None
    """Vouches for who acts."""


class Facts(Wire):
    """What the directory says at this moment."""

    fault: Refusal | None = None
    """Who acts is not vouched for (NotAsserted), or they, or who is meant, are not in the directory."""
    clinical: Flag = False
    """Whoever acts works clinically."""
    to_clinical: Flag = True
    """Whoever is meant does; true where no profession is named."""
    to_profession: ProfessionName | None = None
    """Of whoever is meant, where it is named or is a colleague's."""
    slot: FoundSlot | None = None
    """The time that was asked for; null where there is none of that id, or not any more."""
    named_is_away: Flag = False
    """Whoever the patient is to reach is absent, or does not work at the unit any more (K6b)."""
    plan: Plan | None = None
    answer_plan: Plan | None = None

    def next_phase(self) -> Plan:
        """The plan of the phase that begins.

        Raises:
            LookupError: it was not asked for; a fault of the program, not of what came.
        """
        if self.plan is None:
            msg = "no plan was asked for"
            raise LookupError(msg)
        return self.plan


def question(case: Case, action: Action, at: datetime) -> Question:
    """What has to be known to decide this action at this instant."""
    by = None if isinstance(action.by, ThePatient) else action.by
    return Question(
        at=at,
        by=by,
        to=_addressee(case, action),
        next=_next_phase(case, action),
        answer=_next_answer(case, action),
        slot=action.slot if isinstance(action, Book) else None,
        named=_named(case) if isinstance(action, Message) else None,
        policy=case.plan.policy,
        case_id=case.case_id,
        assertion=action.assertion,
    )


def _named(case: Case) -> Named | None:
    return Named(staff=case.answers_for, unit=case.responsible_unit) if case.answers_for else None


def _addressee(case: Case, action: Action) -> Addressee | None:
    if not isinstance(action, HandOver | Consult):
        return None
    return Addressee(
        unit=action.to_unit, profession=action.to_profession, staff=action.to_staff, preferred=case.profession
    )


def waits_in(case: Case) -> Phase:
    """What the clock of a case that nobody has counts to: a booking, a reply, an answer, or its acceptance."""
    if case.kind is Kind.SCHEDULED_VISIT and case.booking is None:
        return Phase.TICKET
    return FIRST_PHASES.get(case.kind, Phase.WAITING)


FIRST_PHASES: Final = {Kind.CONSULTATION: Phase.CONSULTATION, Kind.MESSAGE_THREAD: Phase.MESSAGE}
"""Where the clock of a kind counts to something else than its acceptance."""


def _next_phase(case: Case, action: Action) -> NextPhase | None:
    match action:
        case Accept() if not case.is_being_answered:
            to = case.handover.to_profession if case.handover and is_accepted_by(case, action) else None
            return _phase_of(case, Phase.ACCEPTED, unit=action.by.unit, profession=to)
        case Release() if case.status is not Status.IDLE:
            return _phase_of(case, waits_in(case), given_back=True)
        case Reprioritise() if case.status is not Status.IDLE:
            return _phase_of(case, case.plan.phase, priority=action.priority)
        case HandOver():
            return _phase_of(case, Phase.HANDOVER, unit=action.to_unit, profession=action.to_profession)
        case _:
            return _next_for_patient(case, action)


def _next_for_patient(case: Case, action: Action) -> NextPhase | None:
    """What waits for the patient, or the patient for: a time, a booking, a reply (K2, K6)."""
    match action:
        case Book():
            return _phase_of(case, Phase.WAITING)
        case CancelBooking() if case.ticket:
            return _phase_of(case, Phase.TICKET, unit=case.ticket.unit)
        case Message() if case.status is Status.IDLE:
            return _phase_of(case, Phase.MESSAGE)
        case _:
            return None


def _next_answer(case: Case, action: Action) -> NextPhase | None:
    """A pending handover is answered by the case's priority: another one starts its clock anew, too (H4)."""
    if case.handover is None or not isinstance(action, Reprioritise):
        return None
    return _phase_of(
        case,
        Phase.HANDOVER,
        unit=case.handover.to_unit,
        profession=case.handover.to_profession,
        priority=action.priority,
    )


def _phase_of(
    case: Case,
    phase: Phase,
    *,
    unit: str | None = None,
    profession: str | None = None,
    priority: int | None = None,
    given_back: bool = False,
) -> NextPhase:
    subject = Subject(
        kind=case.kind,
        priority=priority or case.priority,
        profession=profession or case.profession,
        unit=unit or case.responsible_unit,
        origin=case.origin,
    )
    anchors = Anchors()
    if phase is Phase.TICKET and case.ticket:
        anchors = Anchors(since=case.ticket.valid_from, until=case.ticket.valid_until)
    elif phase in {Phase.WAITING, Phase.ACCEPTED} and case.booking:
        anchors = Anchors(since=case.booking.starts_at)
    elif phase is Phase.MESSAGE:
        anchors = Anchors(named=_to_be_told(case, given_back=given_back))
    return NextPhase(phase=phase, subject=subject, given_back=given_back, anchors=anchors)


def _to_be_told(case: Case, *, given_back: bool) -> str | None:
    """Who is told first that a patient waits: who answers for the thread, but never who has just given it back."""
    if not given_back:
        return case.answers_for
    return case.addressee if case.holder is None or case.holder.staff != case.addressee else None


def answer(asked: Question, region: Region, slot: FoundSlot | None = None) -> Facts:
    """The facts, from the region as it is now under the policy that was asked for; ``slot`` is the one asked for."""
    fault = _directory_fault(asked, region)
    if fault:
        return Facts(fault=fault)
    to_profession = _profession_of(asked.to, region) if asked.to else None
    return Facts(
        clinical=asked.by is not None and region.is_clinical(asked.by.profession),
        to_clinical=to_profession is None or region.is_clinical(to_profession),
        to_profession=to_profession,
        slot=slot,
        named_is_away=asked.named is not None and not region.is_there(asked.named.staff, asked.named.unit, asked.at),
        plan=plan_of(next_of_slot(asked, slot), asked.at, region),
        answer_plan=plan_of(asked.answer, asked.at, region),
    )


def next_of_slot(asked: Question, slot: FoundSlot | None) -> NextPhase | None:
    """The phase that begins, at the unit and the time of the slot that is asked for; none where there is no such."""
    if asked.next is None or asked.slot is None:
        return asked.next
    return at_slot(asked.next, slot) if slot else None


def at_slot(phase: NextPhase, slot: FoundSlot) -> NextPhase:
    """The phase at the slot's unit, from its time on (P3)."""
    subject = phase.subject.model_copy(update={"unit": slot.unit})
    return phase.model_copy(update={"subject": subject, "anchors": Anchors(since=slot.starts_at)})


def plan_of(phase: NextPhase | None, at: datetime, region: Region) -> Plan | None:
    """The plan of a phase that begins at this instant, or later where it says so.

    Raises:
        NoLadder: the policy has none for such a case.
    """
    if phase is None:
        return None
    return plan(region, phase.phase, phase.subject, at, phase.anchors, given_back=phase.given_back)


def _profession_of(to: Addressee, region: Region) -> str | None:
    if to.profession or to.staff is None:
        return to.profession
    theirs = [work.profession for work in region.staff[to.staff].works_at if work.unit == to.unit]
    return min(theirs, key=lambda each: (each != to.preferred, not region.is_clinical(each)))


def _directory_fault(asked: Question, region: Region) -> Refusal | None:
    """The first that is wrong in the contract's order: units, professions, staff; who acts before who is meant."""
    return _unit_fault(asked, region) or _profession_fault(asked, region) or _staff_fault(asked, region)


def _unit_fault(asked: Question, region: Region) -> Refusal | None:
    named = {"by.unit": asked.by and asked.by.unit, "to_unit": asked.to and asked.to.unit}
    for key, unit in named.items():
        if unit and unit not in region.units:
            return Refusal(code=Code.UNKNOWN_UNIT, message=f"{key}: there is no such unit in the directory.")
    return None


def _profession_fault(asked: Question, region: Region) -> Refusal | None:
    named = {"by.profession": asked.by and asked.by.profession, "to_profession": asked.to and asked.to.profession}
    for key, profession in named.items():
        if profession and profession not in region.professions:
            return Refusal(
                code=Code.UNKNOWN_PROFESSION, message=f"{key}: there is no such profession in the directory."
            )
    return None


def _staff_fault(asked: Question, region: Region) -> Refusal | None:
    by, to = asked.by, asked.to
    if by and by.staff not in region.staff:
        return Refusal(code=Code.UNKNOWN_STAFF, message="by.staff: there is no such member of staff in the directory.")
    if by and not region.works(by.staff, by.unit, by.profession):
        return Refusal(
            code=Code.UNKNOWN_STAFF,
            message="by: this member of staff does not work at that unit with that profession.",
        )
    if to and to.staff and not region.works(to.staff, to.unit, to.profession):
        return Refusal(
            code=Code.UNKNOWN_STAFF,
            message="to_staff: no such member of staff works at that unit with that profession.",
        )
    return None
