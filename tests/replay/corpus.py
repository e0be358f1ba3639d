"""The stored histories, and what a history says that the workflow did: the commands that it gave."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

HISTORIES: Final = Path(__file__).parent / "histories"
FINGERPRINT: Final = Path(__file__).parent / "fingerprint.json"


def stored() -> dict[str, WorkflowHistory]:
    """Every stored history by its name."""
    return {path.stem: _read(path) for path in sorted(HISTORIES.glob("*.json"))}


def _read(path: Path) -> WorkflowHistory:
    told: dict[str, Any] = json.loads(path.read_text())
    return WorkflowHistory.from_json(told["id"], told["history"])


def commands(history: WorkflowHistory) -> list[str]:
    """What the workflow asked for, in the order in which it did: replay has to ask for the same again."""
    return [command for event in history.events for command in _commands(event)]


def _commands(event: HistoryEvent) -> Iterator[str]:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
    match name:
        case "activity_task_scheduled":
            yield f"activity {event.activity_task_scheduled_event_attributes.activity_type.name}"
        case "marker_recorded":
            yield _marker(event)
        case "start_child_workflow_execution_initiated":
            attributes = event.start_child_workflow_execution_initiated_event_attributes
            yield f"child {attributes.workflow_type.name}"
        case "signal_external_workflow_execution_initiated":
            yield f"signal {event.signal_external_workflow_execution_initiated_event_attributes.signal_name}"
        case "upsert_workflow_search_attributes":
            fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
            yield f"search attributes {' '.join(sorted(fields))}"
        case (
            "timer_started"
            | "timer_canceled"
            | "activity_task_cancel_requested"
            | "workflow_execution_update_accepted"
            | "workflow_execution_update_completed"
            | "workflow_execution_completed"
            | "workflow_execution_failed"
            | "workflow_execution_continued_as_new"
        ):
            yield name.removeprefix("workflow_execution_").replace("_", " ")


def _marker(event: HistoryEvent) -> str:
    attributes = event.marker_recorded_event_attributes
    if attributes.marker_name != "core_local_activity":
        return f"marker {attributes.marker_name}"
    told = json.loads(attributes.details["data"].payloads[0].data)
    return f"local activity {told['activity_type']}"
