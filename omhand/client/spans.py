"""The spans themselves: made by Temporal's own interceptor, and sent with nothing of what anybody wrote.

The interceptor makes each span of a workflow at once and whole, outside the workflow, and takes nothing of its
randomness: the commands of a worker with traces are those of one without, and replay makes no spans. What an update
does to a case is told under the span of whoever sent it (`MessageTracing`); what a case does by itself, under that
which opened it.

What travels in the header of a call is the ids of the span, and nothing else.
"""

import logging
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from opentelemetry import context as current
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers
from temporalio.api.common.v1 import Payload
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter
from temporalio.worker import (
    HandleUpdateInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

HEADER: Final = "_tracer-data"
CARRIED: Final = ("traceparent", "tracestate")
PROPAGATOR: Final = TraceContextTextMapPropagator()
"""Without the baggage, in which an integrator's program may have whatever it likes."""

SEND_SECONDS: Final = 5.0

KEPT_ATTRIBUTES: Final = ("temporalWorkflowID", "temporalRunID", "temporalActivityID")
KEPT_NAME: Final = re.compile(r"[A-Za-z]{1,40}:[A-Za-z][A-Za-z0-9_]{0,60}", re.ASCII)
"""A call of ours. The name of a signal is its sender's, who could write anything there."""

PROVIDERS: Final[list[TracerProvider]] = []

log = logging.getLogger(__name__)


def interceptors(endpoint: str, service: str) -> list[ClientInterceptor]:
    """What a client is given. The second stands nearer to the workflow: what it starts is under the message's span."""
    return [CaseTracing(_tracer(endpoint, service)), MessageTracing()]


@cache
def _tracer(endpoint: str, service: str) -> Tracer:
    """One a process. What has not been sent when the process ends is sent then, where it ends by Python's own exit."""
    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service})
    provider = TracerProvider(resource=resource)
    headers = parse_env_headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""), liberal=True)
    provider.add_span_processor(BatchSpanProcessor(Sender(endpoint, headers)))
    PROVIDERS.append(provider)
    return provider.get_tracer("omhand")


# What is made ---------------------------------------------------------------------------------------------------------


class Carriers(CompositePayloadConverter):
    """Reads what came in the header, where it is what it should be: nobody's header may stop a case."""

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter.default_encoding_payload_converters)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """One carrier each; an empty one of what cannot be read."""
        return [self._carrier(payload, type_hints) for payload in payloads]

    def _carrier(self, payload: Payload, type_hints: list[type] | None) -> dict[str, str]:
        try:
            [told] = super().from_payloads([payload], type_hints)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the case goes on without
            log.debug("the header of a trace cannot be read: %s", type(fault).__name__)
            return {}
        given = told if isinstance(told, dict) else {}
        return {key: given[key] for key in CARRIED if isinstance(given.get(key), str)}


CARRIERS: Final = Carriers()


class CaseTracing(TracingInterceptor):
    """Temporal's, which sends only ids, and reads no more."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.text_map_propagator = PROPAGATOR
        self.payload_converter = CARRIERS

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - as it is called there
    ) -> type[TracingWorkflowInboundInterceptor]:
        """The workflow's side."""
        super().workflow_interceptor_class(input)
        return CaseWorkflowTracing


class CaseWorkflowTracing(TracingWorkflowInboundInterceptor):
    """As `CaseTracing`, in a workflow."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002
        super().__init__(next)
        self.text_map_propagator = PROPAGATOR
        self.payload_converter = CARRIERS


class MessageTracing(ClientInterceptor, Interceptor):
    """What is started for an update is told under the span of its sender.

    The handler of an update only waits: the case's own loop does what it asks for, one thing at a time. What it records
    names its cause, and what it looks up is for the only update that waits, if there is only one.
    """

    def workflow_interceptor_class(self, _input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """The workflow's side."""
        return MessagesOfCase


class MessagesOfCase(WorkflowInboundInterceptor):
    """Knows the updates that wait for their answer, and whence they came."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002
        super().__init__(next)
        self._waiting: dict[str, Context] = {}

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """What the workflow starts goes by us."""
        super().init(StartedForMessage(outbound, self))

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        """An update has come, and waits."""
        carriers = CARRIERS.from_payloads([each for key, each in input.headers.items() if key == HEADER])
        if carriers and carriers[0]:
            self._waiting[input.id] = PROPAGATOR.extract(carriers[0])
        try:
            return await super().handle_update_handler(input)
        finally:
            self._waiting.pop(input.id, None)

    def sender_of(self, argument: object) -> Context | None:
        """Whose span it is to be told under, what is started with this argument; None: nobody's but the case's."""
        cause = getattr(argument, "cause", "")
        if not isinstance(cause, str):  # the clock's
            return None
        named = cause.partition(":")[2]
        for update, sender in self._waiting.items():
            if named and named in {update, update.partition("/")[0]}:
                return sender
        return next(iter(self._waiting.values())) if len(self._waiting) == 1 else None


class StartedForMessage(WorkflowOutboundInterceptor):
    """Starts an activity with its sender's span as the current one."""

    def __init__(self, next: WorkflowOutboundInterceptor, messages: MessagesOfCase) -> None:  # noqa: A002
        super().__init__(next)
        self._messages = messages

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """A regular one."""
        with _under(self._messages.sender_of(next(iter(input.args), None))):
            return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """A local one."""
        with _under(self._messages.sender_of(next(iter(input.args), None))):
            return super().start_local_activity(input)


@contextmanager
def _under(sender: Context | None) -> Iterator[None]:
    token = current.attach(sender) if sender else None
    try:
        yield
    finally:
        if token:
            current.detach(token)


# What is sent ---------------------------------------------------------------------------------------------------------


class Sender(SpanExporter):
    """Sends spans by OTLP over HTTP. What cannot be sent is gone, and the log says so."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send these; called on a thread of its own."""
        body = encode_spans([bare(span) for span in spans]).SerializeToString()
        request = urllib.request.Request(self._endpoint, body, self._headers, method="POST")  # noqa: S310 - http(s): see tracing.py
        try:
            with urllib.request.urlopen(request, timeout=SEND_SECONDS):  # noqa: S310
                return SpanExportResult.SUCCESS
        except OSError as error:
            log.warning("spans could not be sent, and are gone: %d (%s)", len(spans), type(error).__name__)
            return SpanExportResult.FAILURE


def bare(span: ReadableSpan) -> ReadableSpan:
    """The span without what somebody may have written: the texts of errors, and names that are not ours."""
    name = span.name if KEPT_NAME.fullmatch(span.name) else f"{span.name.partition(':')[0][:40]}:unreadable"
    kept = {key: value for key, value in (span.attributes or {}).items() if key in KEPT_ATTRIBUTES}
    events = [
        Event(each.name, {"exception.type": (each.attributes or {}).get("exception.type", "")}, each.timestamp)
        for each in span.events
    ]
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        events=events,
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )
