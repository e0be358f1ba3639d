"""What a case is at one instant. ``decisions.lifecycle.evolve`` is the only thing that changes it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from omhand.contract.events import Event
from omhand.contract.names import Kind, Origin, Outcome, Status
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Moment, Plan
from omhand.contract.view import OfferView, View
from omhand.contract.wire import CaseId, Flag, HsaId, Number, ProfessionName, Time, Wire

WATCH: Final = timedelta(days=1)
"""How often the manager is told of a case whose ladder has ended: an open case never falls silent (R1)."""


class Case(Wire):
    """A case: all that the rules decide by. Holds nothing about the patient."""

    case_id: CaseId
    kind: Kind
    status: Status
    priority: Number | None
    profession: ProfessionName
    origin: Origin
    received_by: HsaId
    """The unit that the case came to."""
    responsible_unit: HsaId
    """Never empty (H3)."""
    holder: StaffMember | None = None
    """Who has accepted it."""
    offers: tuple[OfferView, ...] = ()
    asked: tuple[HsaId, ...] = ()
    """Every unit that could take it since it began to wait: who comes second is told who was first."""
    escalation_level: Number = 0
    highest_level: Number = 0
    plan: Plan
    done: Number = 0
    """How many of the plan's moments have happened."""
    accept_by: Time | None = None
    """When it was due to be accepted, of the last time that it waited."""
    was_late: Flag = False
    """It has waited past its due instant, now or before."""
    opened_at: Time
    accepted_at: Time | None = None
    accepted_by_unit: HsaId | None = None
    closed_at: Time | None = None
    outcome: Outcome | None = None
    seq: Number
    """Of the last event."""

    @property
    def is_open(self) -> bool:
        """Not closed."""
        return self.status is not Status.CLOSED

    @property
    def due_at(self) -> datetime | None:
        """By when the phase that it is in is to be done with; None where nothing is due."""
        return self.plan.due_at if self.is_open else None

    def is_overdue(self, now: datetime) -> bool:
        """Whether the phase that it is in has lasted longer than it should."""
        return self.due_at is not None and now >= self.due_at

    def next_moment(self) -> Moment | None:
        """What happens next by itself; None for a closed case."""
        if not self.is_open:
            return None
        beyond = self.done - len(self.plan.moments)
        if beyond < 0:
            return self.plan.moments[self.done]
        last = self.plan.moments[-1].at if self.plan.moments else self.plan.since
        return Moment(at=last + (beyond + 1) * WATCH, do="alert_manager")

    def next_instant(self, now: datetime) -> datetime | None:
        """When the case has to be looked at again: its next moment, or when it becomes overdue."""
        return min(self._instants(now), default=None)

    def _instants(self, now: datetime) -> Iterator[datetime]:
        moment = self.next_moment()
        if moment is not None:
            yield moment.at
        if self.due_at is not None and self.due_at > now:
            yield self.due_at

    def offer_to(self, unit: str) -> OfferView | None:
        """The open offer that this unit has, if any."""
        return next((offer for offer in self.offers if offer.unit == unit), None)

    def concerns(self, unit: str) -> bool:
        """Whether the unit is responsible, or is offered the case."""
        return unit == self.responsible_unit or self.offer_to(unit) is not None


def view(case: Case, log: tuple[Event, ...], now: datetime, linked: tuple[str, ...] = ()) -> View:
    """The case as it is shown (contract §3)."""
    return View(
        case_id=case.case_id,
        kind=case.kind,
        status=case.status,
        priority=case.priority,
        profession=case.profession,
        responsible_unit=case.responsible_unit,
        assigned_to=case.holder.staff if case.holder else None,
        offers=case.offers,
        escalation_level=case.escalation_level,
        due_at=case.due_at,
        overdue=case.is_overdue(now),
        handover=None,
        consultations=(),
        booking=None,
        opened_at=case.opened_at,
        accepted_at=case.accepted_at,
        closed_at=case.closed_at,
        outcome=case.outcome,
        linked_cases=linked,
        log=log,
    )
