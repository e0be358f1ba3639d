"""Every action, by everybody, on a case of every kind in every status: decided, or refused as the contract says (§2).

What is the answer as long as the first checks fail is said here once more, by the words of the contract, and compared.
What comes after them (``THE_REST``) is for the tests of each rule.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, Final

import pytest
from small_region import (
    CLERK_NORTH,
    CLERK_SOUTH,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    JOUR,
    N_DOCTOR,
    N_NURSE,
    NORTH,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    PATIENT,
    S_CLERK,
    SOUTH,
    By,
    Told,
    a_slot,
    by,
    region,
    told,
)
from what_may_come import ASKING, EVERY_KIND, WRITING
from what_must_hold import follows, holds

from decisions import decide as rules
from decisions.case import Case
from decisions.effects import Decision, Refusal
from decisions.facts import Facts, Question, answer, question
from decisions.lifecycle import TABLE, evolve
from omhand.contract.names import ActionName, Code, Kind, Status

REGION: Final = region(EVERY_KIND, ASKING, WRITING)
SLOTS: Final = (
    a_slot("2026-11-24 10:00", id="first"),
    a_slot("2026-11-26 10:00", SOUTH, id="free"),
    a_slot("2026-11-26 11:00", SOUTH, id="taken", held_by="c-other"),
    a_slot("2026-11-26 10:00", SOUTH, "nurse", id="nurses"),
    a_slot("2026-12-24 10:00", id="late"),
    a_slot("2026-11-23 09:00", id="gone"),
)
GHOST: Final = by("SE2321000198-S999", NORTH, "nurse")
UNTRUE: Final = by(N_NURSE, NORTH, "doctor")
ELSEWHERE: Final = by(N_NURSE, NOWHERE, "nurse")
SHAMAN: Final = by(N_NURSE, NORTH, "shaman")
EVERYBODY: Final = (
    PATIENT, DOCTOR_NORTH, NURSE_NORTH, CLERK_NORTH, DOCTOR_SOUTH, NURSE_SOUTH, CLERK_SOUTH, NURSE_EAST, DOCTOR_JOUR,
    GHOST, UNTRUE, ELSEWHERE, SHAMAN,
)  # fmt: skip
"""The patient; who has it, is meant or is a colleague; who is asked, offered or neither; and who is not there."""

CLERK: Final = "medical_secretary"
OF_WHOM: Final = (
    {"to_unit": SOUTH}, {"to_unit": NORTH}, {"to_unit": NOWHERE}, {"to_unit": SOUTH, "to_profession": "shaman"},
    {"to_unit": SOUTH, "to_profession": CLERK}, {"to_unit": SOUTH, "to_staff": S_CLERK},
    {"to_unit": SOUTH, "to_staff": N_DOCTOR}, {"to_unit": NORTH, "to_staff": N_DOCTOR},
)  # fmt: skip
GROUNDS: Final = (
    {"ground": "misplaced"}, {"ground": "agreed_practice", "reference": "Rutin 7"}, {"ground": "after_consultation"},
    {"ground": "after_consultation", "reference": "c-1.consultation-1"},
)  # fmt: skip
WITH: Final[dict[ActionName, tuple[dict[str, Any], ...]]] = {
    ActionName.ACCEPT: ({}, {"offer": "gone"}),
    ActionName.REFUSE: ({"reason": "x"}, {"reason": "x", "offer": "gone"}),
    ActionName.HAND_OVER: (
        *({**whom, **GROUNDS[0]} for whom in OF_WHOM),
        *({"to_unit": SOUTH, **ground} for ground in GROUNDS[1:]),
    ),
    ActionName.WITHDRAW: ({}, {"consultation": "c-1.consultation-1"}),
    ActionName.RELEASE: ({"reason": "x"},),
    ActionName.CONSULT: tuple({"question": "x", **whom} for whom in OF_WHOM),
    ActionName.ANSWER: ({"advice": "x", "takes_over": True}, {"advice": "x", "takes_over": False}),
    ActionName.REPLY: ({"text": "x"},),
    ActionName.MESSAGE: ({"text": "x"},),
    ActionName.BOOK: tuple({"slot": slot} for slot in ("first", "free", "taken", "nurses", "late", "gone", "none")),
    ActionName.CANCEL_BOOKING: ({}, {"reason": "x"}),
    ActionName.REPRIORITISE: ({"priority": 2, "reason": "x"}, {"priority": 3, "reason": "x"}),
    ActionName.NOTE: ({"text": "x"},),
    ActionName.CLOSE: ({"outcome": "treated", "held_as": "video"}, {"outcome": "no_show", "held_as": "phone"}),
    ActionName.CANCEL: ({"reason": "x"},),
}
"""The payloads of each action that can be read. What cannot be is in ``MALFORMED``."""
MALFORMED: Final[dict[ActionName, tuple[dict[str, Any], ...]]] = {
    ActionName.ACCEPT: ({"offer": 3},),
    ActionName.REFUSE: ({},),
    ActionName.HAND_OVER: ({"to_unit": SOUTH}, {"to_unit": SOUTH, "ground": "misplaced", "reference": "x"}),
    ActionName.WITHDRAW: ({"consultation": "?"},),
    ActionName.RELEASE: ({},),
    ActionName.CONSULT: ({"to_unit": SOUTH},),
    ActionName.ANSWER: ({"advice": "x"},),
    ActionName.REPLY: ({},),
    ActionName.MESSAGE: ({"text": ""},),
    ActionName.BOOK: ({},),
    ActionName.CANCEL_BOOKING: ({"slot": "first"},),
    ActionName.REPRIORITISE: ({"priority": 1, "reason": "x"}, {"priority": 13, "reason": "x"}),
    ActionName.NOTE: ({"text": None},),
    ActionName.CLOSE: ({"outcome": "cancelled", "held_as": "video"}, {"outcome": "treated"}),
    ActionName.CANCEL: ({},),
}
OF_A_PATIENT: Final = {ActionName.MESSAGE, ActionName.BOOK, ActionName.CANCEL_BOOKING, ActionName.CANCEL}
ONLY_OF: Final = {
    ActionName.ANSWER: {Kind.CONSULTATION},
    ActionName.REPLY: {Kind.MESSAGE_THREAD, Kind.ADMINISTRATIVE_CASE},
    ActionName.MESSAGE: {Kind.MESSAGE_THREAD, Kind.ADMINISTRATIVE_CASE},
    ActionName.BOOK: {Kind.SCHEDULED_VISIT},
    ActionName.CANCEL_BOOKING: {Kind.SCHEDULED_VISIT},
}
OF_THE_RESPONSIBLE: Final = {
    ActionName.HAND_OVER, ActionName.CONSULT, ActionName.RELEASE, ActionName.CLOSE, ActionName.CANCEL, ActionName.REPLY,
    ActionName.ANSWER,
}  # fmt: skip
THE_REST: Final[dict[ActionName, set[Code]]] = {
    ActionName.REFUSE: {Code.MAY_NOT_BE_REFUSED},
    ActionName.HAND_OVER: {Code.INVALID_ACTION, Code.HANDOVER_PENDING, Code.GROUND_NOT_MET},
    ActionName.WITHDRAW: {Code.NOTHING_PENDING},
    ActionName.CONSULT: {Code.INVALID_ACTION},
    ActionName.BOOK: {Code.SLOT_TAKEN, Code.UNKNOWN_SLOT, Code.TICKET_NOT_VALID},
    ActionName.CANCEL_BOOKING: {Code.NOTHING_PENDING},
    ActionName.REPRIORITISE: {Code.INVALID_ACTION},
    ActionName.CLOSE: {Code.MUST_BE_DIGITAL},
}
"""What may still be wrong when who acts, and when, is right."""


# Cases --------------------------------------------------------------------------------------------------------------


def own(kind: Kind) -> By:
    """Who has the case, where somebody has."""
    return DOCTOR_SOUTH if kind is Kind.CONSULTATION else DOCTOR_NORTH


def a_case(kind: Kind, *steps: str) -> Told:
    """One to which so much has happened, on its first day or at its visit's time."""
    story = told(REGION, kind=kind, slots=SLOTS)
    for step in steps:
        match step:
            case "booked":
                story.may("book", PATIENT, slot="first")
            case "begun":
                story.until(SLOTS[0].starts_at)
            case "offered":
                story.after(minutes=45)
                assert story.case.offers
            case "taken":
                story.may("accept", own(kind))
            case "replied":
                story.may("reply", own(kind), text="x")
            case "asked":
                story.may("hand_over", own(kind), to_unit=JOUR, ground="misplaced")
            case "closed":
                story.may("cancel", own(kind), reason="x")
    return story


