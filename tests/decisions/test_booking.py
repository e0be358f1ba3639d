"""Booked visits (K2, P3, P4): booked, moved, cancelled, and taken at their time."""

from collections.abc import Callable
from typing import Any

import pytest
from small_region import (
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    JOUR,
    NORTH,
    NOTIFY,
    NURSE_EAST,
    NURSE_NORTH,
    PATIENT,
    SOUTH,
    Told,
    a_slot,
    ladder,
    local,
    region,
    told,
)

from decisions.receiving import slot_fault
from omhand.contract.names import Code, Kind, Outcome, Reason, Status
from omhand.contract.opening import Opening

WEDNESDAY_10 = local("2026-11-25 10:00")
HERE, THERE = a_slot("2026-11-25 10:00"), a_slot("2026-11-25 13:30", SOUTH)
AT_NIGHT = a_slot("2026-11-25 20:00")
NEXT_MONTH = a_slot("2026-12-20 10:00")
SLOTS = (
    HERE, THERE, AT_NIGHT, NEXT_MONTH, a_slot("2026-11-25 11:00", profession="nurse"), a_slot("2026-11-20 10:00"),
    a_slot("2026-11-26 10:00", held_by="c-2"), a_slot("2026-11-23 09:00"),
)  # fmt: skip
VISIT = ladder(
    "waiting",
    NOTIFY,
    {"after": "PT5M", "do": "notify"},
    {"after": "PT10M", "do": "offer", "to": "cooperating"},
    {"after": "PT15M", "do": "alert_manager"},
    kind=["scheduled_visit"],
    due="PT2H",
)
BY_NORTH = {"ticket": None, "priority": None, "origin": "unit", "asked_by": DOCTOR_NORTH}


def a_visit(slot: str | None = None, **opening: Any) -> Told:
    """A visit with a ticket, for which this time has been booked."""
    story = told(region(VISIT), kind=Kind.SCHEDULED_VISIT, slots=SLOTS, **opening)
    return story.may("book", PATIENT, slot=slot) if slot else story


def at_its_time() -> Told:
    return a_visit(HERE.id).until(WEDNESDAY_10)


def held(story: Told) -> list[str]:
    return [slot.id for slot in story.slots.values() if slot.held_by == "c-1"]


def test_a_time_at_another_unit_is_that_units_from_then_on() -> None:
    # K2a P3
    story = a_visit(THERE.id)
    case = story.case
    assert (case.status, case.responsible_unit, case.due_at) == (Status.BOOKED, SOUTH, None)
    assert story.view().booking == story.case.booking
    assert (held(story), case.accept_by) == ([THERE.id], local("2026-11-25 15:30"))
    booked = story.log[-1].detail
    assert (booked["from_unit"], booked["instead_of"]) == (NORTH, None)


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        ("HC01-1126-0900", Code.SLOT_TAKEN),
        ("nowhere", Code.UNKNOWN_SLOT),
        ("HC01-1120-0900", Code.UNKNOWN_SLOT),
        ("HC01-1123-0800", Code.UNKNOWN_SLOT),
        ("HC01-1125-1000", Code.TICKET_NOT_VALID),
        (NEXT_MONTH.id, Code.TICKET_NOT_VALID),
    ],
)
@pytest.mark.parametrize("begin", [a_visit, lambda: a_visit(THERE.id)])
def test_a_time_that_cannot_be_had_is_refused_and_the_old_one_kept(
    begin: Callable[[], Told], slot: str, code: Code
) -> None:
    # K2a P3
    story = begin()
    before, mine = story.case, held(story)
    assert story.refused("book", PATIENT, slot=slot) is code
    assert story.case == before.model_copy(update={"seq": before.seq + 1})
    assert held(story) == mine


def test_of_a_ticket_that_is_not_valid_nothing_is_booked() -> None:
    # K2a
    story = a_visit().may("accept", DOCTOR_NORTH).until("2026-12-08 10:00")
    assert story.refused("book", PATIENT, slot=NEXT_MONTH.id) is Code.TICKET_NOT_VALID


def test_a_booking_outlives_its_ticket() -> None:
    # K2a
    short = {"valid_from": "2026-11-23T09:00:00+01:00", "valid_until": "2026-11-25T10:05:00+01:00"}
    story = a_visit(HERE.id, ticket=short).until("2026-11-25 11:00")
    assert story.case.status is Status.WAITING
    story.may("accept", DOCTOR_NORTH).may("close", DOCTOR_NORTH, outcome="treated", held_as="video")
    assert story.case.outcome is Outcome.TREATED


