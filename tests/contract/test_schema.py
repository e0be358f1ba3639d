"""The JSON Schema of the contract: it is current, it stands by itself, and it says what the models do."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from omhand.contract.actions import ACTIONS
from omhand.contract.names import Kind
from omhand.contract.opening import TriageOutcome, read_opening
from omhand.contract.schema import DIALECT, schemas, written
from omhand.contract.wire import Malformed, read

SCHEMAS = schemas()
FOLDER = files("omhand.contract") / "schema"

STAFF = {"staff": "SE2321000198-S001", "unit": "SE2321000198-HC01", "profession": "nurse"}
OPENING = {
    "case_id": "case.1",
    "origin": "min_vard",
    "unit": "SE2321000198-HC01",
    "profession": "doctor",
    "priority": 3,
    "patient": {"id": "ref:a", "digital": True},
}
WITHOUT_PRIORITY = {key: value for key, value in OPENING.items() if key != "priority"}
OF_THE_KIND: dict[Kind, dict[str, Any]] = {
    Kind.DROP_IN_VISIT: OPENING,
    Kind.PHONE_CONSULTATION: OPENING | {"level": "physical"},
    Kind.CONSULTATION: {key: OPENING[key] for key in ("case_id", "origin", "unit", "profession")}
    | {"asked_by": STAFF, "question": "x"},
    Kind.SCHEDULED_VISIT: WITHOUT_PRIORITY
    | {"origin": "unit", "ticket": {"valid_from": "2026-11-24T09:00:00Z", "valid_until": "2026-12-24T09:00:00Z"}},
    Kind.ADMINISTRATIVE_CASE: WITHOUT_PRIORITY | {"service": "certificate"},
    Kind.MESSAGE_THREAD: WITHOUT_PRIORITY,
}
"""The least that opens a case of each kind."""
EITHER = {"ticket"}
"""Keys of which another one may stand in the place."""
OUTCOME = {"source" if key == "origin" else key: value for key, value in OPENING.items()} | {"level": "digital"}


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema, itself first."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from parts(each)
    if isinstance(schema, list):
        for each in schema:
            yield from parts(each)


def test_the_files_are_current() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert on_disk == {f"{name}.json": written(schema) for name, schema in SCHEMAS.items()}


def test_there_is_one_for_everything_that_is_sent_or_answered() -> None:
    openings = {f"opening_{kind}" for kind in Kind}
    others = {"triage_outcome", "intake_answer", "view", "directory", "policy"}
    assert set(SCHEMAS) == openings | {f"action_{name}" for name in ACTIONS} | others


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_stands_by_itself(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == DIALECT
    assert not any("$id" in part for part in parts(schema))
    named = {part["$ref"] for part in parts(schema) if "$ref" in part}
    assert named == {f"#/$defs/{each}" for each in schema.get("$defs", {})}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name not in {"view", "intake_answer"}])
def test_what_is_sent_is_closed_to_unknown_keys(name: str) -> None:
    objects = [part for part in parts(SCHEMAS[name]) if "properties" in part and part.get("type") == "object"]
    assert objects
    assert all(part["additionalProperties"] is False for part in objects)


@pytest.mark.parametrize("name", ["view", "intake_answer"])
def test_what_is_answered_is_open_to_later_versions(name: str) -> None:
    assert not any(part.get("additionalProperties") is False for part in parts(SCHEMAS[name]))


def test_a_pattern_refuses_what_the_model_refuses() -> None:
    pattern = SCHEMAS["opening_drop_in_visit"]["properties"]["case_id"]["pattern"]
    for case_id in ("a", "A.b_c-9", "x" * 64, "", ".a", "a b", "x" * 65, "å"):
        fits = re.search(pattern, case_id) is not None
        try:
            read_opening(Kind.DROP_IN_VISIT, OPENING | {"case_id": case_id})
        except Malformed:
            assert not fits
        else:
            assert fits


@pytest.mark.parametrize("kind", Kind)
def test_the_required_keys_of_an_opening_are_those_that_the_model_misses(kind: Kind) -> None:
    required = SCHEMAS[f"opening_{kind}"]["required"]
    opening = OF_THE_KIND[kind]
    assert sorted(opening.keys() - EITHER) == required
    for key in required:
        with pytest.raises(Malformed, match=rf"^{key}: is required$"):
            read_opening(kind, {name: value for name, value in opening.items() if name != key})


def test_the_keys_of_a_triage_outcome_are_the_models() -> None:
    schema = SCHEMAS["triage_outcome"]
    assert set(schema["properties"]) == set(TriageOutcome.model_fields)
    assert sorted(schema["required"]) == sorted(OUTCOME)
    assert schema["properties"]["source"]["enum"] == ["min_vard", "1177_phone"]
    assert read(TriageOutcome, OUTCOME).source == "min_vard"


def test_the_words_of_a_schema_are_those_that_the_model_takes() -> None:
    close = ACTIONS["close"]  # type: ignore[index]  # an ActionName is its value
    for word in SCHEMAS["action_close"]["properties"]["outcome"]["enum"]:
        read(close, {"by": STAFF, "outcome": word, "held_as": "video"})
    with pytest.raises(Malformed):
        read(close, {"by": STAFF, "outcome": "cancelled", "held_as": "video"})


def test_priorities_have_the_routines_bounds() -> None:
    for name in ("opening_drop_in_visit", "triage_outcome", "action_reprioritise"):
        priority = SCHEMAS[name]["properties"]["priority"]
        assert (priority["minimum"], priority["maximum"]) == (2, 12)


def test_a_schema_is_written_the_same_each_time() -> None:
    once, again = schemas(), schemas()
    assert [written(each) for each in once.values()] == [written(each) for each in again.values()]
    assert json.loads(written(once["view"])) == once["view"]
