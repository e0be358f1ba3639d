"""The actions of a drop-in (contract §2): who may, what happens, and what refusals say, in the contract's order."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from typing import Any

import pytest
from small_region import (
    ACCEPTED,
    CLERK_NORTH,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    J_DOCTOR,
    N_DOCTOR,
    N_NURSE,
    NORTH,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_OF_BOTH_NORTH,
    NURSE_OF_BOTH_SOUTH,
    NURSE_SOUTH,
    PATIENT,
    S_DOCTOR,
    SOUTH,
    WAITING,
    By,
    Told,
    by,
    ladder,
    local,
    region,
    told,
)  # fmt: skip

from decisions.decide import LONGEST_MESSAGE, RULES, action_id_of, actor_of, decide, hindrance, read_action, rejected
from decisions.effects import Course, Refusal
from decisions.facts import Facts, answer, question
from decisions.lifecycle import TABLE, actions_of, evolve
from decisions.receiving import OpeningFacts, answer_opening
from omhand.contract.actions import ACTIONS, Accept, Action, ThePatient
from omhand.contract.names import ActionName, Code, EventName, Kind, OfferWhy, Outcome, Reason, StartFault, Status
from omhand.contract.opening import Opening, StaffMember
from omhand.contract.wire import Malformed, read

DONE = {"outcome": "treated", "held_as": "video"}
URGENT = {"priority": 2, "reason": "bröstsmärta"}


def escalated(here: Told) -> Told:
    """Not taken in time: SOUTH and EAST are offered it."""
    return here.until("2026-11-23 09:45")


def by_south(here: Told) -> Told:
    return escalated(here).may("accept", DOCTOR_SOUTH)


# Opening ----------------------------------------------------------------------------------------------------------


def test_the_receiving_unit_is_responsible_from_the_first_event_and_is_told_at_once(story: Told) -> None:
    # P1 H3 K1f
    case = story.case
    assert (case.status, case.responsible_unit, case.received_by) == (Status.WAITING, NORTH, NORTH)
    assert story.events == [EventName.OPENED, EventName.NOTIFIED]
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]
    assert case.opened_at == local("2026-11-23 09:00")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"unit": NOWHERE}, StartFault.UNKNOWN_UNIT),
        ({"unit": NOWHERE, "profession": "shaman"}, StartFault.UNKNOWN_UNIT),
        ({"profession": "shaman"}, StartFault.UNKNOWN_PROFESSION),
        ({"profession": "medical_secretary"}, StartFault.NOT_IN_ROUTINE),
    ],
)
def test_a_case_for_nobody_is_not_opened(changed: dict[str, Any], fault: StartFault) -> None:
    # K1d
    opening = Opening.model_validate({
        "case_id": "c-1", "origin": "min_vard", "unit": NORTH, "profession": "doctor", "priority": 3, **changed,
    })  # fmt: skip
    facts = answer_opening(Kind.DROP_IN_VISIT, opening, local("2026-11-23 09:00"), region())
    assert facts.refused is not None
    assert facts.refused.fault is fault
    assert NOWHERE not in facts.refused.message
    with pytest.raises(LookupError):
        facts.first_phase()


def test_an_out_of_region_patient_is_taken_like_any_other() -> None:
    # P7
    here = told(region(), patient={"id": "191212121212", "digital": True, "region": "01"})
    assert here.case.status is Status.WAITING


# Accepting --------------------------------------------------------------------------------------------------------


def test_the_responsible_unit_accepts(story: Told) -> None:
    # R2
    story.after(minutes=5).may("accept", DOCTOR_NORTH)
    case = story.case
    assert case.status is Status.ACCEPTED
    assert case.holder == StaffMember.model_validate(DOCTOR_NORTH)
    assert (case.responsible_unit, case.accepted_by_unit) == (NORTH, NORTH)
    assert case.accepted_at == local("2026-11-23 09:05")
    assert story.log[-1].by == StaffMember.model_validate(DOCTOR_NORTH)
    assert story.log[-1].detail["offer"] is None
    assert not case.was_late


def test_an_offered_unit_that_accepts_becomes_responsible(story: Told) -> None:
    # K1e P5 H3
    escalated(story)
    offer = story.offer_of(SOUTH)
    assert story.case.responsible_unit == NORTH
    story.may("accept", DOCTOR_SOUTH)
    case = story.case
    assert (case.responsible_unit, case.accepted_by_unit, case.received_by) == (SOUTH, SOUTH, NORTH)
    assert case.offers == ()
    assert case.was_late
    accepted = story.log[-1].detail
    assert (accepted["from_unit"], accepted["unit"], accepted["offer"]) == (NORTH, SOUTH, offer)


def test_an_offer_can_be_accepted_by_its_name(story: Told) -> None:
    escalated(story).may("accept", DOCTOR_SOUTH, offer=story.offer_of(SOUTH))
    assert story.case.responsible_unit == SOUTH


@pytest.mark.parametrize("offer", ["0.1", "never-was"])
def test_an_offer_that_never_was_is_refused_and_the_answer_says_who_is_responsible(story: Told, offer: str) -> None:
    refusal = escalated(story).act("accept", DOCTOR_SOUTH, offer=offer)
    assert refusal is not None
    assert refusal.code is Code.OFFER_GONE
    assert NORTH in refusal.message
    assert offer not in refusal.message


def test_an_offer_that_is_gone_is_refused_and_the_answer_says_who_has_the_case_now(story: Told) -> None:
    escalated(story)
    late = story.offer_of(EAST)
    story.may("accept", DOCTOR_SOUTH)
    refusal = story.act("accept", NURSE_EAST, offer=late)
    assert refusal is not None
    assert refusal.code is Code.OFFER_GONE
    assert S_DOCTOR in refusal.message
    assert SOUTH in refusal.message


def test_an_offer_from_before_a_release_is_gone_even_where_the_unit_is_offered_it_again(story: Told) -> None:
    escalated(story)
    old = story.offer_of(SOUTH)
    story.may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="akut annat").after(minutes=31)
    assert story.offer_of(SOUTH) != old
    assert story.refused("accept", DOCTOR_SOUTH, offer=old) is Code.OFFER_GONE
    story.may("accept", DOCTOR_SOUTH, offer=story.offer_of(SOUTH))


def test_another_units_offer_is_no_offer_of_ones_own(story: Told) -> None:
    escalated(story)
    assert story.refused("accept", DOCTOR_SOUTH, offer=story.offer_of(EAST)) in {Code.OFFER_GONE, Code.NOT_OFFERED}


@pytest.mark.parametrize(
    ("first", "second"), [(DOCTOR_SOUTH, DOCTOR_NORTH), (DOCTOR_NORTH, DOCTOR_SOUTH), (DOCTOR_SOUTH, NURSE_SOUTH)]
)
def test_the_first_one_wins_and_the_second_is_told_who_was_first(story: Told, first: By, second: By) -> None:
    escalated(story).may("accept", first)
    before = story.case
    refusal = story.act("accept", second)
    assert refusal is not None
    assert refusal.code is Code.ALREADY_ACCEPTED
    assert first["staff"] in refusal.message
    assert first["unit"] in refusal.message
    assert story.case == before.model_copy(update={"seq": before.seq + 1})


def test_accepting_what_one_has_already_changes_nothing_and_is_no_error(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH)
    before = story.file
    assert story.after(minutes=1).act("accept", DOCTOR_NORTH) is None
    assert story.file == before


def test_the_same_person_at_another_unit_is_not_the_one_who_has_it(story: Told) -> None:
    escalated(story).may("accept", NURSE_OF_BOTH_NORTH)
    assert story.refused("accept", NURSE_OF_BOTH_SOUTH) is Code.ALREADY_ACCEPTED


@pytest.mark.parametrize("who", [NURSE_SOUTH, DOCTOR_JOUR, NURSE_EAST])
def test_a_unit_that_has_not_been_offered_the_case_may_not_take_it(story: Told, who: By) -> None:
    refusal = story.act("accept", who)
    assert refusal is not None
    assert refusal.code is Code.NOT_OFFERED
    assert NORTH in refusal.message


@pytest.mark.parametrize(("who", "substituted"), [(DOCTOR_NORTH, False), (NURSE_NORTH, True)])
def test_another_clinical_profession_may_stand_in_and_the_log_says_so(story: Told, who: By, substituted: bool) -> None:
    # K1d
    story.may("accept", who)
    assert story.log[-1].detail["substituted"] is substituted


def test_a_visit_is_not_taken_by_a_profession_that_does_not_work_clinically(story: Told) -> None:
    # K1d
    assert story.refused("accept", CLERK_NORTH) is Code.NOT_CLINICAL
    assert story.case.status is Status.WAITING


def test_an_acceptance_in_time_is_not_late_and_one_at_the_due_instant_is() -> None:
    early, late = told(region()).until("2026-11-23 09:29:59"), told(region()).until("2026-11-23 09:30")
    assert not early.may("accept", DOCTOR_NORTH).case.was_late
    assert late.may("accept", DOCTOR_NORTH).case.was_late


def test_an_accepted_case_has_a_clock_of_its_own(story: Told) -> None:
    # R1
    story.after(minutes=10).may("accept", DOCTOR_NORTH)
    assert story.case.due_at == local("2026-11-23 11:10")
    assert story.case.accept_by == local("2026-11-23 09:30")


# What may not be refused, and what there is nothing of ------------------------------------------------------------


def test_a_drop_in_may_not_be_refused(story: Told) -> None:
    # clauses.md: who may refuse what
    for moment in (story, escalated(story), story.may("accept", DOCTOR_NORTH)):
        refusal = moment.act("refuse", DOCTOR_NORTH, reason="hinner inte")
        assert refusal is not None
        assert refusal.code is Code.MAY_NOT_BE_REFUSED
        assert NORTH in refusal.message
    assert story.case.is_open


def test_an_offer_is_not_refused_either_it_is_left_to_others(story: Told) -> None:
    escalated(story)
    assert story.refused("refuse", DOCTOR_SOUTH, reason="fullt") is Code.MAY_NOT_BE_REFUSED
    assert story.case.offer_to(SOUTH) is not None


def test_there_is_no_handover_to_withdraw(story: Told) -> None:
    assert story.refused("withdraw", NURSE_NORTH) is Code.NOTHING_PENDING
    assert story.refused("withdraw", NURSE_SOUTH) is Code.NOT_RESPONSIBLE


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("answer", {"advice": "vila", "takes_over": False}),
        ("reply", {"text": "hej"}),
        ("book", {"slot": "s-1"}),
        ("cancel_booking", {}),
    ],
)
def test_what_a_drop_in_does_not_have_is_refused_and_said(story: Told, name: str, payload: dict[str, Any]) -> None:
    refusal = story.act(name, NURSE_NORTH, **payload)
    assert refusal is not None
    assert refusal.code is Code.WRONG_KIND
    assert name in refusal.message
    assert story.log[-1].event is EventName.REJECTED


# Giving back ------------------------------------------------------------------------------------------------------


def test_giving_back_starts_the_clock_again_in_the_units_own_queue(story: Told) -> None:
    by_south(story).until("2026-11-23 12:30").may("release", DOCTOR_SOUTH, reason="fel kompetens")
    case = story.case
    assert (case.status, case.holder, case.responsible_unit) == (Status.WAITING, None, SOUTH)
    assert (case.accepted_at, case.accepted_by_unit) == (None, None)
    assert case.due_at == case.accept_by == local("2026-11-23 13:00")
    assert case.escalation_level == 0
    assert case.highest_level == 2
    assert case.offers == ()
    assert case.was_late
    # Its unit is told at once that it waits again.
    assert story.reasons[-1] == (Reason.NEW_CASE, SOUTH)


def test_who_was_offered_it_before_it_was_given_back_is_not_any_more(story: Told) -> None:
    escalated(story).may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="akut annat")
    assert story.case.offer_to(EAST) is None
    refusal = story.act("accept", NURSE_EAST)
    assert refusal is not None
    assert refusal.code is Code.NOT_OFFERED
    assert NORTH in refusal.message


def test_what_was_given_back_is_escalated_like_a_new_case(story: Told) -> None:
    # K1e
    by_south(story).may("release", DOCTOR_SOUTH, reason="fel").after(minutes=30)
    assert story.case.escalation_level == 1
    assert story.case.highest_level == 2
    assert story.case.offer_to(NORTH) is not None


def test_what_the_routine_does_by_itself_is_nobodys_act(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x")
    released, notified = story.log[-2:]
    assert (released.event, released.by) == (EventName.RELEASED, StaffMember.model_validate(DOCTOR_NORTH))
    assert (notified.event, notified.by) == (EventName.NOTIFIED, None)


def test_only_who_has_the_case_gives_it_back(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH)
    refusal = story.act("release", NURSE_NORTH, reason="x")
    assert refusal is not None
    assert refusal.code is Code.NOT_RESPONSIBLE
    assert N_DOCTOR in refusal.message
    assert story.refused("release", DOCTOR_SOUTH, reason="x") is Code.NOT_RESPONSIBLE


def test_what_nobody_has_is_not_given_back(story: Told) -> None:
    assert story.refused("release", DOCTOR_NORTH, reason="x") is Code.NOT_ACCEPTED


# Another priority -------------------------------------------------------------------------------------------------


def test_another_priority_starts_a_new_clock_and_takes_nobodys_offer_away(story: Told) -> None:
    escalated(story)
    offer = story.offer_of(SOUTH)
    story.may("reprioritise", NURSE_NORTH, **URGENT)
    case = story.case
    assert case.priority == 2
    assert case.due_at == local("2026-11-23 10:15")
    assert case.was_late
    assert case.offer_to(SOUTH) is not None
    assert story.offer_of(SOUTH) == offer
    told_ = next(event.detail for event in story.log if event.event is EventName.REPRIORITISED)
    assert (told_["was"], told_["priority"]) == (3, 2)
    story.may("accept", DOCTOR_SOUTH, offer=offer)


def test_another_priority_uses_the_ladder_of_that_priority() -> None:
    here = told(region(ladder("waiting", priority=[2], due="PT5M"), WAITING)).after(minutes=2)
    here.may("reprioritise", NURSE_NORTH, **URGENT)
    assert here.case.due_at == local("2026-11-23 09:07")
    assert not here.case.was_late


def test_another_priority_of_an_accepted_case_leaves_it_accepted(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH).after(minutes=30).may("reprioritise", DOCTOR_NORTH, **URGENT)
    case = story.case
    assert (case.status, case.priority) == (Status.ACCEPTED, 2)
    assert case.due_at == local("2026-11-23 11:30")
    assert case.accept_by == local("2026-11-23 09:30")


def test_a_stranger_does_not_change_the_priority(story: Told) -> None:
    assert story.refused("reprioritise", DOCTOR_JOUR, **URGENT) is Code.NOT_OFFERED
    assert story.case.priority == 3


def test_the_priority_that_it_has_already_is_no_new_clock(story: Told) -> None:
    story.after(minutes=25).act("reprioritise", NURSE_NORTH, priority=3, reason="samma")
    assert story.case.due_at == local("2026-11-23 09:30")


def test_those_who_are_offered_it_are_told_that_it_has_become_more_urgent(story: Told) -> None:
    # K1f P5
    escalated(story)
    before = len(story.notices)
    story.may("reprioritise", NURSE_NORTH, **URGENT)
    assert {(notice.reason, notice.unit, notice.priority) for notice in story.notices[before:]} == {
        (Reason.OFFERED, SOUTH, 2), (Reason.OFFERED, EAST, 2), (Reason.NEW_CASE, NORTH, 2),
    }  # fmt: skip
    before = len(story.notices)
    story.may("reprioritise", NURSE_NORTH, priority=5, reason="lindrigare")
    assert {notice.unit for notice in story.notices[before:]} == {NORTH}


@pytest.mark.parametrize("priority", [0, 1, 13, "3", 2.5, None, True])
def test_a_priority_outside_the_routine_is_no_priority(story: Told, priority: object) -> None:
    assert story.refused("reprioritise", NURSE_NORTH, priority=priority, reason="x") is Code.INVALID_ACTION


def test_a_case_without_a_priority_gets_none(story: Told) -> None:
    case = story.case.model_copy(update={"priority": None})
    action = read(ACTIONS[ActionName.REPRIORITISE], {"by": NURSE_NORTH, **URGENT})
    refusal = decide(case, action, story.now, answer(question(case, action, story.now), story.region))
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.WRONG_KIND


# Notes, closing, cancelling ---------------------------------------------------------------------------------------


def test_a_note_is_a_row_in_the_log_and_nothing_else(story: Told) -> None:
    before, told_ = story.case, list(story.notices)
    story.may("note", NURSE_NORTH, text="ringt patienten")
    assert story.case == before.model_copy(update={"seq": before.seq + 1})
    assert story.log[-1].event is EventName.NOTED
    assert story.notices == told_


@pytest.mark.parametrize("outcome", ["treated", "advice_given", "booked", "referred", "no_show", "not_needed"])
@pytest.mark.parametrize("held_as", ["video", "chat", "message", "physical"])
def test_an_accepted_visit_is_closed_with_an_outcome(story: Told, outcome: str, held_as: str) -> None:
    # R2
    story.may("accept", DOCTOR_NORTH).after(minutes=20).may("close", DOCTOR_NORTH, outcome=outcome, held_as=held_as)
    case = story.case
    assert (case.status, case.outcome, case.closed_at) == (Status.CLOSED, Outcome(outcome), local("2026-11-23 09:20"))
    assert case.responsible_unit == NORTH
    assert case.due_at is None
    assert case.next_instant(story.now) is None


def test_a_visit_is_never_closed_as_held_by_phone(story: Told) -> None:
    # P4
    refusal = story.may("accept", DOCTOR_NORTH).act("close", DOCTOR_NORTH, outcome="treated", held_as="phone")
    assert refusal is not None
    assert refusal.code is Code.MUST_BE_DIGITAL
    assert "P4" in refusal.message
    assert story.case.is_open


def test_what_nobody_has_accepted_is_not_closed(story: Told) -> None:
    refusal = story.act("close", DOCTOR_NORTH, **DONE)
    assert refusal is not None
    assert refusal.code is Code.NOT_ACCEPTED
    assert NORTH in refusal.message


def test_only_the_responsible_unit_closes(story: Told) -> None:
    by_south(story)
    assert story.refused("close", DOCTOR_NORTH, **DONE) is Code.NOT_RESPONSIBLE
    # A colleague of whoever has it may: the unit is responsible, not the person.
    story.may("close", NURSE_SOUTH, **DONE)


@pytest.mark.parametrize("who", [PATIENT, NURSE_NORTH])
@pytest.mark.parametrize("accepted", [True, False])
def test_the_patient_and_the_responsible_unit_may_cancel(story: Told, who: By, accepted: bool) -> None:
    if accepted:
        story.may("accept", DOCTOR_NORTH)
    story.may("cancel", who, reason="mår bättre")
    assert (story.case.status, story.case.outcome) == (Status.CLOSED, Outcome.CANCELLED)
    assert story.case.offers == ()


def test_an_offered_unit_does_not_cancel_the_case(story: Told) -> None:
    assert escalated(story).refused("cancel", NURSE_SOUTH, reason="x") is Code.NOT_RESPONSIBLE


def test_a_case_that_is_cancelled_late_was_late() -> None:
    # R1
    late, early = told(region()).until("2026-11-23 09:31"), told(region())
    assert late.may("cancel", PATIENT, reason="x").case.was_late
    assert not early.may("cancel", PATIENT, reason="x").case.was_late


def test_an_acceptance_in_time_stays_in_time_however_long_the_visit_lasts(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH).until("2026-11-23 16:00").may("close", DOCTOR_NORTH, **DONE)
    assert not story.case.was_late


@pytest.mark.parametrize("name", sorted(actions_of(Kind.DROP_IN_VISIT) & set(RULES)))
def test_a_closed_case_takes_no_action(story: Told, name: str) -> None:
    payload = {
        "refuse": {"reason": "x"}, "release": {"reason": "x"}, "cancel": {"reason": "x"}, "note": {"text": "x"},
        "reprioritise": URGENT, "close": DONE, "hand_over": {"to_unit": SOUTH, "ground": "misplaced"},
        "consult": {"to_unit": SOUTH, "question": "x"},
    }.get(name, {})  # fmt: skip
    story.may("cancel", PATIENT, reason="x")
    before = story.case
    refusal = story.act(name, DOCTOR_NORTH, **payload)
    assert refusal is not None
    assert refusal.code is Code.CASE_CLOSED
    assert "cancelled" in refusal.message
    assert story.case == before.model_copy(update={"seq": before.seq + 1})


# The order of the checks ------------------------------------------------------------------------------------------

GHOST = by("SE2321000198-S999", NORTH, "nurse")


@pytest.mark.parametrize(
    ("state", "name", "who", "payload", "code"),
    [
        # two faults at once: the earlier one of the contract is the answer
        ("closed", "accept", {}, {}, Code.INVALID_ACTION),
        ("closed", "no_such_action", NURSE_NORTH, {}, Code.INVALID_ACTION),
        ("waiting", "book", {"patient": False}, {}, Code.INVALID_ACTION),
        ("waiting", "accept", PATIENT, {}, Code.INVALID_ACTION),
        ("waiting", "accept", by(N_NURSE, "HC01", "shaman"), {}, Code.INVALID_ACTION),
        ("closed", "book", NURSE_NORTH, {"slot": "s"}, Code.CASE_CLOSED),
        ("closed", "accept", by(N_NURSE, NOWHERE, "nurse"), {}, Code.CASE_CLOSED),
        ("waiting", "book", by(N_NURSE, NOWHERE, "nurse"), {"slot": "s"}, Code.WRONG_KIND),
        ("waiting", "accept", by("SE2321000198-S999", NOWHERE, "shaman"), {}, Code.UNKNOWN_UNIT),
        ("waiting", "accept", by("SE2321000198-S999", NORTH, "shaman"), {}, Code.UNKNOWN_PROFESSION),
        ("waiting", "accept", GHOST, {"offer": "gone"}, Code.UNKNOWN_STAFF),
        ("waiting", "accept", by(N_NURSE, NORTH, "doctor"), {"offer": "gone"}, Code.UNKNOWN_STAFF),
        ("waiting", "accept", by(N_NURSE, SOUTH, "nurse"), {}, Code.UNKNOWN_STAFF),
        ("waiting", "accept", DOCTOR_JOUR, {"offer": "gone"}, Code.OFFER_GONE),
        ("accepted", "accept", NURSE_NORTH, {"offer": "gone"}, Code.OFFER_GONE),
        ("accepted", "accept", DOCTOR_JOUR, {}, Code.NOT_OFFERED),
        ("accepted", "accept", CLERK_NORTH, {}, Code.ALREADY_ACCEPTED),
        ("waiting", "release", DOCTOR_JOUR, {"reason": "x"}, Code.NOT_RESPONSIBLE),
        ("waiting", "close", DOCTOR_JOUR, {"outcome": "treated", "held_as": "phone"}, Code.NOT_RESPONSIBLE),
        ("waiting", "close", DOCTOR_NORTH, {"outcome": "treated", "held_as": "phone"}, Code.NOT_ACCEPTED),
        ("accepted", "close", DOCTOR_JOUR, {"outcome": "treated", "held_as": "phone"}, Code.NOT_RESPONSIBLE),
        ("waiting", "withdraw", DOCTOR_JOUR, {}, Code.NOT_RESPONSIBLE),
        ("waiting", "cancel", DOCTOR_JOUR, {"reason": "x"}, Code.NOT_RESPONSIBLE),
        ("waiting", "note", GHOST, {"text": "x"}, Code.UNKNOWN_STAFF),
        ("waiting", "refuse", GHOST, {"reason": "x"}, Code.UNKNOWN_STAFF),
        ("waiting", "refuse", NURSE_NORTH, {"reason": "x", "offer": "gone"}, Code.OFFER_GONE),
        ("waiting", "refuse", DOCTOR_JOUR, {"reason": "x"}, Code.NOT_OFFERED),
    ],
)
def test_the_first_check_that_fails_is_the_answer(
    story: Told, state: str, name: str, who: By, payload: dict[str, Any], code: Code
) -> None:
    if state == "accepted":
        story.may("accept", DOCTOR_NORTH)
    elif state == "closed":
        story.may("cancel", PATIENT, reason="x")
    assert story.refused(name, who or None, **payload) is code


# The table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TABLE)
def test_every_status_that_a_kind_has_is_in_the_table_and_every_rule_too(kind: Kind) -> None:
    more = {Kind.SCHEDULED_VISIT: {Status.TICKET, Status.BOOKED}, Kind.MESSAGE_THREAD: {Status.IDLE}}
    assert set(TABLE[kind]) == {Status.WAITING, Status.ACCEPTED, Status.CLOSED} | more.get(kind, set())
    writing, booking = {ActionName.REPLY, ActionName.MESSAGE}, {ActionName.BOOK, ActionName.CANCEL_BOOKING}
    own = {
        Kind.CONSULTATION: {ActionName.ANSWER}, Kind.SCHEDULED_VISIT: booking, Kind.ADMINISTRATIVE_CASE: writing,
        Kind.MESSAGE_THREAD: writing,
    }  # fmt: skip
    assert actions_of(kind) == set(RULES) - set[ActionName]().union(*own.values()) | own.get(kind, set())
    assert set(ACTIONS) == set(ActionName)


@pytest.mark.parametrize("status", TABLE[Kind.DROP_IN_VISIT])
@pytest.mark.parametrize("name", ActionName)
def test_what_the_table_does_not_give_a_status_is_always_refused(story: Told, status: Status, name: ActionName) -> None:
    if status is not Status.WAITING:
        story.may("accept", DOCTOR_NORTH)
    if status is Status.CLOSED:
        story.may("cancel", PATIENT, reason="x")
    payload: dict[str, Any] = {
        "refuse": {"reason": "x"}, "release": {"reason": "x"}, "cancel": {"reason": "x"}, "note": {"text": "x"},
        "reprioritise": URGENT, "close": DONE, "hand_over": {"to_unit": SOUTH, "ground": "misplaced"},
        "consult": {"to_unit": SOUTH, "question": "x"}, "answer": {"advice": "x", "takes_over": False},
        "reply": {"text": "x"}, "message": {"text": "x"}, "book": {"slot": "s"}, "cancel_booking": {},
    }.get(name, {})  # fmt: skip
    refusal = story.act(name, PATIENT if name is ActionName.MESSAGE else DOCTOR_NORTH, **payload)
    if name not in TABLE[Kind.DROP_IN_VISIT][status]:
        assert refusal is not None
        assert refusal.code in {Code.CASE_CLOSED, Code.WRONG_KIND, Code.NOT_ACCEPTED}


# What cannot be read ----------------------------------------------------------------------------------------------

SECRET = "HEMLIG-19121212-1212"
GOOD: dict[ActionName, dict[str, Any]] = {
    ActionName.ACCEPT: {"offer": "2.1"},
    ActionName.REFUSE: {"reason": "x", "offer": "2.1"},
    ActionName.HAND_OVER: {
        "to_unit": SOUTH, "to_profession": "nurse", "to_staff": S_DOCTOR,
        "ground": "agreed_practice", "reference": "r", "note": "n",
    },
    ActionName.WITHDRAW: {"consultation": "c-1.consultation-1"},
    ActionName.RELEASE: {"reason": "x"},
    ActionName.CONSULT: {
        "to_unit": SOUTH, "to_profession": "nurse", "to_staff": S_DOCTOR, "question": "x", "wants_handover": True,
    },
    ActionName.ANSWER: {"advice": "x", "takes_over": True},
    ActionName.REPLY: {"text": "x"},
    ActionName.MESSAGE: {"text": "x"},
    ActionName.BOOK: {"slot": "s"},
    ActionName.CANCEL_BOOKING: {"reason": "x"},
    ActionName.REPRIORITISE: {"priority": 2, "reason": "x"},
    ActionName.NOTE: {"text": "x"},
    ActionName.CLOSE: {"outcome": "treated", "held_as": "video", "note": "n"},
    ActionName.CANCEL: {"reason": "x"},
}  # fmt: skip


def good(name: ActionName) -> dict[str, Any]:
    return {"action_id": "a-1", "by": PATIENT if name is ActionName.MESSAGE else NURSE_NORTH, **GOOD[name]}


def wrong_payloads() -> list[tuple[ActionName, str, dict[str, Any]]]:
    """Every key of every action with every value that it cannot have, and one that says too much."""
    wrong: list[Any] = [{SECRET: SECRET}, [SECRET], 191212121212.5, SECRET * 1000, f"{SECRET}\x00", f"{SECRET}\ud800"]
    return [
        (name, key, good(name) | {key: value})
        for name in ActionName
        for key in (*good(name), "another_key")
        for value in wrong
        if not (key == "by" and isinstance(value, dict))
    ]


@pytest.mark.parametrize("name", ActionName)
def test_every_action_can_be_read_with_every_key_it_has(name: ActionName) -> None:
    action = read_action(name, good(name))
    assert isinstance(action, ACTIONS[name])
    assert action.action_id == "a-1"


def test_a_misplaced_case_needs_no_reference_and_takes_none() -> None:
    # H2
    misplaced = {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"}
    assert isinstance(read_action("hand_over", misplaced), ACTIONS[ActionName.HAND_OVER])
    assert isinstance(read_action("hand_over", misplaced | {"reference": "r"}), Refusal)


@pytest.mark.parametrize("outcome", ["cancelled", "ticket_expired", "answered", "taken_over", "refused", "withdrawn"])
def test_an_outcome_that_only_the_routine_gives_is_not_given_by_closing(outcome: str) -> None:
    refusal = read_action("close", good(ActionName.CLOSE) | {"outcome": outcome})
    assert isinstance(refusal, Refusal)
    assert "outcome" in refusal.message


@pytest.mark.parametrize(("name", "key", "payload"), wrong_payloads())
def test_an_error_names_the_key_and_the_rule_and_never_the_value(
    name: ActionName, key: str, payload: dict[str, Any]
) -> None:
    refusal = read_action(name, payload)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_ACTION
    assert key in refusal.message
    assert "HEMLIG" not in refusal.message
    assert "1912" not in refusal.message


@pytest.mark.parametrize("payload", [None, 3, "x", [], [NURSE_NORTH]])
def test_what_is_no_object_is_no_action(payload: object) -> None:
    refusal = read_action("accept", payload)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_ACTION


def test_an_action_of_no_such_name_is_told_which_there_are_and_its_name_is_not_repeated() -> None:
    refusal = read_action(SECRET, {})
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_ACTION
    assert "accept" in refusal.message
    assert SECRET not in refusal.message


@pytest.mark.parametrize("name", [ActionName.CANCEL, ActionName.BOOK, ActionName.CANCEL_BOOKING])
def test_a_fault_in_by_names_keys_that_exist(name: ActionName) -> None:
    refusal = read_action(name, good(name) | {"by": {"staff": "x", "unit": NORTH, "profession": "nurse"}})
    assert isinstance(refusal, Refusal)
    assert "by.staff" in refusal.message
    assert "StaffMember" not in refusal.message
    assert "ThePatient" not in refusal.message


def test_a_fault_lists_the_values_that_there_are_as_they_are_written() -> None:
    refusal = read_action("close", good(ActionName.CLOSE) | {"outcome": "x"})
    assert isinstance(refusal, Refusal)
    assert "treated" in refusal.message
    assert "Outcome." not in refusal.message


def test_who_tried_is_kept_as_far_as_it_can_be_read() -> None:
    assert actor_of({"by": NURSE_NORTH, "nonsense": 1}) == StaffMember.model_validate(NURSE_NORTH)
    assert actor_of({"by": PATIENT}) == ThePatient(patient=True)
    assert actor_of({"by": "x"}) is None
    assert actor_of({}) is None


def test_an_actions_id_is_kept_as_far_as_it_can_be_read() -> None:
    assert action_id_of({"action_id": "a-1", "nonsense": 1}) == "a-1"
    assert action_id_of({"action_id": "x" * 65}) is None
    assert action_id_of({"action_id": 3}) is None
    assert action_id_of({}) is None


@pytest.mark.parametrize(("given", "who"), [(NURSE_NORTH, StaffMember.model_validate(NURSE_NORTH)), ("x", None)])
def test_a_refused_action_is_nothing_but_a_row_that_says_who_what_and_why(
    story: Told, given: Any, who: StaffMember | None
) -> None:
    refusal = Refusal(code=Code.INVALID_ACTION, message="by: is required")
    decision = rejected(story.case, "accept", actor_of({"by": given}), refusal, story.now)
    (event,) = decision.events
    assert (event.event, event.by, event.at, event.seq) == (EventName.REJECTED, who, story.now, story.case.seq + 1)
    assert event.detail == {"action": "accept", "code": "InvalidAction", "message": "by: is required"}
    assert decision.notices == ()


def test_a_refusal_of_very_many_faults_is_told_in_full_and_kept_in_part(story: Told) -> None:
    refusal = story.act("accept", None, **{f"{'k' * 60}{number:03}": 1 for number in range(100)})
    assert refusal is not None
    assert len(refusal.message) > LONGEST_MESSAGE
    assert story.log[-1].detail["message"] == refusal.message[:LONGEST_MESSAGE]


# Faults of the program, which cannot come from outside ------------------------------------------------------------


def test_a_rule_cannot_begin_a_phase_that_was_not_asked_for() -> None:
    with pytest.raises(LookupError):
        Facts().next_phase()
    assert OpeningFacts(plan=told(region()).case.plan).first_phase()


def test_nothing_happens_to_a_case_that_has_not_been_opened(story: Told) -> None:
    with pytest.raises(ValueError, match="not been opened"):
        _ = Course(at=story.now).now
    assert Course(at=story.now).next_seq == 1


def test_an_event_that_does_not_follow_is_refused(story: Told) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        evolve(story.case, story.log[-1])


def test_what_makes_an_action_impossible_is_asked_before_who_it_is(story: Told) -> None:
    action: Action = read(Accept, {"by": GHOST})
    assert hindrance(story.case, action) is None
    with pytest.raises(Malformed):
        read(Accept, {})


def test_a_question_asks_who_acts_and_under_which_policy(story: Told) -> None:
    patient = read(ACTIONS[ActionName.CANCEL], {"by": PATIENT, "reason": "x"})
    asked = question(story.case, patient, story.now)
    assert (asked.by, asked.next, asked.policy) == (None, None, 1)
    assert answer(asked, story.region) == Facts()


def test_the_view_shows_what_the_case_is(story: Told) -> None:
    escalated(story)
    view = story.view()
    assert (view.status, view.responsible_unit, view.assigned_to, view.escalation_level) == ("waiting", NORTH, None, 2)
    assert view.overdue
    assert {offer.unit: offer.why for offer in view.offers} == {SOUTH: OfferWhy.ESCALATION, EAST: OfferWhy.ESCALATION}
    assert view.offers[0].profession == "doctor"
    assert (view.handover, view.consultations, view.booking) == (None, (), None)
    story.may("accept", DOCTOR_SOUTH)
    view = story.view()
    assert (view.status, view.responsible_unit, view.assigned_to, view.overdue) == ("accepted", SOUTH, S_DOCTOR, False)
    assert len(view.log) == view.log[-1].seq


def test_the_jour_takes_what_waits_in_the_evening() -> None:
    # P5 P6
    here = told(region(WAITING | {"clock": "always"}, ACCEPTED), at="2026-11-23 19:00").after(minutes=50)
    assert here.case.offer_to(JOUR_UNIT) is not None
    here.may("accept", DOCTOR_JOUR)
    assert here.case.holder is not None
    assert here.case.holder.staff == J_DOCTOR


JOUR_UNIT = DOCTOR_JOUR["unit"]
