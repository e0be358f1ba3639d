"""Who books, moves and cancels a visit's time, and who has the visit then (K2, P3), whatever became of it before."""

from datetime import timedelta
from typing import Any

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    JOUR,
    NORTH,
    NOTIFY,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    OPENINGS,
    PATIENT,
    SOUTH,
    By,
    Told,
    a_slot,
    by,
    ladder,
    local,
    region,
    told,
)

from decisions.decide import decide
from decisions.effects import Decision, Refusal
from decisions.facts import answer, question
from decisions.receiving import slot_fault
from omhand.contract.actions import Book
from omhand.contract.names import Code, EventName, Kind, Outcome, Reason, Status
from omhand.contract.opening import read_opening
from omhand.contract.wire import read

AT_NORTH, AT_SOUTH = a_slot("2026-11-25 10:00"), a_slot("2026-11-25 13:30", SOUTH)
LATER_AT_SOUTH, LATER_AT_EAST = a_slot("2026-11-26 13:30", SOUTH), a_slot("2026-11-30 10:00", EAST)
OF_A_NURSE = a_slot("2026-11-25 11:00", profession="nurse", held_by="c-2")
PASSED = a_slot("2026-11-20 11:00", profession="nurse", held_by="c-2")
TAKEN_NEXT_YEAR = a_slot("2027-11-22 11:00", held_by="c-2")
SLOTS = (AT_NORTH, AT_SOUTH, LATER_AT_SOUTH, LATER_AT_EAST, OF_A_NURSE, PASSED, TAKEN_NEXT_YEAR)
BY_NORTH = {"ticket": None, "priority": None, "origin": "unit", "asked_by": DOCTOR_NORTH}


def a_visit(slot: str | None = None, **opening: Any) -> Told:
    """With a ticket of NORTH's, and this time booked."""
    story = told(region(), kind=Kind.SCHEDULED_VISIT, slots=SLOTS, **opening)
    return story.may("book", PATIENT, slot=slot) if slot else story


def handed_to_east() -> Told:
    """The ticket is NORTH's, the time SOUTH's, and the visit has been handed over to EAST."""
    story = a_visit(AT_SOUTH.id).may("hand_over", DOCTOR_SOUTH, to_unit=EAST, ground="misplaced")
    return story.may("accept", NURSE_EAST)


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["book", "cancel_booking"])
@pytest.mark.parametrize(
    ("who", "may"),
    [
        (PATIENT, True),
        (NURSE_EAST, True),  # has it
        (CLERK_NORTH, True),  # whose ticket it is; nobody has to be clinical to book
        (DOCTOR_SOUTH, True),  # whose time it has
        (DOCTOR_JOUR, False),
    ],
)
def test_every_unit_that_it_concerns_moves_or_cancels_a_visit_that_has_been_handed_over(
    name: str,
    who: By,
    may: bool,  # noqa: FBT001
) -> None:
    # K2a P3 H3
    payload = {"slot": LATER_AT_EAST.id} if name == "book" else {}
    refusal = handed_to_east().act(name, who, **payload)
    assert (refusal is None) == may
    assert refusal is None or (refusal.code is Code.NOT_RESPONSIBLE and EAST in refusal.message)


def test_when_its_time_is_cancelled_it_goes_back_to_whose_ticket_it_is_and_who_had_it_is_told() -> None:
    # K2a P3 H3
    story = handed_to_east()
    before = len(story.reasons)
    story.may("cancel_booking", PATIENT)
    assert (story.case.responsible_unit, story.case.status) == (NORTH, Status.TICKET)
    assert story.lately(before) == [(Reason.BOOKING_CANCELLED, EAST), (Reason.NEW_CASE, NORTH)]


def test_from_its_time_on_a_visit_counts_on_the_hours_of_whose_time_it_is() -> None:
    # K2a P3
    in_norths_lunch = a_slot("2026-11-24 12:00", SOUTH)
    reminding = ladder("waiting", NOTIFY, {"after": "PT5M", "do": "notify"}, kind=["scheduled_visit"])
    story = told(region(reminding), kind=Kind.SCHEDULED_VISIT, slots=[in_norths_lunch])
    story.may("book", PATIENT, slot=in_norths_lunch.id)
    before = len(story.reasons)
    story.until("2026-11-24 12:05")
    assert story.lately(before) == [(Reason.NEW_CASE, SOUTH), (Reason.REMINDER, SOUTH)]
    assert story.case.accept_by == local("2026-11-24 12:30")


