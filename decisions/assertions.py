"""What an assertion has to say so that somebody may act: it agrees with who they say that they are.

Whether it can be believed, that is who signed it, for whom and until when, is found outside; here is what it means.
"""

from typing import Final

from pydantic import ConfigDict

from omhand.contract.actions import By, ThePatient
from omhand.contract.names import Kind, Origin
from omhand.contract.opening import OWN_KEYS, Opening, StaffMember
from omhand.contract.patient import PatientId
from omhand.contract.reads import Reader
from omhand.contract.wire import HsaId, ProfessionName, ShortText, Wire

NOBODY: Final = "`asked_by` has to say who opens the case, and an assertion that it is they"
MISSING: Final = "an assertion of who acts is required here"
NO_PATIENT: Final = "it is not a patient's"
ANOTHER_PATIENT: Final = "it is of another patient than the case's"


class Claims(Wire):
    """What is read of a verified assertion. An identity provider says more."""

    model_config = ConfigDict(extra="ignore")

    sub: ShortText | None = None
    """Of staff, their HSA-id."""
    unit: HsaId | None = None
    profession: ProfessionName | None = None
    patient: PatientId | None = None
    """Only a patient's has it: their identity."""


def who_opens(opening: Opening) -> By | None:
    """Who opens the case as a person, and has to be vouched for; None for a backend that has a triage outcome."""
    if opening.asked_by:
        return opening.asked_by
    return ThePatient(patient=True) if opening.origin is Origin.PATIENT or opening.patient_writes else None


def names_nobody(kind: Kind, opening: Opening) -> bool:
    """Whether a unit opens it without saying who does, though a case of this kind can say so."""
    return opening.origin in {Origin.UNIT, Origin.STAFF} and not opening.asked_by and "asked_by" in OWN_KEYS[kind]


def staff_fault(by: StaffMember | Reader, claims: Claims) -> str | None:
    """Why the assertion does not vouch for this member of staff at this unit; None where it does.

    A unit or a profession that it does not name is left to the directory.
    """
    if claims.sub != by.staff:
        return "it is of somebody else than `by.staff`"
    if claims.unit not in {None, by.unit}:
        return "it is for another unit than `by.unit`"
    if by.profession and claims.profession not in {None, by.profession}:
        return "it is for another profession than `by.profession`"
    return None
