"""Handovers on a real server: the sender is responsible until the moment of acceptance, everywhere alike (H1-H4)."""

import asyncio
from typing import Any

from stories import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    NORTH,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    Stack,
    refusal_of,
)
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

TO_SOUTH = {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"}


async def responsible_everywhere(stack: Stack, handle: WorkflowHandle[Any, Any]) -> set[str]:
    """Whose the case is: in the view, the search attributes, the worklist and the database."""
    case_id = handle.id.removeprefix("case-")
    view = await handle.query("view")
    row = await stack.rows("select responsible_unit from omhand.worklist where case_id = $1", case_id)
    async with asyncio.timeout(20):
        while True:
            attributes = (await handle.describe()).search_attributes
            if attributes["ResponsibleUnit"] == [view["responsible_unit"]]:
                break
    return {view["responsible_unit"], *(each["responsible_unit"] for each in row)}


async def stands(stack: Stack, case_id: str) -> dict[str, str]:
    """How each unit stands to the case, by the worklist."""
    rows = await stack.rows("select unit_id, stands from omhand.worklist where case_id = $1", case_id)
    return {row["unit_id"]: row["stands"] for row in rows}


async def test_the_sender_is_responsible_until_the_receiver_accepts_in_every_place(stack: Stack) -> None:  # H3
    handle = await stack.start("ho-1")
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    pending = await handle.execute_update("hand_over", TO_SOUTH | {"note": "söker vid söder"})
    assert await responsible_everywhere(stack, handle) == {NORTH}
    assert await stands(stack, "ho-1") == {NORTH: "responsible", SOUTH: "handover"}
    assert pending["assigned_to"] == NURSE_NORTH["staff"]
    assert pending["handover"] == {
        "offer": pending["offers"][0]["offer"], "to_unit": SOUTH, "to_profession": None, "to_staff": None,
        "ground": "misplaced", "reference": None, "by": NURSE_NORTH["staff"], "at": pending["handover"]["at"],
        "answer_by": pending["handover"]["answer_by"],
    }  # fmt: skip
    assert (await handle.describe()).search_attributes["OfferedTo"] == [SOUTH]
    taken = await handle.execute_update("accept", {"by": NURSE_SOUTH, "offer": pending["handover"]["offer"]})
    assert (taken["responsible_unit"], taken["assigned_to"], taken["handover"]) == (SOUTH, NURSE_SOUTH["staff"], None)
    assert await responsible_everywhere(stack, handle) == {SOUTH}
    assert await stands(stack, "ho-1") == {SOUTH: "responsible"}
    assert taken["log"][-1]["event"] == "handed_over"
    (case,) = await stack.rows("select * from omhand.handling_times where case_id = 'ho-1'")
    assert (case["unit_id"], case["accepted_by_unit"]) == (NORTH, NORTH)


async def test_a_refusal_is_told_to_the_sender_and_both_see_the_reason(stack: Stack) -> None:  # H4
    handle = await stack.start("ho-2")
    await handle.execute_update("hand_over", TO_SOUTH)
    refused = await handle.execute_update("refuse", {"by": NURSE_SOUTH, "reason": "hör till er"})
    assert (refused["responsible_unit"], refused["handover"], refused["status"]) == (NORTH, None, "waiting")
    said = next(event for event in refused["log"] if event["event"] == "handover_refused")
    assert said["detail"]["reason"] == "hör till er"
    await stack.gateway.until(lambda: "handover_refused" in stack.gateway.reasons("ho-2"))
    (call,) = [c for c in stack.gateway.calls if c["case_id"] == "ho-2" and c["reason"] == "handover_refused"]
    assert (call["unit"], "hör till er" in call["text"]) == (NORTH, False)


async def test_of_two_units_that_accept_in_the_same_instant_one_gets_it_and_the_other_is_told_who(
    stack: Stack,
) -> None:  # H3
    handle = await stack.start("ho-3", profession="occupational_therapist")
    await stack.gateway.until(lambda: "offered" in stack.gateway.reasons("ho-3"))
    await handle.execute_update("hand_over", TO_SOUTH)
    answers = await asyncio.gather(
        handle.execute_update("accept", {"by": NURSE_SOUTH}),
        handle.execute_update("accept", {"by": NURSE_EAST}),
        return_exceptions=True,
    )
    (taken,) = [answer for answer in answers if isinstance(answer, dict)]
    (refused,) = [answer.cause for answer in answers if isinstance(answer, WorkflowUpdateFailedError)]
    assert isinstance(refused, ApplicationError)
    assert refused.type == "AlreadyAccepted"
    assert taken["assigned_to"] in refused.message
    assert taken["responsible_unit"] in {SOUTH, EAST}


async def test_what_a_handover_may_not_be_is_refused_with_its_code(stack: Stack) -> None:  # H1 H2
    handle = await stack.start("ho-4")
    nobody = "SE2321000198-S999"
    for changed, code in (
        ({"to_unit": "SE2321000198-HC99"}, "UnknownUnit"),
        ({"to_profession": "shaman"}, "UnknownProfession"),
        ({"to_staff": nobody}, "UnknownStaff"),
        ({"by": NURSE_SOUTH}, "NotResponsible"),
        ({"to_profession": "medical_secretary", "to_unit": NORTH}, "NotClinical"),
        ({"to_unit": NORTH}, "InvalidAction"),
        ({"to_unit": NORTH, "to_staff": NURSE_NORTH["staff"]}, "InvalidAction"),
        ({"reference": "x"}, "InvalidAction"),
        ({"ground": "agreed_practice"}, "GroundNotMet"),
        ({"ground": "after_consultation", "reference": "ho-4.consultation-1"}, "GroundNotMet"),
    ):
        refusal = await refusal_of(handle, "hand_over", TO_SOUTH | changed)
        assert refusal.type == code, changed
        assert nobody not in refusal.message
    await handle.execute_update("hand_over", TO_SOUTH | {"ground": "agreed_practice", "reference": "Rutin 7"})
    assert (await refusal_of(handle, "hand_over", TO_SOUTH)).type == "HandoverPending"
    view = await handle.query("view")
    assert [event["event"] for event in view["log"]].count("rejected") == 11


async def test_within_the_unit_it_goes_to_a_colleague_and_is_the_units_all_the_while(stack: Stack) -> None:  # H1
    handle = await stack.start("ho-5")
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    to_doctor = TO_SOUTH | {"to_unit": NORTH, "to_profession": "doctor", "to_staff": DOCTOR_NORTH["staff"]}
    await handle.execute_update("hand_over", to_doctor)
    assert (await refusal_of(handle, "accept", {"by": CLERK_NORTH})).type == "NotClinical"
    taken = await handle.execute_update("accept", {"by": DOCTOR_NORTH})
    assert (taken["responsible_unit"], taken["assigned_to"], taken["profession"]) == (
        NORTH, DOCTOR_NORTH["staff"], "doctor",
    )  # fmt: skip


async def test_what_was_to_be_rung_about_a_handover_is_withdrawn_with_it(stack: Stack) -> None:  # H4
    stack.gateway.statuses["ho-6"] = [202, 503, 503, 503, 503, 503]
    handle = await stack.start("ho-6")
    await stack.gateway.until(lambda: stack.gateway.reasons("ho-6") == ["new_case"])
    await handle.execute_update("hand_over", TO_SOUTH)
    await stack.gateway.until(lambda: "handover_requested" in stack.gateway.reasons("ho-6"))
    withdrawn = await handle.execute_update("withdraw", {"by": NURSE_NORTH})
    assert withdrawn["handover"] is None
    rows = await stack.rows("select reason, status, error from omhand.notification_log where case_id = 'ho-6'")
    (requested,) = [row for row in rows if row["reason"] == "handover_requested"]
    assert requested["status"] == "failed"
    assert requested["error"].startswith("withdrawn:")
    assert (await refusal_of(handle, "accept", {"by": DOCTOR_SOUTH})).type == "NotOffered"
    assert (await refusal_of(handle, "withdraw", {"by": NURSE_NORTH})).type == "NothingPending"