def test_the_same_time_again_changes_nothing() -> None:
    # K2a
    story = a_visit(HERE.id)
    before = story.case
    story.may("book", PATIENT, slot=HERE.id)
    assert story.case == before


def test_it_is_moved_and_the_old_time_is_free() -> None:
    # K2a
    story = a_visit(HERE.id).may("book", DOCTOR_NORTH, slot=THERE.id)
    assert held(story) == [THERE.id]
    assert (story.log[-1].detail["instead_of"], story.case.responsible_unit) == (HERE.id, SOUTH)
    story.until(WEDNESDAY_10)
    assert story.case.status is Status.BOOKED


@pytest.mark.parametrize(
    ("who", "may"), [(DOCTOR_NORTH, True), (DOCTOR_SOUTH, True), (NURSE_EAST, False), (PATIENT, True)]
)
def test_staff_of_the_units_that_the_visit_and_the_time_concern_book_it(who: dict[str, Any], may: bool) -> None:  # noqa: FBT001
    # K2b P3
    refusal = a_visit().act("book", who, slot=THERE.id)
    assert (refusal is None) == may
    assert refusal is None or (refusal.code is Code.NOT_RESPONSIBLE and NORTH in refusal.message)


# At its time ----------------------------------------------------------------------------------------------------------


def test_at_its_time_it_waits_and_is_due_at_once_and_its_ladder_begins() -> None:
    # K2a P5
    story = a_visit(HERE.id)
    before = len(story.reasons)
    story.until(WEDNESDAY_10)
    assert (story.case.status, story.case.due_at, story.view().overdue) == (Status.WAITING, WEDNESDAY_10, True)
    assert story.lately(before) == [(Reason.NEW_CASE, NORTH)]
    story.until("2026-11-25 10:15")
    assert story.lately(before)[1:] == [
        (Reason.REMINDER, NORTH), (Reason.ESCALATED, NORTH), (Reason.OFFERED, SOUTH), (Reason.MANAGER_ALERT, NORTH),
    ]  # fmt: skip
    story.may("accept", DOCTOR_SOUTH)
    assert (story.case.responsible_unit, story.case.was_late) == (SOUTH, False)


def test_its_phone_rings_at_its_time_also_where_its_units_clock_stands_still() -> None:
    # K2a P4
    story = a_visit(AT_NIGHT.id)
    before = len(story.reasons)
    story.until("2026-11-25 20:00")
    assert story.lately(before) == [(Reason.NEW_CASE, NORTH)]
    story.until("2026-11-26 08:00")
    assert story.lately(before) == [(Reason.NEW_CASE, NORTH), (Reason.REMINDER, NORTH)]


def test_its_unit_may_take_it_earlier_and_then_nobody_is_called_at_its_time() -> None:
    # K2a
    story = a_visit(HERE.id).may("accept", DOCTOR_NORTH)
    before = len(story.reasons)
    # The clock of what is accepted begins at the visit's time.
    assert story.case.due_at == local("2026-11-25 13:00")
    story.until("2026-11-25 10:30")
    assert (story.lately(before), story.case.was_late) == ([], False)


def test_another_unit_does_not_take_it_before_its_time() -> None:
    # K2a
    assert a_visit(HERE.id).refused("accept", DOCTOR_SOUTH) is Code.NOT_OFFERED


@pytest.mark.parametrize(
    ("when", "status"), [("2026-11-24 09:00", Status.BOOKED), ("2026-11-25 10:10", Status.WAITING)]
)
def test_what_is_given_back_waits_for_its_time_or_for_somebody(when: str, status: Status) -> None:
    # K2a
    story = a_visit(HERE.id).may("accept", DOCTOR_NORTH).until(when).may("release", DOCTOR_NORTH, reason="sjuk")
    assert (story.case.status, story.case.holder) == (status, None)
    assert story.until("2026-11-25 10:30").case.status is Status.WAITING


def test_another_priority_does_not_move_its_time() -> None:
    # K2a
    story = a_visit(HERE.id).may("reprioritise", DOCTOR_NORTH, priority=6, reason="x")
    assert (story.case.status, story.case.accept_by) == (Status.BOOKED, local("2026-11-25 13:00"))
    assert story.until(WEDNESDAY_10).case.status is Status.WAITING


