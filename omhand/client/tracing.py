"""Traces (OpenTelemetry): on where its own variables say where to, else nothing of it is even imported.

``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``, or ``OTEL_EXPORTER_OTLP_ENDPOINT`` with ``/v1/traces`` after it: where they go,
by OTLP over HTTP. ``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``,
``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_…`` and ``OTEL_SDK_DISABLED`` count as everywhere. What is wrong with them is a
warning: nobody waits for a trace.
"""

import logging
import os
import sys
from typing import Final
from urllib.parse import urlsplit

from temporalio.client import Interceptor

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
DISABLED: Final = "OTEL_SDK_DISABLED"

log = logging.getLogger(__name__)


def tracing(service: str) -> list[Interceptor]:
    """What a Temporal client is given as its ``interceptors``, so that what it does is traced; a worker has them of it.

    Of a client of your own too. Spans hold names, ids and times, nothing of what is sent. ``service`` is what they are
    under unless ``OTEL_SERVICE_NAME`` says so.
    """
    base, endpoint = os.environ.get(ENDPOINT, "").strip(), os.environ.get(TRACES_ENDPOINT, "").strip()
    endpoint = endpoint or (base and f"{base.rstrip('/')}/v1/traces")
    if not endpoint or os.environ.get(DISABLED, "").strip().lower() == "true":
        return []
    if urlsplit(endpoint).scheme not in {"http", "https"}:
        log.warning(
            "nothing is traced: %s is not an http:// or https:// URL", TRACES_ENDPOINT if not base else ENDPOINT
        )
        return []
    if os.environ.get(PROTOCOL, "").strip() not in {"", "http/protobuf"}:
        log.warning("nothing is traced: %s is not http/protobuf, which alone is spoken here", PROTOCOL)
        return []
    try:
        from omhand.client.spans import interceptors  # noqa: PLC0415 - only where it is wanted
    except ModuleNotFoundError as missing:
        log.warning("nothing is traced: %s is not installed (pip install 'omhand[tracing]')", missing.name)
        return []
    return interceptors(endpoint, service)


def send_the_rest() -> None:
    """Send what waits to be sent, where anything has been traced: before a process ends by ``os._exit``."""
    spans = sys.modules.get("omhand.client.spans")
    for provider in spans.PROVIDERS if spans else ():
        provider.force_flush()
