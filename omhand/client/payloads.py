"""What a client sends: JSON objects of models or mappings, with ids that are checked before anything is sent."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from temporalio.common import Priority

from omhand.client.faults import StartRefused
from omhand.contract.actions import ActionId
from omhand.contract.names import HSA_ID_PATTERN, PRIORITIES, Kind, Origin, StartFault
from omhand.contract.opening import read_opening
from omhand.contract.urgency import task_priority
from omhand.contract.wire import CaseId, Malformed, Wire, faults_of, read


class _Named(Wire):
    """The part of an opening or an outcome that makes its workflow id."""

    model_config = ConfigDict(extra="ignore")

    case_id: CaseId


def id_of(payload: Mapping[str, object]) -> str:
    """The case id of an opening or an outcome. Raises StartRefused (``InvalidCase``) where it is none."""
    try:
        return read(_Named, payload).case_id
    except Malformed as fault:
        raise StartRefused(StartFault.INVALID_CASE, str(fault)) from None


def checked(form: Any, value: object, key: str) -> str:  # noqa: ANN401 - an annotated type is no type
    """``value``, which is of that form. Raises Malformed, naming ``key``."""
    try:
        return TypeAdapter[str](form).validate_python(value)
    except ValidationError as error:
        rules = (fault.partition(": ")[2] for fault in faults_of(error))
        raise Malformed(*(f"{key}: {rule}" for rule in rules)) from None


def sendable(value: Wire | Mapping[str, object]) -> dict[str, object]:
    """``value`` as a JSON object: of a model, without what was not given.

    Raises:
        Malformed: a mapping that JSON cannot hold.
    """
    if isinstance(value, Wire):
        return value.model_dump(mode="json", exclude_defaults=True)
    try:
        to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError):
        # The serialiser's own message quotes what it stumbled over.
        msg = "the payload: JSON cannot hold it (a lone surrogate, or a value that is not of JSON's types)"
        raise Malformed(msg) from None
    return dict(value)


def summary(kind: Kind, payload: Mapping[str, object]) -> str:
    """What operators see in lists: nothing of the patient. Of an opening that is malformed, the kind only."""
    try:
        opening = read_opening(kind, payload)
    except Malformed:
        return kind.value
    return f"{kind}, priority {opening.priority}, {opening.profession}"


def task_order(payload: Mapping[str, object]) -> Priority:
    """When the case's tasks are taken where many wait: by its priority, and by turns between units."""
    priority, unit = payload.get("priority"), payload.get("unit")
    return Priority(
        priority_key=task_priority(priority if isinstance(priority, int) and priority in PRIORITIES else None),
        fairness_key=unit if isinstance(unit, str) and re.fullmatch(HSA_ID_PATTERN, unit) else None,
    )


def vouched(payload: dict[str, object], assertion: str | None) -> dict[str, object]:
    """The action with the assertion of whoever acts, where there is one and it has none of its own."""
    return {"assertion": assertion, **payload} if assertion else payload


def vouched_opening(payload: dict[str, object], assertion: str | None) -> dict[str, object]:
    """The same of an opening: where a person opens the case, not a backend that has a triage outcome."""
    writes = payload.get("origin") == Origin.PATIENT or payload.get("message") is not None
    by_somebody = writes or payload.get("asked_by") is not None
    return vouched(payload, assertion) if by_somebody else payload


def update_id(payload: Mapping[str, object]) -> str | None:
    """The id of the update of an action: the action's own, where it has one that can be.

    Temporal answers an id as it did the first time. An action that was refused as its assertion had expired is sent
    again with another, and is another update.
    """
    try:
        action_id = TypeAdapter[str](ActionId).validate_python(payload.get("action_id"))
    except ValidationError:
        return None  # there is none, or the case says what is wrong with it
    assertion = payload.get("assertion")
    return f"{action_id}/{sha256(str(assertion).encode()).hexdigest()[:16]}" if assertion else action_id
