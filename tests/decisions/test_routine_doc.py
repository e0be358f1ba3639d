"""`docs/routine.md` says what the software does about each clause, and which tests hold it: it may not drift."""

import ast
import re
from pathlib import Path
from typing import Any, Final

import pytest
from small_region import DOCTOR_NORTH, PATIENT, SOUTH, Told, region, told

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

PAYLOADS: Final[dict[ActionName, dict[str, Any]]] = {
    ActionName.REFUSE: {"reason": "x"},
    ActionName.HAND_OVER: {"to_unit": SOUTH, "ground": "misplaced"},
    ActionName.RELEASE: {"reason": "x"},
    ActionName.CONSULT: {"to_unit": SOUTH, "question": "x"},
    ActionName.REPRIORITISE: {"priority": 2, "reason": "x"},
    ActionName.NOTE: {"text": "x"},
    ActionName.CLOSE: {"outcome": "treated", "held_as": "video"},
    ActionName.CANCEL: {"reason": "x"},
}


def a_drop_in(status: Status) -> Told:
    """One that has come to this status."""
    story = told(region())
    if status is Status.ACCEPTED:
        story.may("accept", DOCTOR_NORTH)
    elif status is Status.CLOSED:
        story.may("cancel", PATIENT, reason="x")
    assert story.case.status is status
    return story


def picture() -> str:
    """The life of a drop-in as a state diagram: every action of the table, and where the rules let it lead."""
    lines = ["stateDiagram-v2", "    [*] --> waiting: opened"]
    for status, actions in TABLE[Kind.DROP_IN_VISIT].items():
        leads: dict[Status, list[str]] = {}
        refused: list[str] = []
        for name in sorted(actions):
            story = a_drop_in(status)
            refusal = story.act(name, DOCTOR_NORTH, **PAYLOADS.get(name, {}))
            if refusal is None:
                leads.setdefault(story.case.status, []).append(name)
            else:
                refused.append(f"{name} ({refusal.code}" + (")" if name in RULES else ", not yet)"))
        lines += [f"    {status} --> {to}: {', '.join(names)}" for to, names in leads.items()]
        if refused:
            lines += [
                f"    note right of {status}",
                "        refused here",
                *(f"        {line}" for line in refused),
                "    end note",
            ]
    return "\n".join([*lines, "    closed --> [*]"])


@pytest.fixture(scope="module")
def doc() -> str:
    return DOC.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections(doc: str) -> dict[str, tuple[str, str]]:
    """Clause → how it stands, and what is said."""
    return {clause: (standing, said) for clause, _, standing, said in SECTION.findall(doc)}


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


def test_the_picture_in_the_document_is_what_the_table_gives(doc: str) -> None:
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", doc, re.DOTALL)
    assert drawn == picture(), f"put this into docs/routine.md:\n{picture()}"


def test_the_picture_leaves_no_action_of_the_table_out() -> None:
    drawn = picture()
    for actions in TABLE[Kind.DROP_IN_VISIT].values():
        assert all(name in drawn for name in actions)
    assert Code.WRONG_KIND in drawn or all(
        name in RULES for actions in TABLE[Kind.DROP_IN_VISIT].values() for name in actions
    )
