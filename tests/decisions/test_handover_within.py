"""Handovers within a unit (H1), who may not ask for one or get one, and notifications of one that do not arrive."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from dataclasses import replace
from typing import Any, Final

import pytest
from small_region import (
    CLERK_NORTH,
    CLERK_SOUTH,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    JOUR,
    N_CLERK,
    N_DOCTOR,
    N_DOCTOR_2,
    NORTH,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    OTHER_DOCTOR_NORTH,
    PATIENT,
    S_CLERK,
    S_DOCTOR,
    SOUTH,
    By,
    Told,
    by,
    region,
    told,
)  # fmt: skip

from decisions.effects import Decision
from omhand.contract.directory import Work
from omhand.contract.names import Code, EventName, Kind, Reason
from omhand.contract.opening import StaffMember

TO_SOUTH: Final = {"to_unit": SOUTH, "ground": "misplaced"}
AT_HOME: Final = {"to_unit": NORTH, "ground": "agreed_practice", "reference": "Lokal rutin 2"}
GHOST: Final = "SE2321000198-S999"


# Within the unit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meant", [{"to_staff": N_DOCTOR_2}, {"to_profession": "nurse"}])
def test_a_case_that_waits_is_handed_to_a_colleague_or_a_profession_of_the_own_unit(
    story: Told, meant: dict[str, str]
) -> None:
    # H1
    story.may("hand_over", NURSE_NORTH, **AT_HOME, **meant)
    who = OTHER_DOCTOR_NORTH if "to_staff" in meant else NURSE_NORTH
    story.may("accept", who)
    assert story.events[-1] is EventName.HANDED_OVER
    assert story.case.holder == StaffMember.model_validate(who)
    assert story.case.responsible_unit == NORTH


def test_a_case_that_somebody_has_is_handed_to_a_colleague_who_has_it_when_he_accepts(story: Told) -> None:
    # H1 H3
    story.may("accept", DOCTOR_NORTH).may("hand_over", DOCTOR_NORTH, **AT_HOME, to_staff=N_DOCTOR_2)
    assert story.case.holder == StaffMember.model_validate(DOCTOR_NORTH)
    assert story.reasons[-1] == (Reason.HANDOVER_REQUESTED, NORTH)
    story.may("accept", OTHER_DOCTOR_NORTH)
    assert story.case.holder == StaffMember.model_validate(OTHER_DOCTOR_NORTH)


def test_a_colleague_who_is_not_meant_takes_what_waits_as_any_colleague_may(story: Told) -> None:
    story.may("hand_over", NURSE_NORTH, **AT_HOME, to_staff=N_DOCTOR_2).may("accept", DOCTOR_NORTH)
    assert story.events[-3:] == [EventName.HANDOVER_WITHDRAWN, EventName.NOTIFIED, EventName.ACCEPTED]
    assert story.log[-3].detail["because"] == "accepted"


def test_a_colleague_who_is_not_meant_answers_the_handover_where_he_names_it_or_somebody_has_the_case(
    story: Told,
) -> None:
    story.may("hand_over", NURSE_NORTH, **AT_HOME, to_staff=N_DOCTOR_2)
    assert story.case.handover is not None
    story.may("accept", DOCTOR_NORTH, offer=story.case.handover.offer)
    assert story.events[-1] is EventName.HANDED_OVER
    assert story.log[-1].detail["substituted"] is True
    story.may("hand_over", NURSE_NORTH, **AT_HOME, to_staff=N_DOCTOR_2).may("accept", NURSE_NORTH)
    assert story.events[-1] is EventName.HANDED_OVER


def test_who_has_the_case_does_not_answer_his_own_handover_by_accepting(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH).may("hand_over", DOCTOR_NORTH, **AT_HOME, to_profession="nurse")
    before = story.file
    story.may("accept", DOCTOR_NORTH)
    assert story.file == before


def test_a_handover_within_the_unit_is_refused_like_any_other(story: Told) -> None:
    # H4
    story.may("hand_over", NURSE_NORTH, **AT_HOME, to_staff=N_DOCTOR_2).may("refuse", OTHER_DOCTOR_NORTH, reason="x")
    assert story.case.handover is None
    assert story.reasons[-1] == (Reason.HANDOVER_REFUSED, NORTH)


@pytest.mark.parametrize(
    "meant", [{"to_unit": NORTH}, {"to_unit": NORTH, "to_staff": DOCTOR_NORTH["staff"], "to_profession": "doctor"}]
)
def test_a_handover_to_oneself_is_none(story: Told, meant: dict[str, str]) -> None:
    refusal = story.act("hand_over", DOCTOR_NORTH, ground="misplaced", **meant)
    assert refusal is not None
    assert refusal.code is Code.INVALID_ACTION
    assert refusal.message.startswith("to_")


@pytest.mark.parametrize(
    ("name", "who", "payload", "takes", "settles"),
    [
        ("hand_over", NURSE_NORTH, TO_SOUTH, False, False),
        ("note", NURSE_NORTH, {"text": "x"}, False, False),
        ("accept", DOCTOR_SOUTH, {}, True, True),
        ("accept", DOCTOR_NORTH, {}, True, True),
        ("refuse", DOCTOR_SOUTH, {"reason": "x"}, False, True),
        ("withdraw", NURSE_NORTH, {}, False, True),
        ("cancel", PATIENT, {"reason": "x"}, True, True),
    ],
)
def test_nobody_is_called_any_more_to_answer_a_handover_or_to_take_a_case_once_that_is_done(
    story: Told, name: str, who: By, payload: dict[str, Any], takes: bool, settles: bool
) -> None:
    # H3 H4
    if name != "hand_over":
        story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    decision = story._decided(name, {"by": who, **payload})
    assert isinstance(decision, Decision)
    assert (decision.takes, decision.settles) == (takes, settles)


# Who may ask, and whom --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meant", [{"to_profession": "medical_secretary"}, {"to_staff": S_CLERK}])
def test_a_visit_is_not_handed_to_a_profession_that_does_not_work_clinically(
    story: Told, meant: dict[str, str]
) -> None:
    # K1d H1
    assert story.refused("hand_over", NURSE_NORTH, **TO_SOUTH, **meant) is Code.NOT_CLINICAL


def test_a_visit_is_not_accepted_from_a_handover_by_who_does_not_work_clinically(story: Told) -> None:
    # K1d
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    assert story.refused("accept", CLERK_SOUTH) is Code.NOT_CLINICAL
    assert story.case.responsible_unit == NORTH


@pytest.mark.parametrize("kind", [Kind.CONSULTATION, Kind.PHONE_CONSULTATION])
def test_what_is_no_visit_is_handed_to_whoever_is_best_placed(kind: Kind) -> None:
    # H1 K4b
    story = (
        told(region(), kind=kind, unit=NORTH, asked_by=DOCTOR_SOUTH)
        if kind is Kind.CONSULTATION
        else told(region(), kind=kind)
    )
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH, to_profession="medical_secretary").may("accept", CLERK_SOUTH)
    assert (story.case.responsible_unit, story.case.profession) == (SOUTH, "medical_secretary")


@pytest.mark.parametrize(
    ("who", "payload", "code"),
    [
        # two faults at once: the earlier one of the contract is the answer
        (PATIENT, TO_SOUTH, Code.INVALID_ACTION),
        (NURSE_NORTH, TO_SOUTH | {"reference": "x"}, Code.INVALID_ACTION),
        (by(GHOST, NOWHERE, "shaman"), TO_SOUTH, Code.UNKNOWN_UNIT),
        (by(GHOST, NORTH, "shaman"), TO_SOUTH | {"to_unit": NOWHERE}, Code.UNKNOWN_UNIT),
        (by(GHOST, NORTH, "shaman"), TO_SOUTH, Code.UNKNOWN_PROFESSION),
        (by(GHOST, NORTH, "nurse"), TO_SOUTH | {"to_profession": "shaman"}, Code.UNKNOWN_PROFESSION),
        (by(GHOST, NORTH, "nurse"), TO_SOUTH | {"to_staff": GHOST}, Code.UNKNOWN_STAFF),
        (DOCTOR_JOUR, TO_SOUTH | {"to_staff": GHOST}, Code.UNKNOWN_STAFF),
        (NURSE_NORTH, TO_SOUTH | {"to_staff": N_DOCTOR}, Code.UNKNOWN_STAFF),
        (NURSE_NORTH, TO_SOUTH | {"to_staff": S_DOCTOR, "to_profession": "nurse"}, Code.UNKNOWN_STAFF),
        (DOCTOR_JOUR, TO_SOUTH | {"to_staff": S_CLERK}, Code.NOT_RESPONSIBLE),
        (DOCTOR_SOUTH, TO_SOUTH, Code.NOT_RESPONSIBLE),
        (CLERK_NORTH, AT_HOME | {"to_staff": N_CLERK}, Code.NOT_CLINICAL),
        (NURSE_NORTH, {"to_unit": NORTH, "ground": "after_consultation"}, Code.INVALID_ACTION),
        (NURSE_NORTH, {"to_unit": SOUTH, "ground": "after_consultation"}, Code.HANDOVER_PENDING),
    ],
)
def test_the_first_check_that_fails_is_the_answer(story: Told, who: By, payload: dict[str, Any], code: Code) -> None:
    if code is Code.HANDOVER_PENDING:
        story.may("hand_over", NURSE_NORTH, to_unit=JOUR, ground="misplaced")
    assert story.refused("hand_over", who, **payload) is code


def test_a_unit_that_is_asked_does_not_take_the_request_back_or_hand_it_on(story: Told) -> None:
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    assert story.refused("withdraw", NURSE_SOUTH) is Code.NOT_RESPONSIBLE
    assert story.refused("hand_over", NURSE_SOUTH, to_unit=JOUR, ground="misplaced") is Code.NOT_RESPONSIBLE
    assert story.refused("close", NURSE_SOUTH, outcome="treated", held_as="video") is Code.NOT_RESPONSIBLE


def test_a_stranger_neither_accepts_nor_refuses_a_handover(story: Told) -> None:
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    assert story.refused("accept", DOCTOR_JOUR) is Code.NOT_OFFERED
    assert story.refused("refuse", DOCTOR_JOUR, reason="x") is Code.NOT_OFFERED


def test_the_sender_does_not_refuse_its_own_request(story: Told) -> None:
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    assert story.refused("refuse", NURSE_NORTH, reason="x") is Code.MAY_NOT_BE_REFUSED
    assert story.case.handover is not None


# When a notification does not arrive ------------------------------------------------------------------------------


def test_a_request_that_does_not_arrive_is_told_to_the_senders_manager_who_waits_for_an_answer(story: Told) -> None:
    # H3 R1
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    (by_phone,) = story.fails(story.notices[-1])
    assert (by_phone.unit, by_phone.to, by_phone.scope) == (NORTH, "manager", "handover")
    (by_email,) = story.fails(by_phone)
    assert (by_email.unit, by_email.to, by_email.scope) == (NORTH, "manager_by_email", "handover")
    assert story.fails(by_email) == ()
    assert story.events[-1] is EventName.NOTED


def test_an_alert_to_the_receivers_manager_that_does_not_arrive_goes_to_the_same_manager_by_email(story: Told) -> None:
    # H4 R1
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH).until("2026-11-24 09:35")
    alert = next(each for each in story.notices if each.reason is Reason.MANAGER_ALERT and each.unit == SOUTH)
    (by_email,) = story.fails(alert)
    assert (by_email.unit, by_email.to) == (SOUTH, "manager_by_email")


def test_a_request_that_has_been_answered_may_fail_to_arrive(story: Told) -> None:
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    asked = story.notices[-1]
    story.may("refuse", DOCTOR_SOUTH, reason="x")
    before = story.file
    assert story.fails(asked) == ()
    assert story.file == before


def test_whoever_is_not_reached_with_a_withdrawal_is_told_through_the_manager_though_the_case_has_ended(
    story: Told,
) -> None:
    # R1
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH).may("cancel", PATIENT, reason="x")
    (by_phone,) = story.fails(story.notices[-1])
    assert (by_phone.unit, by_phone.to, by_phone.scope, by_phone.due_at) == (SOUTH, "manager", "always", None)
    (by_email,) = story.fails(by_phone)
    assert (by_email.unit, by_email.to) == (SOUTH, "manager_by_email")
    assert story.fails(by_email) == ()
    assert story.case.outcome == "cancelled"


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_colleague_with_two_professions_the_cases_own_or_a_clinical_one_is_meant(order: int) -> None:
    # H1 K4a
    works = [{"unit": SOUTH, "profession": each} for each in ("medical_secretary", "nurse", "doctor")][::order]
    here = region()
    both = here.staff[S_DOCTOR].model_copy(update={"works_at": tuple(Work.model_validate(each) for each in works)})
    here = replace(here, staff={**here.staff, S_DOCTOR: both})
    story = told(here).may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, to_staff=S_DOCTOR, ground="misplaced")
    assert (
        story.may("consult", DOCTOR_NORTH, to_unit=SOUTH, to_staff=S_DOCTOR, question="x")
        .log[-1]
        .detail["to_profession"]
        == "doctor"
    )
    of_a_therapist = told(here, profession="occupational_therapist", unit=EAST)
    of_a_therapist.may("consult", NURSE_EAST, to_unit=SOUTH, to_staff=S_DOCTOR, question="x")
    assert of_a_therapist.log[-1].detail["to_profession"] in {"nurse", "doctor"}
