"""The view of a case (contract §3): the answer of the query, of every update, and the workflow's result."""

from omhand.contract.events import Event
from omhand.contract.names import ConsultationStatus, Ground, Kind, OfferWhy, Outcome, Status
from omhand.contract.wire import (
    CaseId,
    Duration,
    Flag,
    HsaId,
    Number,
    ProfessionName,
    RegionCode,
    ShortText,
    Time,
    Wire,
)


class OfferView(Wire):
    """A unit that may take the case. ``offer`` is what an answer names."""

    offer: str
    unit: HsaId
    profession: ProfessionName | None = None
    staff: HsaId | None = None
    why: OfferWhy
    since: Time
    answer_by: Time | None = None


class HandoverView(Wire):
    """A handover that waits for its answer; the sender is responsible until then (H3)."""

    offer: str
    to_unit: HsaId
    to_profession: ProfessionName | None
    to_staff: HsaId | None
    ground: Ground
    reference: str | None
    by: HsaId
    at: Time
    answer_by: Time | None


class ConsultationView(Wire):
    """A question to somebody else about this case."""

    case_id: CaseId
    to_unit: HsaId
    status: ConsultationStatus
    takes_over: Flag | None


class BookingView(Wire):
    """The time that a visit holds (K2)."""

    slot: ShortText
    unit: HsaId
    profession: ProfessionName
    starts_at: Time
    length: Duration


class TicketView(Wire):
    """A booking ticket: when a time may be booked with it, and where it was given (K2a)."""

    valid_from: Time
    valid_until: Time
    unit: HsaId


class View(Wire):
    """A case as anybody who may see it sees it."""

    case_id: CaseId
    kind: Kind
    status: Status
    priority: Number | None
    profession: ProfessionName
    responsible_unit: HsaId
    assigned_to: HsaId | None
    offers: tuple[OfferView, ...]
    escalation_level: Number
    due_at: Time | None
    overdue: Flag
    handover: HandoverView | None
    consultations: tuple[ConsultationView, ...]
    booking: BookingView | None
    opened_at: Time
    accepted_at: Time | None
    closed_at: Time | None
    outcome: Outcome | None
    linked_cases: tuple[CaseId, ...]
    """Other open cases of the same patient, as known at the case's last step. An extension of version 1."""
    ticket: TicketView | None = None
    """An extension of version 1, as are those below."""
    patient_region: RegionCode | None = None
    out_of_region: Flag = False
    """The patient is of another county than the region's own (P7)."""
    earlier_events: Number = 0
    """So many of the log's first rows are left out here, as it is long; `case_log` has them all."""
    log: tuple[Event, ...]
