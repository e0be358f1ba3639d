"""What operators see of a case in Temporal, and what nobody sees there: the patient."""

import base64
import json
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stories import EAST, NORTH, NURSE_EAST, NURSE_NORTH, NURSE_SOUTH, SOUTH, Stack, failure_of, opening, refusal_of
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from omhand.contract.names import SEARCH_ATTRIBUTE_TYPES
from workers.embedded import TemporalServer

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

CLOSE = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}


async def listed(client: Client, case_id: str, query: str) -> bool:
    """Whether a list filter finds the case."""
    found = [each.id async for each in client.list_workflows(f"WorkflowId = 'case-{case_id}' AND {query}")]
    return found == [f"case-{case_id}"]


async def assert_listed(client: Client, case_id: str, *queries: str) -> None:
    """Every filter finds the case, soon: visibility follows a moment later."""
    for query in queries:
        try:
            await until(lambda query=query: listed(client, case_id, query), seconds=15)
        except TimeoutError:
            pytest.fail(f"{query} does not find {case_id}")


async def test_a_case_is_found_by_every_search_attribute_through_its_life(stack: Stack) -> None:
    skipper = TimeSkipper(stack.client, config=TimeSkippingConfig(max_session_skip_count=5000))
    handle = await stack.start("listed", priority=4)
    opened = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    due = datetime.fromisoformat(opened["due_at"])
    before, after = (f"'{due + timedelta(seconds=delta):%Y-%m-%dT%H:%M:%SZ}'" for delta in (-2, 2))
    await assert_listed(
        stack.client,
        "listed",
        "CaseKind = 'drop_in_visit'",
        "CaseStatus = 'waiting'",
        "CasePriority = 4 AND CasePriority BETWEEN 2 AND 5",
        "Profession = 'nurse'",
        f"ResponsibleUnit = '{NORTH}'",
        "OfferedTo IS NULL",
        "EscalationLevel = 0",
        f"DueAt BETWEEN {before} AND {after}",
        "Overdue = false",
    )
    await skipper.fast_forward(handle, timedelta(minutes=31))
    await assert_listed(
        stack.client,
        "listed",
        "Overdue = true",
        "EscalationLevel = 1",
        f"OfferedTo = '{SOUTH}' AND OfferedTo = '{EAST}'",
        f"ResponsibleUnit = '{NORTH}'",  # an escalation takes responsibility from nobody
    )
    await handle.execute_update("accept", {"by": NURSE_SOUTH})
    await assert_listed(
        stack.client,
        "listed",
        "CaseStatus = 'accepted'",
        f"ResponsibleUnit = '{SOUTH}'",
        "OfferedTo IS NULL",
        "Overdue = false",
    )
    await handle.execute_update("reprioritise", {"by": NURSE_SOUTH, "priority": 2, "reason": "worse"})
    await assert_listed(stack.client, "listed", "CasePriority = 2")
    await handle.execute_update("close", CLOSE | {"by": NURSE_SOUTH})
    await handle.result()
    await assert_listed(
        stack.client,
        "listed",
        "CaseStatus = 'closed' AND ExecutionStatus = 'Completed'",
        "DueAt IS NULL",
        "Overdue = false",
    )


async def test_search_attributes_have_the_types_of_the_contract_and_there_are_no_others(stack: Stack) -> None:
    handle = await stack.start("typed")
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    described = (await handle.describe()).raw_description.workflow_execution_info
    types = {
        name: payload.metadata["type"].decode()
        for name, payload in described.search_attributes.indexed_fields.items()
        if name != "BuildIds"
    }
    offered_to = {"OfferedTo"}  # an empty list is no value
    assert {**types, "OfferedTo": "KeywordList"} == {str(name): kind for name, kind in SEARCH_ATTRIBUTE_TYPES.items()}
    assert set(SEARCH_ATTRIBUTE_TYPES) - set(types) <= offered_to
    assert not described.memo.fields
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})


async def current_details(handle: WorkflowHandle[Any, Any]) -> str:
    """What the Web UI shows of the case as it is."""
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(metadata.current_details)


