"""Everything that says what may happen to a case stands in this file: the table, and ``evolve``.

A case is a state machine. The *table* says, for each kind and each status, which actions it has; an action that is in
no row of a kind is ``WrongKind``. The rules of an action (who may, and what it does) are in the rooms beside this one;
they answer with events. ``evolve`` turns an event into the next state, and nothing else ever does, so that the log put
through ``evolve`` again gives the case back, in a test or after a disaster.

What has an action in the table but no rule yet is refused, and says so: see ``decisions.decide``.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import reduce
from typing import Final, cast

from decisions.case import Case
from omhand.contract.events import (
    Accepted,
    Closed,
    Detail,
    Escalated,
    Event,
    ManagerAlerted,
    Notified,
    Offered,
    Opened,
    Released,
    Reprioritised,
)
from omhand.contract.names import ActionName, EventName, Kind, Outcome, Phase, Status
from omhand.contract.opening import StaffMember
from omhand.contract.plan import Plan
from omhand.contract.view import OfferView

OPEN_VISIT: Final = frozenset({
    ActionName.ACCEPT,
    ActionName.REFUSE,
    ActionName.HAND_OVER,
    ActionName.WITHDRAW,
    ActionName.CONSULT,
    ActionName.REPRIORITISE,
    ActionName.NOTE,
    ActionName.CANCEL,
})  # fmt: skip

TABLE: Final[dict[Kind, dict[Status, frozenset[ActionName]]]] = {
    Kind.DROP_IN_VISIT: {
        Status.WAITING: OPEN_VISIT,
        Status.ACCEPTED: OPEN_VISIT | {ActionName.RELEASE, ActionName.CLOSE},
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
    return case.model_copy(update={"seq": event.seq, **change(case, event.at, event.told())})


def replay(case_id: str, log: Iterable[Event]) -> Case:
    """The case that this log tells of."""
    first, *rest = log
    return reduce(evolve, rest, opened(case_id, first))


def _only_the_log(_case: Case, _at: datetime, _told: Detail) -> dict[str, object]:
    return {}


def _moment_done(case: Case, _at: datetime, told: Detail) -> dict[str, object]:
    moment = cast("Notified | ManagerAlerted", told).moment
    return {} if moment is None else {"done": max(case.done, moment + 1)}


def _escalated(case: Case, at: datetime, told: Detail) -> dict[str, object]:
    level = cast("Escalated", told).level
    return {"escalation_level": level, "highest_level": max(case.highest_level, level), **_moment_done(case, at, told)}


def _offered(case: Case, at: datetime, told: Detail) -> dict[str, object]:
    made = cast("Offered", told)
    new = tuple(
        OfferView(offer=offer.offer, unit=offer.unit, profession=case.profession, why=made.why, since=at)
        for offer in made.offers
    )
    asked = case.asked + tuple(offer.unit for offer in new if offer.unit not in case.asked)
    return {"offers": case.offers + new, "asked": asked, **_moment_done(case, at, told)}


def _accepted(case: Case, at: datetime, told: Detail) -> dict[str, object]:
    taken = cast("Accepted", told)
    return {
        "status": Status.ACCEPTED,
        "responsible_unit": taken.unit,
        "holder": StaffMember(staff=taken.staff, unit=taken.unit, profession=taken.profession),
        "offers": (),
        "accepted_at": at,
        "accepted_by_unit": taken.unit,
        "was_late": case.was_late or case.is_overdue(at),
        **_phase(taken.plan),
    }


def _released(case: Case, _at: datetime, told: Detail) -> dict[str, object]:
    plan = cast("Released", told).plan
    return {
        "status": Status.WAITING,
        "holder": None,
        "offers": (),
        "asked": (case.responsible_unit,),
        "accepted_at": None,
        "accepted_by_unit": None,
        **_waits_anew(plan),
    }


def _reprioritised(case: Case, at: datetime, told: Detail) -> dict[str, object]:
    new = cast("Reprioritised", told)
    if new.plan.phase is not Phase.WAITING:
        return {"priority": new.priority, **_phase(new.plan)}
    return {
        "priority": new.priority,
        "was_late": case.was_late or case.is_overdue(at),
        # Who may take it may take it still: a new clock takes nobody's offer away.
        "accept_by": new.plan.due_at,
        **_phase(new.plan),
    }


def _closed(case: Case, at: datetime, outcome: Outcome) -> dict[str, object]:
    return {
        "status": Status.CLOSED,
        "offers": (),
        "closed_at": at,
        "outcome": outcome,
        "was_late": case.was_late or (case.status is Status.WAITING and case.is_overdue(at)),
    }


def _phase(plan: Plan) -> dict[str, object]:
    return {"plan": plan, "done": 0}


def _waits_anew(plan: Plan) -> dict[str, object]:
    return {"escalation_level": 0, "accept_by": plan.due_at, **_phase(plan)}


_CHANGES: Final[dict[EventName, Callable[[Case, datetime, Detail], dict[str, object]]]] = {
    EventName.NOTIFIED: _moment_done,
    EventName.MANAGER_ALERTED: _moment_done,
    EventName.ESCALATED: _escalated,
    EventName.OFFERED: _offered,
    EventName.ACCEPTED: _accepted,
    EventName.RELEASED: _released,
    EventName.REPRIORITISED: _reprioritised,
    EventName.CLOSED: lambda case, at, told: _closed(case, at, cast("Closed", told).outcome),
    EventName.CANCELLED: lambda case, at, _told: _closed(case, at, Outcome.CANCELLED),
}
