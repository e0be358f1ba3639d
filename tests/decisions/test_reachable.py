"""Every state that a case can come to, found one from another, and what must hold in each of them (architecture.md).

Three units that never close, one member of staff at each, and short ladders: small enough to be searched to the end,
large enough for everything that meets: an escalation, a handover, consultations, the passing of time, and refusals. Two
cases are the same state where no rule could tell them apart: instants count by how far they lie ahead, offers by whose
they are; numbers in the log and what is kept for reports only do not count.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    SOUTH,
    By,
    answered,
    ladder,
    on,
    region,
)  # fmt: skip
from what_must_hold import follows, holds, plans_are_sound

from decisions import decide as rules
from decisions.case import Case, Consultation, next_of
from decisions.effects import Decision, Refusal
from decisions.facts import Facts, Question, answer, question
from decisions.lifecycle import evolve
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
    units={"HC01": ALWAYS_OPEN, "HC02": ALWAYS_OPEN, "HC03": ALWAYS_OPEN, "JOUR": {"professions": ["dietitian"]}},
)
"""JOUR is there, and has nobody for such a case: three units are enough."""

UNITS: Final = (NORTH, SOUTH, EAST)
AT: Final[dict[str, By]] = {NORTH: DOCTOR_NORTH, SOUTH: DOCTOR_SOUTH, EAST: NURSE_EAST}
NEXT_TO: Final = {NORTH: SOUTH, SOUTH: EAST, EAST: NORTH}
MOST_CONSULTATIONS: Final = 2
"""Of SOUTH, by NORTH: what comes of them meets a case that NORTH, SOUTH or EAST has by then."""
REACHABLE: Final = {Kind.DROP_IN_VISIT: 1942, Kind.PHONE_CONSULTATION: 1942}
"""So many states there are: one more or less, and a rule has changed."""


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
        )  # fmt: skip

    def _ahead(self, plan: Plan, done: int) -> timedelta | None:
        """How far ahead the next of the plan's own moments lies; None where the watch has begun."""
        return next_of(plan, done).at - self.now if done < len(plan.moments) else None


def _what_is_read(each: Consultation) -> tuple[str, ...]:
    """What a rule can still do with a consultation, and for whom."""
    if each.status is ConsultationStatus.OPEN:
        return each.status, each.to_unit, each.asked_by
    if each.status is ConsultationStatus.WITHDRAWN:
        return each.status, each.to_unit
    return ("agreed", each.answered_by or "") if each.takes_over else ("done",)


def first(kind: Kind) -> State:
    opening = Opening.model_validate(OPENINGS[kind])
    facts = answer_opening(kind, opening, MONDAY_9, REGION)
    return State(rules.open_case(kind, opening, facts, MONDAY_9).case, MONDAY_9)


# What may come next -----------------------------------------------------------------------------------------------


def acts(case: Case) -> Iterator[tuple[ActionName, By, dict[str, Any]]]:
    """Everything that somebody at one of the units may try, rightly or not."""
    for unit, who in AT.items():
        yield ActionName.ACCEPT, who, {}
        yield ActionName.REFUSE, who, {"reason": "x"}
        if case.handover and case.offer_to(unit) and case.is_handed_to(unit):
            yield ActionName.ACCEPT, who, {"offer": case.offer_to(unit).offer}  # type: ignore[union-attr]
    own, stranger = AT[case.responsible_unit], AT[NEXT_TO[case.responsible_unit]]
    for who in (own, stranger):
        yield ActionName.WITHDRAW, who, {}
        yield ActionName.RELEASE, who, {"reason": "x"}
        yield ActionName.CLOSE, who, {"outcome": "treated", "held_as": "chat"}
    yield ActionName.CLOSE, own, {"outcome": "treated", "held_as": "phone"}
    for unit in UNITS:
        yield ActionName.HAND_OVER, own, {"to_unit": unit, "ground": "misplaced"}
    for each in case.consultations:
        yield ActionName.WITHDRAW, own, {"consultation": each.case_id}
        agreed = {"ground": "after_consultation", "reference": each.case_id}
        yield ActionName.HAND_OVER, own, {"to_unit": each.to_unit} | agreed
    if len(case.consultations) < MOST_CONSULTATIONS:
        yield ActionName.CONSULT, AT[NORTH], {"to_unit": SOUTH, "question": "x"}


@cache
def action_of(name: ActionName, unit: str, payload: tuple[tuple[str, Any], ...]) -> Action:
    return read(ACTIONS[name], {"by": AT[unit], **dict(payload)})


@cache
def facts_of(asked: Question) -> Facts:
    """Looked up once for each question: the same is asked in many states."""
    return answer(asked, REGION)


def decided(state: State, action: Action) -> Decision | Refusal:
    facts = facts_of(question(state.case, action, state.now))
    return rules.decide(state.case, action, state.now, facts)


def ends_of_consultations(state: State) -> Iterator[Decision]:
    for each in state.case.consultations:
        for takes_over in (True, False):
            news = answered(each.case_id, AT[each.to_unit], takes_over=takes_over)
            yield rules.consultations_ended(state.case, (news,), state.now)


def next_in_time(state: State) -> State | None:
    """The next moment of the ladders; after them the manager is told daily, which makes no other state."""
    moments = [next_of(state.case.plan, state.case.done)] if state.case.done < len(state.case.plan.moments) else []
    pending = state.case.handover
    if pending and pending.done < len(pending.plan.moments):
        moments.append(pending.next_moment)
    if not state.case.is_open or not moments:
        return None
    now = min(moment.at for moment in moments)
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
        action = action_of(name, who["unit"], tuple(payload.items()))
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
    """Each once, from the opening on, and every code that was answered on the way."""
    begin = first(kind)
    found = {begin.key(): begin}
    waiting = deque([begin])
    refusals: set[Code] = set()
    while waiting:
        for state in following(waiting.popleft(), refusals):
            key = state.key()
            if key not in found:
                holds(state.case, REGION, state.now)
                found[key] = state
                waiting.append(state)
    return found, refusals


@pytest.mark.parametrize("kind", REACHABLE)
def test_in_every_state_that_a_case_can_come_to_what_must_hold_holds(kind: Kind, record_property: Any) -> None:
    # H3 K5b P4
    found, refusals = every_state(kind)
    record_property("states", len(found))
    assert len(found) == REACHABLE[kind]
    assert {state.case.status for state in found.values()} == {Status.WAITING, Status.ACCEPTED, Status.CLOSED}
    assert {state.case.responsible_unit for state in found.values()} == set(UNITS)
    # What was tried wrongly, and led nowhere.
    expected = {
        Code.INVALID_ACTION, Code.NOT_OFFERED, Code.NOT_RESPONSIBLE, Code.ALREADY_ACCEPTED, Code.NOT_ACCEPTED,
        Code.MAY_NOT_BE_REFUSED, Code.NOTHING_PENDING, Code.HANDOVER_PENDING, Code.GROUND_NOT_MET, Code.CASE_CLOSED,
    }  # fmt: skip
    assert refusals == expected | ({Code.MUST_BE_DIGITAL} if kind is Kind.DROP_IN_VISIT else set())
