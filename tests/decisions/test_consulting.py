"""The case that asks (K4a): it consults others, takes a question back, and learns how its consultations ended."""

from typing import Any, Final

import pytest
from small_region import (
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    N_DOCTOR_2,
    NORTH,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    PATIENT,
    S_CLERK,
    S_DOCTOR,
    S_NURSE,
    SOUTH,
    By,
    Told,
    answered,
    by,
    ended,
    region,
    told,
)  # fmt: skip

from decisions.consultation import MOST_OPEN
from decisions.decide import consultation_lost
from omhand.contract.names import Code, EventName, Kind, Reason, Status
from omhand.contract.opening import StaffMember

GHOST: Final = "SE2321000198-S999"
ASK: Final = {"to_unit": SOUTH, "question": "vad tror du?"}
FIRST, SECOND = "c-1.consultation-1", "c-1.consultation-2"
DONE: Final = {"outcome": "treated", "held_as": "video"}


def stands(story: Told) -> list[tuple[str, str, bool | None]]:
    """How the case's consultations stand, as it is shown."""
    return [(each.case_id, each.status, each.takes_over) for each in story.view().consultations]


def asking(*more: dict[str, Any]) -> Told:
    """A case with a consultation of SOUTH, and more."""
    story = told(region()).may("consult", NURSE_NORTH, **ASK)
    for each in more:
        story.may("consult", NURSE_NORTH, **ASK | each)
    return story


# Asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whom", "profession"),
    [
        ({}, "doctor"),
        ({"to_profession": "nurse"}, "nurse"),
        ({"to_profession": "dietitian"}, "dietitian"),
        ({"to_profession": "medical_secretary"}, "medical_secretary"),
        ({"to_staff": S_NURSE}, "nurse"),
        ({"to_staff": S_CLERK}, "medical_secretary"),
        ({"to_staff": S_DOCTOR, "to_profession": "doctor"}, "doctor"),
        ({"to_unit": NORTH, "to_staff": N_DOCTOR_2}, "doctor"),
        ({"to_unit": NORTH, "to_profession": "nurse"}, "nurse"),
    ],
)
def test_a_unit_a_profession_or_a_colleague_is_consulted(story: Told, whom: dict[str, str], profession: str) -> None:
    # K4a K4b
    question = story.consult(NURSE_NORTH, **ASK | whom, wants_handover=True)
    asked = story.log[-1].detail
    assert (asked["to_profession"], asked["to_staff"]) == (profession, whom.get("to_staff"))
    assert (question.case.case_id, question.case.kind) == (FIRST, Kind.CONSULTATION)
    assert (question.case.responsible_unit, question.case.profession) == (whom.get("to_unit", SOUTH), profession)
    asker = question.case.asker
    assert asker is not None
    assert (asker.case_id, asker.to_staff, asker.wants_handover) == ("c-1", whom.get("to_staff"), True)
    assert asker.by == StaffMember.model_validate(NURSE_NORTH)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_several_are_consulted_at_once_and_the_case_is_whose_it_was(story: Told, is_accepted: bool) -> None:  # noqa: FBT001
    # K4a H3
    if is_accepted:
        story.may("accept", DOCTOR_NORTH)
    before, told_ = story.case, len(story.notices)
    story.may("consult", NURSE_NORTH, **ASK).may("consult", DOCTOR_NORTH, **ASK | {"to_unit": EAST})
    assert stands(story) == [(FIRST, "open", None), (SECOND, "open", None)]
    changed = {"consultations": story.case.consultations, "seq": before.seq + 2}
    assert story.case == before.model_copy(update=changed)
    assert story.lately(told_) == []


@pytest.mark.parametrize(
    ("who", "payload", "code"),
    [
        (PATIENT, ASK, Code.INVALID_ACTION),
        (NURSE_NORTH, {"to_unit": SOUTH}, Code.INVALID_ACTION),
        (by(GHOST, NORTH, "shaman"), ASK | {"to_unit": NOWHERE}, Code.UNKNOWN_UNIT),
        (by(GHOST, NORTH, "nurse"), ASK | {"to_profession": "shaman"}, Code.UNKNOWN_PROFESSION),
        (DOCTOR_JOUR, ASK | {"to_staff": GHOST}, Code.UNKNOWN_STAFF),
        (DOCTOR_JOUR, ASK, Code.NOT_RESPONSIBLE),
        (DOCTOR_SOUTH, ASK, Code.NOT_RESPONSIBLE),
        (DOCTOR_NORTH, ASK | {"to_unit": NORTH, "to_staff": DOCTOR_NORTH["staff"]}, Code.INVALID_ACTION),
    ],
)
def test_only_the_responsible_unit_asks_and_whom_there_is(
    story: Told, who: By, payload: dict[str, Any], code: Code
) -> None:
    # K4a
    story.until("2026-11-23 09:45")
    assert story.refused("consult", who, **payload) is code
    assert story.case.consultations == ()


