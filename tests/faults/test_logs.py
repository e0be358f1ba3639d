"""Logs: one shape for all of them, the case on every line, and nothing of a patient."""

import dataclasses
import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog
from pydantic import BaseModel, ValidationError
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from workers.embedded import embedded_temporal
from workers.logs import configure, core_logging

NUMBER = "191212121212"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    out = io.StringIO()
    configure("json", "INFO", out)
    return out


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_structlog_and_the_standard_library_look_the_same(stream: io.StringIO) -> None:
    structlog.get_logger("a").info("åtgärdad", n=1)
    logging.getLogger("a").info("åtgärdad")
    first, second = lines(stream)
    assert first.pop("n") == 1
    assert first.keys() == second.keys() == {"event", "level", "logger", "timestamp"}
    assert first["event"] == second["event"] == "åtgärdad"
    assert first["timestamp"].endswith("Z")


def test_a_level_keeps_the_rest_out_and_the_last_configuration_counts(stream: io.StringIO) -> None:
    log = structlog.get_logger("a")
    configure("json", "WARNING", stream)
    log.info("no")
    logging.getLogger("a").info("no")
    log.warning("yes")
    logging.getLogger("a").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes", "yes"]


def test_for_people_it_is_readable_and_has_no_colours_off_a_terminal() -> None:
    out = io.StringIO()
    configure("console", "INFO", out)
    structlog.get_logger("a").info("hello", unit="HC01")
    assert "hello" in out.getvalue()
    assert "unit=HC01" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_where_and_not_the_variables(log_format: Any) -> None:
    out = io.StringIO()
    configure(log_format, "INFO", out)
    secret = "hemligt"  # noqa: F841 - a traceback with variables would show it
    try:
        {"here": 1}["gone"]
    except KeyError:
        structlog.get_logger("a").exception("failed")
        logging.getLogger("a").exception("failed")
    assert out.getvalue().count("KeyError") == 2
    assert out.getvalue().count("test_logs.py") == 2
    assert "secret = 'hemligt'" not in out.getvalue()


def test_case_and_unit_that_are_bound_are_on_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(case="a", unit="HC01"):
        structlog.get_logger("a").info("x")
        logging.getLogger("b").info("x")
    logging.getLogger("b").info("x", extra={"unit": "HC02", "text": "hemligt"})
    assert [line.get("unit") for line in lines(stream)] == ["HC01", "HC01", "HC02"]
    assert [line.get("case") for line in lines(stream)] == ["a", "a", None]
    assert "hemligt" not in stream.getvalue()


def test_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)
    assert "old" in lines(stream)[0]["event"]


# Nothing of a patient


class Patient(BaseModel):
    id: int


def test_what_other_libraries_quote_is_cut(stream: io.StringIO) -> None:
    log = structlog.get_logger("a")
    database = asyncpg.UniqueViolationError("duplicate key")
    database.detail = f"Key (text)=(hosta\n\nfeber {NUMBER}) already exists."
    for error in (database, ValueError("afterwards")):
        log.error("failed", exc_info=error)
    with pytest.raises(ValidationError) as refused:
        Patient.model_validate({"id": "hosta\nfeber"})
    log.error("failed", error=str(refused.value))
    text = stream.getvalue()
    assert "hosta" not in text
    assert "feber" not in text
    for kept in ("duplicate key", "DETAIL: (cut)", "input_value=(cut), input_type=str", "afterwards"):
        assert kept in text


@pytest.mark.parametrize("number", [NUMBER, "19121212-1212", "121212-1212", "121212+1212", "20121272-1212"])
def test_what_looks_like_a_personnummer_is_cut(stream: io.StringIO, number: str) -> None:
    structlog.get_logger("a").info(f"för {number}.", found=[{number: number}])
    assert number not in stream.getvalue()


def test_ids_and_times_are_left_alone(stream: io.StringIO) -> None:
    text = "SE2321000198-HC01 hc01-20261124-0900 2026-11-24T09:00:00+01:00 case-20261124-0900"
    structlog.get_logger("a").info(text, port=54321, case="202611240900")
    assert lines(stream)[0]["case"] == "202611240900"
    assert lines(stream)[0]["event"] == text


def test_objects_are_named_by_their_type(stream: io.StringIO) -> None:
    structlog.get_logger("a").info("x", payload=Patient(id=1), items=({"p": Patient(id=1)}, None, 1.5))
    (line,) = lines(stream)
    assert line["payload"] == "<Patient>"
    assert line["items"] == [{"p": "<Patient>"}, None, 1.5]


# Temporal


@activity.defn
async def failing() -> None:
    structlog.get_logger("act").info("by structlog")
    activity.logger.info("by temporalio")
    if activity.info().attempt == 1:
        raise RuntimeError(f"not for {NUMBER}")


@workflow.defn(name="DropInVisit", sandboxed=False)
class Visit:
    @workflow.run
    async def run(self) -> None:
        workflow.logger.info("in the workflow")
        await workflow.execute_activity(failing, start_to_close_timeout=timedelta(seconds=5))


async def test_an_activity_is_logged_with_its_case(stream: io.StringIO) -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, workflow_id="case-a", attempt=2)
    await environment.run(failing)
    assert [(line["event"], line["case"]) for line in lines(stream)] == [("by structlog", "a"), ("by temporalio", "a")]


async def test_records_of_a_worker_say_which_case_and_a_replay_says_nothing(stream: io.StringIO) -> None:
    async with embedded_temporal() as temporal:
        client = await Client.connect(temporal.address)
        async with Worker(client, task_queue="q", workflows=[Visit], activities=[failing]):
            handle = await client.start_workflow("DropInVisit", id="case-a", task_queue="q")
            await handle.result()
        history = await handle.fetch_history()
    logged = lines(stream)
    assert {line.get("case") for line in logged if line["logger"] != "temporalio.worker._worker"} == {"a"}
    events = [line["event"] for line in logged]
    assert events.count("in the workflow") == 1
    assert events.count("by structlog") == events.count("by temporalio") == 2
    assert next(line for line in logged if line["event"] == "in the workflow")["workflow_type"] == "DropInVisit"
    (failed,) = [line for line in logged if "exception" in line]
    assert (failed["activity"], failed["attempt"]) == ("failing", 1)
    assert "RuntimeError" in failed["exception"]
    assert NUMBER not in stream.getvalue()
    stream.truncate(0)
    await Replayer(workflows=[Visit], workflow_runner=UnsandboxedWorkflowRunner()).replay_workflow(history)
    assert "in the workflow" not in stream.getvalue()


def test_the_core_can_be_made_to_log_through_the_same_formatter(stream: io.StringIO) -> None:
    config = core_logging()
    assert config.forwarding
    assert config.forwarding.logger.name == "temporalio.core"
    config.forwarding.logger.warning("from the core")
    assert lines(stream)[0]["event"] == "from the core"
