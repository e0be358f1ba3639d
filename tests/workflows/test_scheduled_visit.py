"""Scheduled visits on a real server: tickets, bookable times that many want, and the visit's time (K2, P3, P4, P7)."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stories import (
    DOCTOR_NORTH,
    NORTH,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    Stack,
    a_ticket,
    failure_of,
    refusal_of,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import until

PATIENT = {"patient": True}


def ahead(**duration: float) -> str:
    """An instant so far from now, as a client writes it."""
    return (datetime.now(UTC) + timedelta(**duration)).isoformat()


async def visit(stack: Stack, case_id: str, **changes: Any) -> WorkflowHandle[Any, Any]:
    """A visit with a ticket, or what is said otherwise, opened."""
    return await stack.start(case_id, "ScheduledVisit", **({"priority": 7, "ticket": a_ticket()} | changes))


async def holder_of(stack: Stack, slot: str) -> str | None:
    """The case that holds a time, by the database."""
    holder: str | None = await stack.pool.fetchval("select case_id from omhand.slots where slot_id = $1", slot)
    return holder


def type_of(error: WorkflowUpdateFailedError) -> str:
    """The code with which an update was refused, or its case not opened."""
    return str(error.cause.type) if isinstance(error.cause, ApplicationError) else repr(error.cause)


def events(view: dict[str, Any]) -> list[str]:
    return [row["event"] for row in view["log"]]


async def test_a_ticket_is_booked_moved_and_held_by_video(stack: Stack) -> None:  # K2a P3 P4
    first, second = await stack.publish("sv-1a"), await stack.publish("sv-1b", SOUTH, days=2)
    case = await visit(stack, "sv-1")
    opened = await case.execute_update("note", {"by": NURSE_NORTH, "text": "ring inte"})
    assert events(opened)[:2] == ["opened", "ticket_issued"]
    assert (opened["status"], opened["booking"], opened["ticket"]["unit"]) == ("ticket", None, NORTH)
    booked = await case.execute_update("book", {"by": PATIENT, "slot": first})
    assert (booked["status"], booked["booking"]["slot"], booked["due_at"]) == ("booked", first, None)
    moved = await case.execute_update("book", {"by": PATIENT, "slot": second})
    assert (moved["responsible_unit"], moved["booking"]["unit"]) == (SOUTH, SOUTH)
    assert (await holder_of(stack, first), await holder_of(stack, second)) == (None, "sv-1")
    await case.execute_update("accept", {"by": NURSE_SOUTH})
    by_phone = await refusal_of(case, "close", {"by": NURSE_SOUTH, "outcome": "treated", "held_as": "phone"})
    assert by_phone.type == "MustBeDigital"
    await case.execute_update("close", {"by": NURSE_SOUTH, "outcome": "treated", "held_as": "video"})
    closed = await case.result()
    assert (closed["outcome"], closed["booking"]["slot"]) == ("treated", second)
    logged = await stack.rows("select event from omhand.case_log where case_id = 'sv-1' order by seq")
    assert [row["event"] for row in logged] == events(closed)


REFUSED = {
    "taken": ("SlotTaken", "taken"),
    "gone": ("UnknownSlot", "no such"),
    "never": ("UnknownSlot", "no such"),
    "past": ("UnknownSlot", "passed"),
    "doctors": ("TicketNotValid", "nurse"),
    "late": ("TicketNotValid", "outside"),
}


async def test_each_time_that_cannot_be_booked_is_refused_with_its_code_and_why(stack: Stack) -> None:  # K2a P3
    await stack.publish("sv-2-taken")
    await stack.publish("sv-2-gone")
    await stack.publish("sv-2-past", minutes=-5)
    await stack.publish("sv-2-doctors", profession="doctor")
    await stack.publish("sv-2-late", days=15)
    await stack.pool.execute("update omhand.slots set withdrawn_at = now() where slot_id = 'sv-2-gone'")
    other = await visit(stack, "sv-2-other")
    await other.execute_update("book", {"by": PATIENT, "slot": "sv-2-taken"})
    case = await visit(stack, "sv-2")
    for name, (code, said) in REFUSED.items():
        refusal = await refusal_of(case, "book", {"by": PATIENT, "slot": f"sv-2-{name}"})
        assert (refusal.type, said in refusal.message) == (code, True), (name, refusal.message)
    stranger = await refusal_of(case, "book", {"by": NURSE_EAST, "slot": "sv-2-taken"})
    assert stranger.type == "NotResponsible"
    nothing = await refusal_of(case, "cancel_booking", {"by": PATIENT})
    assert nothing.type == "NothingPending"
    view = await case.query("view")
    assert (view["status"], view["booking"]) == ("ticket", None)
    assert events(view).count("rejected") == len(REFUSED) + 2
    assert await holder_of(stack, "sv-2-taken") == "sv-2-other"


async def test_of_twenty_who_want_one_time_at_once_one_gets_it(stack: Stack) -> None:  # K2a
    slot = await stack.publish("sv-3")
    cases = [await visit(stack, f"sv-3-{number}") for number in range(20)]

    async def book(case: WorkflowHandle[Any, Any]) -> str:
        try:
            view = await case.execute_update("book", {"by": PATIENT, "slot": slot})
        except WorkflowUpdateFailedError as refused:
            return type_of(refused)
        return str(view["status"])

    assert Counter(await asyncio.gather(*map(book, cases))) == {"booked": 1, "SlotTaken": 19}
    views = [await case.query("view") for case in cases]
    (winner,) = [view["case_id"] for view in views if view["booking"]]
    assert await holder_of(stack, slot) == winner
    for view in views:
        rows = await stack.rows("select seq from omhand.case_log where case_id = $1 order by seq", view["case_id"])
        assert [row["seq"] for row in rows] == list(range(1, len(view["log"]) + 1))


async def test_at_its_time_the_visit_waits_and_is_due_at_once_until_its_unit_takes_it(stack: Stack) -> None:  # K2a
    slot = await stack.publish("sv-4", seconds=2)
    case = await visit(stack, "sv-4", profession="nurse")
    booked = await case.execute_update("book", {"by": PATIENT, "slot": slot})
    assert booked["status"] == "booked"
    await stack.gateway.until(lambda: stack.gateway.reasons("sv-4") == ["new_case"])
    view = await case.query("view")
    assert (view["status"], view["overdue"], view["due_at"]) == ("waiting", True, booked["booking"]["starts_at"])
    taken = await case.execute_update("accept", {"by": NURSE_NORTH})
    assert taken["assigned_to"] == NURSE_NORTH["staff"]
    used = await refusal_of(case, "book", {"by": PATIENT, "slot": slot + "x"})
    assert used.type == "UnknownSlot"
    await case.execute_update("close", {"by": NURSE_NORTH, "outcome": "no_show", "held_as": "video"})
    assert (await case.result())["outcome"] == "no_show"
    (row,) = await stack.rows("select in_time, due_at from omhand.handling_times where case_id = 'sv-4'")
    # In time by its ladder, which says how long it may take.
    assert (row["in_time"], row["due_at"]) == (True, datetime.fromisoformat(view["due_at"]) + timedelta(minutes=30))


async def test_a_ticket_that_is_used_books_nothing_more(stack: Stack) -> None:  # K2a
    slot, another = await stack.publish("sv-5", seconds=1.5), await stack.publish("sv-5b")
    case = await visit(stack, "sv-5")
    await case.execute_update("book", {"by": PATIENT, "slot": slot})
    await stack.gateway.until(lambda: stack.gateway.reasons("sv-5") == ["new_case"])
    await case.execute_update("accept", {"by": NURSE_NORTH})
    used = await refusal_of(case, "book", {"by": PATIENT, "slot": another})
    assert (used.type, "used" in used.message) == ("TicketNotValid", True)
    begun = await refusal_of(case, "cancel_booking", {"by": PATIENT})
    assert begun.type == "NothingPending"


async def test_a_ticket_that_runs_out_ends_the_case_and_its_unit_is_told(stack: Stack) -> None:  # K2a
    case = await visit(stack, "sv-6", ticket=a_ticket(timedelta(seconds=2)))
    async with asyncio.timeout(20):
        closed = await case.result()
    assert (closed["status"], closed["outcome"]) == ("closed", "ticket_expired")
    assert stack.gateway.reasons("sv-6")[-1] == "ticket_expired"


async def test_a_cancelled_booking_gives_the_ticket_back_and_without_one_the_visit_ends(
    stack: Stack,
) -> None:  # K2a K2b
    slot = await stack.publish("sv-7", SOUTH)
    case = await visit(stack, "sv-7")
    await case.execute_update("book", {"by": NURSE_NORTH, "slot": slot})
    freed = await case.execute_update("cancel_booking", {"by": NURSE_SOUTH, "reason": "sjuk"})
    assert (freed["status"], freed["responsible_unit"], freed["booking"]) == ("ticket", NORTH, None)
    made = await visit(
        stack, "sv-7b", ticket=None, priority=None, origin="unit", asked_by=NURSE_NORTH, booking={"slot": slot}
    )
    booked = await made.execute_update("note", {"by": NURSE_SOUTH, "text": "x"})
    assert (booked["status"], booked["responsible_unit"]) == ("booked", SOUTH)
    assert booked["log"][1]["by"]["staff"] == NURSE_NORTH["staff"]
    await made.execute_update("cancel_booking", {"by": PATIENT})
    assert (await made.result())["outcome"] == "cancelled"
    assert await holder_of(stack, slot) is None


@pytest.mark.parametrize(
    ("name", "changes", "fault", "said"),
    [
        ("neither", {"ticket": None}, "InvalidCase", "exactly one"),
        ("both", {"booking": {"slot": "x"}}, "InvalidCase", "exactly one"),
        ("unknown", {"ticket": None, "booking": {"slot": "nowhere"}, "origin": "unit"}, "InvalidCase", "booking.slot"),
        ("backwards", {"ticket": {"valid_from": ahead(days=2), "valid_until": ahead(days=1)}}, "InvalidCase", "valid_"),
        ("no-priority", {"priority": None}, "InvalidCase", "priority: is required"),
        ("urgent", {"priority": 3}, "NotInRoutine", "6-11"),
        ("emergency", {"priority": 1}, "NotInRoutine", "112"),
        ("not-digital", {"patient": {"id": "ref:x", "digital": False}}, "NotInRoutine", "digital"),
        ("secretary", {"profession": "medical_secretary"}, "NotInRoutine", "clinically"),
    ],
)
async def test_a_visit_that_cannot_be_fails_at_once_and_says_why(
    stack: Stack, name: str, changes: dict[str, Any], fault: str, said: str
) -> None:  # K2a K2b
    failure = await failure_of(await visit(stack, f"sv-8-{name}", **changes))
    assert (failure.type, said in failure.message) == (fault, True), failure.message
    assert await stack.rows("select * from omhand.case_log where case_id = $1", f"sv-8-{name}") == []


async def test_a_time_that_a_unit_booked_meanwhile_opens_no_second_visit(stack: Stack) -> None:  # K2b
    slot = await stack.publish("sv-9")
    given = {"ticket": None, "priority": None, "origin": "unit", "asked_by": NURSE_NORTH, "booking": {"slot": slot}}
    cases = [await visit(stack, f"sv-9-{number}", **given) for number in range(4)]

    async def three_have_lost() -> list[str] | None:
        found = [case.id for case in cases if (await case.describe()).status is WorkflowExecutionStatus.FAILED]
        return found if len(found) == len(cases) - 1 else None

    failed = await until(three_have_lost)
    assert await holder_of(stack, slot) in {case.id.removeprefix("case-") for case in cases if case.id not in failed}
    failures = [await failure_of(case) for case in cases if case.id in failed]
    assert {(failure.type, failure.message[:13]) for failure in failures} == {("InvalidCase", "booking.slot:")}
    rows = await stack.rows("select case_id from omhand.case_log where case_id like 'sv-9-%' and event = 'booked'")
    assert len(rows) == 1


async def test_a_patient_of_another_county_is_recognised_and_treated_the_same(stack: Stack) -> None:  # P7
    here = await visit(stack, "sv-10a", patient={"id": "ref:sv-10a", "digital": True, "region": "21"})
    away = await visit(stack, "sv-10b", patient={"id": "ref:sv-10b", "digital": True, "region": "01"})
    views = [await case.execute_update("note", {"by": DOCTOR_NORTH, "text": "x"}) for case in (here, away)]
    assert [(view["patient_region"], view["out_of_region"]) for view in views] == [("21", False), ("01", True)]
    assert events(views[0]) == events(views[1])
    assert views[0]["due_at"][:16] == views[1]["due_at"][:16]
    for name in ("worklist", "handling_times"):
        rows = await stack.rows(
            f"select case_id, patient_region, out_of_region from omhand.{name}"
            " where case_id like 'sv-10_' order by case_id"
        )
        assert [tuple(row.values()) for row in rows] == [("sv-10a", "21", False), ("sv-10b", "01", True)]