async def test_current_details_say_where_the_case_stands_and_what_comes_next(stack: Stack) -> None:
    handle = await stack.start("detailed", profession="occupational_therapist")
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    waiting = await current_details(handle)
    for said in ("detailed", "**waiting**", NORTH, f"{EAST} (coverage)", "notify", "UTC"):
        assert said in waiting, said
    await handle.execute_update("accept", {"by": NURSE_EAST})
    accepted = await current_details(handle)
    for said in ("**accepted**", EAST, NURSE_EAST["staff"], "nobody else"):
        assert said in accepted, said
    await handle.execute_update("close", CLOSE | {"by": NURSE_EAST})
    await handle.result()
    assert "**closed**, treated" in await current_details(handle)


def summary_of(event: HistoryEvent) -> str:
    """The summary that the Web UI shows in the timeline."""
    data = event.user_metadata.summary.data
    return json.loads(data) if data else ""


async def test_timers_and_activities_say_in_the_history_what_they_are_for(stack: Stack) -> None:
    handle = await stack.start("summed-up")
    await stack.gateway.until(lambda: bool(stack.gateway.reasons("summed-up")))
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    await handle.execute_update("close", CLOSE)
    await handle.result()
    events = (await handle.fetch_history()).events
    timers = [summary_of(event) for event in events if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED]
    assert any(f"notify {NORTH}" in timer for timer in timers), timers
    assert all(timers)
    activities = [
        summary_of(event)
        for event in events
        if event.event_type in {EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_MARKER_RECORDED}
    ]
    assert f"new_case to unit of {NORTH}" in activities
    assert "record opened, notified" in activities
    assert all(activities), activities


# Nobody sees the patient


PERSONNUMMER = "191212121212"
CANARIES = ("Kanarie Fågelsson", "CANARY-REASON", "CANARY-NOTE", "CANARY-CLOSING", "CANARY-RELEASE", "CANARY-MALFORMED")
IDENTITIES = (PERSONNUMMER, "19121212-1212", "121212-1212", "1212121212")
PATIENT = {"id": PERSONNUMMER, "digital": True, "name": CANARIES[0]}


def traces(where: str, text: str, words: tuple[str, ...] = CANARIES + IDENTITIES) -> Iterator[str]:
    """Which of the words can be found, also where they are dressed up as JSON or base64."""
    for word in words:
        forms = {word, json.dumps(word)[1:-1]} | {
            base64.b64encode(b" " * shift + word.encode()).decode()[4:-4] for shift in range(3)
        }
        if any(len(form) > 7 and form in text for form in forms):
            yield f"{word} in {where}"


@pytest.fixture(scope="module")
async def sealed(
    postgres_server: str, temporal_server: TemporalServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """A stack of its own whose payloads are encrypted, and which takes nothing that is not."""
    dsn = await new_database(postgres_server, "operators")
    await load_rules(dsn)
    keys = tmp_path_factory.mktemp("operators") / "keys"
    keys.write_text(f"k1:{base64.b64encode(bytes(range(32))).decode()}\n")
    async with staged(dsn, temporal=temporal_server, keys=keys, require_encryption=True) as stage:
        yield stage


async def raw_history(client: Client, workflow_id: str) -> History:
    """The history as the server stores it, as nobody's converter has touched it."""
    answer = await client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
        )
    )
    return answer.history