def test_so_many_may_be_open_at_once_and_another_one_when_one_has_ended(story: Told) -> None:
    for _ in range(MOST_OPEN):
        story.may("consult", NURSE_NORTH, **ASK)
    refusal = story.act("consult", NURSE_NORTH, **ASK)
    assert refusal is not None
    assert refusal.code is Code.INVALID_ACTION
    assert str(MOST_OPEN) in refusal.message
    story.learns(answered()).may("consult", NURSE_NORTH, **ASK)
    assert story.case.consultations[-1].case_id == f"c-1.consultation-{MOST_OPEN + 1}"


def test_a_consultation_consults_in_turn_but_not_for_ever() -> None:
    # K4a
    longest = "c" * 64
    story, asker = told(region(), case_id=longest), DOCTOR_NORTH
    for _ in range(5):
        unit = SOUTH if story.case.responsible_unit == NORTH else NORTH
        story = story.consult(asker, unit)
        asker = DOCTOR_SOUTH if unit == SOUTH else DOCTOR_NORTH
    assert story.case.case_id == longest + ".consultation-1" * 5
    refusal = story.act("consult", asker, to_unit=EAST, question="x")
    assert refusal is not None
    assert refusal.code is Code.INVALID_ACTION
    assert "too many times" in refusal.message


# Taking a question back -------------------------------------------------------------------------------------------


def test_the_only_open_consultation_needs_no_name_to_be_withdrawn() -> None:
    # K4a
    story = asking().may("withdraw", DOCTOR_NORTH)
    assert stands(story) == [(FIRST, "withdrawn", None)]
    assert story.log[-1].event is EventName.CONSULTATION_WITHDRAWN
    assert story.log[-1].detail == {
        "consultation": FIRST,
        "unit": SOUTH,
        "because": "withdrawn",
        "status": "withdrawn",
    }


def test_of_several_one_is_withdrawn_by_its_name() -> None:
    story = asking({"to_unit": EAST})
    refusal = story.act("withdraw", DOCTOR_NORTH)
    assert refusal is not None
    assert refusal.code is Code.NOTHING_PENDING
    assert "2 are open; name the one" in refusal.message
    story.may("withdraw", DOCTOR_NORTH, consultation=SECOND)
    assert stands(story) == [(FIRST, "open", None), (SECOND, "withdrawn", None)]


@pytest.mark.parametrize("which", ["c-1.consultation-9", "c-2.consultation-1", SECOND])
def test_what_is_not_open_is_not_withdrawn(which: str) -> None:
    story = asking({"to_unit": EAST}).learns(answered(SECOND, NURSE_EAST))
    refusal = story.act("withdraw", DOCTOR_NORTH, consultation=which)
    assert refusal is not None
    assert refusal.code is Code.NOTHING_PENDING
    assert which not in refusal.message
    assert story.refused("withdraw", NURSE_SOUTH, consultation=which) is Code.NOT_RESPONSIBLE


def test_somebody_elses_consultation_is_not_withdrawn() -> None:
    # K4a
    assert asking().refused("withdraw", NURSE_SOUTH) is Code.NOT_RESPONSIBLE
    assert asking().refused("withdraw", NURSE_SOUTH, consultation=FIRST) is Code.NOT_RESPONSIBLE


def test_whoever_asked_takes_it_back_though_another_unit_has_the_case_by_now() -> None:
    # K4a H3
    story = asking().may("hand_over", NURSE_NORTH, to_unit=EAST, ground="misplaced").may("accept", NURSE_EAST)
    for who in (NURSE_NORTH, NURSE_EAST):
        again = Told(story.region, story.now, story.file).may("withdraw", who, consultation=FIRST)
        assert stands(again) == [(FIRST, "withdrawn", None)]
    assert story.refused("withdraw", NURSE_SOUTH, consultation=FIRST) is Code.NOT_RESPONSIBLE


def test_without_a_name_a_pending_handover_is_what_is_withdrawn() -> None:
    story = asking().may("hand_over", NURSE_NORTH, to_unit=EAST, ground="misplaced").may("withdraw", NURSE_NORTH)
    assert story.case.handover is None
    assert stands(story) == [(FIRST, "open", None)]
    story.may("hand_over", NURSE_NORTH, to_unit=EAST, ground="misplaced")
    story.may("withdraw", NURSE_NORTH, consultation=FIRST)
    assert story.case.handover is not None
    assert stands(story) == [(FIRST, "withdrawn", None)]


# Learning how it ended --------------------------------------------------------------------------------------------

REASON: Final = {"reason": "inte vårt område"}


