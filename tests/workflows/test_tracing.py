"""Traces, as their receiver gets them: from who acts to what is recorded, and nothing of what was written."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export import SpanExportResult
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowHandle,
    WorkflowHistory,
)
from temporalio.plugin import SimplePlugin
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from omhand.client import CaseClient
from omhand.client.faults import Refused
from omhand.client.spans import Sender
from omhand.client.tracing import ENDPOINT, PROTOCOL, TRACES_ENDPOINT, send_the_rest, tracing
from omhand.codec import KeyRing, encryption
from omhand.contract.names import Kind
from workers.children import free_ports
from workers.embedded import TemporalServer
from workers.settings import Settings
from workers.worker import connect, register_search_attributes, serving
from workflows.entrance import Entrance

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))
from corpus import stored
from stage import Stage, load_rules, new_database, staged, until
from stories import CLERK_NORTH, NURSE_NORTH, opening

SECRET = "HEMLIGT-OM-PATIENTEN"


@dataclass
class Receiver:
    """What OpenTelemetry's receivers do with spans: it keeps them."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("x-tenant"))
        self.bodies.append(await request.read())
        return web.Response()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str, workflow_id: str) -> Callable[[], Awaitable[Span | None]]:
        """The span of that name about that workflow, when it has come."""

        async def find() -> Span | None:
            return next((span for span in self.spans if span.name == name and workflow_of(span) == workflow_id), None)

        return find


def workflow_of(span: Span) -> str:
    return {each.key: each.value.string_value for each in span.attributes}.get("temporalWorkflowID", "")


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture(scope="module")
async def traced(
    postgres_server: str, temporal_server: TemporalServer, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Stage, CaseClient]]:
    """A worker and a client with traces, and payloads encrypted."""
    keys = tmp_path_factory.mktemp("tracing") / "keys"
    KeyRing.create(keys)
    dsn = await new_database(postgres_server, "tracing")
    await load_rules(dsn)
    async with AsyncExitStack() as resources:
        setting = resources.enter_context(pytest.MonkeyPatch.context())
        stage = await resources.enter_async_context(staged(dsn, temporal=temporal_server, keys=keys, served=False))
        setting.setenv("TEMPORAL_ADDRESS", stage.address)
        setting.setenv("TEMPORAL_NAMESPACE", stage.client.namespace)
        setting.setenv(ENDPOINT, receiver.url)
        setting.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=region")
        setting.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        settings = Settings(dsn, stage.gateway.url, keys_file=keys, notices_per_second=1000.0)
        worker = await connect(settings)
        await register_search_attributes(worker)
        await resources.enter_async_context(serving(worker, settings))
        client = await resources.enter_async_context(await CaseClient.connect(keys_file=keys, database_url=dsn))
        yield dataclasses.replace(stage, client=client.temporal), client


async def test_one_trace_leads_from_who_acts_to_what_is_recorded(
    traced: tuple[Stage, CaseClient], receiver: Receiver
) -> None:
    _, client = traced
    await client.open(Kind.DROP_IN_VISIT, opening("traced"))
    await client.opened("traced")
    await client.act("traced", "accept", {"by": NURSE_NORTH, "action_id": "taken"})
    sent = await until(receiver.named("StartWorkflowUpdate:accept", "case-traced"))

    async def recorded() -> list[Span]:
        own = [span for span in receiver.spans if span.trace_id == sent.trace_id]
        return own if {"RunActivity:look_up", "RunActivity:record"} <= {span.name for span in own} else []

    by_id = {span.span_id: span for span in await until(recorded)}
    for activity in ("look_up", "record"):
        [ran] = [span for span in by_id.values() if span.name == f"RunActivity:{activity}"]
        asked = by_id[ran.parent_span_id]
        assert asked.name == f"StartActivity:{activity}"
        assert asked.parent_span_id == sent.span_id
    # What its opening came to is another trace, of who opened it; the update's handler is linked to its sender.
    opened = await until(receiver.named("StartWorkflow:DropInVisit", "case-traced"))
    assert opened.trace_id != sent.trace_id
    handled = await until(receiver.named("HandleUpdate:accept", "case-traced"))
    assert handled.trace_id == opened.trace_id
    assert [link.span_id for link in handled.links] == [sent.span_id]
    assert receiver.headers[-1] == "region"


async def test_no_span_and_no_header_holds_anything_that_was_written(
    traced: tuple[Stage, CaseClient], receiver: Receiver
) -> None:
    stage, client = traced
    told = opening("silent", patient={"id": f"ref:{SECRET}", "digital": True}, reason=SECRET)
    await client.open(Kind.DROP_IN_VISIT, told)
    await client.opened("silent")
    await client.act("silent", "accept", {"by": NURSE_NORTH})
    await client.act("silent", "note", {"by": NURSE_NORTH, "text": SECRET, "action_id": SECRET})
    with pytest.raises(Refused):
        await client.act("silent", "close", {"by": CLERK_NORTH, "outcome": SECRET})
    await client.act("silent", SECRET, {"by": NURSE_NORTH}, wait=False)
    await client.open(Kind.DROP_IN_VISIT, {**told, "case_id": "refused", "unit": SECRET})
    await until(receiver.named("CompleteWorkflow:DropInVisit", "case-refused"))
    await until(receiver.named("HandleSignal:unreadable", "case-silent"))
    await until(receiver.named("StartWorkflowUpdate:close", "case-silent"))
    assert not [body for body in receiver.bodies if SECRET.encode() in body]
    failed = [event for span in receiver.spans for event in span.events]
    assert {event.name for event in failed} == {"exception"}
    assert {each.key for event in failed for each in event.attributes} == {"exception.type"}
    headers = [header async for event in history(stage, "case-silent") for header in headers_of(event)]
    assert len(headers) > 3
    for header in headers:
        # Headers are not encrypted: they hold the ids of a span, and nothing else.
        assert set(json.loads(header.data)) == {"traceparent"}


