"""Payload encryption on real servers (contract §8): keys that change, are missing or wrong; payloads that moved."""

import dataclasses
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.common import RawValue
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from omhand.codec import EncryptionCodec, KeyRing, encryption
from omhand.rotation import rotate
from workers.embedded import TemporalServer
from workers.settings import Settings
from workers.worker import register_search_attributes, serving
from workflows.entrance import Entrance

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until
from stories import DOCTOR_SOUTH, NORTH, NURSE_NORTH, SOUTH, failure_of, opening, refusal_of

CLOSE = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}
CANNOT = "the payload cannot be decrypted: "


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key ring of the worker and of the client."""
    path = tmp_path_factory.mktemp("encryption") / "keys"
    KeyRing.create(path)
    return path


@pytest.fixture(scope="module")
async def sealed(postgres_server: str, temporal_server: TemporalServer, keys: Path) -> AsyncIterator[Stage]:
    """A worker that encrypts and takes nothing that is plain; it and the client have the plugin."""
    dsn = await new_database(postgres_server, "encryption")
    await load_rules(dsn)
    async with AsyncExitStack() as resources:
        stage = await resources.enter_async_context(staged(dsn, temporal=temporal_server, keys=keys, served=False))
        settings = Settings(dsn, stage.gateway.url, None, keys, require_encryption=True, notices_per_second=1000.0)
        worker = await stage.connect(plugins=[encryption(settings.codec("mark"))])
        await register_search_attributes(worker)
        await resources.enter_async_context(serving(worker, settings))
        yield dataclasses.replace(stage, client=await with_keys(stage, keys))


async def with_keys(stage: Stage, keys: Path | KeyRing | None) -> Client:
    """A client as an integrator has it."""
    return await stage.connect(plugins=[encryption(keys)])


async def raw_history(stage: Stage, workflow_id: str) -> History:
    """The history as the server stores it, as nobody's converter has touched it."""
    execution = WorkflowExecution(workflow_id=workflow_id)
    request = GetWorkflowExecutionHistoryRequest(namespace=stage.client.namespace, execution=execution)
    return (await stage.client.workflow_service.get_workflow_execution_history(request)).history


