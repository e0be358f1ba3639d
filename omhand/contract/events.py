"""What happened to a case: the rows of its log (contract §3), and what each kind of row tells.

A case is nothing but its events put in order: ``decisions.lifecycle.evolve`` makes it from them, so each detail holds
all that is needed for that. No detail says who the patient is.
"""

from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from omhand.contract.actions import By
from omhand.contract.names import ConsultationStatus, EventName, Ground, Kind, Level, OfferWhy, Origin, Outcome, Reason
from omhand.contract.opening import Addressee, Service, StaffMember
from omhand.contract.plan import Plan
from omhand.contract.wire import CaseId, Duration, Flag, HsaId, Number, ProfessionName, RegionCode, Time, Wire


class Detail(Wire):
    """What an event tells beside when and by whom."""

    event: ClassVar[EventName]


class Asker(Wire):
    """Who asks, where the case is a consultation (K4a)."""

    by: StaffMember
    case_id: CaseId | None = None
    """The case that it is about; null for a consultation of its own."""
    to_staff: HsaId | None = None
    """The colleague who is meant; others of the unit may answer, too."""
    wants_handover: Flag = False


class Opened(Detail):
    """A unit has received the case, and is responsible (H3)."""

    event = EventName.OPENED
    kind: Kind
    unit: HsaId
    profession: ProfessionName
    priority: Number | None
    origin: Origin
    plan: Plan
    level: Level | None = None
    """Of a consultation from 1177 by phone (K5a)."""
    asker: Asker | None = None
    question: str | None = None
    service: Service | None = None
    """Of an administrative case (K3)."""
    to: Addressee | None = None
    """Whom a thread's patient writes to, or who writes to them (K6)."""
    started_by: StaffMember | None = None
    """Who made a visit or a thread, where a unit did (K2b, K6a)."""
    patient_region: RegionCode | None = None
    """The patient's county, where it is known (P7)."""
    out_of_region: Flag = False
    """That county is another than the region's own (P7)."""


class Notified(Detail):
    """Somebody is being told (K1f). ``key`` finds it in the notification log."""

    event = EventName.NOTIFIED
    key: str
    unit: HsaId
    reason: Reason
    moment: Number | None = None
    escalation_off: Flag = False
    handover: Flag = False
    """It is about the pending handover, and a moment of that one's plan (H4)."""
    staff: HsaId | None = None
    """Whom at the unit, where one is meant and is there; null: the unit's phone (K6b)."""


class Escalated(Detail):
    """Not taken in time: other units may take it (K1e, P5). The responsible unit is the same."""

    event = EventName.ESCALATED
    level: Number
    key: str
    moment: Number


class NewOffer(Wire):
    """An offer as it was made."""

    offer: str
    unit: HsaId
    key: str


class Offered(Detail):
    """Units that may take the case, beside the responsible one."""

    event = EventName.OFFERED
    offers: tuple[NewOffer, ...]
    why: OfferWhy
    moment: Number


class ManagerAlerted(Detail):
    """The operations manager is being told (R1)."""

    event = EventName.MANAGER_ALERTED
    key: str
    unit: HsaId
    reason: Reason
    because: str
    moment: Number | None = None
    by_email: Flag = False
    """Another way, as the first one failed."""
    handover: Flag = False
    """It is about the pending handover, and a moment of that one's plan (H4)."""
    also_when_taken: Flag = False
    """It asks nobody to take the case: of use whoever has it."""


class Accepted(Detail):
    """Somebody took the case: their unit is responsible from here."""

    event = EventName.ACCEPTED
    unit: HsaId
    staff: HsaId
    profession: ProfessionName
    from_unit: HsaId
    offer: str | None
    substituted: Flag
    """Of another profession than the case is directed to (K1d), or another colleague."""
    plan: Plan | None
    """Null where the clock goes on: a consultation is to be answered, whoever takes it."""


class HandoverRequested(Detail):
    """Another unit, profession or colleague is asked to take the case; nothing else has changed (H1-H4)."""

    event = EventName.HANDOVER_REQUESTED
    offer: str
    to_unit: HsaId
    to_profession: ProfessionName | None
    to_staff: HsaId | None
    ground: Ground
    reference: str | None
    note: str | None
    plan: Plan
    """Of the answer: on the receiving unit's clock."""


class HandedOver(Detail):
    """The handover was accepted: at this moment responsibility moves (H3)."""

    event = EventName.HANDED_OVER
    unit: HsaId
    staff: HsaId
    profession: ProfessionName
    from_unit: HsaId
    offer: str
    substituted: Flag
    plan: Plan | None


class HandoverRefused(Detail):
    """The receiving unit said no: the case is where it was (H4)."""

    event = EventName.HANDOVER_REFUSED
    offer: str
    unit: HsaId
    reason: str


WithdrawnBecause = Literal["withdrawn", "accepted", "closed", "cancelled", "booked"]
"""The sender took it back; somebody else took the case; it has ended; or it is another unit's by its booking."""


