"""Triage outcomes become cases (K1a-c), or fail and say what to do instead."""

from datetime import datetime, timedelta
from typing import Any

from stories import EAST, NORTH, NURSE_NORTH, Stack, failure_of
from temporalio.client import WorkflowHandle


def outcome(case_id: str, **changes: Any) -> dict[str, Any]:
    """What triage found."""
    return {
        "case_id": case_id,
        "source": "min_vard",
        "level": "digital",
        "priority": 3,
        "profession": "nurse",
        "unit": NORTH,
        "patient": {"id": "ref:p", "digital": True},
    } | changes


async def intake(stack: Stack, case_id: str, **changes: Any) -> WorkflowHandle[Any, Any]:
    """The intake of that outcome, started."""
    return await stack.client.start_workflow(
        "Intake", outcome(case_id, **changes), id=f"intake-{case_id}", task_queue="cases"
    )


async def test_an_outcome_becomes_a_drop_in_and_intake_says_where_it_went(stack: Stack) -> None:  # K1a
    answer = await (await intake(stack, "in-1", reason="ont i halsen")).result()
    assert answer == {
        "workflow_id": "case-in-1",
        "workflow_type": "DropInVisit",
        "case_id": "in-1",
        "kind": "drop_in_visit",
        "unit": NORTH,
        "profession": "nurse",
    }
    view = await stack.client.get_workflow_handle("case-in-1").execute_update("accept", {"by": NURSE_NORTH})
    assert view["status"] == "accepted"


async def test_asked_again_it_answers_as_before(stack: Stack) -> None:
    first = await (await intake(stack, "in-2")).result()
    again = await (await intake(stack, "in-2", unit=EAST, priority=5)).result()
    assert again == first
    await stack.client.get_workflow_handle("case-in-2").execute_update(
        "cancel", {"by": {"patient": True}, "reason": "better"}
    )
    assert await (await intake(stack, "in-2")).result() == first


async def test_help_to_find_a_time_is_a_drop_in_whatever_the_priority(stack: Stack) -> None:  # K1c
    answer = await (await intake(stack, "in-3", priority=8, wants_help_booking=True)).result()
    assert answer["kind"] == "drop_in_visit"


async def test_less_urgent_outcomes_become_visits_with_a_ticket(stack: Stack) -> None:  # K2a
    answer = await (await intake(stack, "in-6", priority=8)).result()
    assert (answer["kind"], answer["workflow_type"]) == ("scheduled_visit", "ScheduledVisit")
    view = await stack.client.get_workflow_handle(answer["workflow_id"]).query("view")
    opens, ends = (datetime.fromisoformat(view["ticket"][key]) for key in ("valid_from", "valid_until"))
    assert (view["status"], ends - opens) == ("ticket", timedelta(days=14))


async def test_an_outcome_outside_the_routine_fails_and_says_what_to_do(stack: Stack) -> None:
    for case_id, changes, kind, said in (
        ("in-4", {"priority": 1}, "NotInRoutine", "112"),
        ("in-5", {"level": "physical"}, "NotInRoutine", "physical"),
        ("in-7", {"source": "1177_phone", "priority": 12}, "NotInRoutine", "12"),
        ("in-8", {"unit": "SE2321000198-NO"}, "UnknownUnit", "unit"),
        ("in-9", {"profession": "astronaut"}, "UnknownProfession", "profession"),
        ("in-10", {"profession": "medical_secretary"}, "NotInRoutine", "clinically"),
        ("in-11", {"colour": "red"}, "InvalidCase", "colour"),
        ("in-12", {"source": "unit"}, "InvalidCase", "source"),
    ):
        failure = await failure_of(await intake(stack, case_id, **changes))
        assert (failure.type, said in failure.message) == (kind, True), failure.message


async def test_an_intake_of_another_id_is_malformed(stack: Stack) -> None:
    handle = await stack.client.start_workflow("Intake", outcome("in-13"), id="intake-other", task_queue="cases")
    assert (await failure_of(handle)).type == "InvalidCase"


async def test_what_1177_hands_over_becomes_a_consultation_and_a_doctors_physical_case_goes_to_a_nurse(
    stack: Stack,
) -> None:  # K5a K5c
    physical = {"source": "1177_phone", "level": "physical", "profession": "doctor", "priority": 7}
    first = await (await intake(stack, "in-phone", **physical)).result()
    assert first == {
        "workflow_id": "case-in-phone",
        "workflow_type": "PhoneConsultation",
        "case_id": "in-phone",
        "kind": "phone_consultation",
        "unit": NORTH,
        "profession": "nurse",
    }
    assert await (await intake(stack, "in-phone", **physical)).result() == first
    directly = outcome("in-phone-2", **physical | {"origin": "1177_phone"})
    directly.pop("source")
    failure = await failure_of(await stack.start_raw("in-phone-2", directly, workflow_type="PhoneConsultation"))
    assert failure.type == "NotInRoutine"
    assert "nurse" in failure.message
