"""What starts a case: the argument of every kind, and the triage outcome that ``Intake`` takes (contract §1).

``Opening`` is one model for every kind, so that a key of another kind is told apart from one that exists nowhere.
Which keys a kind has, and which it must have, stands in ``KEYS``.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, model_validator

from omhand.contract.names import EMERGENCY_PRIORITY, PRIORITIES, Kind, Level, Origin
from omhand.contract.patient import Patient
from omhand.contract.wire import (
    Assertion,
    Attachments,
    CaseId,
    Flag,
    GivenCaseId,
    HsaId,
    LongText,
    Malformed,
    MessageText,
    Number,
    ProfessionName,
    ShortText,
    Time,
    Wire,
    read,
)


def _given_priority(value: int) -> int:
    # 1 is let through: it is well-formed, and answered as NotInRoutine rather than as malformed.
    if value != EMERGENCY_PRIORITY and value not in PRIORITIES:
        msg = "must be from 2 to 12"
        raise ValueError(msg)
    return value


Priority = Annotated[Number, AfterValidator(_given_priority)]


class Ticket(Wire):
    """A booking ticket's window (K2a)."""

    valid_from: Time
    valid_until: Time

    @model_validator(mode="after")
    def _in_order(self) -> "Ticket":
        if self.valid_until <= self.valid_from:
            msg = "valid_until must be after valid_from"
            raise ValueError(msg)
        return self


class Booking(Wire):
    """A slot that the unit has booked for the patient (K2b)."""

    slot: ShortText


Service = Literal["prescription_renewal", "certificate", "other"]
"""What an administrative case asks for (K3)."""


class Addressee(Wire):
    """A named colleague, or a relation of the patient's."""

    staff: HsaId | None = None
    relation: Literal["care_contact", "treating_role", "unit_chat"] | None = None


class StaffMember(Wire):
    """Somebody acting: who, where, as what. Checked against the directory when the action is decided."""

    staff: HsaId
    unit: HsaId
    profession: ProfessionName


class Opening(Wire):
    """The argument of every kind of case."""

    case_id: CaseId
    origin: Origin
    unit: HsaId
    """Receives the case, and is responsible from that moment (H3)."""
    profession: ProfessionName
    priority: Priority | None = None
    patient: Patient | None = None
    reason: LongText | None = None
    wants_help_booking: Flag = False
    level: Level | None = None
    ticket: Ticket | None = None
    booking: Booking | None = None
    service: Service | None = None
    to: Addressee | None = None
    asked_by: StaffMember | None = None
    question: LongText | None = None
    wants_handover: Flag = False
    message: MessageText | None = None
    attachments: Attachments = ()
    assertion: Assertion | None = None
    """Vouches for ``asked_by``, or for the patient where ``origin`` says that they open it. An extension."""

    @property
    def patient_writes(self) -> bool:
        """Whether a patient has written, and waits for an answer (K6b)."""
        return self.message is not None and not self.is_by_a_unit

    @property
    def is_by_a_unit(self) -> bool:
        """Whether staff open the case, not the patient or triage: of a thread, a unit starts the chat (K6a)."""
        return self.asked_by is not None or self.origin in {Origin.UNIT, Origin.STAFF}


class GivenOpening(Opening):
    """The opening that a caller gives. Only a consultation that a case starts has an id made of the case's."""

    case_id: GivenCaseId


COMMON_KEYS: Final = frozenset(
    {"case_id", "origin", "unit", "profession", "priority", "patient", "reason", "assertion"}
)

OWN_KEYS: Final[dict[Kind, frozenset[str]]] = {
    Kind.DROP_IN_VISIT: frozenset({"wants_help_booking"}),
    Kind.SCHEDULED_VISIT: frozenset({"ticket", "booking", "asked_by"}),
    Kind.ADMINISTRATIVE_CASE: frozenset({"service", "message", "attachments"}),
    Kind.CONSULTATION: frozenset({"to", "asked_by", "question", "wants_handover"}),
    Kind.PHONE_CONSULTATION: frozenset({"level"}),
    Kind.MESSAGE_THREAD: frozenset({"to", "asked_by", "message", "attachments"}),
}

REQUIRED_KEYS: Final[dict[Kind, frozenset[str]]] = {
    Kind.DROP_IN_VISIT: frozenset({"priority", "patient"}),
    Kind.SCHEDULED_VISIT: frozenset({"patient"}),
    Kind.ADMINISTRATIVE_CASE: frozenset({"patient", "service"}),
    Kind.CONSULTATION: frozenset({"asked_by", "question"}),
    Kind.PHONE_CONSULTATION: frozenset({"priority", "patient", "level"}),
    Kind.MESSAGE_THREAD: frozenset({"patient"}),
}


def read_opening(kind: Kind, value: object, form: type[Opening] = GivenOpening) -> Opening:
    """``value`` as the opening of a case of this kind; ``form`` says which ids it may have.

    Raises:
        Malformed: with every fault: wrong types, unknown keys, keys of another kind, missing ones.
    """
    faults: list[str] = []
    given = value if isinstance(value, dict) else {}
    # A client that writes null for what it has not is as good as one that leaves it out.
    known_nulls = {key for key in given if key in Opening.model_fields and given[key] is None}
    try:
        opening = read(form, {key: given[key] for key in given if key not in known_nulls} if given else value)
    except Malformed as error:
        faults.extend(error.faults)
        opening = None
    allowed = COMMON_KEYS | OWN_KEYS[kind]
    faults += [
        f"{key}: a {kind} has no such key"
        for key in given
        if key in Opening.model_fields and key not in allowed and given[key] is not None
    ]
    faults += [f"{key}: is required" for key in sorted(REQUIRED_KEYS[kind]) if given.get(key) is None]
    if kind is Kind.SCHEDULED_VISIT:
        faults += _visit_faults(given)
    if given.get("attachments") and given.get("message") is None:
        faults.append("attachments: go with a message, and there is none")
    if faults or opening is None:
        raise Malformed(*faults)
    return opening


def _visit_faults(given: Mapping[str, object]) -> Iterator[str]:
    """A scheduled visit has a ticket or a time, never both; what comes of triage has a priority (K2)."""
    if (given.get("ticket") is None) == (given.get("booking") is None):
        yield "ticket, booking: exactly one of them is required"
    # As text: what is no origin at all may be of a type that no set can be asked about.
    if str(given.get("origin")) in {Origin.MIN_VARD, Origin.PHONE_1177} and given.get("priority") is None:
        yield "priority: is required of a visit that comes of triage"


def _of_triage(value: Origin) -> Origin:
    if value not in {Origin.MIN_VARD, Origin.PHONE_1177}:
        msg = f"must be {Origin.MIN_VARD} or {Origin.PHONE_1177}"
        raise ValueError(msg)
    return value


class TriageOutcome(Wire):
    """What triage found: the argument of ``Intake`` (K1a-c, K2a, K5)."""

    case_id: GivenCaseId
    source: Annotated[Origin, AfterValidator(_of_triage)]
    level: Level
    priority: Priority
    profession: ProfessionName
    unit: HsaId
    patient: Patient
    wants_help_booking: Flag = False
    reason: LongText | None = None


class IntakeAnswer(Wire):
    """Where a triage outcome went."""

    workflow_id: str
    workflow_type: str
    case_id: CaseId
    kind: Kind
    unit: HsaId
    profession: ProfessionName
