"""What a case is at one instant. ``decisions.lifecycle.evolve`` is the only thing that changes it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from omhand.contract.events import Asker, Event
from omhand.contract.names import (
    VISITS,
    ConsultationStatus,
    Ground,
    Kind,
    OfferWhy,
    Origin,
    Outcome,
    Phase,
    Status,
)
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Moment, Plan
from omhand.contract.view import BookingView, ConsultationView, HandoverView, OfferView, TicketView, View
from omhand.contract.wire import CaseId, Flag, HsaId, Number, ProfessionName, RegionCode, Time, Wire

WATCH: Final = timedelta(days=1)
"""How often the manager is told of a case whose ladder has ended: an open case never falls silent (R1)."""


QUESTION_OFFER: Final = "1.0"
"""Names the offer that a consultation is to the unit that is asked."""


def next_of(plan: Plan, done: int) -> Moment:
    """What is next by a plan of which so many moments have happened; after its last, the manager is told daily."""
    beyond = done - len(plan.moments)
    if beyond < 0:
        return plan.moments[done]
    last = plan.moments[-1].at if plan.moments else plan.since
    return Moment(at=last + (beyond + 1) * WATCH, do="alert_manager")


def has_notified(plan: Plan, done: int) -> bool:
    """Whether one of a plan's moments that have happened has told the unit by its phone."""
    return any(moment.do in {"notify", "begin_visit"} for moment in plan.moments[:done])


class Handover(Wire):
    """A handover that waits for its answer. The sender is the responsible unit until then (H3)."""

    offer: str
    to_unit: HsaId
    to_profession: ProfessionName | None
    to_staff: HsaId | None
    ground: Ground
    reference: str | None
    by: StaffMember
    at: Time
    plan: Plan
    """Of the answer, on the receiving unit's clock (H4). The case's own plan goes on beside it."""
    done: Number = 0
    was_told: Flag = False
    """The receiving unit has been told of it before its clock began anew."""

    @property
    def next_moment(self) -> Moment:
        """What happens next because nobody answers."""
        return next_of(self.plan, self.done)

    @property
    def is_told(self) -> bool:
        """Whether the receiving unit has been told of it."""
        return self.was_told or self.is_told_anew

    @property
    def is_told_anew(self) -> bool:
        """Whether the receiving unit has been told of it since its clock began."""
        return has_notified(self.plan, self.done)

    def as_offer(self) -> OfferView:
        """As the receiving unit sees it, beside the offers of an escalation."""
        return OfferView(
            offer=self.offer,
            unit=self.to_unit,
            profession=self.to_profession,
            staff=self.to_staff,
            why=OfferWhy.HANDOVER,
            since=self.at,
            answer_by=self.plan.due_at,
        )