def test_a_ticket_that_can_be_used_again_counts_on_the_hours_of_whose_it_is() -> None:
    # K2a
    evening = a_slot("2026-11-24 18:00", JOUR)
    story = told(region(), kind=Kind.SCHEDULED_VISIT, slots=[evening]).may("book", PATIENT, slot=evening.id)
    story.until("2026-11-23 20:00").may("cancel_booking", PATIENT)
    assert story.case.due_at == local("2026-11-24 08:30")


def test_whose_ticket_it_has_become_may_cancel_what_is_booked_with_it_and_has_it_again() -> None:
    # K2a H3
    story = a_visit().may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced").may("accept", DOCTOR_SOUTH)
    story.may("book", PATIENT, slot=LATER_AT_EAST.id).may("cancel_booking", DOCTOR_SOUTH)
    assert (story.case.responsible_unit, story.case.status) == (SOUTH, Status.TICKET)


def test_a_time_that_it_holds_already_in_the_database_is_not_another_cases() -> None:
    # K2a
    story = a_visit()
    action = read(Book, {"by": PATIENT, "slot": AT_NORTH.id})
    for holder, is_refused in (("c-1", False), ("c-2", True)):
        held = AT_NORTH.model_copy(update={"held_by": holder})
        facts = answer(question(story.case, action, story.now), story.region, held)
        assert isinstance(decide(story.case, action, story.now, facts), Refusal) == is_refused


@pytest.mark.parametrize(
    ("name", "who", "payload", "code"),
    [
        ("book", by("SE2321000198-S999", NOWHERE, "shaman"), {"slot": ""}, Code.INVALID_ACTION),
        ("book", by("SE2321000198-S999", NOWHERE, "shaman"), {"slot": "x" * 201}, Code.INVALID_ACTION),
        ("book", by("SE2321000198-S999", NOWHERE, "shaman"), {}, Code.INVALID_ACTION),
        ("book", by("SE2321000198-S999", NOWHERE, "shaman"), {"slot": "x"}, Code.UNKNOWN_UNIT),
        ("book", by("SE2321000198-S999", EAST, "shaman"), {"slot": "x"}, Code.UNKNOWN_PROFESSION),
        ("book", by("SE2321000198-S999", EAST, "nurse"), {"slot": "x"}, Code.UNKNOWN_STAFF),
        ("book", NURSE_EAST, {"slot": "x"}, Code.NOT_RESPONSIBLE),
        ("book", NURSE_EAST, {"slot": PASSED.id}, Code.NOT_RESPONSIBLE),
        ("book", NURSE_NORTH, {"slot": "x"}, Code.UNKNOWN_SLOT),
        ("book", NURSE_NORTH, {"slot": PASSED.id}, Code.UNKNOWN_SLOT),  # and another's, and taken
        ("book", NURSE_NORTH, {"slot": OF_A_NURSE.id}, Code.TICKET_NOT_VALID),  # and taken
        ("book", NURSE_NORTH, {"slot": TAKEN_NEXT_YEAR.id}, Code.TICKET_NOT_VALID),  # and taken
        ("cancel_booking", by("SE2321000198-S999", EAST, "nurse"), {}, Code.UNKNOWN_STAFF),
        ("cancel_booking", NURSE_EAST, {}, Code.NOT_RESPONSIBLE),
        ("cancel_booking", NURSE_NORTH, {}, Code.NOTHING_PENDING),
        ("cancel_booking", PATIENT, {"reason": ""}, Code.INVALID_ACTION),
        ("book", PATIENT | {"patient": False}, {"slot": "x"}, Code.INVALID_ACTION),
    ],
)
def test_the_first_check_that_fails_is_the_answer(name: str, who: By, payload: dict[str, str], code: Code) -> None:
    # K2a
    story = a_visit()
    before, slots = story.case, dict(story.slots)
    assert story.refused(name, who, **payload) is code
    assert (story.case, story.slots) == (before.model_copy(update={"seq": before.seq + 1}), slots)
    story.may("cancel", DOCTOR_NORTH, reason="x")
    assert story.refused(name, who, **payload) is (code if code is Code.INVALID_ACTION else Code.CASE_CLOSED)


# What becomes of who had it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [AT_NORTH, AT_SOUTH, LATER_AT_EAST])
@pytest.mark.parametrize("to_unit", [SOUTH, EAST])
def test_a_handover_that_waits_is_not_asked_for_any_more_when_a_time_is_booked(slot: Any, to_unit: str) -> None:
    # K2a H4
    story = a_visit().may("hand_over", DOCTOR_NORTH, to_unit=to_unit, ground="misplaced")
    before, count = len(story.log), len(story.reasons)
    story.may("book", PATIENT, slot=slot.id)
    withdrawn, *_, booked = story.log[before:]
    assert (withdrawn.event, withdrawn.detail["because"]) == (EventName.HANDOVER_WITHDRAWN, "booked")
    assert booked.event is EventName.BOOKED
    assert story.lately(count) == [(Reason.HANDOVER_WITHDRAWN, to_unit)]
    assert Decision(story.case, story.log[before:]).settles
    assert (story.case.handover, story.case.responsible_unit) == (None, slot.unit)