def test_who_does_not_come_is_a_no_show_and_no_visit_is_held_by_phone() -> None:
    # K2a P4
    story = at_its_time().may("accept", DOCTOR_NORTH)
    assert story.refused("close", DOCTOR_NORTH, outcome="treated", held_as="phone") is Code.MUST_BE_DIGITAL
    story.may("close", DOCTOR_NORTH, outcome="no_show", held_as="video")
    assert (story.case.outcome, held(story)) == (Outcome.NO_SHOW, [])


def test_a_ticket_is_used_when_the_visit_has_begun_and_not_before() -> None:
    # K2a
    early = a_visit(HERE.id).may("accept", DOCTOR_NORTH)
    before = len(early.reasons)
    early.may("book", PATIENT, slot=THERE.id)
    assert (early.case.holder, early.case.status) == (None, Status.BOOKED)
    assert early.lately(before) == [(Reason.BOOKING_CANCELLED, NORTH)]
    waiting = at_its_time().may("book", PATIENT, slot=THERE.id)
    assert (waiting.case.responsible_unit, waiting.case.status) == (SOUTH, Status.BOOKED)
    begun = at_its_time().may("accept", DOCTOR_NORTH)
    assert begun.refused("book", PATIENT, slot=THERE.id) is Code.TICKET_NOT_VALID
    assert begun.refused("cancel_booking", PATIENT) is Code.NOTHING_PENDING


def test_who_waited_in_vain_has_waited_though_they_take_another_time() -> None:
    # K2a R1
    story = at_its_time().until("2026-11-25 13:05").may("book", PATIENT, slot=THERE.id)
    assert (story.case.was_late, story.case.offers, story.case.escalation_level) == (True, (), 0)


@pytest.mark.parametrize(
    ("at", "late"), [("2026-11-25 10:00", False), ("2026-11-25 12:59", False), ("2026-11-25 13:01", True)]
)
def test_it_was_taken_in_time_by_its_ladder_though_it_is_due_at_once(at: str, late: bool) -> None:  # noqa: FBT001
    # K2a R1
    story = a_visit(HERE.id).until(at).may("accept", DOCTOR_NORTH)
    assert story.case.was_late is late


@pytest.mark.parametrize("how", [{"name": "release"}, {"name": "reprioritise", "priority": 6}])
def test_what_waits_anew_after_its_time_rings_at_once_also_in_the_evening(how: dict[str, Any]) -> None:
    # K2a
    story = a_visit(AT_NIGHT.id).until("2026-11-25 20:01")
    if how["name"] == "release":
        story.may("accept", DOCTOR_NORTH)
    before = len(story.reasons)
    story.act(how["name"], DOCTOR_NORTH, reason="x", **{key: how[key] for key in how if key != "name"})
    assert story.lately(before) == [(Reason.NEW_CASE, NORTH)]
    assert (story.case.status, story.case.due_at) == (Status.WAITING, story.now)


def test_a_unit_that_has_been_called_to_it_is_told_that_the_patient_does_not_come() -> None:
    # K2a
    for name, payload in (("cancel_booking", {}), ("book", {"slot": THERE.id})):
        story = at_its_time()
        before = len(story.reasons)
        story.may(name, PATIENT, **payload)
        assert story.lately(before)[0] == (Reason.BOOKING_CANCELLED, NORTH)


# Cancelled ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [PATIENT, DOCTOR_SOUTH, DOCTOR_NORTH])
def test_either_side_cancels_a_booking_and_the_ticket_lives_on_at_its_unit(who: dict[str, Any]) -> None:
    # K2a
    story = a_visit(THERE.id).may("cancel_booking", who, reason="förhinder")
    assert (story.case.status, story.case.responsible_unit, held(story)) == (Status.TICKET, NORTH, [])
    story.may("book", PATIENT, slot=HERE.id)
    assert held(story) == [HERE.id]


def test_what_is_not_booked_is_not_cancelled_nor_by_who_has_nothing_to_do_with_it() -> None:
    # K2a
    assert a_visit().refused("cancel_booking", PATIENT) is Code.NOTHING_PENDING
    assert a_visit(THERE.id).refused("cancel_booking", NURSE_EAST) is Code.NOT_RESPONSIBLE