@pytest.mark.parametrize(
    ("name", "payload", "stand"),
    [
        ("answer", {"advice": "vila", "takes_over": True}, ("answered", True)),
        ("answer", {"advice": "vila", "takes_over": False}, ("answered", False)),
        ("refuse", REASON, ("refused", None)),
        ("cancel", REASON, ("withdrawn", None)),
        ("close", {"outcome": "not_needed", "held_as": "chat"}, ("not_needed", None)),
        ("close", {"outcome": "advice_given", "held_as": "chat"}, ("answered", False)),
    ],
)
def test_the_case_learns_what_the_consultation_says_of_its_end(
    story: Told, name: str, payload: dict[str, Any], stand: tuple[str, bool | None]
) -> None:
    # K4a H2
    question = story.consult().may("accept", DOCTOR_SOUTH).may(name, DOCTOR_SOUTH, **payload)
    told_ = len(story.notices)
    story.learns(ended(question))
    assert stands(story) == [(FIRST, *stand)]
    # Whoever asked has been told by the consultation itself.
    assert story.lately(told_) == []
    last = story.log[-1]
    assert (last.by, last.detail["consultation"]) == (StaffMember.model_validate(DOCTOR_SOUTH), FIRST)
    assert [last.detail[key] for key in ("advice", "reason") if last.detail.get(key)] == [
        payload[key] for key in ("advice", "reason") if key in payload and name != "cancel"
    ]
    # It comes again, perhaps.
    after = story.file
    assert story.learns(ended(question)).file == after


def test_a_unit_that_has_the_case_by_now_is_told_of_the_answer_too(story: Told) -> None:
    # K4a H3
    question = story.consult()
    story.may("hand_over", NURSE_NORTH, to_unit=EAST, ground="misplaced").may("accept", NURSE_EAST)
    told_ = len(story.notices)
    question.may("answer", DOCTOR_SOUTH, advice="vila", takes_over=False)
    story.learns(ended(question))
    assert story.lately(told_) == [(Reason.CONSULTATION_ANSWERED, EAST)]
    assert question.reasons[-1] == (Reason.CONSULTATION_ANSWERED, NORTH)
    assert story.notices[-1].scope == "always"


def test_several_ends_are_learnt_in_one_go() -> None:
    story = asking({"to_unit": EAST}).learns(answered(SECOND, NURSE_EAST), answered(FIRST, takes_over=True))
    assert stands(story) == [(FIRST, "answered", True), (SECOND, "answered", False)]


def test_an_answer_that_crossed_with_its_withdrawal_is_not_lost() -> None:
    # K4a H2
    story = asking().may("withdraw", NURSE_NORTH).learns(answered(takes_over=True))
    assert stands(story) == [(FIRST, "answered", True)]
    story.may("hand_over", NURSE_NORTH, to_unit=SOUTH, ground="after_consultation", reference=FIRST)


@pytest.mark.parametrize("status", ["withdrawn", "not_needed", "open"])
def test_a_withdrawal_is_learnt_once(status: str) -> None:
    story = asking().may("withdraw", NURSE_NORTH)
    before = story.file
    assert story.learns(answered(status=status)).file == before


@pytest.mark.parametrize("news", [answered(status="open"), answered("c-1.consultation-7"), answered("c-9")])
def test_what_is_no_news_changes_nothing(news: Any) -> None:
    story = asking()
    before = story.file
    assert story.learns(news).file == before


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_a_case_that_ends_does_not_need_its_open_consultations_any_more(story: Told, end: str) -> None:
    # K4a
    story.may("accept", DOCTOR_NORTH)
    question, other = story.consult(), story.consult(to_unit=EAST, to_profession="nurse")
    story.learns(ended(other.may("answer", NURSE_EAST, advice="vila", takes_over=False)))
    story.may(end, DOCTOR_NORTH, **(DONE if end == "close" else {"reason": "x"}))
    assert stands(story) == [(FIRST, "not_needed", None), (SECOND, "answered", False)]
    assert question.hears("not_needed").case.outcome == "not_needed"
    after = story.file
    assert story.learns(ended(question)).file == after


def test_a_case_that_has_ended_learns_nothing_more_not_even_of_what_it_withdrew() -> None:
    story = asking({"to_unit": EAST}).may("withdraw", NURSE_NORTH, consultation=FIRST)
    story.may("cancel", PATIENT, reason="x")
    after = story.file
    assert story.learns(answered(FIRST), answered(SECOND)).file == after
    assert story.case.status is Status.CLOSED


def test_a_consultation_that_is_withdrawn_in_its_own_case_is_so_in_the_case_that_asked(story: Told) -> None:
    # K4a
    question = story.consult().may("withdraw", DOCTOR_NORTH)
    assert stands(story.learns(ended(question))) == [(FIRST, "withdrawn", None)]


def test_a_consultation_that_is_lost_is_withdrawn_and_the_manager_is_told() -> None:
    # K4a R1
    story = asking()
    story._keep(consultation_lost(story.case, FIRST, "it could not be opened: UnknownUnit", story.now))
    assert stands(story) == [(FIRST, "withdrawn", None)]
    assert story.reasons[-1] == (Reason.MANAGER_ALERT, NORTH)
    assert "ask again" in story.log[-1].detail["because"]
    assert "could not be opened" in story.log[-2].detail["because"]
    # Somebody who takes the case meanwhile does not keep the asking unit's manager from hearing of it.
    assert not story.notices[-1].until_taken


@pytest.mark.parametrize("which", [FIRST, "c-1.consultation-9"])
def test_one_that_has_ended_or_never_was_is_not_lost(which: str) -> None:
    story = asking().learns(answered())
    assert consultation_lost(story.case, which, "x", story.now).events == ()