@pytest.mark.parametrize("name", ["book", "cancel_booking"])
def test_what_calls_somebody_to_a_visit_is_of_no_use_when_its_time_is_another_one_or_none(name: str) -> None:
    # K2a K1f
    story = a_visit(AT_NORTH.id).until(AT_NORTH.starts_at)
    called, before = story.notices[-1], len(story.log)
    assert (called.reason, called.until_taken) == (Reason.NEW_CASE, True)
    story.may(name, PATIENT, **({"slot": LATER_AT_EAST.id} if name == "book" else {}))
    assert Decision(story.case, story.log[before:]).takes
    assert story.case.status is (Status.BOOKED if name == "book" else Status.TICKET)
    if name == "book":
        assert story.fails(called) == ()
    news = next(notice for notice in story.notices if notice.reason is Reason.BOOKING_CANCELLED)
    assert (news.scope, news.until_taken) == ("always", False)


def test_what_tells_who_had_taken_it_that_its_time_is_another_one_is_of_use_whatever_happens() -> None:
    # K2a R1
    story = a_visit(AT_NORTH.id).may("accept", DOCTOR_NORTH).may("book", PATIENT, slot=AT_SOUTH.id)
    (cancelled,) = [notice for notice in story.notices if notice.reason is Reason.BOOKING_CANCELLED]
    assert (cancelled.unit, cancelled.scope, cancelled.until_taken) == (NORTH, "always", False)
    story.may("cancel", PATIENT, reason="frisk")
    (alert,) = story.fails(cancelled)
    assert (alert.unit, alert.reason) == (NORTH, Reason.GATEWAY_FAILED)


def test_who_has_taken_one_visit_of_a_moved_time_takes_the_next_one_anew() -> None:
    # K2a
    story = a_visit(AT_NORTH.id).may("accept", DOCTOR_NORTH).may("book", PATIENT, slot=LATER_AT_SOUTH.id)
    assert (story.case.holder, story.case.accepted_at, story.case.accepted_by_unit) == (None, None, None)
    assert story.refused("accept", DOCTOR_NORTH) is Code.NOT_OFFERED
    story.until(AT_NORTH.starts_at)
    assert story.case.status is Status.BOOKED
    story.may("accept", DOCTOR_SOUTH).may("close", DOCTOR_SOUTH, outcome="treated", held_as="video")


def test_a_visit_is_handed_over_while_its_time_comes_and_whoever_is_first_has_it() -> None:
    # K2a H3 H4
    story = a_visit(AT_NORTH.id).until("2026-11-25 09:50")
    story.may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced").until("2026-11-25 10:05")
    assert (story.case.status, story.case.responsible_unit) == (Status.WAITING, NORTH)
    assert story.case.handover is not None
    story.may("accept", DOCTOR_SOUTH)
    assert (story.case.responsible_unit, story.case.status) == (SOUTH, Status.ACCEPTED)


# Booked by a unit -----------------------------------------------------------------------------------------------------


def test_a_unit_books_at_its_own_and_has_it_all_the_while() -> None:
    # K2b
    story = a_visit(booking={"slot": AT_NORTH.id}, **BY_NORTH)
    assert (story.case.status, story.case.responsible_unit, story.case.received_by) == (Status.BOOKED, NORTH, NORTH)
    assert story.notices == []
    story.until(AT_NORTH.starts_at)
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]
    assert (story.case.status, story.case.due_at) == (Status.WAITING, AT_NORTH.starts_at)


def test_a_time_that_begins_just_as_a_unit_books_it_has_not_passed_yet() -> None:
    # K2b
    opening = read_opening(Kind.SCHEDULED_VISIT, OPENINGS[Kind.SCHEDULED_VISIT] | BY_NORTH | {"booking": {"slot": "s"}})
    assert slot_fault(opening, AT_NORTH, AT_NORTH.starts_at) is None
    assert slot_fault(opening, AT_NORTH, AT_NORTH.starts_at + timedelta.resolution) is not None
    story = a_visit(booking={"slot": AT_NORTH.id}, at=AT_NORTH.starts_at, **BY_NORTH)
    assert (story.case.status, story.reasons) == (Status.WAITING, [(Reason.NEW_CASE, NORTH)])


