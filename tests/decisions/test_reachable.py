"""Every state that a case can come to, found one from another, and what must hold in each of them (architecture.md).

Three units that never close, one member of staff at each, and short ladders: small enough to be searched to the end,
large enough for everything that meets: an escalation, a handover, consultations, the passing of time, and refusals. A
visit has a ticket and two times beside, and a patient writes where somebody may; these are searched without
consultations, which are the same for every kind. Two cases are the same state where no rule could tell them apart:
instants count by how far they lie ahead, offers by whose they are; numbers in the log and what is kept for reports only
do not count.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import pytest
from small_region import (
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    EVERY_DAY,
    MONDAY_9,
    NORTH,
    NOTIFY,
    NURSE_EAST,
    OPENINGS,
    PATIENT,
    S_DOCTOR,
    SOUTH,
    By,
    a_slot,
    answered,
    ladder,
    local,
    on,
    region,
)  # fmt: skip
from what_must_hold import follows, holds, plans_are_sound

from decisions import decide as rules
from decisions.case import Case, Consultation, next_of
from decisions.effects import Decision, Refusal
from decisions.facts import Facts, Question, answer, question
from decisions.lifecycle import TABLE, evolve
from decisions.receiving import answer_opening
from omhand.contract.actions import ACTIONS, Action
from omhand.contract.names import ActionName, Code, ConsultationStatus, Kind, Status
from omhand.contract.opening import Opening
from omhand.contract.plan import Plan
from omhand.contract.wire import read

TEN_MINUTES: Final = {"after": "PT10M"}
ALWAYS_OPEN: Final = {"opening": on(EVERY_DAY, "00:00-24:00"), "professions": ["doctor", "nurse"]}
REGION: Final = region(
    ladder("waiting", NOTIFY, TEN_MINUTES | {"do": "offer", "to": "every_unit"}, clock="always", due="PT10M"),
    ladder("accepted", TEN_MINUTES | {"do": "alert_manager"}, clock="always", due="PT10M"),
    ladder("handover", NOTIFY, clock="always", due="PT10M"),
    ladder("ticket", NOTIFY, clock="always", due="PT40M"),
    ladder("message", NOTIFY, TEN_MINUTES | {"do": "offer", "to": "every_unit"}, clock="always", due="PT10M"),
    units={"HC01": ALWAYS_OPEN, "HC02": ALWAYS_OPEN, "HC03": ALWAYS_OPEN, "JOUR": {"professions": ["dietitian"]}},
    staff={S_DOCTOR: {"absent": [{"first_day": "2026-11-23", "last_day": "2027-11-23"}]}},
)
"""JOUR is there, and has nobody for such a case: three units are enough. What a patient writes to SOUTH's doctor comes
to the unit, as they are away (K6b)."""

UNITS: Final = (NORTH, SOUTH, EAST)
AT: Final[dict[str, By]] = {NORTH: DOCTOR_NORTH, SOUTH: DOCTOR_SOUTH, EAST: NURSE_EAST}
NEXT_TO: Final = {NORTH: SOUTH, SOUTH: EAST, EAST: NORTH}
MOST_CONSULTATIONS: Final = 2
"""Of SOUTH, by NORTH: what comes of them meets a case that NORTH, SOUTH or EAST has by then."""
REACHABLE: Final = {
    Kind.DROP_IN_VISIT: 1942,
    Kind.SCHEDULED_VISIT: 3036,
    Kind.ADMINISTRATIVE_CASE: 260,
    Kind.PHONE_CONSULTATION: 1942,
    Kind.MESSAGE_THREAD: 917,
}
"""So many states there are: one more or less, and a rule has changed."""
TICKET: Final = {"valid_from": "2026-11-23T09:00:00+01:00", "valid_until": "2026-11-23T09:30:00+01:00"}
MORE_URGENT: Final = 2
"""The priority that a case that has one may get, once."""
SLOTS: Final = {
    slot.id: slot
    for slot in (
        a_slot("2026-11-23 09:10", NORTH),
        a_slot("2026-11-23 09:20", SOUTH),
        a_slot("2026-11-23 09:20", EAST, held_by="c-other"),
    )
}
TIMES: Final = sorted({slot.starts_at for slot in SLOTS.values()} | {local("2026-11-23 09:30")})
"""The instants that are what they are however far ahead they lie."""


@dataclass(frozen=True, slots=True)
class State:
    """A case at an instant."""

    case: Case
    now: datetime

    def key(self) -> Hashable:
        """What tells this state from another one."""
        case = self.case
        if not case.is_open:
            return case.outcome, frozenset(each.status for each in case.consultations)
        pending = case.handover
        return (
            case.status, case.responsible_unit, case.holder and case.holder.staff, case.escalation_level,
            frozenset((offer.unit, offer.why) for offer in case.offers), frozenset(case.asked),
            self._ahead(case.plan, case.done), case.is_overdue(self.now),
            pending and (pending.to_unit, pending.is_told, self._ahead(pending.plan, pending.done)),
            tuple(sorted(map(_what_is_read, case.consultations))),
            case.ticket and case.ticket.unit, case.booking and case.booking.slot, self.times_ahead(),
            case.unanswered_since is not None, case.answers_for, case.priority,
        )  # fmt: skip

    def _ahead(self, plan: Plan, done: int) -> Hashable:
        """The plan's own moments that are to come, and how far ahead they lie; none where the watch has begun."""
        if self.case.status is Status.IDLE and plan is self.case.plan:
            return ()
        return tuple((moment.at - self.now, moment.do, moment.units, moment.staff) for moment in plan.moments[done:])

    def times_ahead(self) -> tuple[datetime, ...]:
        """A visit's times that have not passed, and its ticket's end."""
        if self.case.kind is not Kind.SCHEDULED_VISIT or not self.case.is_open:
            return ()
        return tuple(at for at in TIMES if at > self.now)


