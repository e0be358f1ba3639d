"""Logging: one line of JSON a record in production, readable lines on a terminal, all to standard error.

Structlog and the standard library's loggers (temporalio's and ``workflow.logger`` among them) come out of the same
formatter, with the case that they are about. Workflow code logs through ``workflow.logger`` only: that is silent when
history is replayed, and nothing else is.

No patient data belongs in a log. Nobody here logs payloads; what would bring parts of them along all the same, the
texts of exceptions of other libraries, is cut (`_cut`).
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow
from temporalio.runtime import LogForwardingConfig, LoggingConfig, TelemetryFilter

from workers.settings import LogFormat

_KEPT_EXTRAS: Final = ("case", "unit", "key")
"""What a call of a standard logger may put on a record beside its message: ``extra={"unit": …}``."""

_IDS: Final = ("case", "workflow_id", "run")
"""Left as they are: they hold nothing of a patient (contract §4), and may well look like a personnummer."""

_AFTER_A_TRACEBACK: Final = r"(?=\nTraceback|\nThe above exception|\nDuring handling|\Z)"
_CUTS: Final = (
    # asyncpg appends the DETAIL of the server, which quotes rows.
    (re.compile(rf"\nDETAIL:.*?{_AFTER_A_TRACEBACK}", re.DOTALL), "\nDETAIL: (cut)"),
    # Pydantic quotes the value that it refuses.
    (re.compile(r"input_value=.*?, input_type=", re.DOTALL), "input_value=(cut), input_type="),
    # What looks like a personnummer, samordningsnummer or reserve number.
    (re.compile(r"(?<![\w.:-])(?:18|19|20|21)\d{6}-?[0-9A-Z]\d{3}(?![\w-])"), "(cut)"),
    (re.compile(r"(?<![\w.:-])\d{6}[-+]\d{4}(?![\w-])"), "(cut)"),
)


def configure(log_format: LogFormat, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every record of `level` and above to `stream` (standard error), as JSON or for people.

    May be called again; the last call counts.
    """
    target = stream or sys.stderr
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=_KEPT_EXTRAS),
        _add_case,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(before, log_format, target))
    _send_all_to(handler, level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # so that a later call counts for loggers that exist
    )
    # What they say there stands in fields of its own.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


def _formatter(before: list[Processor], log_format: LogFormat, target: TextIO) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,  # without the variables, which hold payloads
            _only_plain_values,
            _renderer(log_format, target),
        ],
    )


def _send_all_to(handler: logging.Handler, level: str) -> None:
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic.runtime.plugins").setLevel("WARNING")  # it lists its own parts at every start


def core_logging(level: str = "WARN") -> LoggingConfig:
    """Return what makes Temporal's core log through the standard library, for ``TelemetryConfig(logging=…)``."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"), append_target_to_name=False)
    return LoggingConfig(filter=TelemetryFilter(core_level=level, other_level="ERROR"), forwarding=forwarding)


def _renderer(log_format: LogFormat, target: TextIO) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _add_case(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add the case and what is done to it, of temporalio's records and of anything logged in an activity."""
    record: logging.LogRecord | None = event.get("_record")
    details: dict[str, Any] = {}
    if activity.in_activity():
        info = activity.info()
        details = {
            "workflow_id": info.workflow_id,
            "workflow_type": info.workflow_type,
            "run_id": info.workflow_run_id,
            "activity_type": info.activity_type,
            "attempt": info.attempt,
        }
    for extra in ("temporal_workflow", "temporal_activity"):
        details |= getattr(record, extra, None) or {}
    workflow_id = str(details.pop("workflow_id", None) or "")
    if workflow_id.startswith("case-"):
        event.setdefault("case", workflow_id.removeprefix("case-"))
    elif workflow_id:
        event.setdefault("workflow_id", workflow_id)
    for name, field in _FIELDS.items():
        if details.get(name) is not None:
            event.setdefault(field, details[name])
    return event


_FIELDS: Final = {
    "workflow_type": "workflow_type",
    "run_id": "run",
    "workflow_run_id": "run",
    "activity_type": "activity",
    "update_name": "update",
    "attempt": "attempt",
}


def _only_plain_values(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Cut texts, and name anything that is neither text nor number by its type: its repr could show a payload."""
    return {key: value if key in _IDS else _plain(value) for key, value in event.items()}


def _plain(value: object) -> object:
    match value:
        case str():
            return _cut(str(value))
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {_cut(str(key)): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return f"<{type(value).__name__}>"


def _cut(text: str) -> str:
    for pattern, instead in _CUTS:
        text = pattern.sub(instead, text)
    return text