class HandoverWithdrawn(Detail):
    """The handover is not asked for any more."""

    event = EventName.HANDOVER_WITHDRAWN
    offer: str
    unit: HsaId
    because: WithdrawnBecause


class Consulted(Detail):
    """Somebody else is asked: a consultation is opened (K4a)."""

    event = EventName.CONSULTED
    consultation: CaseId
    to_unit: HsaId
    to_profession: ProfessionName
    to_staff: HsaId | None
    question: str
    wants_handover: Flag


class Answered(Detail):
    """A consultation has been answered."""

    event = EventName.ANSWERED
    consultation: CaseId | None
    """In the log of the case that asked: which one. Null in the consultation's own."""
    unit: HsaId
    advice: str | None
    """Null where the consultation was closed without any."""
    takes_over: Flag
    """The consulted colleague is best placed to finish the case: the agreement that H2 speaks of."""


class Refused(Detail):
    """A consultation has been refused, with the reason."""

    event = EventName.REFUSED
    consultation: CaseId | None
    """As of an answer."""
    unit: HsaId
    reason: str


class ConsultationWithdrawn(Detail):
    """The question is not asked any more, or could not be."""

    event = EventName.CONSULTATION_WITHDRAWN
    consultation: CaseId
    unit: HsaId
    because: str
    status: ConsultationStatus = ConsultationStatus.WITHDRAWN


class TicketIssued(Detail):
    """The patient may book a time for themselves: which competence's, and when (K2a)."""

    event = EventName.TICKET_ISSUED
    unit: HsaId
    profession: ProfessionName
    valid_from: Time
    valid_until: Time


class Booked(Detail):
    """A time is held for the patient; its unit is responsible from here (K2, P3)."""

    event = EventName.BOOKED
    slot: str
    unit: HsaId
    profession: ProfessionName
    starts_at: Time
    length: Duration
    instead_of: str | None
    """The slot that it held before, which is free again."""
    from_unit: HsaId
    plan: Plan
    """From the visit's time on."""


class BookingCancelled(Detail):
    """The time is free again, and the unit that gave the ticket is responsible."""

    event = EventName.BOOKING_CANCELLED
    slot: str
    reason: str | None
    unit: HsaId
    plan: Plan | None
    """Of the ticket; null where there is none, and the case ends."""


class Replied(Detail):
    """The unit has written to the patient (K3, K6)."""

    event = EventName.REPLIED
    unit: HsaId
    text: str
    attachments: tuple[str, ...] = ()


class MessageWritten(Detail):
    """Somebody has written; of the patient unless a unit starts a chat (K3, K6)."""

    event = EventName.MESSAGE
    text: str
    attachments: tuple[str, ...] = ()
    """By reference."""
    plan: Plan | None = None
    """Of the reply, where no earlier message waits for it."""
    back_to_unit: Flag = False
    """Whoever had the thread is absent or has gone: the unit answers."""


class Released(Detail):
    """Given back to the unit's queue."""

    event = EventName.RELEASED
    reason: str
    plan: Plan | None
    """Null where nothing is due."""


class Reprioritised(Detail):
    """Another priority, and a new clock."""

    event = EventName.REPRIORITISED
    priority: Number
    was: Number
    reason: str
    plan: Plan | None
    """Null where nothing is due."""
    answer_plan: Plan | None = None
    """Of the handover that is pending, which is to be answered by the case's priority (H4)."""


class LeftAtClosing(Detail):
    """The unit closes, and nobody has taken the case (P6)."""

    event = EventName.LEFT_AT_CLOSING
    unit: HsaId
    moment: Number


class Noted(Detail):
    """Somebody wrote a note."""

    event = EventName.NOTED
    text: str


class Closed(Detail):
    """The case is handled."""

    event = EventName.CLOSED
    outcome: Outcome
    held_as: Literal["video", "chat", "message", "physical", "phone"] | None = None
    note: str | None = None


class Cancelled(Detail):
    """The case is not wanted any more."""

    event = EventName.CANCELLED
    reason: str


class Rejected(Detail):
    """An action that was refused, or that could not be read."""

    event = EventName.REJECTED
    action: str
    code: str
    message: str


DETAILS: Final[dict[EventName, type[Detail]]] = {
    model.event: model
    for model in (
        Opened, Notified, Escalated, Offered, ManagerAlerted, Accepted,
        HandoverRequested, HandedOver, HandoverRefused, HandoverWithdrawn,
        Consulted, Answered, Refused, ConsultationWithdrawn,
        TicketIssued, Booked, BookingCancelled, Replied, MessageWritten,
        Released, Reprioritised, LeftAtClosing, Noted, Closed, Cancelled, Rejected,
    )
}  # fmt: skip


class Event(Wire):
    """A row of the log."""

    seq: Number
    """From 1, without gaps."""
    at: Time
    event: EventName
    by: By | None = None
    """Who acted; null where the routine acted by itself, or where it could not be read."""
    detail: dict[str, Any] = Field(default_factory=dict)

    def told(self) -> Detail:
        """The detail as the model of its event."""
        return DETAILS[self.event].model_validate(self.detail)
