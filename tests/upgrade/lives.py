"""Cases of every kind in the states in which they may be when the worker changes, and how each goes on from there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from stage import until
from stories import DOCTOR_SOUTH, NURSE_NORTH, NURSE_SOUTH, SOUTH, Stack, a_ticket
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHandle

Handle = WorkflowHandle[Any, Any]
PATIENT = {"patient": True}


async def _close(case: Handle, by: dict[str, str] = NURSE_NORTH, held_as: str = "video") -> None:
    closed = await case.execute_update("close", {"by": by, "outcome": "treated", "held_as": held_as})
    assert closed["outcome"] == "treated"


async def _take(case: Handle, by: dict[str, str] = NURSE_NORTH, held_as: str = "video") -> None:
    await case.execute_update("accept", {"by": by})
    await _close(case, by, held_as)


async def _open_waiting(stack: Stack, case_id: str) -> Handle:
    return await stack.start(case_id)


async def _open_accepted(stack: Stack, case_id: str) -> Handle:
    case = await stack.start(case_id)
    await case.execute_update("accept", {"by": NURSE_NORTH})
    return case


async def _go_on_accepted(stack: Stack, case: Handle) -> None:
    told = len(stack.gateway.reasons(case.id.removeprefix("case-")))
    await case.signal("release", {"by": NURSE_NORTH, "reason": "paus"})
    await stack.gateway.until(lambda: len(stack.gateway.reasons(case.id.removeprefix("case-"))) > told)
    await _take(case)


async def _open_handed_over(stack: Stack, case_id: str) -> Handle:
    case = await _open_accepted(stack, case_id)
    await case.execute_update("hand_over", {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"})
    return case


async def _go_on_handed_over(_stack: Stack, case: Handle) -> None:  # H3
    taken = await case.execute_update("accept", {"by": NURSE_SOUTH})
    assert (taken["responsible_unit"], taken["log"][-1]["event"]) == (SOUTH, "handed_over")
    await _close(case, NURSE_SOUTH)


async def _open_consulting(stack: Stack, case_id: str) -> Handle:
    case = await _open_accepted(stack, case_id)
    await case.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "Behövs remiss?"})
    await until(lambda: stack.rows("select from omhand.case_log where case_id = $1", f"{case_id}.consultation-1"))
    return case


async def _go_on_consulting(stack: Stack, case: Handle) -> None:  # K4
    child: Handle = stack.client.get_workflow_handle(f"{case.id}.consultation-1")
    await child.execute_update("answer", {"by": DOCTOR_SOUTH, "advice": "Avvakta.", "takes_over": False})

    async def told() -> bool:
        view = await case.query("view")
        return bool(view["consultations"][0]["status"] == "answered")

    await until(told)
    await _close(case)


async def _open_ticket(stack: Stack, case_id: str) -> Handle:
    await stack.publish(f"time-of-{case_id}")
    case = await stack.start(case_id, "ScheduledVisit", priority=7, ticket=a_ticket())
    await case.execute_update("note", {"by": NURSE_NORTH, "text": "ring inte"})
    return case


async def _go_on_ticket(_stack: Stack, case: Handle) -> None:  # K2
    slot = f"time-of-{case.id.removeprefix('case-')}"
    booked = await case.execute_update("book", {"by": PATIENT, "slot": slot})
    assert booked["booking"]["slot"] == slot
    await _take(case)


async def _open_thread(stack: Stack, case_id: str) -> Handle:
    changes = {"origin": "patient", "priority": None, "to": {"relation": "care_contact"}, "message": "Hur länge?"}
    case = await stack.start(case_id, "MessageThread", **changes)
    await case.execute_update("reply", {"by": NURSE_NORTH, "text": "En vecka."})
    return case


async def _go_on_thread(_stack: Stack, case: Handle) -> None:  # K6
    await case.execute_update("message", {"by": PATIENT, "text": "Och sedan?"})
    await case.execute_update("reply", {"by": NURSE_NORTH, "text": "Hör av dig."})
    await _take(case, held_as="chat")


async def _open_administrative(stack: Stack, case_id: str) -> Handle:
    changes = {"origin": "patient", "priority": None, "service": "certificate", "message": "Ett intyg, tack."}
    return await stack.start(case_id, "AdministrativeCase", **changes)


async def _go_on_administrative(_stack: Stack, case: Handle) -> None:  # K3
    await case.execute_update("reply", {"by": NURSE_NORTH, "text": "Det kommer."})
    await _take(case, held_as="message")


async def _open_phone(stack: Stack, case_id: str) -> Handle:
    return await stack.start(case_id, "PhoneConsultation", origin="1177_phone", level="physical")


LIVES: Final[
    dict[str, tuple[Callable[[Stack, str], Awaitable[Handle]], Callable[[Stack, Handle], Awaitable[None]]]]
] = {
    "waiting": (_open_waiting, lambda _stack, case: _take(case)),
    "accepted": (_open_accepted, _go_on_accepted),
    "handed-over": (_open_handed_over, _go_on_handed_over),
    "consulting": (_open_consulting, _go_on_consulting),
    "ticket": (_open_ticket, _go_on_ticket),
    "idle": (_open_thread, _go_on_thread),
    "administrative": (_open_administrative, _go_on_administrative),
    "1177": (_open_phone, lambda _stack, case: _take(case, held_as="phone")),
}


async def open_all(stack: Stack, prefix: str, lives: Sequence[str] = tuple(LIVES)) -> None:
    """One case of each, recorded."""
    cases = await asyncio.gather(*(LIVES[life][0](stack, f"{prefix}-{life}") for life in lives))
    await asyncio.gather(*(case.execute_update("note", {"by": NURSE_NORTH, "text": prefix}) for case in cases))


async def go_on(stack: Stack, prefix: str, lives: Sequence[str] = tuple(LIVES)) -> None:
    """Each is taken on from where it stood, and closed; its log is whole."""
    cases = {life: stack.client.get_workflow_handle(f"case-{prefix}-{life}") for life in lives}
    await asyncio.gather(*(LIVES[life][1](stack, case) for life, case in cases.items()))
    for case in cases.values():
        view = await asyncio.wait_for(case.result(), 20)
        rows = await stack.rows(
            "select seq, event from omhand.case_log where case_id = $1 order by seq", view["case_id"]
        )
        assert [(row["seq"], row["event"]) for row in rows] == [(each["seq"], each["event"]) for each in view["log"]]


async def failed_tasks(stack: Stack) -> list[str]:
    """Every workflow task of every workflow that has failed, but where something came in meanwhile, as it may."""
    failed = []
    async for each in stack.client.list_workflows():
        async for event in stack.client.get_workflow_handle(each.id, run_id=each.run_id).fetch_history_events():
            if event.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                continue
            told = event.workflow_task_failed_event_attributes
            if told.cause != WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND:
                failed.append(f"{each.id}: {WorkflowTaskFailedCause.Name(told.cause)} {told.failure.message}")
    return failed
