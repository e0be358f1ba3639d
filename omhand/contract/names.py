"""Every name of the contract that is not a model: queues, types, statuses, actions, codes, search attributes.

All are ``StrEnum``: on the wire they are their value, and a misspelling is an error where it is written.
"""

from enum import StrEnum
from typing import Final

CASES_QUEUE: Final = "cases"
"""Task queue of every workflow (contract §1) and of the activities that serve them."""

NOTICES_QUEUE: Final = "notices"
"""Task queue of the gateway's activity; rate limited by the server for all workers together."""

RECORDS_QUEUE: Final = "records"
"""Task queue of what could not be recorded at once, and is tried until it can: limited, so that a database that has
come back is not overrun. An extension of version 1."""

VIEW_QUERY: Final = "view"
INTAKE_TYPE: Final = "Intake"
CLOSING_TYPE: Final = "ClosingTime"
READ_TYPE: Final = "Read"
"""Logs that somebody reads, for a client without a database. An extension of version 1."""
AUDITOR_TYPE: Final = "Auditor"
"""Looks at all cases on both sides. An extension of version 1, as the next one."""
CANARY_TYPE: Final = "Canary"
CASES_DIFFER: Final = "CasesDiffer"
"""Type of the failure of a closing check that found something (P6)."""

CASE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Of the ids that callers give."""
ANY_CASE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(\.consultation-[0-9]{1,4}){0,5}$"
"""Of those and of their consultations, which Omhand names: ``<case_id>.consultation-<n>``."""
HSA_ID_PATTERN: Final = r"^SE\d{10}-[0-9A-Za-z]{1,18}$"
EMERGENCY_PRIORITY: Final = 1
"""Not this routine: refused wherever it is given (clauses, "what the text leaves open")."""
PRIORITIES: Final = range(2, 13)


_CONSULTATION: Final = ".consultation-"


def case_workflow_id(case_id: str) -> str:
    """The workflow id of a case."""
    return f"case-{case_id}"


def consultation_case_id(case_id: str, number: int) -> str:
    """The case id of a case's consultation, ``number`` from 1."""
    return f"{case_id}{_CONSULTATION}{number}"


def asking_case_id(consultation: str) -> str | None:
    """The case that a consultation of that case id is of; None where the id is made of no case's."""
    asker, made_of, number = consultation.rpartition(_CONSULTATION)
    return asker if made_of and number.isdecimal() else None


def intake_workflow_id(case_id: str) -> str:
    """The workflow id of the intake of a triage outcome."""
    return f"intake-{case_id}"


def closing_workflow_id(unit: str) -> str:
    """The schedule of a unit's closing checks, and their workflow id, to which Temporal adds the time."""
    return f"closing-{unit}"


class Kind(StrEnum):
    """The kinds of case, K1-K6."""

    DROP_IN_VISIT = "drop_in_visit"
    SCHEDULED_VISIT = "scheduled_visit"
    ADMINISTRATIVE_CASE = "administrative_case"
    CONSULTATION = "consultation"
    PHONE_CONSULTATION = "phone_consultation"
    MESSAGE_THREAD = "message_thread"


WORKFLOW_TYPES: Final[dict[Kind, str]] = {
    Kind.DROP_IN_VISIT: "DropInVisit",
    Kind.SCHEDULED_VISIT: "ScheduledVisit",
    Kind.ADMINISTRATIVE_CASE: "AdministrativeCase",
    Kind.CONSULTATION: "Consultation",
    Kind.PHONE_CONSULTATION: "PhoneConsultation",
    Kind.MESSAGE_THREAD: "MessageThread",
}

VISITS: Final = (Kind.DROP_IN_VISIT, Kind.SCHEDULED_VISIT)
"""The kinds that are visits: clinical professions only, and never held by phone (P4)."""


