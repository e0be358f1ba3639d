"""Booking tickets (K2a): issued, reminded of, used, run out, revoked, and which visits there are at all (K2b, P7)."""

from collections.abc import Callable
from typing import Any

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    HOLIDAYS,
    MONDAY_9,
    NORTH,
    NOTIFY,
    OPENINGS,
    PATIENT,
    SOUTH,
    STOCKHOLM,
    TICKET,
    Told,
    a_slot,
    directory_json,
    ladder,
    local,
    policy_json,
    region,
    told,
)

from decisions.receiving import answer_opening
from decisions.region import Region
from decisions.routing import outside_the_routine
from omhand.contract.directory import Directory
from omhand.contract.names import Code, Kind, Outcome, Reason, Status
from omhand.contract.opening import read_opening
from omhand.contract.policy import Policy
from omhand.contract.wire import Malformed

WAITING_LONG = ladder("ticket", NOTIFY, {"after": "P5D", "do": "offer", "to": "every_unit"}, clock="always", due="P3D")
ENDS = "2026-12-07 09:00"


def a_ticket(here: Region | None = None, **opening: Any) -> Told:
    return told(here or region(), kind=Kind.SCHEDULED_VISIT, **opening)


def test_a_ticket_is_issued_and_its_unit_told_and_nothing_is_booked() -> None:
    # K2a P1
    story = a_ticket()
    assert story.events == ["opened", "ticket_issued", "notified"]
    assert story.case.status is Status.TICKET
    view = story.view()
    assert view.ticket is not None
    assert (view.ticket.unit, view.ticket.valid_until, view.booking) == (NORTH, local(ENDS), None)
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]


def test_a_ticket_that_is_not_used_is_reminded_of_and_offered_to_nobody_else() -> None:
    # K2a
    story = a_ticket(region(WAITING_LONG)).after(days=6)
    assert story.case.due_at == MONDAY_9.replace(day=26)
    assert (story.view().overdue, story.case.offers, story.case.escalation_level) == (True, (), 0)
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.MANAGER_ALERT, NORTH)]


def test_it_is_to_be_used_by_its_end_however_long_its_ladder_is() -> None:
    # K2a
    story = a_ticket(region(ladder("ticket", clock="always", due="P90D")))
    assert story.case.due_at == local(ENDS)


def test_a_ticket_of_later_is_quiet_until_then() -> None:
    # K2a
    later = {"valid_from": "2026-11-25T10:00:00+01:00", "valid_until": "2026-12-09T10:00:00+01:00"}
    story = a_ticket(ticket=later, slots=[a_slot("2026-11-26 10:00")])
    assert story.events == ["opened", "ticket_issued"]
    assert story.refused("book", PATIENT, slot="HC01-1126-0900") is Code.TICKET_NOT_VALID
    story.until("2026-11-25 10:00")
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]
    story.may("book", PATIENT, slot="HC01-1126-0900")


def test_a_ticket_that_runs_out_ends_the_case_and_its_unit_is_told() -> None:
    # K2a R1
    story = a_ticket().until(ENDS)
    assert (story.case.status, story.case.outcome) == (Status.CLOSED, Outcome.TICKET_EXPIRED)
    (last,) = [notice for notice in story.notices if notice.reason is Reason.TICKET_EXPIRED]
    assert (last.unit, last.scope, last.until_taken) == (NORTH, "always", False)
    assert story.case.closed_at == local(ENDS)


def test_one_that_had_run_out_when_it_came_is_recorded_and_its_unit_told() -> None:
    # K2a
    old = {"valid_from": "2026-11-01T10:00:00+01:00", "valid_until": "2026-11-02T10:00:00+01:00"}
    story = a_ticket(ticket=old)
    assert story.events == ["opened", "ticket_issued", "notified", "closed"]
    assert story.reasons == [(Reason.TICKET_EXPIRED, NORTH)]


def test_a_handover_of_a_ticket_that_runs_out_is_not_asked_for_any_more() -> None:
    # K2a H4
    story = a_ticket().may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced").until(ENDS)
    assert story.case.outcome is Outcome.TICKET_EXPIRED
    assert (Reason.HANDOVER_WITHDRAWN, SOUTH) in story.reasons


def test_its_unit_revokes_it_and_then_nothing_can_be_booked() -> None:
    # K2a
    story = a_ticket(slots=[a_slot("2026-11-26 10:00")]).may("cancel", DOCTOR_NORTH, reason="fel biljett")
    assert story.refused("book", PATIENT, slot="HC01-1126-0900") is Code.CASE_CLOSED


def test_a_ticket_that_somebody_takes_care_of_does_not_run_out_while_they_do() -> None:
    # K2a
    story = a_ticket(slots=[a_slot("2026-11-26 10:00")]).may("accept", DOCTOR_NORTH)
    assert story.case.status is Status.ACCEPTED
    assert story.until("2026-12-08 10:00").case.is_open
    story.may("release", DOCTOR_NORTH, reason="hann inte")
    assert story.case.outcome is Outcome.TICKET_EXPIRED


def test_one_that_is_given_back_in_time_is_a_ticket_again_and_a_booking_takes_it_from_who_had_it() -> None:
    # K2a
    story = a_ticket(slots=[a_slot("2026-11-26 10:00")]).may("accept", DOCTOR_NORTH)
    story.may("release", DOCTOR_NORTH, reason="x")
    assert (story.case.status, story.case.accept_by) == (Status.TICKET, None)
    story.may("accept", DOCTOR_NORTH)
    before = len(story.reasons)
    story.may("book", PATIENT, slot="HC01-1126-0900")
    assert (story.case.status, story.case.holder) == (Status.BOOKED, None)
    # Whoever took care of it is to know that the patient has done it by themselves.
    assert story.lately(before) == [(Reason.BOOKING_CANCELLED, NORTH)]


