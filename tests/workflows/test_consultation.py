"""Consultations on a real server: children of a case, or cases of their own (K4)."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stories import (
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    NORTH,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    Stack,
    failure_of,
    refusal_of,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import until as until_true

ASK = {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "Behövs remiss?"}
ANSWER = {"by": NURSE_SOUTH, "advice": "Nej, avvakta.", "takes_over": False}
QUESTION = {
    "case_id": "x", "origin": "staff", "unit": SOUTH, "profession": "doctor", "asked_by": NURSE_NORTH,
    "question": "Hur tolkar ni provet?",
}  # fmt: skip


async def until(handle: WorkflowHandle[Any, Any], so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The view, once the case is open and it is so."""

    async def seen() -> dict[str, Any] | None:
        with suppress(WorkflowQueryFailedError, RPCError):
            view: dict[str, Any] = await handle.query("view")
            return view if so(view) else None
        return None

    found: dict[str, Any] = await until_true(seen)
    return found


def consulted(view: dict[str, Any]) -> list[tuple[str, bool | None]]:
    return [(each["status"], each["takes_over"]) for each in view["consultations"]]


async def child_of(stack: Stack, case_id: str, number: int = 1) -> WorkflowHandle[Any, Any]:
    handle: WorkflowHandle[Any, Any] = stack.client.get_workflow_handle(f"case-{case_id}.consultation-{number}")
    await until(handle, lambda _view: True)
    return handle


async def test_a_question_becomes_a_case_of_its_own_whose_answer_the_asking_case_tells_of(stack: Stack) -> None:  # K4a
    case = await stack.start("co-1")
    asked = await case.execute_update("consult", ASK)
    assert asked["consultations"] == [
        {"case_id": "co-1.consultation-1", "to_unit": SOUTH, "status": "open", "takes_over": None}
    ]
    child = await child_of(stack, "co-1")
    view = await child.query("view")
    assert (view["kind"], view["status"], view["responsible_unit"]) == ("consultation", "waiting", SOUTH)
    assert view["log"][0]["detail"]["question"] == ASK["question"]
    assert [(offer["unit"], offer["why"]) for offer in view["offers"]] == [(SOUTH, "consultation")]
    (row,) = await stack.rows("select * from omhand.worklist where case_id = 'co-1.consultation-1'")
    assert (row["unit_id"], row["stands"], row["linked_cases"]) == (SOUTH, "consulted", [])
    await child.execute_update("answer", ANSWER)
    closed = await child.result()
    assert (closed["status"], closed["outcome"]) == ("closed", "answered")
    view = await until(case, lambda view: consulted(view) == [("answered", False)])
    answered = next(event for event in view["log"] if event["event"] == "answered")
    assert (answered["by"]["staff"], answered["detail"]["advice"]) == (NURSE_SOUTH["staff"], ANSWER["advice"])
    assert (view["responsible_unit"], view["linked_cases"]) == (NORTH, [])
    await stack.gateway.until(lambda: "consultation_answered" in stack.gateway.reasons("co-1.consultation-1"))
    (told,) = [call for call in stack.gateway.calls if call["reason"] == "consultation_answered"
               and call["case_id"] == "co-1.consultation-1"]  # fmt: skip
    assert (told["unit"], ANSWER["advice"] in told["text"]) == (NORTH, False)


async def test_an_agreement_to_take_over_is_the_ground_of_a_handover(stack: Stack) -> None:  # H2 K4a
    case = await stack.start("co-2")
    await case.execute_update("accept", {"by": NURSE_NORTH})
    await case.execute_update("consult", ASK | {"to_profession": "doctor", "wants_handover": True})
    child = await child_of(stack, "co-2")
    await child.execute_update("accept", {"by": DOCTOR_SOUTH})
    await child.execute_update("answer", ANSWER | {"by": DOCTOR_SOUTH, "takes_over": True})
    assert (await child.result())["outcome"] == "taken_over"
    view = await until(case, lambda view: consulted(view) == [("answered", True)])
    assert (view["responsible_unit"], view["assigned_to"]) == (NORTH, NURSE_NORTH["staff"])
    after = {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "after_consultation", "reference": "co-2.consultation-1"}
    await case.execute_update("hand_over", after)
    taken = await case.execute_update("accept", {"by": DOCTOR_SOUTH})
    assert (taken["responsible_unit"], taken["assigned_to"]) == (SOUTH, DOCTOR_SOUTH["staff"])


