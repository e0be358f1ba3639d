"""Message threads and administrative cases on a real server (K3, K6)."""

import sys
from pathlib import Path
from typing import Any

import pytest
from stories import (
    CLERK_NORTH,
    DOCTOR,
    DOCTOR_NORTH,
    NORTH,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    Stack,
    failure_of,
    opening,
    refusal_of,
)
from temporalio.client import WorkflowHandle

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import until

PATIENT = {"patient": True}
TO_THE_DOCTOR = {"origin": "patient", "priority": None, "profession": "doctor", "to": {"staff": DOCTOR}}


async def thread(stack: Stack, case_id: str, **changes: Any) -> WorkflowHandle[Any, Any]:
    """A thread that a patient has begun, or what is said otherwise."""
    given = TO_THE_DOCTOR | {"message": "Hur länge ska jag vila?"} | changes
    return await stack.start(case_id, "MessageThread", **given)


def statuses(*views: dict[str, Any]) -> list[str]:
    return [view["status"] for view in views]


def events(view: dict[str, Any]) -> list[str]:
    return [row["event"] for row in view["log"]]


async def test_a_message_waits_until_somebody_of_the_unit_replies(stack: Stack) -> None:  # K6a K6b
    case = await thread(stack, "me-1")
    waiting = await case.execute_update("message", {"by": PATIENT, "text": "Hallå?"})
    idle = await case.execute_update("reply", {"by": NURSE_NORTH, "text": "En vecka."})
    again = await case.execute_update("message", {"by": PATIENT, "text": "Tack! Och sedan?"})
    assert statuses(waiting, idle, again) == ["waiting", "idle", "waiting"]
    assert (idle["due_at"], again["due_at"] > waiting["due_at"]) == (None, True)
    assert [row["detail"]["text"] for row in again["log"] if row["event"] == "message"] == [
        "Hur länge ska jag vila?", "Hallå?", "Tack! Och sedan?",
    ]  # fmt: skip
    stranger = await refusal_of(case, "reply", {"by": NURSE_SOUTH, "text": "Nej"})
    assert stranger.type == "NotResponsible"
    may_not = await refusal_of(case, "refuse", {"by": NURSE_NORTH, "reason": "nej"})
    assert may_not.type == "MayNotBeRefused"