def test_what_a_unit_has_booked_the_patient_moves_at_any_time_and_that_unit_too() -> None:
    # K2b P3
    story = a_visit(booking={"slot": AT_NORTH.id}, **BY_NORTH).may("book", PATIENT, slot=AT_SOUTH.id)
    assert story.case.responsible_unit == SOUTH
    story.may("book", CLERK_NORTH, slot=LATER_AT_EAST.id)
    assert (story.case.responsible_unit, story.slots[AT_SOUTH.id].held_by) == (EAST, None)
    assert story.refused("book", PATIENT, slot=OF_A_NURSE.id) is Code.TICKET_NOT_VALID
    assert story.refused("book", PATIENT, slot=TAKEN_NEXT_YEAR.id) is Code.SLOT_TAKEN


@pytest.mark.parametrize("who", [PATIENT, CLERK_NORTH, DOCTOR_SOUTH])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_visit_without_a_ticket_ends_with_its_booking_and_who_had_it_is_told(who: By, accepted: bool) -> None:  # noqa: FBT001
    # K2b
    story = a_visit(booking={"slot": AT_SOUTH.id}, **BY_NORTH)
    if accepted:
        story.may("accept", DOCTOR_SOUTH)
    before = len(story.reasons)
    story.may("cancel_booking", who, reason="förhinder")
    assert (story.case.outcome, story.case.responsible_unit) == (Outcome.CANCELLED, SOUTH)
    assert story.slots[AT_SOUTH.id].held_by is None
    assert story.lately(before) == ([(Reason.BOOKING_CANCELLED, SOUTH)] if accepted else [])
    assert [event.detail["reason"] for event in story.log[-2:]] == ["förhinder", "förhinder"]


def test_a_visit_without_a_ticket_whose_time_has_begun_is_closed_or_cancelled_as_a_whole() -> None:
    # K2b
    story = a_visit(booking={"slot": AT_NORTH.id}, **BY_NORTH).until("2026-11-25 10:01").may("accept", DOCTOR_NORTH)
    assert story.refused("book", PATIENT, slot=AT_SOUTH.id) is Code.TICKET_NOT_VALID
    assert story.refused("cancel_booking", PATIENT) is Code.NOTHING_PENDING
    story.may("cancel", DOCTOR_NORTH, reason="x")
    assert story.case.outcome is Outcome.CANCELLED


# The window of a ticket -----------------------------------------------------------------------------------------------

NARROW = {"valid_from": "2026-11-24T10:00:00+01:00", "valid_until": "2026-11-25T10:00:00+01:00"}


@pytest.mark.parametrize(
    ("asked_at", "slot", "code"),
    [
        ("2026-11-24 09:59:59", "2026-11-25 09:00", Code.TICKET_NOT_VALID),
        ("2026-11-24 10:00:00", "2026-11-25 09:00", None),
        ("2026-11-24 10:00:00", "2026-11-24 10:00", Code.UNKNOWN_SLOT),
        ("2026-11-24 10:00:00", "2026-11-24 10:01", None),
        ("2026-11-24 10:00:00", "2026-11-25 10:00", None),
        ("2026-11-24 10:00:00", "2026-11-25 10:01", Code.TICKET_NOT_VALID),
        ("2026-11-25 09:59:59", "2026-11-25 10:00", None),
        ("2026-11-25 10:00:00", "2026-11-25 10:00", Code.CASE_CLOSED),
    ],
)
def test_the_window_binds_the_moment_of_booking_and_the_time_both_ends_included(
    asked_at: str, slot: str, code: Code | None
) -> None:
    # K2a
    story = told(region(), kind=Kind.SCHEDULED_VISIT, ticket=NARROW, slots=[a_slot(slot, id="s")]).until(asked_at)
    refusal = story.act("book", PATIENT, slot="s")
    assert (refusal and refusal.code) == code
    assert code is None or story.slots["s"].held_by is None


def test_a_time_of_another_unit_may_be_booked_also_where_that_unit_is_not_open_then() -> None:
    # P3
    night = a_slot("2026-11-25 03:00", JOUR)
    story = told(region(), kind=Kind.SCHEDULED_VISIT, slots=[night]).may("book", PATIENT, slot=night.id)
    story.until("2026-11-25 03:00")
    assert story.reasons[-1] == (Reason.NEW_CASE, JOUR)
    assert (story.case.status, story.case.due_at) == (Status.WAITING, local("2026-11-25 03:00"))
