"""`docs/routine.md` says what the software does about each clause, and which tests hold it: it may not drift."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from small_region import (
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    JOUR,
    NURSE_EAST,
    PATIENT,
    By,
    Told,
    a_slot,
    region,
    told,
)
from test_reachable import REACHABLE

from decisions.decide import RULES
from decisions.lifecycle import TABLE
from omhand.contract.names import ActionName, Code, Kind, Status

TESTS: Final = Path(__file__).parent.parent
DOC: Final = TESTS.parent / "docs" / "routine.md"

CLAUSES: Final = (
    "K1a", "K1b", "K1c", "K1d", "K1e", "K1f", "K2a", "K2b", "K3", "K4a", "K4b", "K5a", "K5b", "K5c", "K5d", "K5e",
    "K6a", "K6b", "H1", "H2", "H3", "H4", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "R1", "R2", "R3",
)  # fmt: skip
"""Every clause of the routine."""

STANDINGS: Final = ("Held", "Partly", "Not yet", "For people")
SECTION: Final = re.compile(r"^### ([A-Z]\d[a-z]?) · (.+?)\n+\*\*(.+?)\.\*\*(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
NAMED: Final = re.compile(r"`([a-z_/]+\.py)::(\w+)`")
CITED: Final = re.compile(r"^\s*# ((?:[A-Z]\d[a-z]?)(?: [A-Z]\d[a-z]?)*)\b", re.MULTILINE)

ASKED: Final = "_asked"
"""Of a state in which a handover waits for its answer."""

UNIT, RECEIVER, ASKER, OF_PATIENT = "", " (receiver)", " (asker)", " (patient)"
WHO: Final[dict[Kind, dict[str, By]]] = {
    Kind.DROP_IN_VISIT: {UNIT: DOCTOR_NORTH, RECEIVER: DOCTOR_SOUTH},
    Kind.PHONE_CONSULTATION: {UNIT: DOCTOR_NORTH, RECEIVER: DOCTOR_SOUTH},
    Kind.CONSULTATION: {UNIT: DOCTOR_SOUTH, RECEIVER: NURSE_EAST, ASKER: DOCTOR_NORTH},
    Kind.SCHEDULED_VISIT: {UNIT: DOCTOR_NORTH, OF_PATIENT: PATIENT},
    Kind.ADMINISTRATIVE_CASE: {UNIT: DOCTOR_NORTH, OF_PATIENT: PATIENT},
    Kind.MESSAGE_THREAD: {UNIT: DOCTOR_NORTH, OF_PATIENT: PATIENT},
}
"""Who acts in the pictures: the responsible unit, the one that is asked to take it over, who asks, the patient."""

TAKEN_OR_NOT: Final = ("waiting", f"waiting{ASKED}", "accepted", f"accepted{ASKED}")
STATES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.SCHEDULED_VISIT: ("ticket", "booked", "waiting", "accepted"),
    Kind.ADMINISTRATIVE_CASE: ("waiting", "accepted"),
    Kind.MESSAGE_THREAD: ("idle", "waiting", "accepted"),
}
"""What is drawn of a kind; where it is not said, both with and without a handover that waits for its answer."""
OPENS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.SCHEDULED_VISIT: ("ticket: opened with a ticket", "booked: opened with a time"),
    Kind.MESSAGE_THREAD: ("waiting: opened by a patient", "idle: opened by a unit"),
}
BY_ITSELF: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.SCHEDULED_VISIT: ("ticket --> closed: it runs out", "booked --> waiting: its time has come"),
}
SLOTS: Final = (a_slot("2026-11-24 10:00"), a_slot("2026-11-26 10:00"))

PAYLOADS: Final[dict[ActionName, dict[str, Any]]] = {
    ActionName.REFUSE: {"reason": "x"},
    ActionName.RELEASE: {"reason": "x"},
    ActionName.CONSULT: {"to_unit": JOUR, "question": "x"},
    ActionName.ANSWER: {"advice": "x", "takes_over": False},
    ActionName.REPRIORITISE: {"priority": 2, "reason": "x"},
    ActionName.NOTE: {"text": "x"},
    ActionName.CLOSE: {"outcome": "treated", "held_as": "video"},
    ActionName.CANCEL: {"reason": "x"},
    ActionName.REPLY: {"text": "x"},
    ActionName.MESSAGE: {"text": "x"},
    ActionName.BOOK: {"slot": SLOTS[1].id},
}


def payload_of(kind: Kind, name: ActionName) -> dict[str, Any]:
    """The least with which the action can be done."""
    if name is ActionName.HAND_OVER:
        return {"to_unit": WHO[kind].get(RECEIVER, DOCTOR_SOUTH)["unit"], "ground": "misplaced"}
    return PAYLOADS.get(name, {})


def a_case(kind: Kind, state: str) -> Told:
    """One that has come to this state."""
    story, own = told(region(), kind=kind, priority=3, slots=SLOTS), WHO[kind][UNIT]
    status, asked, _ = state.partition(ASKED)
    if kind is Kind.SCHEDULED_VISIT and status != Status.TICKET:
        story.may("book", PATIENT, slot=SLOTS[0].id)
        story.until(story.now if status == Status.BOOKED else SLOTS[0].starts_at)
    if status == Status.ACCEPTED:
        story.may("accept", own)
    elif status == Status.IDLE:
        story.may("reply", own, text="x")
    elif status == Status.CLOSED:
        story.may("cancel", PATIENT, reason="x")
    if asked:
        story.may("hand_over", own, **payload_of(kind, ActionName.HAND_OVER))
    assert state_of(story) == state
    return story


def state_of(story: Told) -> str:
    """Its status, and whether a handover waits for its answer."""
    return story.case.status + (ASKED if story.case.handover else "")


def picture(kind: Kind) -> str:
    """The life of a kind as a state diagram: every action of the table, and where the rules let it lead."""
    lines = ["stateDiagram-v2", *(f"    [*] --> {way}" for way in OPENS.get(kind, ("waiting: opened",)))]
    lines += [f"    {way}" for way in BY_ITSELF.get(kind, ())]
    for state in STATES.get(kind, TAKEN_OR_NOT):
        if state.endswith(ASKED):
            lines.append(f"    {state}: {state.removesuffix(ASKED)}, a handover is asked for")
        lines += _edges(kind, state)
    lines += [f"    {state}{ASKED}: {state}, a handover is asked for" for state in STATES.get(kind, ())]
    return "\n".join([*lines, "    closed --> [*]"])


def _edges(kind: Kind, state: str) -> Iterator[str]:
    leads: dict[str, list[str]] = {}
    refused: list[str] = []
    for name in sorted(TABLE[kind][Status(state.removesuffix(ASKED))]):
        for role, who in WHO[kind].items():
            story = a_case(kind, state)
            refusal = story.act(name, who, **payload_of(kind, name))
            if refusal is None:
                leads.setdefault(state_of(story), []).append(f"{name}{role}")
            elif role == UNIT:
                refused.append(f"{name} ({refusal.code})")
    yield from (f"    {state} --> {to}: {', '.join(names)}" for to, names in leads.items())
    if refused:
        yield f"    note right of {state}"
        yield "        refused to its unit"
        yield from (f"        {line}" for line in refused)
        yield "    end note"


@pytest.fixture(scope="module")
def doc() -> str:
    return DOC.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections(doc: str) -> dict[str, tuple[str, str]]:
    """Clause → how it stands, and what is said."""
    return {clause: (standing, said) for clause, _, standing, said in SECTION.findall(doc)}


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        node.name for node in ast.walk(tree) if isinstance(node, functions) and node.name.lower().startswith("test")
    }


def test_every_clause_stands_in_the_document_once_and_in_order(doc: str) -> None:
    assert tuple(clause for clause, *_ in SECTION.findall(doc)) == CLAUSES
    assert re.findall(r"^### ([A-Z]\d[a-z]?)\b", doc, re.MULTILINE) == list(CLAUSES)


def test_every_clause_says_how_it_stands(sections: dict[str, tuple[str, str]]) -> None:
    assert {standing for standing, _ in sections.values()} <= set(STANDINGS)


def test_what_is_held_is_held_by_tests_and_what_is_not_yet_says_so_plainly(
    sections: dict[str, tuple[str, str]],
) -> None:
    for clause, (standing, said) in sections.items():
        assert said.strip(), clause
        assert bool(NAMED.search(said)) or standing in {"Not yet", "For people"}, clause


def test_every_test_that_the_document_names_exists(doc: str) -> None:
    named = NAMED.findall(doc)
    assert len(named) > 50
    missing = [f"{path}::{test}" for path, test in named if test not in names_in(TESTS / path)]
    assert missing == []


def test_every_clause_that_a_test_of_the_rules_cites_is_one_and_names_a_held_clause(
    sections: dict[str, tuple[str, str]],
) -> None:
    cited = {
        clause
        for path in TESTS.glob("decisions/test_*.py")
        for clauses in CITED.findall(path.read_text(encoding="utf-8"))
        for clause in clauses.split()
    }
    assert cited <= set(CLAUSES)
    # What a document calls held is cited where it is tested, so that one finds the other.
    assert {clause for clause, (standing, _) in sections.items() if standing == "Held"} <= cited


def test_the_states_that_have_been_searched_are_as_many_as_the_document_says(doc: str) -> None:
    (said,) = re.findall(r"\((\d+\sfor\sa\sdrop-in,[^)]*)\)", doc)
    words = {
        Kind.DROP_IN_VISIT: "drop-in", Kind.SCHEDULED_VISIT: "scheduled visit",
        Kind.ADMINISTRATIVE_CASE: "administrative case", Kind.PHONE_CONSULTATION: "consultation from 1177",
        Kind.MESSAGE_THREAD: "message thread",
    }  # fmt: skip
    found = {what: int(states) for states, what in re.findall(r"(\d+) for an? ([^,]+)", " ".join(said.split()))}
    assert found == {words[kind]: states for kind, states in REACHABLE.items()}


@pytest.mark.parametrize("kind", TABLE)
def test_the_pictures_in_the_document_are_what_the_table_gives(doc: str, kind: Kind) -> None:
    drawn = dict(zip(TABLE, re.findall(r"```mermaid\n(.*?)\n```", doc, re.DOTALL), strict=True))
    assert drawn[kind] == picture(kind), f"put this into docs/routine.md:\n{picture(kind)}"


@pytest.mark.parametrize("kind", TABLE)
def test_the_pictures_leave_no_action_of_the_table_out(kind: Kind) -> None:
    drawn = picture(kind)
    for status, actions in TABLE[kind].items():
        assert all(name in drawn for name in actions), status
    assert all(name in RULES for actions in TABLE[kind].values() for name in actions)
    assert Code.WRONG_KIND not in drawn
