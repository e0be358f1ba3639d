"""Plays typical lives of cases on real servers and stores their histories: ``python tests/replay/make_corpus.py``.

Run it when a change of workflow code is meant to change what new cases do, and running ones are served by
``workflow.patched``: see ``test_replay.py``. Existing histories stay, as running cases stay: with ``--all`` they are
made anew, which is right only while nothing runs anywhere. ``fingerprint.json`` is written along.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
sys.path.insert(0, str(Path(__file__).parent))

from corpus import FINGERPRINT, HISTORIES, commands, stored
from later_lives import asserting_lives, visiting_lives, watching_lives, writing_lives
from stage import FAST_POLICY, Line, Stage, line_to, load_rules, new_database, pending_activities, staged, until
from stories import DIRECTORY, DOCTOR_SOUTH, EAST, JOUR, NURSE_NORTH, NURSE_SOUTH, SOUTH
from temporalio.client import WorkflowHandle

from workers.embedded import embedded_postgres

ROOT: Final = Path(__file__).parents[2]
CLOSE: Final = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}
CALM: Final = """
[[ladder]]
phase = "waiting"
priority = [3]
clock = "always"
due = "PT30M"
steps = [{ after = "PT0S", do = "notify" }, { after = "PT30M", do = "offer", to = "cooperating" }]
"""
CLOSING: Final = """
[closing]
warn_before = "PT3S"
"""
URGENT: Final = 2
"""The priority whose ladder takes seconds."""
SHORT_RUNS: Final = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40")

OF_THE_MACHINE: Final = {"identity", "stackTrace", "taskId", "workerVersion", "principal"}

Life = Callable[[Stage, Line], Awaitable[dict[str, WorkflowHandle[Any, Any]]]]


async def calm_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """What happens to most cases."""
    lives = {
        name: await stage.start(name)
        for name in ("waiting", "accepted", "released", "closed-by-update", "closed-by-signal", "cancelled", "busy")
    }
    for name in lives:
        await stage.gateway.until(lambda name=name: bool(stage.gateway.reasons(name)))
        await stage.settled(name)
    await lives["accepted"].execute_update("accept", {"by": NURSE_NORTH})
    await lives["released"].execute_update("accept", {"by": NURSE_NORTH, "action_id": "a-1"})
    await lives["released"].execute_update("release", {"by": NURSE_NORTH, "reason": "called away"})
    await lives["released"].execute_update("accept", {"by": NURSE_NORTH, "action_id": "a-1"})
    await lives["closed-by-update"].execute_update("accept", {"by": NURSE_NORTH})
    await lives["closed-by-update"].execute_update("close", CLOSE)
    await lives["closed-by-signal"].signal("accept", {"by": NURSE_NORTH})
    await lives["closed-by-signal"].signal("close", CLOSE)
    await lives["cancelled"].execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    # Several at once, some of them refused, one of them nonsense.
    await asyncio.gather(
        *(lives["busy"].signal("note", {"by": NURSE_NORTH, "text": "x"}) for _ in range(3)),
        lives["busy"].signal("paint", [1]),
        lives["busy"].execute_update("reprioritise", {"by": NURSE_NORTH, "priority": 5, "reason": "not so bad"}),
        *(lives["busy"].execute_update("close", CLOSE) for _ in range(2)),
        return_exceptions=True,
    )
    await lives["busy"].cancel()
    await lives["busy"].execute_update("note", {"by": NURSE_NORTH, "text": "still here"})
    for name in ("closed-by-update", "closed-by-signal", "cancelled"):
        await lives[name].result()
    return lives


async def escalated_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """What happens when nobody comes, and when the gateway says no."""
    stage.gateway.statuses["undelivered"] = [404]
    lives = {
        name: await stage.start(name, priority=URGENT) for name in ("escalated", "taken-by-another", "undelivered")
    }
    lives["covered"] = await stage.start("covered", profession="occupational_therapist")
    await stage.gateway.until(lambda: "gateway_failed" in stage.gateway.reasons("undelivered"))
    for name in lives:
        if name != "covered":
            await stage.gateway.until(lambda name=name: "manager_alert" in stage.gateway.reasons(name))
        await stage.settled(name)
    await lives["taken-by-another"].execute_update("accept", {"by": NURSE_SOUTH})
    await lives["taken-by-another"].execute_update("close", CLOSE | {"by": NURSE_SOUTH})
    await lives["taken-by-another"].result()
    return lives


async def beginnings(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """How cases come to be, or do not."""
    outcome = {
        "case_id": "triaged", "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse",
        "unit": NURSE_NORTH["unit"], "patient": {"id": "ref:triaged", "digital": True},
    }  # fmt: skip
    client = stage.client
    intake = await client.start_workflow("Intake", outcome, id="intake-triaged", task_queue="cases")
    refused_outcome = outcome | {"case_id": "emergency", "priority": 1}
    refused = await client.start_workflow("Intake", refused_outcome, id="intake-emergency", task_queue="cases")
    malformed = await stage.start("malformed", priority=99)
    unknown = await client.start_workflow("NoSuchKind", {}, id="no-such-kind", task_queue="cases")
    for handle in (intake, refused, malformed, unknown):
        await asyncio.gather(handle.result(), return_exceptions=True)
    patient = {"id": "ref:linked", "digital": True}
    first = await stage.start("linked-1", patient=patient)
    await first.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    second = await stage.start("linked-2", patient=patient)
    await second.execute_update("cancel", {"by": {"patient": True}, "reason": "twice"})
    await second.result()
    await first.execute_update("note", {"by": NURSE_NORTH, "text": "alone again"})
    return {
        "intake": intake,
        "intake-refused": refused,
        "malformed": malformed,
        "no-such-kind": unknown,
        "linked-first": first,
        "linked-second": second,
    }


async def outages(stage: Stage, line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """What happens when the database is away, or an answer of it is lost."""
    lives = {name: await stage.start(name) for name in ("database-away", "answer-lost")}
    for name in lives:
        await stage.gateway.until(lambda name=name: bool(stage.gateway.reasons(name)))
        await stage.settled(name)
    line.lose_the_answer_to(b'"event": "accepted"')
    await lives["answer-lost"].execute_update("accept", {"by": NURSE_NORTH})
    await line.cut()
    update = asyncio.create_task(lives["database-away"].execute_update("accept", {"by": NURSE_NORTH}))
    await until(lambda: pending_activities(lives["database-away"]))
    await line.mend()
    await update
    for handle in lives.values():
        await handle.execute_update("close", CLOSE)
        await handle.result()
    return lives


async def long_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """A case that goes on as new, as the server here asks for it early."""
    handle = await stage.start("long")
    await stage.gateway.until(lambda: bool(stage.gateway.reasons("long")))
    for number in range(20):
        await handle.signal("note", {"by": NURSE_NORTH, "text": f"note {number}"})
        await stage.client.get_workflow_handle(handle.id).query("view")
    last = stage.client.get_workflow_handle(handle.id)
    await last.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    await last.result()
    first = stage.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    return {"long-first-run": first, "long-last-run": last}


async def long_asking_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """A case that asks and goes on as new before the answer comes: the consultation outlives its first run."""
    handle = await stage.start("long-asking")
    case = stage.client.get_workflow_handle(handle.id)
    await case.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "x"})
    child = await opened(stage, "long-asking.consultation-1")
    for number in range(20):
        await case.signal("note", {"by": NURSE_NORTH, "text": f"note {number}"})
        await case.query("view")
    await child.execute_update("answer", {"by": NURSE_SOUTH, "advice": "y", "takes_over": False})
    await until(lambda: knows_of(case, "answered"))
    await case.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    await case.result()
    first = stage.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    return {"long-asking-first-run": first, "long-asking-last-run": case}


async def handed_over_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """What becomes of a handover."""
    to_south = {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"}
    names = ("handed-over", "handover-pending", "handover-refused", "handover-withdrawn", "handover-taken", "1177")
    lives = {
        name: await stage.start(
            name,
            **({"level": "physical", "origin": "1177_phone"} if name == "1177" else {}),
            workflow_type="PhoneConsultation" if name == "1177" else "DropInVisit",
        )
        for name in names
    }
    for name, handle in lives.items():
        await stage.gateway.until(lambda name=name: bool(stage.gateway.reasons(name)))
        await stage.settled(name)
        await handle.execute_update("hand_over", to_south)
    await lives["handed-over"].execute_update("accept", {"by": NURSE_SOUTH})
    await lives["handed-over"].execute_update("close", CLOSE | {"by": NURSE_SOUTH})
    await lives["handover-refused"].execute_update("refuse", {"by": NURSE_SOUTH, "reason": "yours"})
    await lives["handover-withdrawn"].execute_update("withdraw", {"by": NURSE_NORTH})
    await lives["handover-taken"].execute_update("accept", {"by": NURSE_NORTH})
    # Closed with a handover that waits: the receiver is told, and only then the workflow ends.
    await lives["1177"].execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    for name in ("handed-over", "1177"):
        await lives[name].result()
    for name in lives:
        await stage.settled(name)
    return lives


async def asking_lives(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """A case that asks, what it asks, and a question of its own."""
    ask = {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "x"}
    case = await stage.start("asking")
    await case.execute_update("accept", {"by": NURSE_NORTH})
    for _ in range(4):
        await case.execute_update("consult", ask)
    answered, refused, withdrawn, not_needed = [await opened(stage, f"asking.consultation-{n}") for n in range(1, 5)]
    await answered.execute_update("accept", {"by": DOCTOR_SOUTH})
    await answered.execute_update("answer", {"by": DOCTOR_SOUTH, "advice": "y", "takes_over": True})
    await refused.execute_update("refuse", {"by": NURSE_SOUTH, "reason": "z"})
    await case.execute_update("withdraw", {"by": NURSE_NORTH, "consultation": "asking.consultation-3"})
    for handle in (answered, refused, withdrawn):
        await handle.result()
    after = {"to_unit": SOUTH, "ground": "after_consultation", "reference": "asking.consultation-1"}
    await until(lambda: knows_of(case, "answered"))
    await case.execute_update("hand_over", {"by": NURSE_NORTH, **after})
    await case.execute_update("accept", {"by": DOCTOR_SOUTH})
    await case.execute_update("close", CLOSE | {"by": DOCTOR_SOUTH})
    for handle in (case, not_needed):
        await handle.result()
    question = {"case_id": "of-its-own", "origin": "staff", "unit": SOUTH, "profession": "doctor", "question": "x"}
    own = await stage.start_raw("of-its-own", question | {"asked_by": NURSE_NORTH}, workflow_type="Consultation")
    await own.signal("answer", {"by": DOCTOR_SOUTH, "advice": "y", "takes_over": False})
    await own.result()
    return {
        "asking": case, "consultation-answered": answered, "consultation-refused": refused,
        "consultation-withdrawn": withdrawn, "consultation-not-needed": not_needed, "consultation-of-its-own": own,
    }  # fmt: skip


async def checks(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """Closing checks: of a unit at which all is well, and of one whose case has been ended by force."""
    lost = await stage.start("lost", unit=SOUTH)
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = 'lost'"))
    await stage.settled("lost")
    await lost.terminate()
    lives = {
        name: await stage.client.start_workflow("ClosingTime", {"unit": unit}, id=name, task_queue="cases")
        for name, unit in (("check-well", JOUR), ("check-differs", SOUTH))
    }
    await asyncio.gather(*(handle.result() for handle in lives.values()), return_exceptions=True)
    return lives


async def opened(stage: Stage, case_id: str) -> WorkflowHandle[Any, Any]:
    """A consultation, once it has been recorded."""
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = $1", case_id))
    return stage.client.get_workflow_handle(f"case-{case_id}")


async def knows_of(case: WorkflowHandle[Any, Any], status: str) -> bool:
    """Whether the case knows of a consultation that has ended so."""
    view = await case.query("view")
    return status in [each["status"] for each in view["consultations"]]


async def lives_at_closing(stage: Stage, _line: Line) -> dict[str, WorkflowHandle[Any, Any]]:
    """What is left when the eastern unit closes, and who takes it."""
    closes = datetime.now(ZoneInfo("Europe/Stockholm")) + timedelta(seconds=6)
    hours = ", ".join(
        f'{day} = ["00:00-{closes:%H:%M:%S}"]' for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    )
    parts = DIRECTORY.split("\n\n")
    closing = [
        re.sub(r"(?m)^opening = .*$", f"opening = {{ {hours} }}", part) if f'id = "{EAST}"' in part else part
        for part in parts
    ]
    await load_rules(stage.dsn, CALM + FAST_POLICY + CLOSING, "\n\n".join(closing))
    lives = {name: await stage.start(name, unit=EAST) for name in ("left-at-closing", "taken-at-closing")}
    for name in lives:
        await stage.gateway.until(lambda name=name: "left_at_closing" in stage.gateway.reasons(name))
        await stage.settled(name)
    await lives["taken-at-closing"].execute_update("accept", {"by": NURSE_NORTH})
    return lives


@asynccontextmanager
async def stages(*extra_args: str) -> AsyncIterator[tuple[Stage, Line]]:
    """Servers of their own, and a line to the database that can be cut."""
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        server = await resources.enter_async_context(embedded_postgres(folder / "postgres"))
        dsn = await new_database(server, "corpus")
        await load_rules(dsn, CALM + FAST_POLICY)
        line, through = await resources.enter_async_context(line_to(dsn))
        stage = await resources.enter_async_context(staged(dsn, through=through, extra_args=extra_args))
        yield stage, line


async def play() -> dict[str, dict[str, Any]]:
    """Every life's history by its name, as JSON."""
    histories = {}
    first = (
        calm_lives,
        escalated_lives,
        beginnings,
        outages,
        handed_over_lives,
        asking_lives,
        checks,
        visiting_lives,
        writing_lives,
        asserting_lives,
        watching_lives,
        lives_at_closing,
    )
    for extra_args, lives in (((), first), (SHORT_RUNS, (long_lives, long_asking_lives))):
        async with stages(*extra_args) as (stage, line):
            for life in lives:
                for name, handle in (await life(stage, line)).items():
                    history = await handle.fetch_history()
                    histories[name] = {"id": handle.id, "history": slim(json.loads(history.to_json()))}
    return histories


def slim(told: Any) -> Any:
    """Without what says nothing to a replay: the machine, and its paths in stack traces."""
    if isinstance(told, dict):
        return {key: slim(value) for key, value in told.items() if key not in OF_THE_MACHINE}
    return [slim(each) for each in told] if isinstance(told, list) else told


def main() -> None:
    """Store what is new (or everything), and the fingerprint of all that is stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="make stored histories anew, too")
    parser.add_argument("--as", dest="label", default="", help="store under NAME.LABEL, beside what is there")
    chosen = parser.parse_args()
    HISTORIES.mkdir(exist_ok=True)
    for name, told in asyncio.run(play()).items():
        path = HISTORIES / (f"{name}.{chosen.label}.json" if chosen.label else f"{name}.json")
        if chosen.all or not path.exists():
            path.write_text(json.dumps(told, separators=(",", ":")) + "\n")
            sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes\n")
    fingerprint = {name: commands(history) for name, history in stored().items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(told)}" for name, told in sorted(fingerprint.items()))
    FINGERPRINT.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
