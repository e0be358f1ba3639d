"""Lives of scheduled visits, administrative cases and message threads, for ``make_corpus.py``."""

import asyncio
from datetime import timedelta
from typing import Any

from stage import Line, Stage, until
from stories import DOCTOR, NURSE_NORTH, NURSE_SOUTH, SOUTH, a_ticket
from temporalio.client import WorkflowHandle

Lives = dict[str, WorkflowHandle[Any, Any]]
PATIENT = {"patient": True}


async def visit(stage: Stage, case_id: str, **changes: Any) -> WorkflowHandle[Any, Any]:
    """A visit with a ticket, or what is said otherwise."""
    ticket = a_ticket(changes.pop("valid", timedelta(days=14)))
    given = {"priority": 7, "ticket": ticket} | changes
    return await stage.start(case_id, **given, workflow_type="ScheduledVisit")


async def visiting_lives(stage: Stage, _line: Line) -> Lives:
    """Tickets and booked times, and one time that many want in the same instant."""
    own, other, soon = [
        await stage.publish("own"), await stage.publish("other", SOUTH), await stage.publish("soon", seconds=4),
    ]  # fmt: skip
    wanted, free = await stage.publish("wanted"), await stage.publish("free")
    lives = {name: await visit(stage, name) for name in ("ticket", "booked-moved", "booking-cancelled", "visit")}
    lives["ticket-expired"] = await visit(stage, "ticket-expired", valid=timedelta(seconds=3))
    lives["booked-by-a-unit"] = await visit(
        stage, "booked-by-a-unit", ticket=None, booking={"slot": free}, origin="unit", asked_by=NURSE_NORTH
    )
    lives["time-gone-at-opening"] = await visit(
        stage, "time-gone-at-opening", ticket=None, booking={"slot": "none"}, origin="unit", asked_by=NURSE_NORTH
    )
    await lives["visit"].execute_update("book", {"by": PATIENT, "slot": soon})
    for slot in (own, other):
        await lives["booked-moved"].execute_update("book", {"by": PATIENT, "slot": slot})
    await lives["booked-moved"].execute_update("accept", {"by": NURSE_SOUTH})
    await lives["booking-cancelled"].execute_update("book", {"by": NURSE_NORTH, "slot": own})
    await lives["booking-cancelled"].execute_update("cancel_booking", {"by": PATIENT})
    await stage.gateway.until(lambda: bool(stage.gateway.reasons("visit")))
    await stage.settled("visit")
    await lives["visit"].execute_update("accept", {"by": NURSE_NORTH})
    await lives["visit"].execute_update("close", {"by": NURSE_NORTH, "outcome": "no_show", "held_as": "video"})
    racing = [await visit(stage, f"racing-{number}") for number in range(12)]
    await asyncio.gather(
        *(case.execute_update("book", {"by": PATIENT, "slot": wanted}) for case in racing), return_exceptions=True
    )
    # Whoever found it free and came second to write it down has the longest history of those that have no time.
    lost = [case for case in racing if not (await case.query("view"))["booking"]]
    lengths = {case.id: (await case.describe()).history_length for case in lost}
    lives["time-gone"] = max(lost, key=lambda case: lengths[case.id])
    ended = ("ticket-expired", "time-gone-at-opening", "visit")
    await asyncio.gather(*(lives[name].result() for name in ended), return_exceptions=True)
    return lives


async def writing_lives(stage: Stage, _line: Line) -> Lives:
    """Threads that a patient and that a unit began, and a request."""
    given = {"priority": None, "origin": "patient"}
    written = {"to": {"staff": DOCTOR}, "message": "Hej"}
    lives = {
        "thread": await stage.start("thread", **given, **written, workflow_type="MessageThread"),
        "thread-unanswered": await stage.start("thread-unanswered", **given, **written, workflow_type="MessageThread"),
        "thread-of-a-unit": await stage.start(
            "thread-of-a-unit", priority=None, origin="unit", asked_by=NURSE_NORTH, workflow_type="MessageThread"
        ),
        "administrative": await stage.start(
            "administrative", **given, service="certificate", message="Intyg?", workflow_type="AdministrativeCase"
        ),
    }
    thread = lives["thread"]
    await thread.execute_update("accept", {"by": NURSE_NORTH})
    await thread.execute_update("reply", {"by": NURSE_NORTH, "text": "Ja"})
    await thread.signal("message", {"by": PATIENT, "text": "Tack"})
    await thread.execute_update("reply", {"by": NURSE_NORTH, "text": "Varsågod"})
    await thread.execute_update("close", {"by": NURSE_NORTH, "outcome": "advice_given", "held_as": "chat"})
    chat = lives["thread-of-a-unit"]
    await chat.execute_update("message", {"by": PATIENT, "text": "Hej"})
    await chat.execute_update("hand_over", {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"})
    await chat.execute_update("accept", {"by": NURSE_SOUTH})
    request = lives["administrative"]
    await request.execute_update("reply", {"by": NURSE_NORTH, "text": "Vilket?"})
    await request.execute_update("accept", {"by": NURSE_NORTH})
    await request.execute_update("message", {"by": PATIENT, "text": "Det här"})
    await request.execute_update("close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "message"})
    await asyncio.gather(*(lives[name].result() for name in ("thread", "administrative")))
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = 'thread-unanswered'"))
    return lives


async def asserting_lives(stage: Stage, _line: Line) -> Lives:
    """A case that is sent assertions, where nobody's are believed, and a read that a worker logs."""
    asserted = await stage.start("asserted")
    payload = {"by": NURSE_NORTH, "text": "Hej", "assertion": "x.y.z"}
    await asyncio.gather(asserted.execute_update("note", payload), return_exceptions=True)
    await asserted.signal("note", payload)
    await asserted.execute_update("accept", {"by": NURSE_NORTH})
    await asserted.execute_update("close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"})
    await asserted.result()
    read = {"action": "view", "case_id": "asserted", "via": "client"}
    reading = await stage.client.start_workflow("Read", read, id="read-asserted", task_queue="cases")
    await asyncio.gather(reading.result(), return_exceptions=True)
    return {"asserted": asserted, "read": reading}


async def watching_lives(stage: Stage, _line: Line) -> Lives:
    """A canary and its case, an audit, and a case that a new run has taken over from Postgres."""
    lost = await stage.start("revived")
    await stage.gateway.until(lambda: bool(stage.gateway.reasons("revived")))
    await stage.settled("revived")
    await lost.terminate("lost")
    revived = await stage.client.start_workflow(
        "DropInVisit", {"revived": True}, id=lost.id, task_queue="cases"
    )  # fmt: skip
    await revived.execute_update("accept", {"by": NURSE_NORTH})
    canary = await stage.client.start_workflow("Canary", {}, id="canary", task_queue="cases")
    case_id = (await canary.result())["case_id"]
    audit = await stage.client.start_workflow("Auditor", {}, id="auditor", task_queue="cases")
    await audit.result()
    return {
        "revived": revived,
        "canary": canary,
        "canary-case": stage.client.get_workflow_handle(f"case-{case_id}"),
        "audit": audit,
    }