async def test_several_at_once_end_each_in_its_own_way_and_the_case_ends_the_rest(stack: Stack) -> None:  # K4a
    case = await stack.start("co-3")
    await case.execute_update("accept", {"by": NURSE_NORTH})
    for to in ({}, {"to_staff": DOCTOR_SOUTH["staff"]}, {"to_unit": NURSE_EAST["unit"]}):
        await case.execute_update("consult", ASK | to)
    children = [await child_of(stack, "co-3", number) for number in (1, 2, 3)]
    assert (await children[1].query("view"))["profession"] == "doctor"
    assert (await refusal_of(children[0], "answer", ANSWER | {"by": NURSE_EAST})).type == "NotResponsible"
    await children[0].execute_update("refuse", {"by": NURSE_SOUTH, "reason": "hinner inte"})
    assert (await children[0].result())["outcome"] == "refused"
    await case.execute_update("withdraw", {"by": NURSE_NORTH, "consultation": "co-3.consultation-2"})
    assert (await children[1].result())["outcome"] == "withdrawn"
    await until(case, lambda view: [status for status, _ in consulted(view)] == ["refused", "withdrawn", "open"])
    done = await case.execute_update("close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"})
    assert [status for status, _ in consulted(done)] == ["refused", "withdrawn", "not_needed"]
    assert (await children[2].result())["outcome"] == "not_needed"
    assert (await case.result())["status"] == "closed"


async def test_a_consultation_of_its_own_needs_no_case_and_no_patient(stack: Stack) -> None:  # K4a
    handle = await stack.start_raw("co-4", QUESTION | {"case_id": "co-4"}, workflow_type="Consultation")
    accepted = await handle.execute_update("accept", {"by": DOCTOR_SOUTH})
    due = accepted["due_at"]
    assert (accepted["status"], accepted["assigned_to"]) == ("accepted", DOCTOR_SOUTH["staff"])
    assert due is not None
    assert (await refusal_of(handle, "answer", ANSWER | {"by": NURSE_EAST})).type == "NotResponsible"
    answered = await handle.execute_update("answer", ANSWER | {"by": DOCTOR_SOUTH})
    assert (answered["status"], answered["outcome"]) == ("closed", "answered")
    await handle.result()


async def test_whoever_asked_takes_it_back(stack: Stack) -> None:  # K4a
    handle = await stack.start_raw("co-5", QUESTION | {"case_id": "co-5"}, workflow_type="Consultation")
    assert (await refusal_of(handle, "withdraw", {"by": NURSE_EAST})).type == "NotResponsible"
    gone = await handle.execute_update("withdraw", {"by": DOCTOR_NORTH})
    assert (gone["status"], gone["outcome"]) == ("closed", "withdrawn")
    assert (await handle.result())["outcome"] == "withdrawn"


@pytest.mark.parametrize(
    ("changed", "fault", "key"),
    [
        ({"asked_by": None}, "InvalidCase", "asked_by"),
        ({"question": None}, "InvalidCase", "question"),
        ({"asked_by": NURSE_NORTH | {"unit": "SE2321000198-HC99"}}, "UnknownUnit", "asked_by.unit"),
        ({"asked_by": NURSE_NORTH | {"unit": SOUTH}}, "InvalidCase", "asked_by"),
        ({"to": {"staff": NURSE_NORTH["staff"]}}, "InvalidCase", "to.staff"),
        ({"level": "digital"}, "InvalidCase", "level"),
        ({"case_id": "a.consultation-1" + "0" * 60}, "InvalidCase", "case_id"),
    ],
)
async def test_a_consultation_that_cannot_be_fails_at_once(
    stack: Stack, changed: dict[str, Any], fault: str, key: str
) -> None:
    opening = QUESTION | {"case_id": f"co-bad-{key}-{fault}-{len(str(changed))}"} | changed
    failure = await failure_of(await stack.start_raw(opening["case_id"], opening, workflow_type="Consultation"))
    assert failure.type == fault
    assert key in failure.message


async def test_an_id_that_somebody_has_taken_loses_no_question_in_silence(stack: Stack) -> None:
    await stack.start_raw(
        "co-6.consultation-1", QUESTION | {"case_id": "co-6.consultation-1"}, workflow_type="Consultation"
    )
    case = await stack.start("co-6")
    await case.execute_update("consult", ASK)
    view = await until(case, lambda view: consulted(view) == [("withdrawn", None)])
    assert "manager_alerted" in [event["event"] for event in view["log"]]