def _what_is_read(each: Consultation) -> tuple[str, ...]:
    """What a rule can still do with a consultation, and for whom."""
    if each.status is ConsultationStatus.OPEN:
        return each.status, each.to_unit, each.asked_by
    if each.status is ConsultationStatus.WITHDRAWN:
        return each.status, each.to_unit
    return ("agreed", each.answered_by or "") if each.takes_over else ("done",)


BEGINNINGS: Final[dict[Kind, tuple[dict[str, Any], ...]]] = {
    Kind.SCHEDULED_VISIT: (
        {"ticket": TICKET},
        {"ticket": None, "booking": {"slot": min(SLOTS)}, "origin": "unit", "asked_by": DOCTOR_NORTH},
    ),
    Kind.MESSAGE_THREAD: (
        {"priority": 3},
        {"priority": 3, "origin": "unit", "asked_by": DOCTOR_NORTH, "to": {"relation": "unit_chat"}},
    ),
}
"""With a ticket and without one; a patient writes, or a unit. Others begin as they always do."""


def firsts(kind: Kind) -> Iterator[State]:
    for more in BEGINNINGS.get(kind, ({},)):
        opening = Opening.model_validate(OPENINGS[kind] | more)
        slot = SLOTS[opening.booking.slot] if opening.booking else None
        facts = answer_opening(kind, opening, MONDAY_9, REGION, slot)
        yield State(rules.open_case(kind, opening, facts, MONDAY_9).case, MONDAY_9)


# What may come next -----------------------------------------------------------------------------------------------


Acts = Iterator[tuple[ActionName, By, dict[str, Any]]]


def acts(case: Case) -> Acts:
    """Everything that somebody at one of the units may try, rightly or not."""
    yield from takes(case)
    own, stranger = AT[case.responsible_unit], AT[NEXT_TO[case.responsible_unit]]
    for who in (own, stranger):
        yield ActionName.WITHDRAW, who, {}
        yield ActionName.RELEASE, who, {"reason": "x"}
        yield ActionName.CLOSE, who, {"outcome": "treated", "held_as": "chat"}
    yield ActionName.CLOSE, own, {"outcome": "treated", "held_as": "phone"}
    for unit in UNITS:
        yield ActionName.HAND_OVER, own, {"to_unit": unit, "ground": "misplaced"}
    yield from EVERY_ALPHABET[case.kind](case)


def takes(case: Case) -> Acts:
    """Who may take it, or say no."""
    for unit, who in AT.items():
        yield ActionName.ACCEPT, who, {}
        yield ActionName.REFUSE, who, {"reason": "x"}
        if case.handover and case.offer_to(unit) and case.is_handed_to(unit):
            yield ActionName.ACCEPT, who, {"offer": case.offer_to(unit).offer}  # type: ignore[union-attr]


def consults(case: Case) -> Acts:
    own = AT[case.responsible_unit]
    for each in case.consultations:
        yield ActionName.WITHDRAW, own, {"consultation": each.case_id}
        agreed = {"ground": "after_consultation", "reference": each.case_id}
        yield ActionName.HAND_OVER, own, {"to_unit": each.to_unit} | agreed
    if len(case.consultations) < MOST_CONSULTATIONS:
        yield ActionName.CONSULT, AT[NORTH], {"to_unit": SOUTH, "question": "x"}


def books(case: Case) -> Acts:
    for slot in (*SLOTS, "there is none"):
        yield ActionName.BOOK, PATIENT, {"slot": slot}
    for who in (AT[case.responsible_unit], AT[EAST]):
        yield ActionName.CANCEL_BOOKING, who, {}
        yield ActionName.BOOK, who, {"slot": min(SLOTS)}
    yield ActionName.CANCEL, PATIENT, {"reason": "x"}


def writes(case: Case) -> Acts:
    yield ActionName.MESSAGE, PATIENT, {"text": "x"}
    yield ActionName.CANCEL, PATIENT, {"reason": "x"}
    if case.priority != MORE_URGENT:
        yield ActionName.REPRIORITISE, AT[case.responsible_unit], {"priority": MORE_URGENT, "reason": "x"}
    for who in (AT[case.responsible_unit], AT[NEXT_TO[case.responsible_unit]]):
        yield ActionName.REPLY, who, {"text": "x"}