class Origin(StrEnum):
    """Where a case comes from."""

    MIN_VARD = "min_vard"
    PHONE_1177 = "1177_phone"
    UNIT = "unit"
    STAFF = "staff"
    PATIENT = "patient"


class Level(StrEnum):
    """The level of care that triage found."""

    DIGITAL = "digital"
    PHYSICAL = "physical"


class Status(StrEnum):
    """What a case is doing (contract §3)."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    TICKET = "ticket"
    BOOKED = "booked"
    IDLE = "idle"
    CLOSED = "closed"


class Phase(StrEnum):
    """What a ladder's clock counts (contract §7)."""

    WAITING = "waiting"
    HANDOVER = "handover"
    CONSULTATION = "consultation"
    TICKET = "ticket"
    MESSAGE = "message"
    ACCEPTED = "accepted"


class ActionName(StrEnum):
    """The staff actions of contract §2: each a signal and an update of that name."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    HAND_OVER = "hand_over"
    WITHDRAW = "withdraw"
    RELEASE = "release"
    CONSULT = "consult"
    ANSWER = "answer"
    REPLY = "reply"
    MESSAGE = "message"
    BOOK = "book"
    CANCEL_BOOKING = "cancel_booking"
    REPRIORITISE = "reprioritise"
    NOTE = "note"
    CLOSE = "close"
    CANCEL = "cancel"


class Code(StrEnum):
    """Why an action was refused (contract §2): the type of the update's application error."""

    INVALID_ACTION = "InvalidAction"
    UNKNOWN_STAFF = "UnknownStaff"
    UNKNOWN_UNIT = "UnknownUnit"
    UNKNOWN_PROFESSION = "UnknownProfession"
    NOT_ASSERTED = "NotAsserted"
    """An extension of version 1: nobody vouches for who acts, where that is asked for, or for somebody else."""
    NOT_CLINICAL = "NotClinical"
    NOT_OFFERED = "NotOffered"
    NOT_RESPONSIBLE = "NotResponsible"
    ALREADY_ACCEPTED = "AlreadyAccepted"
    OFFER_GONE = "OfferGone"
    MAY_NOT_BE_REFUSED = "MayNotBeRefused"
    NOTHING_PENDING = "NothingPending"
    HANDOVER_PENDING = "HandoverPending"
    GROUND_NOT_MET = "GroundNotMet"
    MUST_BE_DIGITAL = "MustBeDigital"
    NOT_ACCEPTED = "NotAccepted"
    SLOT_TAKEN = "SlotTaken"
    UNKNOWN_SLOT = "UnknownSlot"
    TICKET_NOT_VALID = "TicketNotValid"
    WRONG_KIND = "WrongKind"
    CASE_CLOSED = "CaseClosed"


class StartFault(StrEnum):
    """Why a workflow failed at once (contract §1): the type of its application error."""

    INVALID_CASE = "InvalidCase"
    NOT_IN_ROUTINE = "NotInRoutine"
    UNKNOWN_UNIT = "UnknownUnit"
    UNKNOWN_PROFESSION = "UnknownProfession"
    CASE_EXISTS = "CaseExists"
    NOT_ASSERTED = "NotAsserted"
    """An extension of version 1: as ``Code.NOT_ASSERTED``, of who opens the case."""


class EventName(StrEnum):
    """What happened to a case (contract §3)."""

    OPENED = "opened"
    NOTIFIED = "notified"
    ESCALATED = "escalated"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    RELEASED = "released"
    REFUSED = "refused"
    HANDOVER_REQUESTED = "handover_requested"
    HANDED_OVER = "handed_over"
    HANDOVER_REFUSED = "handover_refused"
    HANDOVER_WITHDRAWN = "handover_withdrawn"
    CONSULTED = "consulted"
    CONSULTATION_WITHDRAWN = "consultation_withdrawn"
    ANSWERED = "answered"
    REPLIED = "replied"
    MESSAGE = "message"
    TICKET_ISSUED = "ticket_issued"
    BOOKED = "booked"
    BOOKING_CANCELLED = "booking_cancelled"
    REPRIORITISED = "reprioritised"
    NOTED = "noted"
    LEFT_AT_CLOSING = "left_at_closing"
    MANAGER_ALERTED = "manager_alerted"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class OfferWhy(StrEnum):
    """Why a unit may take a case that is another's."""

    ESCALATION = "escalation"
    HANDOVER = "handover"
    COVERAGE = "coverage"
    CLOSING = "closing"
    ON_CALL = "on_call"
    CONSULTATION = "consultation"


