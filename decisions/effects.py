"""What a decision says: what happened, and what is to be done about it. Or that it was refused, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from decisions.case import Case
from decisions.lifecycle import evolve, opened
from omhand.contract.actions import By
from omhand.contract.events import Detail, Escalated, Event, ManagerAlerted, Notified, Offered
from omhand.contract.names import Code, EventName, Kind, Phase, Reason
from omhand.contract.wire import CaseId, HsaId, Number, ProfessionName, Time, Wire

Recipient = Literal["unit", "staff", "manager", "manager_by_email"]
Scope = Literal["case", "handover", "always"]
"""How long a notification is of use: until the case ends, until the handover is answered, or whatever happens."""

NEWS: Final = frozenset({
    Reason.HANDOVER_REFUSED, Reason.HANDOVER_WITHDRAWN, Reason.CONSULTATION_ANSWERED, Reason.CONSULTATION_WITHDRAWN,
    Reason.TICKET_EXPIRED, Reason.BOOKING_CANCELLED, Reason.MESSAGE,
})  # fmt: skip
"""They ask nobody to take the case: they tell what somebody has answered or taken back."""
OUTLIVING: Final = frozenset({
    Reason.HANDOVER_WITHDRAWN, Reason.CONSULTATION_ANSWERED, Reason.CONSULTATION_WITHDRAWN, Reason.TICKET_EXPIRED,
    Reason.BOOKING_CANCELLED,
})  # fmt: skip
"""Of use to whoever is told also when the case that they are about has ended, just then perhaps."""


class Notice(Wire):
    """Somebody is to be told. To whom and in what words is settled when it is recorded, by the directory of then."""

    key: str
    """Unique; the gateway's idempotency key."""
    case_id: CaseId
    reason: Reason
    unit: HsaId
    """The unit that it is about."""
    to: Recipient
    """Whom at that unit."""
    staff: HsaId | None = None
    """Who it is, where it is a member of staff."""
    kind: Kind
    priority: Number | None
    profession: ProfessionName
    phase: Phase
    due_at: Time | None
    until_taken: bool
    """It asks for somebody to take the case: of no use, and withdrawn, once somebody has."""
    scope: Scope = "case"


class Refusal(Wire):
    """An action that is not to be done: the contract's code, and a sentence for whoever tried."""

    code: Code
    message: str


TAKING: Final = frozenset({
    EventName.ACCEPTED, EventName.HANDED_OVER, EventName.CLOSED, EventName.CANCELLED,
    EventName.BOOKED, EventName.BOOKING_CANCELLED,
})  # fmt: skip
SETTLING: Final = frozenset({EventName.HANDED_OVER, EventName.HANDOVER_REFUSED, EventName.HANDOVER_WITHDRAWN})


@dataclass(frozen=True, slots=True)
class Decision:
    """The case afterwards, what happened, and who is to be told."""

    case: Case
    events: tuple[Event, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def takes(self) -> bool:
        """Whether nobody is to be called any more to what somebody was called to.

        Somebody has taken the case or answered the patient, it is another unit's or time's by a booking, or it has
        ended.
        """
        answers = self.case.kind is Kind.MESSAGE_THREAD
        return any(event.event in TAKING or (answers and event.event is EventName.REPLIED) for event in self.events)

    @property
    def settles(self) -> bool:
        """Whether a handover has been answered or withdrawn: nobody is to be called to answer it any more."""
        return any(event.event in SETTLING for event in self.events)


def notices_of(case: Case, event: Event) -> tuple[Notice, ...]:
    """Who is to be told of an event, which has just made the case what it is: the event alone says it."""
    told = event.told()
    return tuple(_notice(case, told, key, reason, unit, to) for key, reason, unit, to in _told(case, told))


def _notice(case: Case, told: Detail, key: str, reason: Reason, unit: str, to: Recipient) -> Notice:
    answering = case.handover.plan if case.handover and _is_about_the_handover(told) else None
    plan = answering or case.plan
    scope: Scope = "handover" if answering else "case" if case.is_open and reason not in OUTLIVING else "always"
    return Notice(
        key=key,
        case_id=case.case_id,
        reason=reason,
        unit=unit,
        to=to,
        kind=case.kind,
        priority=case.priority,
        profession=case.profession,
        phase=plan.phase,
        due_at=plan.due_at if case.is_open else None,
        until_taken=case.needs_somebody and not answering and not _is_news(told, reason),
        scope=scope,
        staff=told.staff if isinstance(told, Notified) else None,
    )


def _is_news(told: Detail, reason: Reason) -> bool:
    return reason in NEWS or (isinstance(told, ManagerAlerted) and told.also_when_taken)


def _is_about_the_handover(told: Detail) -> bool:
    return isinstance(told, Notified | ManagerAlerted) and told.handover


def _told(case: Case, told: Detail) -> Iterator[tuple[str, Reason, str, Recipient]]:
    match told:
        case Notified():
            yield told.key, told.reason, told.unit, "staff" if told.staff else "unit"
        case Escalated():
            yield told.key, Reason.ESCALATED, case.responsible_unit, "unit"
        case Offered():
            for offer in told.offers:
                yield offer.key, Reason.OFFERED, offer.unit, "unit"
        case ManagerAlerted():
            yield told.key, told.reason, told.unit, "manager_by_email" if told.by_email else "manager"
        case _:
            return


def taken_up(case_id: str, before: Case | None, events: Sequence[Event]) -> Decision:
    """What these events, which have been recorded, have made of the case (``before`` is None where they open it).

    What has been recorded has happened, though the task that decided it was lost before anybody else knew.
    """
    case, rest = before, list(events)
    if case is None:
        case = opened(case_id, rest.pop(0))
    notices: list[Notice] = []
    for event in rest:
        case = evolve(case, event)
        notices += notices_of(case, event)
    return Decision(case, tuple(events), tuple(notices))


@dataclass(slots=True)
class Course:
    """A decision in the making: each thing that happens changes the case before the next is looked at."""

    at: datetime
    by: By | None = None
    case: Case | None = None
    events: list[Event] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def now(self) -> Case:
        """The case as it is at this point of the course."""
        if self.case is None:
            msg = "the case has not been opened"
            raise ValueError(msg)
        return self.case

    @property
    def next_seq(self) -> int:
        """The number of the event that comes next."""
        return self.case.seq + 1 if self.case else 1

    def open(self, case_id: str, told: Detail) -> None:
        """The case's first event."""
        event = self._event(told)
        self.case = opened(case_id, event)

    def happens(self, told: Detail) -> None:
        """The next event, and whoever is to be told of it."""
        case = self.now
        event = self._event(told)
        self.case = evolve(case, event)
        self.notices.extend(notices_of(self.case, event))

    def decision(self) -> Decision:
        """What has been decided."""
        return Decision(self.now, tuple(self.events), tuple(self.notices))

    def _event(self, told: Detail) -> Event:
        event = Event(seq=self.next_seq, at=self.at, event=told.event, by=self.by, detail=told.model_dump(mode="json"))
        self.events.append(event)
        return event