def payloads(message: Any) -> Iterator[Payload]:
    """Every payload in a message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        many = value.values() if field.message_type.GetOptions().map_entry else value if field.is_repeated else [value]
        for each in many:
            if hasattr(each, "ListFields"):
                yield from payloads(each)


def key_ids(message: Any) -> set[str]:
    """The keys under which anything in the message is encrypted."""
    named = (payload.metadata.get("encryption-key-id", b"").decode() for payload in payloads(message))
    return {key_id for key_id in named if key_id}


def of_type(history: History, name: str) -> list[HistoryEvent]:
    """The events of a type."""
    return [event for event in history.events if event.event_type == EventType.Value(f"EVENT_TYPE_{name}")]


async def replays(keys: Path, workflow_id: str, history: History) -> bool:
    """Whether a worker with that ring takes the case up where it is."""
    replayer = Replayer(workflows=[Entrance], workflow_runner=UnsandboxedWorkflowRunner(), plugins=[encryption(keys)])
    result = await replayer.replay_workflow(WorkflowHistory(workflow_id, list(history.events)))
    return result.replay_failure is None


async def test_a_case_lives_on_while_the_key_is_rotated(sealed: Stage, keys: Path) -> None:
    first = KeyRing.read(keys).encrypting
    handle = await sealed.start("rotated")
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "under the first key"})
    second = rotate(keys)
    newcomer = await with_keys(sealed, keys)
    view = await newcomer.get_workflow_handle(handle.id).execute_update("accept", {"by": NURSE_NORTH})
    assert view["status"] == "accepted"
    assert (await handle.query("view"))["status"] == "accepted", "who has read the ring before finds the new key too"
    await handle.execute_update("close", CLOSE)
    assert (await handle.result())["outcome"] == "treated"
    history = await raw_history(sealed, handle.id)
    assert key_ids(history.events[0]) == {first}
    assert key_ids(history.events[-1]) == {second}, "the worker has taken the new key up"
    assert key_ids(history) == {first, second}
    assert await replays(keys, handle.id, history)


async def test_messages_of_failures_and_summaries_cannot_be_read_in_the_history(sealed: Stage) -> None:
    handle = await sealed.start("unreadable")
    refusal = await refusal_of(handle, "accept", {"by": NURSE_NORTH, "colour": "red"})
    assert "colour" in refusal.message
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "x"})
    failed = await sealed.start("unreadable-start", priority=7)
    told = (await failure_of(failed)).message
    for handle_, said in ((handle, refusal.message), (failed, told)):
        stored = (await raw_history(sealed, handle_.id)).SerializeToString()
        for text in (said, "record opened", "drop_in_visit, priority", "Traceback"):
            assert text.encode() not in stored
    assert any(key_ids(event.user_metadata) for event in (await raw_history(sealed, handle.id)).events)


async def test_a_missing_key_is_named_while_other_cases_go_on(sealed: Stage, keys: Path, tmp_path: Path) -> None:
    """That the case goes on when the key is back is told with everything else that can be away."""
    elsewhere = KeyRing.create(tmp_path / "keys")
    stranger = await with_keys(sealed, elsewhere)
    waits = await stranger.start_workflow("DropInVisit", opening("waits"), id="case-waits", task_queue="cases")

    async def failures() -> list[HistoryEvent]:
        return of_type(await raw_history(sealed, waits.id), "WORKFLOW_TASK_FAILED")

    [task, *_] = await until(failures)
    assert key_ids(task) == {KeyRing.read(keys).encrypting}
    failure = task.workflow_task_failed_event_attributes.failure
    fault = await sealed.client.data_converter.decode_failure(failure)
    assert f"the key '{elsewhere.encrypting}' is not in the key ring" in str(fault)
    other = await sealed.start("goes-on")
    await other.execute_update("accept", {"by": NURSE_NORTH})
    assert (await other.execute_update("close", CLOSE))["status"] == "closed"
    assert await sealed.log("waits") == []


# What was moved, or is wrong


async def a_moved_action(stage: Stage) -> Payload:
    """An action that was taken on one case, as the server keeps it."""
    handle = await stage.start("moved-from")
    await handle.signal("accept", {"by": NURSE_NORTH})
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    [signalled] = of_type(await raw_history(stage, handle.id), "WORKFLOW_EXECUTION_SIGNALED")
    return signalled.workflow_execution_signaled_event_attributes.input.payloads[0]


async def under_another_key(keys: Path) -> Payload:
    """An action that was encrypted under another key of the same id."""
    codec = EncryptionCodec(KeyRing({KeyRing.read(keys).encrypting: bytes(32)}))
    [payload] = await encryption(codec).data_converter.encode([{"by": NURSE_NORTH}])
    return payload


async def test_an_action_of_another_case_or_under_another_key_is_refused_and_the_case_goes_on(
    sealed: Stage, keys: Path
) -> None:
    handle = await sealed.start("moved-to")
    anybody = (await sealed.connect()).get_workflow_handle(handle.id)
    good = await a_moved_action(sealed)
    cut_short = Payload(metadata=good.metadata, data=good.data[:-1])
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
    faults = {
        "encrypted for another workflow": good,
        "encrypted, but changed since, or under another key of that id": await under_another_key(keys),
        "encrypted, but changed since, or under another key": cut_short,
        "not encrypted": plain,
    }
    for payload in faults.values():
        await anybody.signal("accept", RawValue(payload))
        with pytest.raises(Exception, match="failed"):
            await anybody.execute_update("accept", RawValue(payload))
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "still here"})
    rejected = [row["detail"] for row in view["log"] if row["event"] == "rejected"]
    assert [(row["action"], row["code"]) for row in rejected] == [("accept", "InvalidAction")] * 2 * len(faults)
    for row, fault in zip(rejected, [fault for fault in faults for _ in range(2)], strict=True):
        assert row["message"].startswith(CANNOT + fault)
    assert view["status"] == "waiting"


async def test_a_start_that_was_moved_or_is_not_encrypted_fails_clearly(sealed: Stage) -> None:
    handle = await sealed.start("moved-start")
    started = (await raw_history(sealed, handle.id)).events[0].workflow_execution_started_event_attributes
    anybody = await sealed.connect()
    faults = {"encrypted for another workflow": RawValue(started.input.payloads[0]), "not encrypted": opening("x")}
    for number, (fault, given) in enumerate(faults.items()):
        await anybody.start_workflow("DropInVisit", given, id=f"case-moved-{number}", task_queue="cases")
        failure = await failure_of(sealed.client.get_workflow_handle(f"case-moved-{number}"))
        assert (failure.type, failure.message) == ("InvalidCase", CANNOT + fault)


# What belongs together


async def test_cases_that_speak_to_each_other_can_all_be_read(sealed: Stage, keys: Path) -> None:
    outcome = {
        "case_id": "family", "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse",
        "unit": NORTH, "patient": {"id": "ref:family", "digital": True},
    }  # fmt: skip
    await sealed.client.execute_workflow("Intake", outcome, id="intake-family", task_queue="cases")
    case: WorkflowHandle[Any, Any] = sealed.client.get_workflow_handle("case-family")
    sibling = await sealed.start("family-2", patient={"id": "ref:family", "digital": True})
    await case.execute_update("accept", {"by": NURSE_NORTH})
    asked = {"by": NURSE_NORTH, "to_unit": SOUTH, "to_profession": "doctor", "question": "x", "wants_handover": True}
    view = await case.execute_update("consult", asked)
    [consultation] = view["consultations"]
    child: WorkflowHandle[Any, Any] = sealed.client.get_workflow_handle(f"case-{consultation['case_id']}")
    # Parents write the summaries of their children, who are read under their own ids.
    for handle, summary in ((case, "drop_in_visit, priority 3"), (child, "consultation, priority 3")):
        assert str(await (await handle.describe()).static_summary()).startswith(summary)
    await child.execute_update("answer", {"by": DOCTOR_SOUTH, "advice": "x", "takes_over": True})
    await child.result()

    async def has_heard() -> bool:
        return bool((await case.query("view"))["consultations"][0]["takes_over"])

    await until(has_heard)
    await case.execute_update("close", CLOSE)
    await sibling.execute_update("cancel", {"by": {"patient": True}, "reason": "x"})
    for handle in (case, child, sibling):
        events = [row["event"] for row in (await handle.result())["log"]]
        assert "rejected" not in events
        assert await replays(keys, handle.id, await raw_history(sealed, handle.id))
