"""A drop-in visit from its opening to its end, on real servers."""

import asyncio

import pytest
from stories import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    NORTH,
    NURSE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    Stack,
    refusal_of,
)

CLOSE = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}


async def test_a_simple_life_is_announced_taken_closed_and_recorded(stack: Stack) -> None:
    handle = await stack.start("simple")
    await stack.gateway.until(lambda: stack.gateway.reasons("simple") == ["new_case"])  # K1f
    accepted = await handle.execute_update("accept", {"by": NURSE_NORTH})
    assert (accepted["status"], accepted["assigned_to"], accepted["responsible_unit"]) == ("accepted", NURSE, NORTH)
    closed = await handle.execute_update("close", CLOSE)
    result = await handle.result()
    assert result == closed
    assert [row["event"] for row in result["log"]] == ["opened", "notified", "accepted", "closed"]
    rows = await stack.rows("select seq, event from omhand.case_log where case_id = 'simple' order by seq")
    assert [(row["seq"], row["event"]) for row in rows] == [(row["seq"], row["event"]) for row in result["log"]]
    [times] = await stack.rows("select * from omhand.handling_times where case_id = 'simple'")
    assert (times["in_time"], times["outcome"], times["accepted_by_unit"]) == (True, "treated", NORTH)
    assert await stack.rows("select * from omhand.worklist where case_id = 'simple'") == []


async def test_the_call_to_the_gateway_is_what_the_contract_says(stack: Stack) -> None:
    handle = await stack.start("call", patient={"id": "191212121212", "digital": True, "name": "Tolvan Tolvansson"})
    await stack.gateway.until(lambda: bool(stack.gateway.reasons("call")))
    [index] = [number for number, call in enumerate(stack.gateway.calls) if call["case_id"] == "call"]
    call, headers = stack.gateway.calls[index], stack.gateway.headers[index]
    assert set(call) == {
        "key", "case_id", "reason", "unit", "channel", "recipient", "kind", "priority", "due_at", "text",
    }  # fmt: skip
    assert headers["Idempotency-Key"] == call["key"]
    assert "1212" not in call["text"]
    assert "Tolvan" not in call["text"]
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})


async def test_the_view_holds_every_key_of_the_contract(stack: Stack) -> None:
    handle = await stack.start("keys")
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    assert set(view) >= {
        "case_id", "kind", "status", "priority", "profession", "responsible_unit", "assigned_to", "offers",
        "escalation_level", "due_at", "overdue", "handover", "consultations", "booking", "opened_at", "accepted_at",
        "closed_at", "outcome", "log",
    }  # fmt: skip
    assert await handle.query("view") == view


async def test_the_first_one_wins_and_the_other_is_told_who_has_it(stack: Stack) -> None:
    handle = await stack.start("race")
    answers = await asyncio.gather(
        handle.execute_update("accept", {"by": NURSE_NORTH}),
        handle.execute_update("accept", {"by": DOCTOR_NORTH}),
        return_exceptions=True,
    )
    won = [answer for answer in answers if isinstance(answer, dict)]
    assert len(won) == 1
    late = DOCTOR_NORTH if won[0]["assigned_to"] == NURSE else NURSE_NORTH
    refusal = await refusal_of(handle, "accept", {"by": late})
    assert refusal.type == "AlreadyAccepted"
    assert won[0]["assigned_to"] in refusal.message