def test_with_a_ticket_that_has_run_out_the_case_ends() -> None:
    # K2a
    short = {"valid_from": "2026-11-23T09:00:00+01:00", "valid_until": "2026-11-25T10:05:00+01:00"}
    story = a_visit(HERE.id, ticket=short).until("2026-11-25 10:06").may("cancel_booking", PATIENT)
    assert (story.case.outcome, held(story)) == (Outcome.TICKET_EXPIRED, [])
    assert story.reasons[-1] == (Reason.TICKET_EXPIRED, NORTH)


def test_who_has_taken_it_is_told_and_a_handover_is_not_asked_for_any_more() -> None:
    # K2a H4
    story = a_visit(HERE.id).may("accept", DOCTOR_NORTH)
    story.may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced")
    before = len(story.reasons)
    story.may("cancel_booking", PATIENT)
    assert story.lately(before)[:2] == [(Reason.HANDOVER_WITHDRAWN, SOUTH), (Reason.BOOKING_CANCELLED, NORTH)]
    (withdrawn,) = [event for event in story.log if event.event == "handover_withdrawn"]
    assert withdrawn.detail["because"] == "booked"
    assert (story.case.handover, story.case.holder) == (None, None)


def test_a_case_that_has_ended_holds_no_time_and_says_still_which_it_had() -> None:
    # K2a
    cancelled = a_visit(HERE.id).may("cancel", PATIENT, reason="frisk")
    early = a_visit(HERE.id).may("accept", DOCTOR_NORTH)
    early.may("close", DOCTOR_NORTH, outcome="treated", held_as="chat")
    for story in (cancelled, early):
        assert held(story) == []
        assert story.case.booking is not None


# Booked by a unit -----------------------------------------------------------------------------------------------------


def test_a_unit_books_a_patient_in_and_without_a_ticket_the_cancelled_visit_ends() -> None:
    # K2b
    story = a_visit(booking={"slot": THERE.id}, **BY_NORTH)
    assert story.events == ["opened", "booked"]
    assert (story.case.status, story.case.responsible_unit, held(story)) == (Status.BOOKED, SOUTH, [THERE.id])
    assert story.log[1].by is not None
    assert story.log[1].by.to_json()["staff"] == DOCTOR_NORTH["staff"]
    story.may("book", PATIENT, slot=NEXT_MONTH.id).may("cancel_booking", DOCTOR_NORTH)
    assert (story.case.outcome, held(story), story.log[-1].event) == (Outcome.CANCELLED, [], "cancelled")


def test_a_unit_books_only_what_is_free_ahead_and_of_the_profession() -> None:
    # K2b
    opening = Opening.model_validate({
        "case_id": "c-1", "origin": "unit", "unit": NORTH, "profession": "doctor", "booking": {"slot": "x"},
    })  # fmt: skip
    sent = local("2026-11-23 09:00")
    for slot, words in (
        (None, "no such"),
        (a_slot("2026-11-20 10:00"), "passed"),
        (a_slot("2026-11-25 10:00", profession="nurse"), "profession"),
        (a_slot("2026-11-25 10:00", held_by="c-2"), "taken"),
    ):
        refused = slot_fault(opening, slot, sent)
        assert refused is not None
        assert words in refused.message
    assert slot_fault(opening, a_slot("2026-11-25 10:00", held_by="c-1"), sent) is None
    assert slot_fault(opening.model_copy(update={"booking": None}), None, sent) is None


def test_a_time_that_came_while_nothing_ran_is_a_visit_that_waits() -> None:
    # K2b
    story = told(
        region(VISIT), "2026-11-25 10:20", kind=Kind.SCHEDULED_VISIT, slots=SLOTS, booking={"slot": HERE.id}, **BY_NORTH
    )
    assert (story.case.status, story.reasons[0]) == (Status.WAITING, (Reason.NEW_CASE, NORTH))


def test_a_booked_visit_is_handed_over_and_consulted_on() -> None:
    # K2a H1 H3 K4a
    story = a_visit(HERE.id)
    story.consult(DOCTOR_NORTH, JOUR)
    story.may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="agreed_practice", reference="jour")
    assert story.case.responsible_unit == NORTH
    story.may("accept", DOCTOR_SOUTH)
    assert (story.case.responsible_unit, story.case.status, held(story)) == (SOUTH, Status.ACCEPTED, [HERE.id])
    assert story.refused("accept", NURSE_NORTH) is Code.ALREADY_ACCEPTED
