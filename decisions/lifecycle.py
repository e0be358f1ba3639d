"""Everything that says what may happen to a case stands in this file: the table, and ``evolve``.

A case is a state machine. The *table* says, for each kind and each status, which actions it has; an action that is in
no row of a kind is ``WrongKind``. The rules of an action (who may, and what it does) are in the rooms beside this one;
they answer with events. ``evolve`` turns an event into the next state, and nothing else ever does, so that the log put
through ``evolve`` again gives the case back, in a test or after a disaster.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Final, cast

from decisions.case import Case
from decisions.changes import CHANGES, accept_by, only_the_log, waits_as
from omhand.contract.events import Event, Opened
from omhand.contract.names import ActionName, Kind, Status

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

BOOKING: Final = frozenset({ActionName.BOOK, ActionName.CANCEL_BOOKING})

WRITING: Final = frozenset({ActionName.REPLY, ActionName.MESSAGE})

TAKEN_AND_CLOSED: Final = {Status.WAITING: OPEN, Status.ACCEPTED: OPEN | HELD, Status.CLOSED: frozenset[ActionName]()}

TABLE: Final[dict[Kind, dict[Status, frozenset[ActionName]]]] = {
    Kind.DROP_IN_VISIT: TAKEN_AND_CLOSED,
    Kind.SCHEDULED_VISIT: {
        Status.TICKET: OPEN | BOOKING,
        Status.BOOKED: OPEN | BOOKING,
        Status.WAITING: OPEN | BOOKING,
        Status.ACCEPTED: OPEN | HELD | BOOKING,
        Status.CLOSED: frozenset(),
    },
    Kind.ADMINISTRATIVE_CASE: {
        Status.WAITING: OPEN | WRITING,
        Status.ACCEPTED: OPEN | HELD | WRITING,
        Status.CLOSED: frozenset(),
    },
    Kind.CONSULTATION: {
        Status.WAITING: OPEN | ANSWER,
        Status.ACCEPTED: OPEN | HELD | ANSWER,
        Status.CLOSED: frozenset(),
    },
    Kind.PHONE_CONSULTATION: TAKEN_AND_CLOSED,
    Kind.MESSAGE_THREAD: {
        Status.WAITING: OPEN | WRITING,
        Status.ACCEPTED: OPEN | HELD | WRITING,
        # Somebody may have it all the same: who closes it has taken it before.
        Status.IDLE: OPEN | HELD | WRITING,
        Status.CLOSED: frozenset(),
    },
}
"""kind and status: the actions that it has then."""


def actions_of(kind: Kind) -> frozenset[ActionName]:
    """Every action that a case of this kind has in some status."""
    return frozenset[ActionName]().union(*TABLE[kind].values())


def opened(case_id: str, event: Event) -> Case:
    """The case that its first event makes."""
    told = cast("Opened", event.told())
    return Case(
        case_id=case_id,
        kind=told.kind,
        status=waits_as(told.plan),
        priority=told.priority,
        profession=told.profession,
        origin=told.origin,
        received_by=told.unit,
        responsible_unit=told.unit,
        asked=(told.unit,),
        plan=told.plan,
        accept_by=accept_by(told.plan),
        asker=told.asker,
        addressee=told.to.staff if told.to else None,
        patient_region=told.patient_region,
        out_of_region=told.out_of_region,
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
    change = CHANGES.get(event.event, only_the_log)
    return case.model_copy(update={"seq": event.seq, **change(case, event, event.told())})


def replay(case_id: str, log: Iterable[Event]) -> Case:
    """The case that this log tells of."""
    first, *rest = log
    return reduce(evolve, rest, opened(case_id, first))