EVERY_ALPHABET: Final[dict[Kind, Callable[[Case], Acts]]] = {
    Kind.DROP_IN_VISIT: consults,
    Kind.SCHEDULED_VISIT: books,
    Kind.ADMINISTRATIVE_CASE: writes,
    Kind.PHONE_CONSULTATION: consults,
    Kind.MESSAGE_THREAD: writes,
}


@cache
def action_of(name: ActionName, unit: str | None, payload: tuple[tuple[str, Any], ...]) -> Action:
    return read(ACTIONS[name], {"by": AT[unit] if unit else PATIENT, **dict(payload)})


@cache
def facts_of(asked: Question) -> Facts:
    """Looked up once for each question: the same is asked in many states."""
    return answer(asked, REGION, SLOTS.get(asked.slot or ""))


def decided(state: State, action: Action) -> Decision | Refusal:
    facts = facts_of(question(state.case, action, state.now))
    return rules.decide(state.case, action, state.now, facts)


def ends_of_consultations(state: State) -> Iterator[Decision]:
    for each in state.case.consultations:
        for takes_over in (True, False):
            news = answered(each.case_id, AT[each.to_unit], takes_over=takes_over)
            yield rules.consultations_ended(state.case, (news,), state.now)


def next_in_time(state: State) -> State | None:
    """The next moment of the ladders, or of a visit's times; after them the manager is told daily: no other state."""
    case, pending = state.case, state.case.handover
    instants = [*state.times_ahead()]
    if case.status is not Status.IDLE and case.done < len(case.plan.moments):
        instants.append(next_of(case.plan, case.done).at)
    if pending and pending.done < len(pending.plan.moments):
        instants.append(pending.next_moment.at)
    if not case.is_open or not instants:
        return None
    now = min(instants)
    decision = rules.tick(state.case, now)
    return State(checked(state.case, decision, now), now)


# The search -------------------------------------------------------------------------------------------------------


def checked(before: Case, decision: Decision, now: datetime) -> Case:
    """The case after the decision, each of whose events moves it only as it may."""
    case = before
    for event in decision.events:
        after = evolve(case, event)
        follows(case, event, after, now)
        plans_are_sound(case, after, REGION)
        case = after
    assert case == decision.case
    return case


def following(state: State, refusals: set[Code]) -> Iterator[State]:
    """Every state that the next thing leads to. What is refused leads nowhere."""
    for name, who, payload in acts(state.case):
        action = action_of(name, who.get("unit"), tuple(payload.items()))
        result = decided(state, action)
        if isinstance(result, Refusal):
            refusals.add(result.code)
        else:
            yield State(checked(state.case, result, state.now), state.now)
    for decision in ends_of_consultations(state):
        yield State(checked(state.case, decision, state.now), state.now)
    later = next_in_time(state)
    if later:
        yield later


def every_state(kind: Kind) -> tuple[dict[Hashable, State], set[Code]]:
    """Each once, from the openings on, and every code that was answered on the way."""
    found = {begin.key(): begin for begin in firsts(kind)}
    waiting = deque(found.values())
    refusals: set[Code] = set()
    while waiting:
        state = waiting.popleft()
        holds(state.case, REGION, state.now)
        for later in following(state, refusals):
            key = later.key()
            if key not in found:
                found[key] = later
                waiting.append(later)
    return found, refusals


ALWAYS_TRIED: Final = {
    Code.INVALID_ACTION, Code.NOT_OFFERED, Code.NOT_RESPONSIBLE, Code.ALREADY_ACCEPTED, Code.NOT_ACCEPTED,
    Code.MAY_NOT_BE_REFUSED, Code.NOTHING_PENDING, Code.HANDOVER_PENDING, Code.CASE_CLOSED,
}  # fmt: skip
TRIED: Final = {
    Kind.DROP_IN_VISIT: ALWAYS_TRIED | {Code.GROUND_NOT_MET, Code.MUST_BE_DIGITAL},
    Kind.SCHEDULED_VISIT: ALWAYS_TRIED
    | {Code.MUST_BE_DIGITAL, Code.SLOT_TAKEN, Code.TICKET_NOT_VALID, Code.UNKNOWN_SLOT},
    Kind.ADMINISTRATIVE_CASE: ALWAYS_TRIED | {Code.WRONG_KIND},
    Kind.PHONE_CONSULTATION: ALWAYS_TRIED | {Code.GROUND_NOT_MET},
    Kind.MESSAGE_THREAD: ALWAYS_TRIED,
}
"""What was tried wrongly, and led nowhere."""


@pytest.mark.parametrize("kind", REACHABLE)
def test_in_every_state_that_a_case_can_come_to_what_must_hold_holds(kind: Kind, record_property: Any) -> None:
    # H3 K2a K3 K5b K6a K6b P3 P4
    found, refusals = every_state(kind)
    record_property("states", len(found))
    assert len(found) == REACHABLE[kind]
    assert {state.case.status for state in found.values()} == set(TABLE[kind])
    assert {state.case.responsible_unit for state in found.values()} == set(UNITS)
    assert refusals == TRIED[kind]