async def test_of_an_encrypted_case_nothing_outside_its_log_tells_of_the_patient(
    sealed: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    client, gateway = sealed.client, sealed.gateway
    gateway.statuses["secret"] = [503, 404]
    outcome = {
        "case_id": "secret", "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse",
        "unit": NORTH, "patient": PATIENT, "reason": CANARIES[1],
    }  # fmt: skip
    await client.execute_workflow("Intake", outcome, id="intake-secret", task_queue="cases")
    handle = client.get_workflow_handle("case-secret")
    linked = await sealed.start("secret-2", patient=PATIENT, reason=CANARIES[1])
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": CANARIES[2]})
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    await handle.signal("release", {"by": NURSE_NORTH, "reason": CANARIES[4]})
    assert (await refusal_of(handle, "note", {"by": NURSE_NORTH, "text": CANARIES[5] * 999})).type == "InvalidAction"
    await refusal_of(handle, "note", {"by": NURSE_NORTH, "text": "x", "colour": PERSONNUMMER})
    await handle.signal("paint", {"by": PATIENT})
    malformed = await sealed.start("secret-3", patient=PATIENT | {"id": "191212121213"}, reason=CANARIES[5])
    assert (await failure_of(malformed)).type == "InvalidCase"
    await gateway.until(lambda: "gateway_failed" in gateway.reasons("secret"))
    await sealed.settled("secret")
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    found = []
    ids = ("intake-secret", "case-secret", "case-secret-2", "case-secret-3")
    await assert_listed(client, "secret", "CaseStatus = 'accepted'")
    for workflow_id in ids:
        found += traces(f"the description of {workflow_id}", await described(client, workflow_id))
    await handle.execute_update("close", CLOSE | {"note": CANARIES[3]})
    await linked.execute_update("cancel", {"by": {"patient": True}, "reason": CANARIES[4]})
    for workflow_id in ids:
        history = await raw_history(client, workflow_id)
        found += traces(f"the history of {workflow_id}", str(history))
        found += traces(f"the stored history of {workflow_id}", history.SerializeToString().decode("latin-1"))
    visible = await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace)
    )
    assert len(visible.executions) >= len(ids)
    found += traces("visibility", str(visible))
    found += traces("calls to the gateway", json.dumps([*gateway.calls, *gateway.headers]))
    found += await traces_in_postgres(sealed)
    output = capfd.readouterr()
    found += traces("the worker's output", output.out + output.err)
    found += traces("the worker's log", caplog.text)
    assert found == []
    # They are where they belong: staff read them in the case's log.
    assert CANARIES[2] in str(await sealed.log("secret"))


async def described(client: Client, workflow_id: str) -> str:
    """The raw description of a workflow: summary, memo, search attributes, pending activities."""
    return str(
        await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
            )
        )
    )


async def traces_in_postgres(stage: Stage) -> list[str]:
    """The patient's name and identity are in no table; what staff wrote is in the log and nowhere else."""
    tables = await stage.rows("select table_name as name from information_schema.tables where table_schema = 'omhand'")
    found = []
    for table in (row["name"] for row in tables):
        rows = await stage.rows(f'select "{table}"::text as text from omhand."{table}"')
        words = (CANARIES[0], *IDENTITIES) if table in {"events", "case_log"} else CANARIES + IDENTITIES
        found += traces(f"omhand.{table}", "\n".join(row["text"] for row in rows), words)
    return found


async def test_the_opening_of_a_case_is_encrypted_and_its_answers_too(sealed: Stage) -> None:
    handle = await sealed.client.start_workflow(
        "DropInVisit", opening("encrypted", patient=PATIENT), id="case-encrypted", task_queue="cases"
    )
    await until(
        lambda: sealed.rows("select 1 from omhand.notifications where case_id = 'encrypted' and status = 'sent'")
    )
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": CANARIES[1]})
    await handle.result()
    plain = set()
    for event in (await raw_history(sealed.client, "case-encrypted")).events:
        for encoding in encodings(event):
            if encoding != "binary/encrypted":
                plain.add(EventType.Name(event.event_type))
    # Search attributes are never encrypted; nor is what the server itself puts into a marker.
    assert plain <= {"EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "EVENT_TYPE_MARKER_RECORDED"}


def encodings(message: Any) -> Iterator[str]:
    """The encoding of every payload in a message, however deep."""
    if message.DESCRIPTOR.full_name == "temporal.api.common.v1.Payload":
        yield message.metadata["encoding"].decode()
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [each for each in value.values() if hasattr(each, "DESCRIPTOR")]
        else:
            inner = list(value) if hasattr(value, "__len__") and not hasattr(value, "DESCRIPTOR") else [value]
        for each in inner:
            yield from encodings(each)