async def test_a_consultation_that_is_ended_by_force_is_not_waited_for(stack: Stack) -> None:
    case = await stack.start("co-7")
    await case.execute_update("consult", ASK)
    await (await child_of(stack, "co-7")).terminate()
    await until(case, lambda view: consulted(view) == [("withdrawn", None)])


async def test_nobody_can_tell_a_case_of_an_answer_that_was_not_given(stack: Stack) -> None:
    case = await stack.start("co-8")
    await case.execute_update("consult", ASK)
    child = await child_of(stack, "co-8")
    await case.signal("consultations_changed", {"status": "answered", "takes_over": True})
    await child.signal("asking_changed", {"status": "withdrawn"})
    assert consulted(await case.execute_update("note", {"by": NURSE_NORTH, "text": "x"})) == [("open", None)]
    assert (await child.execute_update("accept", {"by": NURSE_SOUTH}))["status"] == "accepted"


async def test_a_question_that_is_taken_back_before_it_could_be_asked_is_asked_of_nobody(stack: Stack) -> None:
    cases = [await stack.start(f"co-9-{number}") for number in range(4)]
    for case in cases:
        await case.signal("consult", ASK)
        await case.signal("withdraw", {"by": NURSE_NORTH})
        await case.signal("consult", ASK)
        await case.signal("cancel", {"by": {"patient": True}, "reason": "bättre"})
    for case in cases:
        last = await case.result()
        assert [status for status, _ in consulted(last)] == ["withdrawn", "not_needed"]
        for each in last["consultations"]:
            child = await stack.client.get_workflow_handle(f"case-{each['case_id']}").result()
            assert (child["status"], child["outcome"]) == ("closed", each["status"])
    still_asked = "select case_id from omhand.worklist where case_id like 'co-9-%'"
    assert await stack.rows(still_asked) == []


async def test_what_a_consultation_has_been_told_itself_is_not_its_own_answer(stack: Stack) -> None:  # H2 K4a
    case = await stack.start("co-10")
    await case.execute_update("consult", ASK)
    child = await child_of(stack, "co-10")
    await child.execute_update("accept", {"by": NURSE_SOUTH})
    await child.execute_update("consult", {"by": NURSE_SOUTH, "to_unit": NURSE_EAST["unit"], "question": "x"})
    grandchild = await child_of(stack, "co-10.consultation-1")
    await grandchild.execute_update("answer", {"by": NURSE_EAST, "advice": "vi tar över", "takes_over": True})
    await until(child, lambda view: consulted(view) == [("answered", True)])
    close = {"by": NURSE_SOUTH, "outcome": "advice_given", "held_as": "chat", "note": "avvakta"}
    await child.execute_update("close", close)
    view = await until(case, lambda view: consulted(view) == [("answered", False)])
    answered = next(event for event in view["log"] if event["event"] == "answered")
    assert (answered["by"]["staff"], answered["detail"]["unit"]) == (NURSE_SOUTH["staff"], SOUTH)
    assert answered["detail"]["advice"] == "avvakta"
    after = {"by": NURSE_NORTH, "to_unit": NURSE_EAST["unit"], "ground": "after_consultation"}
    refusal = await refusal_of(case, "hand_over", after | {"reference": "co-10.consultation-1"})
    assert refusal.type == "GroundNotMet"


async def test_a_case_learns_nothing_of_a_case_that_only_has_the_id_of_a_consultation(stack: Stack) -> None:
    stranger = await stack.start("co-11.consultation-1")
    case = await stack.start("co-11")
    await case.execute_update("consult", ASK)
    await until(case, lambda view: consulted(view) == [("withdrawn", None)])
    await stranger.execute_update("accept", {"by": NURSE_NORTH})
    done = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video", "note": "om en annan patient"}
    await stranger.execute_update("close", done)
    await stranger.result()
    await case.signal("consultations_changed")
    view = await case.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    assert consulted(view) == [("withdrawn", None)]
    assert "om en annan patient" not in str(view)


async def test_a_case_that_operators_set_back_keeps_the_consultation_that_it_has(stack: Stack) -> None:
    case = await stack.start("co-12")
    await case.execute_update("consult", ASK)
    child = await child_of(stack, "co-12")
    await stack.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=stack.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case.id, run_id=case.first_execution_run_id),
            reason="a test",
            workflow_task_finish_event_id=3,
            request_id="co-12",
        )
    )
    again: WorkflowHandle[Any, Any] = stack.client.get_workflow_handle(case.id)
    await child.execute_update("answer", ANSWER)
    view = await until(again, lambda view: consulted(view) == [("answered", False)])
    assert "consultation_withdrawn" not in [event["event"] for event in view["log"]]
