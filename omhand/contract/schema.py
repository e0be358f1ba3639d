"""The contract as JSON Schema: ``python -m omhand.contract.schema`` writes ``schema/*.json`` anew.

They are made from the models that read what comes, so they say the same; a check that JSON Schema has no words for (the
check digit of a personnummer, which keys belong together) is made by the models only. What is sent is closed to keys
that are not known; what is answered is open, as a later version may answer more.
"""

import json
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any, Final

from pydantic import BaseModel

from omhand.contract.actions import ACTIONS, CLOSING_OUTCOMES
from omhand.contract.directory import Directory
from omhand.contract.names import PRIORITIES, Kind, Origin
from omhand.contract.opening import COMMON_KEYS, OWN_KEYS, REQUIRED_KEYS, GivenOpening, IntakeAnswer, TriageOutcome
from omhand.contract.policy import Policy
from omhand.contract.view import View

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ONLY_THESE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "action_close": ("outcome", CLOSING_OUTCOMES),
    "triage_outcome": ("source", (Origin.MIN_VARD, Origin.PHONE_1177)),
}
"""Keys of which the models take fewer words than their type has."""

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """Every schema by its file's name, without the ending."""
    sent: dict[str, type[BaseModel]] = {"triage_outcome": TriageOutcome, "directory": Directory, "policy": Policy}
    sent |= {f"action_{name}": model for name, model in ACTIONS.items()}
    answered: dict[str, type[BaseModel]] = {"intake_answer": IntakeAnswer, "view": View}
    found = {f"opening_{kind}": _opening(kind) for kind in Kind}
    found |= {name: model.model_json_schema(mode="validation") for name, model in sent.items()}
    for name, (key, words) in ONLY_THESE.items():
        found[name]["properties"][key] = {"enum": list(words), "type": "string"}
        found[name] = _used(found[name])
    found |= {name: _open(model.model_json_schema(mode="serialization")) for name, model in answered.items()}
    return {name: {"$schema": DIALECT, **_with_priorities(schema)} for name, schema in sorted(found.items())}


def written(schema: Schema) -> str:
    """A schema as its file holds it: the same text for the same schema."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _opening(kind: Kind) -> Schema:
    """``Opening`` as a case of this kind takes it: its own keys, and those that it needs."""
    schema = GivenOpening.model_json_schema(mode="validation")
    required = sorted({*schema["required"], *REQUIRED_KEYS[kind]})
    keys = COMMON_KEYS | OWN_KEYS[kind]
    properties = {key: value for key, value in schema["properties"].items() if key in keys}
    for key in required:
        properties[key] = _given(properties[key])
    return _used(schema | {"title": f"Opening of {kind}", "properties": properties, "required": required})


def _given(schema: Schema) -> Schema:
    """A key's schema without null."""
    rest = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return kept | rest[0] if len(rest) == 1 else schema


def _used(schema: Schema) -> Schema:
    """The schema without the definitions that nothing in it refers to."""
    definitions: Schema = schema.get("$defs", {})
    body = {key: value for key, value in schema.items() if key != "$defs"}
    used: Schema = {}
    while True:
        text = json.dumps([body, used])
        new = {name: each for name, each in definitions.items() if name not in used and f'"#/$defs/{name}"' in text}
        if not new:
            return body | {"$defs": used} if used else body
        used |= new


def _open(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """The schema with room for keys that a later version adds."""
    if isinstance(schema, Mapping):
        closed = schema.get("additionalProperties") is False
        return {key: _open(value) for key, value in schema.items() if not (closed and key == "additionalProperties")}
    return [_open(each) for each in schema] if isinstance(schema, list) else schema


def _with_priorities(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """The schema with the routine's bounds at every priority, which the models check in words of their own."""
    if isinstance(schema, list):
        return [_with_priorities(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: _with_priorities(value) for key, value in schema.items()}
    properties = inner.get("properties")
    if isinstance(properties, dict) and "priority" in properties:
        for each in (properties["priority"], *properties["priority"].get("anyOf", ())):
            if each.get("type") == "integer":
                each.update(minimum=PRIORITIES.start, maximum=PRIORITIES[-1])
    return inner


def main() -> None:
    """Write every schema, and remove what is none any more."""
    with as_file(files("omhand.contract") / "schema") as folder:
        folder.mkdir(exist_ok=True)
        found = schemas()
        for name, schema in found.items():
            (folder / f"{name}.json").write_text(written(schema), encoding="utf-8")
        for path in folder.glob("*.json"):
            if path.stem not in found:
                path.unlink()


if __name__ == "__main__":
    main()