async def test_a_case_is_only_for_those_it_concerns(stack: Stack) -> None:
    handle = await stack.start("concerns")
    stranger = NURSE_EAST | {"staff": "SE2321000198-S99"}
    elsewhere = NURSE_EAST | {"unit": NORTH}
    for who, code in (
        (NURSE_SOUTH, "NotOffered"),
        (CLERK_NORTH, "NotClinical"),
        (stranger, "UnknownStaff"),
        (elsewhere, "UnknownStaff"),
    ):
        assert (await refusal_of(handle, "accept", {"by": who})).type == code
    assert (await refusal_of(handle, "close", CLOSE)).type == "NotAccepted"
    assert (await refusal_of(handle, "close", CLOSE | {"by": NURSE_SOUTH})).type == "NotResponsible"
    assert (await refusal_of(handle, "refuse", {"by": NURSE_NORTH, "reason": "busy"})).type == "MayNotBeRefused"
    assert (await refusal_of(handle, "reply", {"by": NURSE_NORTH, "text": "hello"})).type == "WrongKind"
    assert (await refusal_of(handle, "withdraw", {"by": NURSE_NORTH})).type == "NothingPending"
    view = await handle.execute_update("accept", {"by": NURSE_NORTH, "offer": None})
    assert (await refusal_of(handle, "close", CLOSE | {"held_as": "phone"})).type == "MustBeDigital"  # P4
    rows = await stack.rows("select detail from omhand.case_log where case_id = 'concerns' and event = 'rejected'")
    assert len(rows) == 10
    assert view["responsible_unit"] == NORTH


async def test_the_same_action_id_twice_is_the_same_as_once(stack: Stack) -> None:
    handle = await stack.start("once")
    accept = {"by": NURSE_NORTH, "action_id": "a-1"}
    first = await handle.execute_update("accept", accept)
    await handle.execute_update("release", {"by": NURSE_NORTH, "reason": "going home"})
    again = await handle.execute_update("accept", accept)
    assert again == first
    now = await handle.query("view")
    assert now["status"] == "waiting"
    refused = {"by": NURSE_SOUTH, "action_id": "a-2"}
    assert (await refusal_of(handle, "accept", refused)).type == "NotOffered"
    before = len((await handle.query("view"))["log"])
    assert (await refusal_of(handle, "accept", refused)).type == "NotOffered"
    assert len((await handle.query("view"))["log"]) == before


async def test_a_profession_that_is_not_on_site_is_covered_from_the_start(stack: Stack) -> None:  # K1d
    handle = await stack.start("coverage", profession="occupational_therapist")
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    assert [(offer["unit"], offer["why"]) for offer in view["offers"]] == [(EAST, "coverage")]
    assert view["escalation_level"] == 0
    rows = await stack.rows("select unit_id, stands from omhand.worklist where case_id = 'coverage' order by stands")
    assert [(row["unit_id"], row["stands"]) for row in rows] == [(EAST, "offered"), (NORTH, "responsible")]
    taken = await handle.execute_update("accept", {"by": NURSE_NORTH})
    [accepted] = [row for row in taken["log"] if row["event"] == "accepted"]
    assert accepted["detail"]["substituted"] is True


async def test_a_patients_other_open_cases_are_shown_on_both(stack: Stack) -> None:
    patient = {"id": "ref:linked", "digital": True}
    first = await stack.start("linked-1", patient=patient)
    await first.execute_update("note", {"by": NURSE_NORTH, "text": "open"})
    second = await stack.start("linked-2", patient=patient)
    view = await second.execute_update("note", {"by": NURSE_NORTH, "text": "open"})
    assert view["linked_cases"] == ["linked-1"]
    rows = await stack.rows("select linked_cases from omhand.worklist where case_id = 'linked-1'")
    assert [row["linked_cases"] for row in rows] == [["linked-2"]]
    view = await first.execute_update("note", {"by": NURSE_NORTH, "text": "again"})
    assert view["linked_cases"] == ["linked-2"]


async def test_a_patient_and_the_responsible_unit_may_cancel(stack: Stack) -> None:
    for case_id, who in (("by-patient", {"patient": True}), ("by-unit", NURSE_NORTH)):
        handle = await stack.start(case_id)
        view = await handle.execute_update("cancel", {"by": who, "reason": "not wanted"})
        assert (view["status"], view["outcome"]) == ("closed", "cancelled")
        assert await handle.result() == view


async def test_reprioritising_starts_a_new_clock(stack: Stack) -> None:
    handle = await stack.start("reprioritised", priority=5)
    view = await handle.execute_update(
        "reprioritise", {"by": NURSE_NORTH, "priority": 2, "reason": "worse than it sounded"}
    )
    assert view["priority"] == 2
    assert view["log"][-1]["event"] == "notified"


