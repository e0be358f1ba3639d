"""The staff actions (contract §2): one model each, the same for the signal and the update of that name."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, StringConstraints, Tag, model_validator

from omhand.contract.names import EMERGENCY_PRIORITY, PRIORITIES, ActionName, Ground, Outcome
from omhand.contract.opening import StaffMember
from omhand.contract.wire import (
    Assertion,
    Attachments,
    CaseId,
    Flag,
    HsaId,
    LongText,
    MessageText,
    Number,
    ProfessionName,
    ShortText,
    Wire,
    tag,
    without_nul,
)

STAFF_TAG: Final = tag("staff")
PATIENT_TAG: Final = tag("patient")


def _routine_priority(value: int) -> int:
    if value == EMERGENCY_PRIORITY:
        msg = "1 is an emergency, which this routine does not handle: alert the emergency services"
        raise ValueError(msg)
    if value not in PRIORITIES:
        msg = "must be from 2 to 12"
        raise ValueError(msg)
    return value


CLOSING_OUTCOMES: Final = (
    Outcome.TREATED,
    Outcome.ADVICE_GIVEN,
    Outcome.BOOKED,
    Outcome.REFERRED,
    Outcome.NO_SHOW,
    Outcome.NOT_NEEDED,
)


def _of_closing(value: Outcome) -> Outcome:
    if value not in CLOSING_OUTCOMES:
        msg = f"must be one of {', '.join(CLOSING_OUTCOMES)}"
        raise ValueError(msg)
    return value


def _is_true(value: bool) -> bool:  # noqa: FBT001 - a validator takes what it checks
    if not value:
        msg = "must be true"
        raise ValueError(msg)
    return value


class ThePatient(Wire):
    """The patient acts."""

    patient: Annotated[Flag, AfterValidator(_is_true)]


def _who(value: object) -> str:
    by_patient = isinstance(value, ThePatient) or (isinstance(value, dict) and "patient" in value)
    return PATIENT_TAG if by_patient else STAFF_TAG


By = Annotated[
    Annotated[StaffMember, Tag(STAFF_TAG)] | Annotated[ThePatient, Tag(PATIENT_TAG)],
    Discriminator(_who),
]
"""Who acts: staff, or the patient."""

ActionId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64), AfterValidator(without_nul)]


class Action(Wire):
    """What every action has: an optional id, who acts, and where it is asked for who says so."""

    name: ClassVar[ActionName]
    action_id: ActionId | None = None
    """The same id again changes nothing, and is answered as it was the first time."""
    by: StaffMember
    assertion: Assertion | None = None
    """Vouches for ``by``. An extension of version 1."""


class Accept(Action):
    """Take the case, or the offer that is named."""

    name = ActionName.ACCEPT
    offer: ShortText | None = None


class Refuse(Action):
    """Say no to a handover or a consultation."""

    name = ActionName.REFUSE
    reason: LongText
    offer: ShortText | None = None


class HandOver(Action):
    """Ask another unit, profession or colleague to take the case (H1-H4)."""

    name = ActionName.HAND_OVER
    to_unit: HsaId
    to_profession: ProfessionName | None = None
    to_staff: HsaId | None = None
    ground: Ground
    reference: ShortText | None = None
    note: LongText | None = None

    @model_validator(mode="after")
    def _misplaced_by_itself(self) -> Self:
        if self.ground is Ground.MISPLACED and self.reference is not None:
            msg = "`reference` does not belong to the ground misplaced"
            raise ValueError(msg)
        return self


class Withdraw(Action):
    """Take a pending handover or an open consultation back."""

    name = ActionName.WITHDRAW
    consultation: CaseId | None = None


class Release(Action):
    """Give an accepted case back to the unit's queue."""

    name = ActionName.RELEASE
    reason: LongText


class Consult(Action):
    """Ask another member of staff, profession or unit (K4a)."""

    name = ActionName.CONSULT
    to_unit: HsaId
    to_profession: ProfessionName | None = None
    to_staff: HsaId | None = None
    question: LongText
    wants_handover: Flag = False


class Answer(Action):
    """Answer a consultation."""

    name = ActionName.ANSWER
    advice: LongText
    takes_over: Flag


class Reply(Action):
    """Write to the patient."""

    name = ActionName.REPLY
    text: MessageText
    attachments: Attachments = ()


class Message(Action):
    """The patient writes."""

    name = ActionName.MESSAGE
    by: ThePatient  # type: ignore[assignment]  # the table of §2: only the patient
    text: MessageText
    attachments: Attachments = ()


class Book(Action):
    """Book, or move to, a slot."""

    name = ActionName.BOOK
    by: By  # type: ignore[assignment]  # the table of §2: the patient or staff
    slot: ShortText


class CancelBooking(Action):
    """Free the slot."""

    name = ActionName.CANCEL_BOOKING
    by: By  # type: ignore[assignment]  # the table of §2: the patient or staff
    reason: LongText | None = None


class Reprioritise(Action):
    """Triage was wrong: another priority, and a new clock from now."""

    name = ActionName.REPRIORITISE
    priority: Annotated[Number, AfterValidator(_routine_priority)]
    reason: LongText


class Note(Action):
    """A row in the log."""

    name = ActionName.NOTE
    text: MessageText


class Close(Action):
    """The case is handled."""

    name = ActionName.CLOSE
    outcome: Annotated[Outcome, AfterValidator(_of_closing)]
    held_as: Literal["video", "chat", "message", "physical", "phone"]
    note: LongText | None = None


class Cancel(Action):
    """The case is not wanted any more."""

    name = ActionName.CANCEL
    by: By  # type: ignore[assignment]  # the table of §2: the patient or the responsible unit
    reason: LongText


ACTIONS: Final[dict[ActionName, type[Action]]] = {
    model.name: model
    for model in (
        Accept, Refuse, HandOver, Withdraw, Release, Consult, Answer, Reply,
        Message, Book, CancelBooking, Reprioritise, Note, Close, Cancel,
    )
}  # fmt: skip