class Consultation(Wire):
    """A consultation of this case, as this case knows it."""

    case_id: CaseId
    to_unit: HsaId
    status: ConsultationStatus = ConsultationStatus.OPEN
    takes_over: Flag | None = None
    answered_by: HsaId | None = None
    """The unit that answered: not always the one that was asked."""
    asked_by: HsaId
    """The unit that asked: not always the one that is responsible now."""


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
    handover: Handover | None = None
    consultations: tuple[Consultation, ...] = ()
    asker: Asker | None = None
    """Who asks, where this is a consultation."""
    ticket: TicketView | None = None
    """With which the patient may book, and the unit that has the case while nothing is booked (K2a)."""
    booking: BookingView | None = None
    """The time that a visit holds (K2)."""
    addressee: HsaId | None = None
    """The care contact or treating role that a thread's patient writes to (K6b)."""
    unanswered_since: Time | None = None
    """When the oldest message came that no reply has followed (K6), nor anybody has seen by taking the case (K3)."""
    patient_region: RegionCode | None = None
    out_of_region: Flag = False
    """The patient is of another county (P7)."""
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
    def is_visit(self) -> bool:
        """For professions that work clinically, and never held by phone (K1d, P4)."""
        return self.kind in VISITS

    @property
    def is_open(self) -> bool:
        """Not closed."""
        return self.status is not Status.CLOSED

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is due: it is closed; no message waits for an answer (K6); a visit's time is to come (K2)."""
        return self.status in {Status.CLOSED, Status.IDLE, Status.BOOKED}

    @property
    def needs_somebody(self) -> bool:
        """Whether somebody is called to it: nobody has it, its ticket is not used, or a patient waits for a reply."""
        waits = self.status in {Status.WAITING, Status.TICKET}
        return waits or (self.plan.phase is Phase.MESSAGE and not self.is_quiet)

    @property
    def due_at(self) -> datetime | None:
        """By when the phase that it is in is to be done with; None where nothing is due."""
        return None if self.is_quiet else self.plan.due_at

    def is_overdue(self, now: datetime) -> bool:
        """Whether the phase that it is in has lasted longer than it should."""
        return self.due_at is not None and now >= self.due_at

    def is_late(self, now: datetime) -> bool:
        """Whether what it waits for, done now, would be done too late (contract §5, ``in_time``)."""
        return not self.is_quiet and self.plan.late_from is not None and now >= self.plan.late_from

    def next_moment(self) -> Moment | None:
        """What happens next by itself; None for a closed case, and for a thread in which nothing waits."""
        if not self.is_open:
            return None
        return self.handover.next_moment if self.handover and self.is_handover_next else self._own_next

    @property
    def is_handover_next(self) -> bool:
        """Whether what happens next is about the pending handover; of what is due at once the case's own goes first."""
        own = self._own_next
        return self.handover is not None and (own is None or self.handover.next_moment.at < own.at)

    @property
    def _own_next(self) -> Moment | None:
        return None if self.status is Status.IDLE else next_of(self.plan, self.done)

    def next_instant(self, now: datetime) -> datetime | None:
        """When the case has to be looked at again: its next moment, or when it becomes overdue."""
        return min(self._instants(now), default=None)

    def _instants(self, now: datetime) -> Iterator[datetime]:
        moment = self.next_moment()
        if moment is not None:
            yield moment.at
        if self.due_at is not None and self.due_at > now:
            yield self.due_at

    @property
    def open_offers(self) -> tuple[OfferView, ...]:
        """Every offer that can be answered: a consultation's own first, a pending handover's last."""
        own = (self._as_question(self.asker),) if self.asker and self.status is Status.WAITING else ()
        handed = (self.handover.as_offer(),) if self.handover else ()
        return own + self.offers + handed

    def _as_question(self, asker: Asker) -> OfferView:
        return OfferView(
            offer=QUESTION_OFFER,
            unit=self.responsible_unit,
            profession=self.profession,
            staff=asker.to_staff,
            why=OfferWhy.CONSULTATION,
            since=self.plan.since,
            answer_by=self.plan.due_at,
        )

    def offer_to(self, unit: str) -> OfferView | None:
        """The open offer that this unit has beside a handover, if any."""
        return next((offer for offer in self.offers if offer.unit == unit), None)

    def is_handed_to(self, unit: str) -> bool:
        """Whether a handover to this unit waits for its answer."""
        return self.handover is not None and self.handover.to_unit == unit

    def concerns(self, unit: str) -> bool:
        """Whether the unit is responsible, or is offered the case."""
        return unit == self.responsible_unit or self.offer_to(unit) is not None or self.is_handed_to(unit)

    @property
    def is_question(self) -> bool:
        """Whether it is a consultation: its clock counts to the answer."""
        return self.plan.phase is Phase.CONSULTATION

    @property
    def is_being_answered(self) -> bool:
        """Whether its clock counts to an answer, to a colleague or a patient, and goes on whoever takes it."""
        return self.plan.phase in {Phase.CONSULTATION, Phase.MESSAGE}

    @property
    def answers_for(self) -> str | None:
        """The member of staff whom a patient who writes is to reach: who has it, else whom they write to (K6b)."""
        return self.holder.staff if self.holder else self.addressee


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
        offers=case.open_offers,
        escalation_level=case.escalation_level,
        due_at=case.due_at,
        overdue=case.is_overdue(now),
        handover=_handover_view(case.handover) if case.handover else None,
        consultations=tuple(
            ConsultationView(case_id=each.case_id, to_unit=each.to_unit, status=each.status, takes_over=each.takes_over)
            for each in case.consultations
        ),
        booking=case.booking,
        opened_at=case.opened_at,
        accepted_at=case.accepted_at,
        closed_at=case.closed_at,
        outcome=case.outcome,
        linked_cases=linked,
        ticket=case.ticket,
        patient_region=case.patient_region,
        out_of_region=case.out_of_region,
        earlier_events=case.seq - len(log),
        log=log,
    )


def _handover_view(handover: Handover) -> HandoverView:
    return HandoverView(
        offer=handover.offer,
        to_unit=handover.to_unit,
        to_profession=handover.to_profession,
        to_staff=handover.to_staff,
        ground=handover.ground,
        reference=handover.reference,
        by=handover.by.staff,
        at=handover.at,
        answer_by=handover.plan.due_at,
    )