def test_a_ticket_that_is_not_used_in_time_is_nobodys_delay() -> None:
    # K2a
    story = a_ticket().until("2026-11-25 09:00").may("accept", DOCTOR_NORTH)
    assert not story.case.was_late


def test_a_ticket_that_is_handed_over_is_the_other_units_from_then_on() -> None:
    # K2a H1 H3
    slot = a_slot("2026-11-26 10:00")
    story = a_ticket(slots=[slot]).may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced")
    story.may("accept", DOCTOR_SOUTH).may("release", DOCTOR_SOUTH, reason="x")
    assert (story.case.responsible_unit, story.case.status) == (SOUTH, Status.TICKET)
    story.may("book", PATIENT, slot=slot.id).may("cancel_booking", PATIENT)
    assert (story.case.responsible_unit, story.case.ticket and story.case.ticket.unit) == (SOUTH, SOUTH)


def test_another_priority_starts_the_tickets_clock_anew_and_not_its_window() -> None:
    # K2a
    story = a_ticket(region(WAITING_LONG)).after(days=2).may("reprioritise", DOCTOR_NORTH, priority=6, reason="x")
    assert (story.case.due_at, story.case.status) == (MONDAY_9.replace(day=28), Status.TICKET)
    assert story.until(ENDS).case.outcome is Outcome.TICKET_EXPIRED


# Which visits there are -----------------------------------------------------------------------------------------------

BY_A_UNIT = {"origin": "unit", "asked_by": DOCTOR_NORTH}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ticket": None}, "ticket, booking: exactly one of them is required"),
        ({"booking": {"slot": "x"}}, "ticket, booking: exactly one of them is required"),
        ({"priority": None}, "priority: is required of a visit that comes of triage"),
        ({"patient": None}, "patient: is required"),
        ({"origin": []}, "origin: "),
        ({"origin": {}, "priority": None}, "origin: "),
        ({"ticket": [], "booking": None}, "ticket: "),
        ({"attachments": ["urn:1"]}, "attachments: a scheduled_visit has no such key"),
        ({"ticket": {**TICKET, "valid_until": TICKET["valid_from"]}}, "valid_until must be after valid_from"),
    ],
)
def test_a_malformed_visit_is_refused_by_its_keys(changes: dict[str, Any], words: str) -> None:
    # K2a K2b
    with pytest.raises(Malformed, match=words):
        read_opening(Kind.SCHEDULED_VISIT, OPENINGS[Kind.SCHEDULED_VISIT] | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"priority": 3}, "6-11"),
        ({"priority": 12, "origin": "1177_phone"}, "6-11"),
        ({"priority": 1}, "112"),
        ({"priority": 1, **BY_A_UNIT}, "112"),
        ({"patient": {"id": "ref:x", "digital": False}}, "digital"),
        ({"priority": 6}, None),
        ({"priority": 11, "origin": "1177_phone"}, None),
        ({"priority": None, **BY_A_UNIT}, None),
        ({"priority": 3, **BY_A_UNIT}, None),
        ({"priority": None, "origin": "patient"}, None),
    ],
)
def test_a_visit_is_of_the_routine_or_told_why_not(changes: dict[str, Any], words: str | None) -> None:
    # K2a K2b P4
    opening = read_opening(Kind.SCHEDULED_VISIT, OPENINGS[Kind.SCHEDULED_VISIT] | changes)
    outside = outside_the_routine(Kind.SCHEDULED_VISIT, opening)
    assert (words in outside.message) if words and outside else (words is None and outside is None)


def test_a_visit_is_for_a_profession_that_works_clinically() -> None:
    # K2a
    opening = read_opening(Kind.SCHEDULED_VISIT, OPENINGS[Kind.SCHEDULED_VISIT] | {"profession": "medical_secretary"})
    refused = answer_opening(Kind.SCHEDULED_VISIT, opening, MONDAY_9, region()).refused
    assert refused is not None
    assert "clinically" in refused.message
    story = a_ticket()
    assert story.refused("accept", CLERK_NORTH) is Code.NOT_CLINICAL


# Out of the region ----------------------------------------------------------------------------------------------------


def nowhere() -> Region:
    """The small region, in a directory that does not say which county it is."""
    directory = {key: value for key, value in directory_json().items() if key != "region"}
    policy = Policy.model_validate(policy_json(closing={"kinds": []}))
    return Region.of(1, Directory.model_validate(directory), policy, STOCKHOLM, HOLIDAYS)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CONSULTATION])
@pytest.mark.parametrize(
    ("where", "home", "is_away"),
    [(region, "01", True), (region, "21", False), (region, None, False), (nowhere, "01", False)],
)
def test_an_out_of_region_patient_is_recognised_and_treated_the_same(
    kind: Kind,
    where: Callable[[], Region],
    home: str | None,
    is_away: bool,  # noqa: FBT001 - a column of the table
) -> None:
    # P7
    patient = OPENINGS[kind]["patient"]
    away = told(where(), kind=kind, patient=patient | ({"region": home} if home else {})).after(days=2)
    usual = told(where(), kind=kind).after(days=2)
    assert (away.view().patient_region, away.view().out_of_region) == (home, is_away)
    marks = {"patient_region", "out_of_region"}
    rows = [[{**event.to_json(), "detail": {k: v for k, v in event.detail.items() if k not in marks}}
             for event in story.log] for story in (away, usual)]  # fmt: skip
    assert rows[0] == rows[1]
    assert away.notices == usual.notices