async def test_a_case_that_postgres_has_is_not_started_again(stack: Stack) -> None:
    handle = await stack.start("again")
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    await handle.result()
    second = await stack.client.start_workflow(
        "DropInVisit",
        {
            "case_id": "again", "origin": "min_vard", "unit": SOUTH, "profession": "nurse", "priority": 3,
            "patient": {"id": "ref:x", "digital": True},
        },
        id="case-again",
        task_queue="cases",
    )  # fmt: skip
    with pytest.raises(Exception, match="failed") as failed:
        await second.result()
    assert failed.value.cause.type == "CaseExists"


async def test_signals_before_the_first_task_are_not_lost(stack: Stack) -> None:
    handle = await stack.client.start_workflow(
        "DropInVisit",
        {
            "case_id": "early", "origin": "min_vard", "unit": NORTH, "profession": "nurse", "priority": 3,
            "patient": {"id": "ref:early", "digital": True},
        },
        id="case-early",
        task_queue="cases",
        start_signal="accept",
        start_signal_args=[{"by": NURSE_NORTH}],
    )  # fmt: skip
    await asyncio.gather(
        *(handle.signal("note", {"by": NURSE_NORTH, "text": f"note {number}"}) for number in range(60))
    )
    view = await handle.execute_update("close", CLOSE)
    notes = [row["detail"]["text"] for row in view["log"] if row["event"] == "noted"]
    assert len(notes) == 60
    assert view["outcome"] == "treated"


async def test_a_gateway_that_says_no_for_good_alerts_the_manager(stack: Stack) -> None:
    stack.gateway.statuses["says-no"] = [404]
    handle = await stack.start("says-no")
    await stack.gateway.until(lambda: len(stack.gateway.reasons("says-no")) == 2)
    assert stack.gateway.reasons("says-no") == ["new_case", "gateway_failed"]
    view = await handle.execute_update("accept", {"by": DOCTOR_NORTH})
    assert "manager_alerted" in [row["event"] for row in view["log"]]
    rows = await stack.rows("select reason, status from omhand.notification_log where case_id = 'says-no' order by key")
    assert [(row["reason"], row["status"]) for row in rows] == [("new_case", "failed"), ("gateway_failed", "sent")]


async def test_a_gateway_that_stumbles_is_tried_again_with_the_same_key(stack: Stack) -> None:
    stack.gateway.statuses["stumbles"] = [503, 429]
    await stack.start("stumbles")
    await stack.gateway.until(lambda: len(stack.gateway.reasons("stumbles")) == 3)
    keys = {call["key"] for call in stack.gateway.calls if call["case_id"] == "stumbles"}
    assert len(keys) == 1


async def test_accepting_stops_the_ringing(stack: Stack) -> None:
    stack.gateway.statuses["ringing"] = [503] * 100
    handle = await stack.start("ringing")
    await stack.gateway.until(lambda: len(stack.gateway.reasons("ringing")) >= 2)
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    [row] = await stack.rows("select status, error from omhand.notification_log where case_id = 'ringing'")
    assert row["status"] == "failed"
    assert row["error"].startswith("withdrawn")
    await handle.execute_update("close", CLOSE)
    await handle.result()


async def test_somebody_elses_offer_is_gone_after_the_acceptance(stack: Stack) -> None:
    handle = await stack.start("offer", profession="occupational_therapist")
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    [offer] = view["offers"]
    view = await handle.execute_update("accept", {"by": NURSE_EAST, "offer": offer["offer"]})
    assert (view["responsible_unit"], view["offers"]) == (EAST, [])
    refusal = await refusal_of(handle, "accept", {"by": NURSE_NORTH, "offer": offer["offer"]})
    assert refusal.type == "OfferGone"
    assert EAST in refusal.message
    assert (await refusal_of(handle, "accept", {"by": NURSE_NORTH})).type == "AlreadyAccepted"
    assert (await refusal_of(handle, "accept", {"by": DOCTOR_SOUTH})).type == "NotOffered"
