"""Everything that says what may happen to a case stands in this file: the table, and ``evolve``.

A case is a state machine. The *table* says, for each kind and each status, which actions it has; an action that is in
no row of a kind is ``WrongKind``. The rules of an action (who may, and what it does) are in the rooms beside this one;
they answer with events. ``evolve`` turns an event into the next state, and nothing else ever does, so that the log put
through ``evolve`` again gives the case back, in a test or after a disaster.

What has an action in the table but no rule yet is refused, and says so: see ``decisions.decide``.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Final, cast

from decisions.case import Case, Consultation, Handover
from omhand.contract.events import (
    Accepted,
    Answered,
    Closed,
    ConsultationWithdrawn,
    Consulted,
    Detail,
    Escalated,
    Event,
    HandedOver,
    HandoverRequested,
    LeftAtClosing,
    ManagerAlerted,
    Notified,
    Offered,
    Opened,
    Refused,
    Released,
    Reprioritised,
)
from omhand.contract.names import (
    ActionName,
    ConsultationStatus,
    EventName,
    Kind,
    Outcome,
    Status,
)
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Plan
from omhand.contract.view import OfferView

OPEN: Final = frozenset({
    ActionName.ACCEPT,
    ActionName.REFUSE,
    ActionName.HAND_OVER,
    ActionName.WITHDRAW,
    ActionName.CONSULT,
    ActionName.REPRIORITISE,
    ActionName.NOTE,
    ActionName.CANCEL,
})  # fmt: skip
"""What every open case has."""

HELD: Final = frozenset({ActionName.RELEASE, ActionName.CLOSE})
"""What a case has beside, once somebody has it."""

ANSWER: Final = frozenset({ActionName.ANSWER})

TAKEN_AND_CLOSED: Final = {Status.WAITING: OPEN, Status.ACCEPTED: OPEN | HELD, Status.CLOSED: frozenset[ActionName]()}

TABLE: Final[dict[Kind, dict[Status, frozenset[ActionName]]]] = {
    Kind.DROP_IN_VISIT: TAKEN_AND_CLOSED,
    Kind.PHONE_CONSULTATION: TAKEN_AND_CLOSED,
    Kind.CONSULTATION: {
        Status.WAITING: OPEN | ANSWER,
        Status.ACCEPTED: OPEN | HELD | ANSWER,
        Status.CLOSED: frozenset(),
    },
}
"""kind and status: the actions that it has then. A kind that is not here does not exist yet."""


def actions_of(kind: Kind) -> frozenset[ActionName]:
    """Every action that a case of this kind has in some status."""
    return frozenset[ActionName]().union(*TABLE[kind].values())


def opened(case_id: str, event: Event) -> Case:
    """The case that its first event makes."""
    told = cast("Opened", event.told())
    return Case(
        case_id=case_id,
        kind=told.kind,
        status=Status.WAITING,
        priority=told.priority,
        profession=told.profession,
        origin=told.origin,
        received_by=told.unit,
        responsible_unit=told.unit,
        asked=(told.unit,),
        plan=told.plan,
        accept_by=told.plan.due_at,
        asker=told.asker,
        opened_at=event.at,
        seq=event.seq,
    )


def evolve(case: Case, event: Event) -> Case:
    """The case after this event. Pure: the same case and event give the same, always.

    Raises:
        ValueError: the event does not follow the case's last one.
    """
    if event.seq != case.seq + 1:
        msg = f"event {event.seq} does not follow {case.seq}"
        raise ValueError(msg)
    change = _CHANGES.get(event.event, _only_the_log)
    return case.model_copy(update={"seq": event.seq, **change(case, event, event.told())})


def replay(case_id: str, log: Iterable[Event]) -> Case:
    """The case that this log tells of."""
    first, *rest = log
    return reduce(evolve, rest, opened(case_id, first))


def _only_the_log(_case: Case, _event: Event, _told: Detail) -> dict[str, object]:
    return {}


def _moment_done(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    said = cast("Notified | ManagerAlerted", told)
    if said.moment is None:
        return {}
    if not said.handover:
        return _done(case, said.moment)
    handover = case.handover and case.handover.model_copy(update={"done": said.moment + 1})
    return {"handover": handover}


def _done(case: Case, moment: int) -> dict[str, object]:
    return {"done": max(case.done, moment + 1)}


def _escalated(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    raised = cast("Escalated", told)
    highest = max(case.highest_level, raised.level)
    return {"escalation_level": raised.level, "highest_level": highest, **_done(case, raised.moment)}


def _offered(case: Case, event: Event, told: Detail) -> dict[str, object]:
    made = cast("Offered", told)
    new = tuple(
        OfferView(offer=offer.offer, unit=offer.unit, profession=case.profession, why=made.why, since=event.at)
        for offer in made.offers
    )
    return {
        "offers": case.offers + new,
        "asked": _also_asked(case, *(offer.unit for offer in new)),
        **_done(case, made.moment),
    }


def _also_asked(case: Case, *units: str) -> tuple[str, ...]:
    return case.asked + tuple(unit for unit in units if unit not in case.asked)


def _accepted(case: Case, event: Event, told: Detail) -> dict[str, object]:
    taken = cast("Accepted", told)
    return {
        "status": Status.ACCEPTED,
        "offers": (),
        "accepted_at": event.at,
        "accepted_by_unit": taken.unit,
        "was_late": case.was_late or case.is_overdue(event.at),
        **_held(taken),
    }


def _held(taken: Accepted | HandedOver) -> dict[str, object]:
    return {
        "responsible_unit": taken.unit,
        "holder": StaffMember(staff=taken.staff, unit=taken.unit, profession=taken.profession),
        **(_phase(taken.plan) if taken.plan else {}),
    }


def _handover_requested(case: Case, event: Event, told: Detail) -> dict[str, object]:
    asked = cast("HandoverRequested", told)
    handover = Handover(
        offer=asked.offer,
        to_unit=asked.to_unit,
        to_profession=asked.to_profession,
        to_staff=asked.to_staff,
        ground=asked.ground,
        reference=asked.reference,
        by=cast("StaffMember", event.by),
        at=event.at,
        plan=asked.plan,
    )
    return {"handover": handover, "asked": _also_asked(case, asked.to_unit)}


def _handed_over(case: Case, event: Event, told: Detail) -> dict[str, object]:
    taken = cast("HandedOver", told)
    to_profession = case.handover.to_profession if case.handover else None
    moved = {"handover": None, "profession": to_profession or case.profession}
    if case.status is Status.ACCEPTED:
        # Somebody had accepted it in its time already; it has another holder now.
        return moved | _held(taken)
    return moved | _accepted(case, event, taken)


def _no_handover(_case: Case, _event: Event, _told: Detail) -> dict[str, object]:
    return {"handover": None}


def _consulted(case: Case, event: Event, told: Detail) -> dict[str, object]:
    asked = cast("Consulted", told)
    by = cast("StaffMember", event.by)
    new = Consultation(case_id=asked.consultation, to_unit=asked.to_unit, asked_by=by.unit)
    return {"consultations": (*case.consultations, new)}


def _answered(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    answer = cast("Answered", told)
    update = {"takes_over": answer.takes_over, "answered_by": answer.unit}
    return _consultation(case, answer.consultation, ConsultationStatus.ANSWERED, **update)


def _refused(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    return _consultation(case, cast("Refused", told).consultation, ConsultationStatus.REFUSED)


def _consultation_withdrawn(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    ended = cast("ConsultationWithdrawn", told)
    return _consultation(case, ended.consultation, ended.status)


def _consultation(case: Case, which: str | None, status: ConsultationStatus, **update: object) -> dict[str, object]:
    """The case's consultations, of which this one (none, in a consultation's own log) has come so far."""
    ended = {"status": status, **update}
    return {
        "consultations": tuple(
            each.model_copy(update=ended) if each.case_id == which else each for each in case.consultations
        )
    }


def _released(case: Case, event: Event, told: Detail) -> dict[str, object]:
    plan = cast("Released", told).plan
    return {
        "status": Status.WAITING,
        "holder": None,
        "offers": (),
        "asked": (case.responsible_unit, *((case.handover.to_unit,) if case.handover else ())),
        "accepted_at": None,
        "accepted_by_unit": None,
        "escalation_level": 0,
        "accept_by": plan.due_at,
        # A consultation's clock has gone on while somebody had it.
        "was_late": case.was_late or (case.is_being_answered and case.is_overdue(event.at)),
        **_phase(plan),
    }


def _reprioritised(case: Case, event: Event, told: Detail) -> dict[str, object]:
    new = cast("Reprioritised", told)
    changed: dict[str, object] = {"priority": new.priority, **_phase(new.plan)}
    if case.handover and new.answer_plan:
        told_before = {"was_told": case.handover.is_told}
        changed["handover"] = case.handover.model_copy(update=told_before | _phase(new.answer_plan))
    if case.status is Status.WAITING or case.is_being_answered:
        # Who may take it may take it still: a new clock takes nobody's offer away.
        changed |= {"was_late": case.was_late or case.is_overdue(event.at), "accept_by": new.plan.due_at}
    return changed


def _left_at_closing(case: Case, _event: Event, told: Detail) -> dict[str, object]:
    return _done(case, cast("LeftAtClosing", told).moment)


def _closed(case: Case, event: Event, told: Detail) -> dict[str, object]:
    outcome = told.outcome if isinstance(told, Closed) else Outcome.CANCELLED
    waited = case.status is Status.WAITING or case.is_being_answered
    return {
        "status": Status.CLOSED,
        "offers": (),
        "handover": None,
        "consultations": tuple(
            each.model_copy(update={"status": ConsultationStatus.NOT_NEEDED})
            if each.status is ConsultationStatus.OPEN
            else each
            for each in case.consultations
        ),
        "closed_at": event.at,
        "outcome": outcome,
        "was_late": case.was_late or (waited and case.is_overdue(event.at)),
    }


def _phase(plan: Plan) -> dict[str, object]:
    return {"plan": plan, "done": 0}


_CHANGES: Final[dict[EventName, Callable[[Case, Event, Detail], dict[str, object]]]] = {
    EventName.NOTIFIED: _moment_done,
    EventName.MANAGER_ALERTED: _moment_done,
    EventName.ESCALATED: _escalated,
    EventName.OFFERED: _offered,
    EventName.ACCEPTED: _accepted,
    EventName.HANDOVER_REQUESTED: _handover_requested,
    EventName.HANDED_OVER: _handed_over,
    EventName.HANDOVER_REFUSED: _no_handover,
    EventName.HANDOVER_WITHDRAWN: _no_handover,
    EventName.CONSULTED: _consulted,
    EventName.ANSWERED: _answered,
    EventName.REFUSED: _refused,
    EventName.CONSULTATION_WITHDRAWN: _consultation_withdrawn,
    EventName.RELEASED: _released,
    EventName.REPRIORITISED: _reprioritised,
    EventName.LEFT_AT_CLOSING: _left_at_closing,
    EventName.CLOSED: _closed,
    EventName.CANCELLED: _closed,
}
