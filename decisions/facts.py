"""What a rule has to know from outside before it can decide, asked and answered as plain data.

A workflow may not read a directory, a calendar or a database. So it puts a *question*, an activity fetches the region
of that moment and lets ``answer`` find the facts in it, and the rules decide by the facts alone.
"""

from datetime import datetime

from decisions.case import Case
from decisions.effects import Refusal
from decisions.ladders import plan
from decisions.region import Region, Subject
from decisions.routing import TO_A_NURSE, goes_to_a_nurse
from decisions.standing import is_accepted_by
from omhand.contract.actions import Accept, Action, Consult, HandOver, Release, Reprioritise, ThePatient
from omhand.contract.names import VISITS, Code, Kind, Phase, StartFault
from omhand.contract.opening import Opening, StaffMember
from omhand.contract.plan import Plan
from omhand.contract.wire import Flag, HsaId, Number, ProfessionName, Time, Wire


class NextPhase(Wire):
    """The phase that the action would begin."""

    phase: Phase
    subject: Subject
    given_back: Flag = False
    """It waits again, as whoever had it does not any more."""


class Addressee(Wire):
    """Whom a handover or a consultation is meant for."""

    unit: HsaId
    profession: ProfessionName | None
    staff: HsaId | None
    preferred: ProfessionName
    """The case's: of a colleague with several professions it is this one that is meant, where they have it."""


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
    policy: Number
    """The version that the case was opened under: cases keep their policy (§7)."""


class Facts(Wire):
    """What the directory says at this moment."""

    fault: Refusal | None = None
    """Who acts, or is meant, is not in the directory: UnknownUnit, UnknownProfession or UnknownStaff."""
    clinical: Flag = False
    """Whoever acts works clinically."""
    to_clinical: Flag = True
    """Whoever is meant does; true where no profession is named."""
    to_profession: ProfessionName | None = None
    """Of whoever is meant, where it is named or is a colleague's."""
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


class StartRefused(Wire):
    """Why a case cannot be opened."""

    fault: StartFault
    message: str


class OpeningFacts(Wire):
    """Whether the directory lets a case be opened, and the plan of its first phase."""

    refused: StartRefused | None = None
    plan: Plan | None = None

    def first_phase(self) -> Plan:
        """The plan of the phase that the case begins with.

        Raises:
            LookupError: the case was refused, and has none.
        """
        if self.plan is None:
            msg = "a refused case has no plan"
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
        policy=case.plan.policy,
    )


def _addressee(case: Case, action: Action) -> Addressee | None:
    if not isinstance(action, HandOver | Consult):
        return None
    return Addressee(
        unit=action.to_unit, profession=action.to_profession, staff=action.to_staff, preferred=case.profession
    )


def waits_in(kind: Kind) -> Phase:
    """What the clock of a case that nobody has counts to: its acceptance, or a consultation's answer."""
    return Phase.CONSULTATION if kind is Kind.CONSULTATION else Phase.WAITING


def _next_phase(case: Case, action: Action) -> NextPhase | None:
    match action:
        case Accept() if not case.is_being_answered:
            to = case.handover.to_profession if case.handover and is_accepted_by(case, action) else None
            return _phase_of(case, Phase.ACCEPTED, unit=action.by.unit, profession=to)
        case Release():
            return _phase_of(case, waits_in(case.kind)).model_copy(update={"given_back": True})
        case Reprioritise():
            return _phase_of(case, case.plan.phase, priority=action.priority)
        case HandOver():
            return _phase_of(case, Phase.HANDOVER, unit=action.to_unit, profession=action.to_profession)
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
) -> NextPhase:
    subject = Subject(
        kind=case.kind,
        priority=priority or case.priority,
        profession=profession or case.profession,
        unit=unit or case.responsible_unit,
        origin=case.origin,
    )
    return NextPhase(phase=phase, subject=subject)


def answer(asked: Question, region: Region) -> Facts:
    """The facts, from the region as it is now under the policy that was asked for."""
    fault = _directory_fault(asked, region)
    if fault:
        return Facts(fault=fault)
    to_profession = _profession_of(asked.to, region) if asked.to else None
    return Facts(
        clinical=asked.by is not None and region.is_clinical(asked.by.profession),
        to_clinical=to_profession is None or region.is_clinical(to_profession),
        to_profession=to_profession,
        plan=_plan(asked.next, asked.at, region),
        answer_plan=_plan(asked.answer, asked.at, region),
    )


def _plan(phase: NextPhase | None, at: datetime, region: Region) -> Plan | None:
    return plan(region, phase.phase, phase.subject, at, given_back=phase.given_back) if phase else None


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


def answer_opening(kind: Kind, opening: Opening, at: datetime, region: Region) -> OpeningFacts:
    """Whether the region can receive such a case, and what happens first."""
    refused = _opening_fault(kind, opening, at, region)
    if refused:
        return OpeningFacts(refused=refused)
    subject = Subject(
        kind=kind,
        priority=opening.priority,
        profession=opening.profession,
        unit=opening.unit,
        origin=opening.origin,
    )
    return OpeningFacts(plan=plan(region, waits_in(kind), subject, at))


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