WAYS: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
    Kind.SCHEDULED_VISIT: (
        (), ("taken",), ("booked",), ("booked", "taken"), ("booked", "begun"), ("booked", "begun", "offered"),
        ("booked", "begun", "taken"), ("closed",), ("booked", "begun", "taken", "closed"),
    ),
    Kind.MESSAGE_THREAD: (
        (), ("offered",), ("taken",), ("replied",), ("taken", "replied"), ("closed",), ("taken", "closed"),
    ),
}  # fmt: skip
OTHER_WAYS: Final = ((), ("offered",), ("taken",), ("closed",), ("taken", "closed"))
"""How a case of each kind comes to every status that it has."""


@cache
def cases(kind: Kind) -> tuple[Told, ...]:
    """Cases of this kind in every status, with a handover that waits for its answer and without."""
    ways = WAYS.get(kind, OTHER_WAYS)
    asked = ((*way, "asked") for way in ways if "closed" not in way)
    return tuple(a_case(kind, *way) for way in (*ways, *asked))


# What the contract says ---------------------------------------------------------------------------------------------


def first_fault(case: Case, name: ActionName, who: By, payload: dict[str, Any]) -> Code | None:
    """The first check that fails, of those that ask what it is and who acts."""
    is_patient = who is PATIENT
    if (is_patient and name not in OF_A_PATIENT) or (name is ActionName.MESSAGE and not is_patient):
        return Code.INVALID_ACTION
    if case.status is Status.CLOSED:
        return Code.CASE_CLOSED
    if case.kind not in ONLY_OF.get(name, {case.kind}):
        return Code.WRONG_KIND
    if name is ActionName.REPRIORITISE and case.priority is None:
        return Code.WRONG_KIND
    return not_in_the_directory(who, payload) or (None if is_patient else may_not(case, name, who, payload))