class Outcome(StrEnum):
    """How a case ended."""

    TREATED = "treated"
    ADVICE_GIVEN = "advice_given"
    BOOKED = "booked"
    REFERRED = "referred"
    NO_SHOW = "no_show"
    NOT_NEEDED = "not_needed"
    CANCELLED = "cancelled"
    TICKET_EXPIRED = "ticket_expired"
    ANSWERED = "answered"
    TAKEN_OVER = "taken_over"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class ConsultationStatus(StrEnum):
    """How far a consultation has come, as the case that asks sees it (contract §3)."""

    OPEN = "open"
    ANSWERED = "answered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    NOT_NEEDED = "not_needed"


class Ground(StrEnum):
    """Why a case is handed over (H2)."""

    AGREED_PRACTICE = "agreed_practice"
    AFTER_CONSULTATION = "after_consultation"
    MISPLACED = "misplaced"


class Reason(StrEnum):
    """Why somebody is notified (contract §6)."""

    NEW_CASE = "new_case"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    OFFERED = "offered"
    HANDOVER_REQUESTED = "handover_requested"
    HANDOVER_REFUSED = "handover_refused"
    HANDOVER_UNANSWERED = "handover_unanswered"
    HANDOVER_WITHDRAWN = "handover_withdrawn"
    CONSULTATION = "consultation"
    CONSULTATION_ANSWERED = "consultation_answered"
    CONSULTATION_WITHDRAWN = "consultation_withdrawn"
    UNANSWERED = "unanswered"
    CLOSING_SOON = "closing_soon"
    LEFT_AT_CLOSING = "left_at_closing"
    MANAGER_ALERT = "manager_alert"
    GATEWAY_FAILED = "gateway_failed"
    MESSAGE = "message"
    TICKET_EXPIRED = "ticket_expired"
    BOOKING_CANCELLED = "booking_cancelled"
    NO_FREE_TIMES = "no_free_times"


class Channel(StrEnum):
    """How somebody is notified."""

    PHONE = "phone"
    EMAIL = "email"


class NoticeStatus(StrEnum):
    """How far a notification has come."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class SearchAttribute(StrEnum):
    """The search attributes of contract §4. No patient data in any of them."""

    CASE_KIND = "CaseKind"
    CASE_STATUS = "CaseStatus"
    CASE_PRIORITY = "CasePriority"
    PROFESSION = "Profession"
    RESPONSIBLE_UNIT = "ResponsibleUnit"
    OFFERED_TO = "OfferedTo"
    ESCALATION_LEVEL = "EscalationLevel"
    DUE_AT = "DueAt"
    OVERDUE = "Overdue"


SEARCH_ATTRIBUTE_TYPES: Final[dict[SearchAttribute, str]] = {
    SearchAttribute.CASE_KIND: "Keyword",
    SearchAttribute.CASE_STATUS: "Keyword",
    SearchAttribute.CASE_PRIORITY: "Int",
    SearchAttribute.PROFESSION: "Keyword",
    SearchAttribute.RESPONSIBLE_UNIT: "Keyword",
    SearchAttribute.OFFERED_TO: "KeywordList",
    SearchAttribute.ESCALATION_LEVEL: "Int",
    SearchAttribute.DUE_AT: "Datetime",
    SearchAttribute.OVERDUE: "Bool",
}