async def test_a_thread_is_taken_answered_and_closed_and_then_takes_no_message(stack: Stack) -> None:  # K6a
    case = await thread(stack, "me-2", origin="unit", to={"relation": "unit_chat"}, asked_by=NURSE_NORTH)
    started = await case.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    assert (started["status"], started["due_at"], events(started)[:2]) == ("idle", None, ["opened", "message"])
    assert started["log"][1]["by"]["staff"] == NURSE_NORTH["staff"]
    too_early = await refusal_of(case, "close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "chat"})
    assert too_early.type == "NotAccepted"
    await case.execute_update("accept", {"by": NURSE_NORTH})
    written = await case.execute_update("message", {"by": PATIENT, "text": "Hej"})
    replied = await case.execute_update("reply", {"by": DOCTOR_NORTH, "text": "Hej hej"})
    assert statuses(written, replied) == ["accepted", "idle"]
    assert replied["assigned_to"] == NURSE_NORTH["staff"]
    closed = await case.execute_update("close", {"by": NURSE_NORTH, "outcome": "advice_given", "held_as": "chat"})
    assert closed["outcome"] == "advice_given"
    assert (await case.result())["log"] == closed["log"]


@pytest.mark.parametrize("size", [10_001, 1_000_000])
async def test_a_message_that_is_too_long_is_refused_and_logged_without_its_text(stack: Stack, size: int) -> None:
    # K6a
    case = await thread(stack, f"me-3-{size}")
    refusal = await refusal_of(case, "message", {"by": PATIENT, "text": "x" * size})
    assert (refusal.type, "text" in refusal.message) == ("InvalidAction", True)
    view = await case.query("view")
    assert events(view)[-1] == "rejected"
    assert "xx" not in str(view["log"][-1])


async def test_a_thread_is_consulted_on_and_handed_over_while_nothing_waits(stack: Stack) -> None:  # K6a H1 H3 K4a
    case = await thread(stack, "me-4")
    await case.execute_update("reply", {"by": NURSE_NORTH, "text": "Vila."})
    asked = await case.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "Räcker det?"})
    assert (asked["status"], asked["consultations"][0]["status"]) == ("idle", "open")
    pending = await case.execute_update("hand_over", {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"})
    assert (pending["responsible_unit"], pending["handover"]["to_unit"]) == (NORTH, SOUTH)
    taken = await case.execute_update("accept", {"by": NURSE_SOUTH})
    assert (taken["responsible_unit"], taken["status"], taken["handover"]) == (SOUTH, "idle", None)
    await stack.gateway.until(lambda: "handover_requested" in stack.gateway.reasons("me-4"))


async def test_what_is_pending_of_a_message_is_withdrawn_by_the_reply(stack: Stack) -> None:  # K6a
    case = await thread(stack, "me-5", profession="nurse", to={"relation": "care_contact"})
    await case.execute_update("reply", {"by": NURSE_NORTH, "text": "Ja."})
    rows = await stack.rows("select status from omhand.notification_log where case_id = 'me-5' and status = 'pending'")
    assert rows == []


async def test_an_administrative_case_has_messages_both_ways_and_its_own_clock(stack: Stack) -> None:  # K3
    given = {"priority": None, "origin": "patient", "service": "prescription_renewal", "message": "Förnya, tack."}
    case = await stack.start("ad-1", "AdministrativeCase", **given)
    asked = await case.execute_update("reply", {"by": CLERK_NORTH, "text": "Vilken medicin?"})
    said = await case.execute_update("message", {"by": PATIENT, "text": "Den vita."})
    assert statuses(asked, said) == ["waiting", "waiting"]
    assert asked["due_at"] == said["due_at"]
    refused = await refusal_of(case, "refuse", {"by": CLERK_NORTH, "reason": "nej"})
    assert refused.type == "MayNotBeRefused"
    await case.execute_update("accept", {"by": CLERK_NORTH})
    await case.execute_update("message", {"by": PATIENT, "text": "Hallå?"})
    await stack.gateway.until(lambda: "message" in stack.gateway.reasons("ad-1"))
    await case.execute_update("close", {"by": CLERK_NORTH, "outcome": "treated", "held_as": "message"})
    closed = await case.result()
    assert (closed["outcome"], closed["log"][0]["detail"]["service"]) == ("treated", "prescription_renewal")


async def test_an_administrative_case_is_handed_over(stack: Stack) -> None:  # K3 H1
    case = await stack.start("ad-2", "AdministrativeCase", priority=None, origin="patient", service="other")
    await case.execute_update("hand_over", {"by": CLERK_NORTH, "to_unit": SOUTH, "ground": "misplaced"})
    view = await case.execute_update("accept", {"by": NURSE_SOUTH})
    assert (view["responsible_unit"], view["status"]) == (SOUTH, "accepted")


async def test_a_service_that_there_is_not_fails_at_once(stack: Stack) -> None:  # K3
    failure = await failure_of(await stack.start("ad-3", "AdministrativeCase", priority=None, service="haircut"))
    assert (failure.type, "service" in failure.message) == ("InvalidCase", True)


async def test_an_action_is_known_again_long_after_the_case_has_forgotten_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:  # K6a
    # Of 500 in truth (`a_year_of_messages` counts them): the worker is in this process.
    monkeypatch.setattr("decisions.file.MOST_ANSWERS", 20)
    case = await stack.start_raw("me-6", opening("me-6", **TO_THE_DOCTOR), workflow_type="MessageThread")
    first = {"by": PATIENT, "text": "den första", "action_id": "first"}
    await case.execute_update("message", first)
    for number in range(40):
        await case.signal("message", {"by": PATIENT, "text": "x", "action_id": f"m-{number}"})

    async def all_are_written() -> bool:
        query = "select count(*) as n from omhand.case_log where case_id = 'me-6' and event = 'message'"
        return bool((await stack.rows(query))[0]["n"] == 41)

    # So many signals at once make the server take a task back, and an update in it.
    await until(all_are_written, 60)
    view = await case.execute_update("reply", {"by": NURSE_NORTH, "text": "Ja."})
    before = len(view["log"])
    again = await case.execute_update("message", first)
    assert again["status"] == "waiting"
    after = await case.query("view")
    assert (len(after["log"]), after["status"]) == (before, "idle")
    assert await all_are_written()