def not_in_the_directory(who: By, payload: dict[str, Any]) -> Code | None:
    """Of those who act and those who are meant: units first, then professions, then staff."""
    if NOWHERE in {who.get("unit"), payload.get("to_unit")}:
        return Code.UNKNOWN_UNIT
    if "shaman" in {who.get("profession"), payload.get("to_profession")}:
        return Code.UNKNOWN_PROFESSION
    does_not_work_there = payload.get("to_staff") == N_DOCTOR and payload["to_unit"] != NORTH
    return Code.UNKNOWN_STAFF if who in (GHOST, UNTRUE) or does_not_work_there else None


def may_not(case: Case, name: ActionName, who: By, payload: dict[str, Any]) -> Code | None:
    """What stands in the way of this member of staff, whatever else is asked for."""
    unit, holder = who["unit"], case.holder and case.holder.staff
    offers = {offer.offer for offer in case.open_offers if offer.unit == unit}
    is_responsible, is_asked = unit == case.responsible_unit, case.is_handed_to(unit)
    if name is ActionName.ACCEPT and holder == who["staff"]:
        return None
    if name in {ActionName.ACCEPT, ActionName.REFUSE} and payload.get("offer", "none") not in offers | {"none"}:
        return Code.OFFER_GONE
    if name in {ActionName.ACCEPT, ActionName.REFUSE, ActionName.REPRIORITISE}:
        was_asked = unit in case.asked and holder and name is not ActionName.REPRIORITISE
        if not (is_responsible or offers or was_asked):
            return Code.NOT_OFFERED
    if name in OF_THE_RESPONSIBLE and not is_responsible:
        return Code.NOT_RESPONSIBLE
    is_answered = is_asked and payload.get("offer") in {None, case.handover and case.handover.offer}
    if name is ActionName.REFUSE and case.kind is Kind.CONSULTATION and not (is_responsible or is_answered):
        return Code.NOT_RESPONSIBLE
    return (
        is_not_theirs(case, name, unit, payload)
        or is_not_the_time(case, name, who, is_answered=is_answered)
        or is_not_clinical(case, name, who, payload)
    )


def is_not_theirs(case: Case, name: ActionName, unit: str, payload: dict[str, Any]) -> Code | None:
    """What is its sender's to withdraw, and what is other units' to book."""
    theirs = {case.responsible_unit}
    if name is ActionName.WITHDRAW:
        theirs |= {case.asker.by.unit} if case.asker and not payload else set()
    elif name in {ActionName.BOOK, ActionName.CANCEL_BOOKING}:
        theirs |= {NORTH} | {slot.unit for slot in SLOTS if slot.id == payload.get("slot")}
        theirs |= {case.booking.unit} if case.booking else set()
    else:
        return None
    return None if unit in theirs else Code.NOT_RESPONSIBLE


