"""What a rule has to know from outside before it can decide, asked and answered as plain data.

A workflow may not read a directory, a calendar or a database. So it puts a *question*, an activity fetches the region
of that moment and lets ``answer`` find the facts in it, and the rules decide by the facts alone.
"""

from datetime import datetime

from decisions.case import Case
from decisions.effects import Refusal
from decisions.ladders import Subject, plan
from decisions.region import Region
from omhand.contract.actions import Accept, Action, Release, Reprioritise, ThePatient
from omhand.contract.names import VISITS, Code, Kind, Phase, StartFault
from omhand.contract.opening import Opening, StaffMember
from omhand.contract.plan import Plan
from omhand.contract.wire import Flag, Number, Time, Wire


class NextPhase(Wire):
    """The phase that the action would begin."""

    phase: Phase
    subject: Subject


class Question(Wire):
    """What is asked before an action is decided."""

    at: Time
    by: StaffMember | None
    """Who acts, to be checked against the directory; null for the patient."""
    next: NextPhase | None
    policy: Number
    """The version that the case was opened under: cases keep their policy (§7)."""


class Facts(Wire):
    """What the directory says at this moment."""

    fault: Refusal | None = None
    """Who acts is not who they say: UnknownUnit, UnknownProfession or UnknownStaff."""
    clinical: Flag = False
    plan: Plan | None = None

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
    return Question(at=at, by=by, next=_next_phase(case, action), policy=case.plan.policy)


def _next_phase(case: Case, action: Action) -> NextPhase | None:
    match action:
        case Accept():
            return _phase_of(case, Phase.ACCEPTED, unit=action.by.unit)
        case Release():
            return _phase_of(case, Phase.WAITING)
        case Reprioritise():
            return _phase_of(case, case.plan.phase, priority=action.priority)
        case _:
            return None


def _phase_of(case: Case, phase: Phase, *, unit: str | None = None, priority: int | None = None) -> NextPhase:
    subject = Subject(
        kind=case.kind,
        priority=priority or case.priority,
        profession=case.profession,
        unit=unit or case.responsible_unit,
        origin=case.origin,
    )
    return NextPhase(phase=phase, subject=subject)


def answer(asked: Question, region: Region) -> Facts:
    """The facts, from the region as it is now under the policy that was asked for."""
    fault = _actor_fault(asked.by, region) if asked.by else None
    if fault:
        return Facts(fault=fault)
    return Facts(
        clinical=asked.by is not None and region.is_clinical(asked.by.profession),
        plan=plan(region, asked.next.phase, asked.next.subject, asked.at) if asked.next else None,
    )


def _actor_fault(by: StaffMember, region: Region) -> Refusal | None:
    if by.unit not in region.units:
        return Refusal(code=Code.UNKNOWN_UNIT, message="by.unit: there is no such unit in the directory.")
    if by.profession not in region.professions:
        return Refusal(
            code=Code.UNKNOWN_PROFESSION, message="by.profession: there is no such profession in the directory."
        )
    if by.staff not in region.staff:
        return Refusal(code=Code.UNKNOWN_STAFF, message="by.staff: there is no such member of staff in the directory.")
    if not region.works(by.staff, by.unit, by.profession):
        return Refusal(
            code=Code.UNKNOWN_STAFF,
            message="by: this member of staff does not work at that unit with that profession.",
        )
    return None


def answer_opening(kind: Kind, opening: Opening, at: datetime, region: Region) -> OpeningFacts:
    """Whether the region can receive such a case, and what happens first."""
    refused = _opening_fault(kind, opening, region)
    if refused:
        return OpeningFacts(refused=refused)
    subject = Subject(
        kind=kind,
        priority=opening.priority,
        profession=opening.profession,
        unit=opening.unit,
        origin=opening.origin,
    )
    return OpeningFacts(plan=plan(region, Phase.WAITING, subject, at))


def _opening_fault(kind: Kind, opening: Opening, region: Region) -> StartRefused | None:
    if opening.unit not in region.units:
        return StartRefused(fault=StartFault.UNKNOWN_UNIT, message="unit: there is no such unit in the directory")
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
    return None
