"""What happened to a case: the rows of its log (contract §3), and what each kind of row tells.

A case is nothing but its events put in order: ``decisions.lifecycle.evolve`` makes it from them, so each detail holds
all that is needed for that. No detail says who the patient is.
"""

from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from omhand.contract.actions import By
from omhand.contract.names import EventName, Kind, OfferWhy, Origin, Outcome, Reason
from omhand.contract.plan import Plan
from omhand.contract.wire import Flag, HsaId, Number, ProfessionName, Time, Wire


class Detail(Wire):
    """What an event tells beside when and by whom."""

    event: ClassVar[EventName]


class Opened(Detail):
    """A unit has received the case, and is responsible (H3)."""

    event = EventName.OPENED
    kind: Kind
    unit: HsaId
    profession: ProfessionName
    priority: Number | None
    origin: Origin
    plan: Plan


class Notified(Detail):
    """Somebody is being told (K1f). ``key`` finds it in the notification log."""

    event = EventName.NOTIFIED
    key: str
    unit: HsaId
    reason: Reason
    moment: Number | None = None
    escalation_off: Flag = False


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


class Accepted(Detail):
    """Somebody took the case: their unit is responsible from here."""

    event = EventName.ACCEPTED
    unit: HsaId
    staff: HsaId
    profession: ProfessionName
    from_unit: HsaId
    offer: str | None
    substituted: Flag
    """Of another profession than the case is directed to (K1d)."""
    plan: Plan


class Released(Detail):
    """Given back to the unit's queue."""

    event = EventName.RELEASED
    reason: str
    plan: Plan


class Reprioritised(Detail):
    """Another priority, and a new clock."""

    event = EventName.REPRIORITISED
    priority: Number
    was: Number
    reason: str
    plan: Plan


class Noted(Detail):
    """Somebody wrote a note."""

    event = EventName.NOTED
    text: str


class Closed(Detail):
    """The case is handled."""

    event = EventName.CLOSED
    outcome: Outcome
    held_as: Literal["video", "chat", "message", "physical"] | None = None
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
        Released, Reprioritised, Noted, Closed, Cancelled, Rejected,
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