def is_not_the_time(case: Case, name: ActionName, who: By, *, is_answered: bool) -> Code | None:
    """Somebody has it already, or nobody has."""
    if name in {ActionName.RELEASE, ActionName.CLOSE} and case.holder is None:
        return Code.NOT_ACCEPTED
    if name is ActionName.RELEASE and case.holder and case.holder.staff != who["staff"]:
        return Code.NOT_RESPONSIBLE
    return Code.ALREADY_ACCEPTED if name is ActionName.ACCEPT and case.holder and not is_answered else None


def is_not_clinical(case: Case, name: ActionName, who: By, payload: dict[str, Any]) -> Code | None:
    """A visit is taken by who works clinically, and handed over to nobody else (K1d)."""
    if case.kind not in {Kind.DROP_IN_VISIT, Kind.SCHEDULED_VISIT}:
        return None
    is_taken = name is ActionName.ACCEPT and who["profession"] == CLERK
    is_handed = name is ActionName.HAND_OVER and (
        payload.get("to_profession") == CLERK or payload.get("to_staff") == S_CLERK
    )
    return Code.NOT_CLINICAL if is_taken or is_handed else None


# And what the rules say ---------------------------------------------------------------------------------------------


@cache
def facts_of(asked: Question, slot: str | None) -> Facts:
    """Looked up once for each question."""
    return answer(asked, REGION, next((each for each in SLOTS if each.id == slot), None))


def decided(story: Told, name: ActionName, who: By, payload: dict[str, Any]) -> Decision | Refusal:
    action = rules.read_action(name, {"by": who, **payload})
    if isinstance(action, Refusal):
        return action
    asked = question(story.case, action, story.now)
    return rules.decide(story.case, action, story.now, facts_of(asked, asked.slot))


def tries(case: Case, name: ActionName) -> Iterator[tuple[By, dict[str, Any]]]:
    """By everybody, with everything that can be read; an offer that there is by its name, too."""
    more = [{**WITH[name][0], "offer": offer.offer} for offer in case.open_offers if "offer" in WITH[name][-1]]
    yield from product(EVERYBODY, (*WITH[name], *more))


@pytest.mark.parametrize("kind", Kind)
def test_there_is_a_case_in_every_status_that_its_kind_has(kind: Kind) -> None:
    assert {story.case.status for story in cases(kind)} == set(TABLE[kind])
    asked = {story.case.status for story in cases(kind) if story.case.handover}
    assert asked == set(TABLE[kind]) - {Status.CLOSED}
    assert any(story.case.offers for story in cases(kind))


@pytest.mark.parametrize("name", ActionName)
@pytest.mark.parametrize("kind", Kind)
def test_every_action_is_decided_or_refused_in_the_order_of_the_contract(kind: Kind, name: ActionName) -> None:
    # H3 K1d K5b P4
    for story in cases(kind):
        for who, payload in tries(story.case, name):
            result = decided(story, name, who, payload)
            expected = first_fault(story.case, name, who, payload)
            what = (story.case.status, story.case.handover is not None, who, payload, result)
            if isinstance(result, Decision):
                assert expected is None, what
                is_sound(story, result)
            else:
                assert result.code in ({expected} if expected else THE_REST.get(name, set())), what
                assert says_who_has_it(story.case, result), what


def is_sound(story: Told, decision: Decision) -> None:
    """Whatever was done, what must hold holds afterwards."""
    case, earlier = story.case, story.now
    for event in decision.events:
        after = evolve(case, event)
        follows(case, event, after, earlier)
        case = after
    assert case == decision.case
    holds(case, REGION, story.now)


def says_who_has_it(case: Case, refusal: Refusal) -> bool:
    """A sentence, with the unit, and with whom where somebody has the case; of what cannot be read what is wrong."""
    if refusal.code is Code.INVALID_ACTION and case.responsible_unit not in refusal.message:
        return bool(refusal.message)
    has_it = case.holder.staff if case.holder and case.is_open else case.responsible_unit
    return has_it in refusal.message and refusal.message.endswith(".")


@pytest.mark.parametrize("name", ActionName)
@pytest.mark.parametrize("kind", Kind)
def test_what_cannot_be_read_is_an_invalid_action_before_anything_else(kind: Kind, name: ActionName) -> None:
    for story in cases(kind):
        for who, payload in product((PATIENT, own(kind), GHOST, ELSEWHERE), MALFORMED[name]):
            result = decided(story, name, who, payload)
            assert isinstance(result, Refusal), payload
            assert result.code is Code.INVALID_ACTION
            assert result.message
