"""Which kind of case a triage outcome becomes, and whether a case that was started directly is one of the routine.

K1a-c, K2a, K5a, K5c, and the rows of ``clauses.md`` about what the text leaves open.
"""

from datetime import date, datetime, timedelta
from typing import Final

from omhand.contract.names import EMERGENCY_PRIORITY, Kind, Level, Origin
from omhand.contract.opening import Opening, Ticket, TriageOutcome
from omhand.contract.policy import Routing
from omhand.contract.wire import ProfessionName, Wire

DROP_IN_PRIORITIES: Final = (2, 3, 4, 5, 12)
DROP_IN_PRIORITIES_1177: Final = (2, 3, 4, 5)
BOOKED_PRIORITIES: Final = range(6, 12)

TO_A_NURSE: Final = (
    "profession: a physical case to a doctor with priority 6-11 goes to a nurse (K5c); Intake directs it so by itself"
)
EMERGENCY: Final = "priority: 1 is an emergency, which this routine does not handle: alert the emergency services (112)"


class NotInRoutine(Wire):
    """Well-formed, but not what the routine gives; ``message`` says why and what to do instead."""

    message: str


class Route(Wire):
    """The kind of case that an outcome becomes, and whom it is directed to."""

    kind: Kind
    profession: ProfessionName


def route(outcome: TriageOutcome, routing: Routing, today: date) -> Route | NotInRoutine:
    """Where the outcome goes. ``today`` is the region's date, for the rule of K5c."""
    kind = _kind(outcome)
    if isinstance(kind, NotInRoutine):
        return kind
    return Route(kind=kind, profession=_profession(outcome, kind, routing, today))


def _kind(outcome: TriageOutcome) -> Kind | NotInRoutine:
    if outcome.priority == EMERGENCY_PRIORITY:
        return NotInRoutine(message=EMERGENCY)
    if outcome.patient.digital and outcome.level is Level.DIGITAL:
        return _digital(outcome)
    if outcome.source is Origin.PHONE_1177:
        return Kind.PHONE_CONSULTATION
    what = "physical" if outcome.patient.digital else "for a patient who is not digital"
    return NotInRoutine(
        message=f"level: an outcome of Min vård that is {what} is not handled digitally: refer the patient to the unit"
    )


def _digital(outcome: TriageOutcome) -> Kind | NotInRoutine:
    if outcome.wants_help_booking:
        return Kind.DROP_IN_VISIT
    if outcome.priority in BOOKED_PRIORITIES:
        return Kind.SCHEDULED_VISIT
    if outcome.source is Origin.MIN_VARD or outcome.priority in DROP_IN_PRIORITIES_1177:
        return Kind.DROP_IN_VISIT
    return NotInRoutine(
        message="priority: a digital patient with priority 12 through 1177 by phone is not a case of this routine:"
        " give self-care advice, or triage again"
    )


def _profession(outcome: TriageOutcome, kind: Kind, routing: Routing, today: date) -> str:
    """K5c: physical cases to a doctor with priority 6-11 go to a nurse, from its date on."""
    to_nurse = kind is Kind.PHONE_CONSULTATION and goes_to_a_nurse(outcome, routing, today)
    return "nurse" if to_nurse else outcome.profession


def goes_to_a_nurse(case: TriageOutcome | Opening, routing: Routing, today: date) -> bool:
    """Whether a consultation from 1177 is one of those that a nurse gets in a doctor's place (K5c)."""
    since = routing.physical_doctor_6_11_to_nurse_from
    return (
        case.level is Level.PHYSICAL
        and case.profession == "doctor"
        and case.priority in BOOKED_PRIORITIES
        and since is not None
        and today >= since
    )


def opening_of(outcome: TriageOutcome, to: Route, now: datetime, ticket_valid: timedelta) -> Opening:
    """The argument with which the routed case is started."""
    return Opening(
        case_id=outcome.case_id,
        origin=outcome.source,
        unit=outcome.unit,
        profession=to.profession,
        priority=outcome.priority,
        patient=outcome.patient,
        reason=outcome.reason,
        wants_help_booking=outcome.wants_help_booking and to.kind is Kind.DROP_IN_VISIT,
        level=outcome.level if to.kind is Kind.PHONE_CONSULTATION else None,
        ticket=Ticket(valid_from=now, valid_until=now + ticket_valid) if to.kind is Kind.SCHEDULED_VISIT else None,
    )


def outside_the_routine(kind: Kind, opening: Opening) -> NotInRoutine | None:
    """Why a case that somebody started directly is not what the routine gives; None where it is."""
    if opening.priority == EMERGENCY_PRIORITY:
        return NotInRoutine(message=EMERGENCY)
    match kind:
        case Kind.DROP_IN_VISIT:
            return _drop_in_fault(opening)
        case Kind.SCHEDULED_VISIT:
            return _scheduled_visit_fault(opening)
        case Kind.PHONE_CONSULTATION:
            return _phone_consultation_fault(opening)
        case _:
            return None


def _phone_consultation_fault(opening: Opening) -> NotInRoutine | None:
    if opening.level is Level.PHYSICAL or (opening.patient is not None and not opening.patient.digital):
        return None
    return NotInRoutine(
        message="level: a digital patient who is to be helped digitally comes as a drop-in visit (2-5) or with a"
        " booking ticket (6-11), not by a consultation from 1177 by phone (K5a)"
    )


def _scheduled_visit_fault(opening: Opening) -> NotInRoutine | None:
    if opening.patient is not None and not opening.patient.digital:
        return NotInRoutine(
            message="patient.digital: a scheduled visit is digital, and this patient is not (K2a, P4):"
            " let 1177 hand it over by a consultation, or book outside Omhand"
        )
    if opening.is_by_a_unit or opening.origin is Origin.PATIENT or opening.priority in BOOKED_PRIORITIES:
        return None
    return NotInRoutine(
        message="priority: a visit that comes of triage has priority 6-11 (K2a); with 2-5 or 12 it is a drop-in visit"
    )


def _drop_in_fault(opening: Opening) -> NotInRoutine | None:
    if opening.patient is not None and not opening.patient.digital:
        return NotInRoutine(message="patient.digital: a drop-in visit is digital, and this patient is not (K1a)")
    if opening.wants_help_booking:
        return None
    by_phone = opening.origin is Origin.PHONE_1177
    allowed = DROP_IN_PRIORITIES_1177 if by_phone else DROP_IN_PRIORITIES
    if opening.priority in allowed:
        return None
    clause = "2-5 from 1177 by phone (K1b)" if by_phone else "2-5 or 12 (K1a)"
    return NotInRoutine(
        message=f"priority: a drop-in visit has priority {clause}, or any where the patient wants help to find a time"
        " (K1c); with 6-11 the patient gets a booking ticket (K2a)"
    )