class Theirs(Interceptor, OutboundInterceptor):
    """Another program's tracing, which writes the same header otherwise."""

    def __init__(self, header: Payload) -> None:
        self.header = header

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        self.next = next
        return self

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = {"_tracer-data": self.header}
        return await self.next.start_workflow(input)


@pytest.mark.parametrize(
    "header",
    [
        Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"theirs"}, data=b"?"),
        Payload(metadata={"encoding": b"json/plain"}, data=b'{"traceparent": 5}'),
        Payload(metadata={"encoding": b"json/plain"}, data=b"[]"),
    ],
)
async def test_a_header_that_cannot_be_read_stops_no_case(traced: tuple[Stage, CaseClient], header: Payload) -> None:
    stage, client = traced
    case_id = f"odd-{header.data.hex()}"
    converter = stage.client.data_converter
    theirs = await stage.connect(data_converter=converter, interceptors=[Theirs(header)])
    await dataclasses.replace(stage, client=theirs).start(case_id)
    assert (await client.opened(case_id)).status == "waiting"


@pytest.mark.parametrize("name", ["accepted", "database-away", "handed-over", "intake", "long-last-run", "busy"])
async def test_a_stored_life_replays_with_traces_and_makes_no_spans(
    name: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACES_ENDPOINT, f"{receiver.url}/v1/traces")
    history = stored()[name]
    interceptors: Any = tracing("omhand-worker")
    assert interceptors
    result = await replayer(encryption(None), interceptors).replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None
    assert not [span for span in receiver.spans if workflow_of(span) == history.workflow_id]


async def test_what_a_worker_with_traces_has_done_replays_without(
    traced: tuple[Stage, CaseClient],
) -> None:
    stage, client = traced
    await client.open(Kind.DROP_IN_VISIT, opening("beside"))
    await client.opened("beside")
    await client.act("beside", "accept", {"by": NURSE_NORTH})
    told = WorkflowHistory("case-beside", [event async for event in history(stage, "case-beside")])
    with_keys = SimplePlugin("keys", data_converter=stage.client.data_converter)
    result = await replayer(with_keys, []).replay_workflow(told, raise_on_replay_failure=False)
    assert result.replay_failure is None


def replayer(plugin: SimplePlugin, interceptors: Any) -> Replayer:
    """Replays as a worker runs them, with traces or without."""
    return Replayer(
        workflows=[Entrance],
        workflow_runner=UnsandboxedWorkflowRunner(),
        plugins=[plugin],
        interceptors=interceptors,
    )


async def history(stage: Stage, workflow_id: str) -> AsyncIterator[HistoryEvent]:
    """As the server keeps it, encrypted."""
    execution = WorkflowExecution(workflow_id=workflow_id)
    answer = await stage.client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(namespace=stage.client.namespace, execution=execution)
    )
    for event in answer.history.events:
        yield event


def headers_of(event: HistoryEvent) -> list[Payload]:
    """The traces' headers of what came in and of what was asked for."""
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    if hasattr(attributes, "accepted_request"):
        attributes = attributes.accepted_request.input
    return list(attributes.header.fields.values()) if hasattr(attributes, "header") else []


async def test_what_waits_is_sent_before_a_command_ends(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"{receiver.url}/")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    made: Any = tracing("a-command")[0]
    made.tracer.start_span("Test:waits").end()
    assert "Test:waits" not in {span.name for span in receiver.spans}
    await asyncio.to_thread(send_the_rest)
    assert "Test:waits" in {span.name for span in receiver.spans}


async def test_a_receiver_that_is_away_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    [port] = free_ports(0)
    sender = Sender(f"http://127.0.0.1:{port}/hemlig", {})
    assert await asyncio.to_thread(sender.export, []) is SpanExportResult.FAILURE
    assert "could not be sent" in caplog.text
    assert "hemlig" not in caplog.text


def test_nothing_of_it_is_imported_where_nobody_asks() -> None:
    look = "import sys, workers.worker, omhand.cli; print([name for name in sys.modules if 'opentelemetry.' in name])"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "word"),
    [({ENDPOINT: "hemlig:4317"}, ENDPOINT), ({ENDPOINT: "http://127.0.0.1:1", PROTOCOL: "grpc"}, PROTOCOL)],
)
def test_what_is_wrong_with_the_variables_is_told_and_nothing_is_traced(
    variables: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing("omhand") == []
    assert word in caplog.text
    assert "hemlig" not in caplog.text
