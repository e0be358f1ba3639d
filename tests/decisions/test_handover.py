"""Handovers (H1-H4): asked for on a ground, answered, taken back. The sender is responsible until the acceptance."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from typing import Any, Final

import pytest
from small_region import (
    ACCEPTED,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    N_NURSE,
    NORTH,
    NOTIFY,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    S_DOCTOR,
    S_NURSE,
    SOUTH,
    STOCKHOLM,
    WAITING,
    By,
    Told,
    answered,
    ladder,
    local,
    region,
    told,
)  # fmt: skip

from decisions.lifecycle import replay
from omhand.contract.names import Code, EventName, OfferWhy, Phase, Reason, Status
from omhand.contract.opening import StaffMember

HANDING: Final = ladder(
    "handover", NOTIFY, {"after": "PT10M", "do": "notify"}, {"after": "PT30M", "do": "alert_manager"}, due="PT20M"
)
TO_SOUTH: Final = {"to_unit": SOUTH, "ground": "misplaced"}
ASKED_FOR_IT: Final = "c-1.consultation-1"
AFTER: Final = {"ground": "after_consultation", "reference": ASKED_FOR_IT}
DONE: Final = {"outcome": "treated", "held_as": "video"}


def a_case(at: str = "2026-11-23 09:00", **more: Any) -> Told:
    return told(region(WAITING, HANDING), at=at, **more)


def handed(at: str = "2026-11-23 09:00", **more: Any) -> Told:
    """NORTH asks SOUTH, or whom is said, to take its case."""
    return a_case(at).may("hand_over", NURSE_NORTH, **(TO_SOUTH | more))


# The grounds ------------------------------------------------------------------------------------------------------


def consulted(**ended: Any) -> Told:
    """SOUTH has been consulted; what has come of it."""
    story = a_case().may("consult", DOCTOR_NORTH, to_unit=SOUTH, question="tar ni den?")
    return story.learns(answered(**ended)) if ended else story


def test_a_misplaced_case_is_handed_over_as_it_is() -> None:
    # H1 H2
    handover = handed().view().handover
    assert handover is not None
    assert (handover.to_unit, handover.ground, handover.reference, handover.by) == (SOUTH, "misplaced", None, N_NURSE)


def test_an_agreed_practice_is_named() -> None:
    # H2
    story = handed(ground="agreed_practice", reference="Gemensam rutin 7", note="enligt rutinen")
    assert story.case.handover is not None
    assert story.case.handover.reference == "Gemensam rutin 7"
    requested = next(event for event in story.log if event.event is EventName.HANDOVER_REQUESTED)
    assert requested.detail["note"] == "enligt rutinen"


def test_a_consultation_in_which_the_colleague_agreed_is_a_ground() -> None:
    # H2
    story = consulted(takes_over=True).may("hand_over", DOCTOR_NORTH, **TO_SOUTH | AFTER)
    assert story.may("accept", DOCTOR_SOUTH).case.responsible_unit == SOUTH


@pytest.mark.parametrize(
    ("ended", "more"),
    [
        ({"takes_over": True}, {"ground": "after_consultation"}),
        ({"takes_over": True}, {"ground": "agreed_practice"}),
        ({"takes_over": True}, AFTER | {"reference": "c-1.consultation-2"}),
        ({"takes_over": True}, AFTER | {"to_unit": EAST}),
        ({"takes_over": True, "who": NURSE_EAST}, AFTER),
        ({"takes_over": False}, AFTER),
        ({"status": "refused", "reason": "x"}, AFTER),
        ({"status": "withdrawn"}, AFTER),
        ({}, AFTER),
    ],
)
def test_a_ground_without_its_proof_is_not_met(ended: dict[str, Any], more: dict[str, Any]) -> None:
    # H2
    story = consulted(**ended)
    refusal = story.act("hand_over", DOCTOR_NORTH, **TO_SOUTH | more)
    assert refusal is not None
    assert refusal.code is Code.GROUND_NOT_MET
    assert "H2" in refusal.message
    assert story.case.handover is None


# The moment of acceptance -----------------------------------------------------------------------------------------


def test_the_sender_stays_responsible_until_the_receiver_accepts() -> None:
    # H3
    story = handed().after(minutes=9)
    assert (story.case.status, story.case.responsible_unit) == (Status.WAITING, NORTH)
    story.may("accept", DOCTOR_SOUTH)
    units = [replay("c-1", story.log[:seq]).responsible_unit for seq in range(1, len(story.log) + 1)]
    moves = [event.event for event, unit in zip(story.log, units, strict=True) if unit == SOUTH]
    assert moves[0] is EventName.HANDED_OVER
    assert units == sorted(units), "it moves once"
    moved = story.log[units.index(SOUTH)].detail
    assert (moved["from_unit"], moved["unit"], moved["staff"]) == (NORTH, SOUTH, S_DOCTOR)


def test_the_receiver_has_it_from_the_acceptance_on_its_own_clock() -> None:
    # H3 R1
    story = handed("2026-11-23 11:00").after(minutes=10).may("accept", DOCTOR_SOUTH)
    case = story.case
    assert case.holder == StaffMember.model_validate(DOCTOR_SOUTH)
    assert (case.status, case.handover, case.accepted_by_unit) == (Status.ACCEPTED, None, SOUTH)
    assert (case.accepted_at, case.due_at) == (local("2026-11-23 11:10"), local("2026-11-23 13:10"))
    assert (case.received_by, case.was_late) == (NORTH, False)


def test_a_case_that_somebody_has_already_changes_holder_and_was_accepted_in_its_time() -> None:
    # H3
    story = a_case().after(minutes=5).may("accept", DOCTOR_NORTH).after(minutes=50)
    story.may("hand_over", DOCTOR_NORTH, **TO_SOUTH)
    assert story.case.holder == StaffMember.model_validate(DOCTOR_NORTH)
    story.after(minutes=5).may("accept", DOCTOR_SOUTH)
    case = story.case
    assert (case.responsible_unit, case.holder) == (SOUTH, StaffMember.model_validate(DOCTOR_SOUTH))
    assert (case.accepted_at, case.accepted_by_unit) == (local("2026-11-23 09:05"), NORTH)
    assert (case.plan.phase, case.plan.since, case.was_late) == (Phase.ACCEPTED, local("2026-11-23 10:00"), False)


@pytest.mark.parametrize(
    ("meant", "who", "substituted"),
    [
        ({}, DOCTOR_SOUTH, False),
        ({}, NURSE_SOUTH, True),
        ({"to_profession": "nurse"}, NURSE_SOUTH, False),
        ({"to_profession": "nurse"}, DOCTOR_SOUTH, True),
        ({"to_staff": S_NURSE}, NURSE_SOUTH, False),
        ({"to_staff": S_NURSE}, DOCTOR_SOUTH, True),
        ({"to_staff": S_NURSE, "to_profession": "nurse"}, NURSE_SOUTH, False),
    ],
)
def test_any_clinical_profession_of_the_receiver_may_accept_and_the_log_says_that_it_stood_in(
    meant: dict[str, Any], who: By, substituted: bool
) -> None:
    # H1 K1d
    story = handed(**meant).may("accept", who)
    assert story.log[-1].event is EventName.HANDED_OVER
    assert story.log[-1].detail["substituted"] is substituted
    assert story.case.profession == meant.get("to_profession", "doctor")


def test_the_accepted_case_has_the_ladder_of_the_profession_that_it_was_handed_to() -> None:
    nurses = ladder("accepted", profession=["nurse"], due="PT3H")
    story = told(region(WAITING, nurses, HANDING)).may("hand_over", NURSE_NORTH, **TO_SOUTH, to_profession="nurse")
    assert story.may("accept", NURSE_SOUTH).case.due_at == local("2026-11-23 12:00")


# Nobody answers ---------------------------------------------------------------------------------------------------


def told_of_it(story: Told) -> list[tuple[str, Reason, str, str]]:
    """When who was told of the pending handover."""
    at = {event.detail["key"]: event.at for event in story.log if "key" in event.detail}
    return [
        (f"{at[notice.key].astimezone(STOCKHOLM):%a %H:%M}", notice.reason, notice.unit, notice.to)
        for notice in story.notices
        if notice.scope == "handover"
    ]


def test_nobody_answers_and_the_receiver_the_sender_and_the_receivers_manager_are_told_and_then_daily() -> None:
    # H4 R1
    story = handed().until("2026-11-25 12:00")
    assert told_of_it(story) == [
        ("Mon 09:00", Reason.HANDOVER_REQUESTED, SOUTH, "unit"),
        ("Mon 09:10", Reason.HANDOVER_UNANSWERED, SOUTH, "unit"),
        ("Mon 09:20", Reason.HANDOVER_UNANSWERED, NORTH, "unit"),
        ("Mon 09:30", Reason.MANAGER_ALERT, SOUTH, "manager"),
        ("Tue 09:30", Reason.MANAGER_ALERT, SOUTH, "manager"),
        ("Wed 09:30", Reason.MANAGER_ALERT, SOUTH, "manager"),
    ]
    assert story.case.responsible_unit == NORTH


def test_a_notification_of_a_handover_says_by_when_it_is_to_be_answered() -> None:
    # H4
    (notice,) = [notice for notice in handed().notices if notice.scope == "handover"]
    assert (notice.due_at, notice.until_taken) == (local("2026-11-23 09:20"), False)


def test_the_cases_own_clock_goes_on_while_the_handover_waits_for_its_answer() -> None:
    # H3 H4
    plain = a_case().until("2026-11-23 10:45")
    story = handed().until("2026-11-23 10:45")
    own = [(notice.reason, notice.unit) for notice in story.notices if notice.scope != "handover"]
    assert own == plain.reasons
    assert (story.case.plan, story.case.escalation_level) == (plain.case.plan, 2)


def test_of_what_is_due_at_once_the_cases_own_goes_first() -> None:
    story = told(region(WAITING, ladder("handover", due="PT15M"))).may("hand_over", NURSE_NORTH, **TO_SOUTH)
    assert story.until("2026-11-23 09:15").reasons[-2:] == [
        (Reason.REMINDER, NORTH),
        (Reason.HANDOVER_UNANSWERED, NORTH),
    ]


def test_a_receiver_that_is_closed_is_told_when_it_opens_on_its_own_hours() -> None:
    # H4: EAST opens on Wednesday
    story = handed("2026-11-23 15:30", to_unit=EAST)
    assert story.case.handover is not None
    assert story.case.handover.plan.due_at == local("2026-11-25 09:20")
    assert told_of_it(story.until("2026-11-25 08:59")) == []
    assert told_of_it(story.until("2026-11-25 09:20")) == [
        ("Wed 09:00", Reason.HANDOVER_REQUESTED, EAST, "unit"),
        ("Wed 09:10", Reason.HANDOVER_UNANSWERED, EAST, "unit"),
        ("Wed 09:20", Reason.HANDOVER_UNANSWERED, NORTH, "unit"),
    ]


def test_a_handover_is_offered_to_nobody_else_whatever_its_ladder_says() -> None:
    # H4 R1
    to_others = ladder("handover", {"after": "PT5M", "do": "offer", "to": "every_unit", "any_profession": True})
    story = told(region(WAITING, to_others)).may("hand_over", NURSE_NORTH, **TO_SOUTH).after(minutes=10)
    assert told_of_it(story) == [("Mon 09:05", Reason.MANAGER_ALERT, SOUTH, "manager")]
    assert story.case.offers == ()


def test_another_priority_gives_the_pending_handover_a_new_clock() -> None:
    # H4
    urgent = ladder("handover", priority=[2], due="PT5M")
    story = told(region(WAITING, urgent, HANDING)).may("hand_over", NURSE_NORTH, **TO_SOUTH).after(minutes=12)
    story.may("reprioritise", NURSE_NORTH, priority=2, reason="sämre")
    assert story.case.handover is not None
    assert story.case.handover.plan.due_at == local("2026-11-23 09:17")
    assert told_of_it(story)[2:] == [("Mon 09:12", Reason.HANDOVER_REQUESTED, SOUTH, "unit")]


# Said no, taken back ----------------------------------------------------------------------------------------------


def test_a_refusal_leaves_the_case_where_it_was_and_the_sender_is_told_why() -> None:
    # H3 H4
    story = handed().after(minutes=5)
    before, told_ = story.case, len(story.notices)
    story.may("refuse", NURSE_SOUTH, reason="vi har ingen tid")
    assert story.case == before.model_copy(update={"handover": None, "seq": before.seq + 2})
    assert story.lately(told_) == [(Reason.HANDOVER_REFUSED, NORTH)]
    refused = story.log[-2]
    assert (refused.event, refused.detail["reason"]) == (EventName.HANDOVER_REFUSED, "vi har ingen tid")
    assert refused.by == StaffMember.model_validate(NURSE_SOUTH)
    assert story.refused("accept", NURSE_SOUTH) is Code.NOT_OFFERED
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH)


def test_the_sender_takes_it_back_and_a_receiver_that_knows_of_it_is_told() -> None:
    # H1
    story = handed()
    told_ = len(story.notices)
    story.may("withdraw", DOCTOR_NORTH)
    assert story.case.handover is None
    assert story.lately(told_) == [(Reason.HANDOVER_WITHDRAWN, SOUTH)]
    assert story.log[-2].detail["because"] == "withdrawn"
    assert story.refused("withdraw", DOCTOR_NORTH) is Code.NOTHING_PENDING


def test_a_receiver_that_does_not_know_of_it_yet_is_not_woken_to_hear_that_it_is_withdrawn() -> None:
    story = handed("2026-11-23 15:30", to_unit=EAST)
    told_ = len(story.notices)
    story.may("withdraw", DOCTOR_NORTH)
    assert story.lately(told_) == []


def test_a_receiver_that_was_told_before_the_clock_began_anew_is_told_of_the_withdrawal() -> None:
    story = handed("2026-11-23 14:50", to_unit=EAST).until("2026-11-23 15:30")
    story.may("reprioritise", NURSE_NORTH, priority=5, reason="bättre")
    told_ = len(story.notices)
    story.may("withdraw", DOCTOR_NORTH)
    assert story.lately(told_) == [(Reason.HANDOVER_WITHDRAWN, EAST)]


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_a_case_that_ends_withdraws_its_handover(end: str) -> None:
    story = a_case().may("accept", DOCTOR_NORTH).may("hand_over", DOCTOR_NORTH, **TO_SOUTH)
    told_ = len(story.notices)
    story.may(end, DOCTOR_NORTH, **(DONE if end == "close" else {"reason": "x"}))
    assert story.case.handover is None
    assert story.lately(told_) == [(Reason.HANDOVER_WITHDRAWN, SOUTH)]
    assert story.notices[-1].scope == "always"
    withdrawn, _, ended = story.log[-3:]
    assert withdrawn.detail["because"] == {"close": "closed", "cancel": "cancelled"}[end]
    assert ended.event in {EventName.CLOSED, EventName.CANCELLED}


def test_what_was_given_back_is_still_handed_over() -> None:
    # H3
    story = a_case().may("accept", DOCTOR_NORTH).may("hand_over", DOCTOR_NORTH, **TO_SOUTH)
    story.may("release", DOCTOR_NORTH, reason="slutar för dagen")
    assert story.case.handover is not None
    assert story.may("accept", DOCTOR_SOUTH).case.responsible_unit == SOUTH


# Others may take it meanwhile: the first one wins -------------------------------------------------------------------


@pytest.mark.parametrize("who", [NURSE_EAST, DOCTOR_NORTH])
def test_whoever_else_takes_the_case_first_withdraws_the_handover(who: By) -> None:
    # H3 K1e P5
    story = handed().until("2026-11-23 09:45")
    told_, pending = len(story.notices), story.case.handover
    assert pending is not None
    story.may("accept", who)
    assert (story.case.responsible_unit, story.case.handover) == (who["unit"], None)
    assert story.lately(told_) == [(Reason.HANDOVER_WITHDRAWN, SOUTH)]
    refusal = story.act("accept", DOCTOR_SOUTH)
    assert refusal is not None
    assert refusal.code is Code.ALREADY_ACCEPTED
    assert who["staff"] in refusal.message
    assert story.refused("accept", DOCTOR_SOUTH, offer=pending.offer) is Code.OFFER_GONE
    assert story.refused("refuse", DOCTOR_SOUTH, reason="x", offer=pending.offer) is Code.OFFER_GONE


@pytest.mark.parametrize("who", [NURSE_EAST, DOCTOR_NORTH])
def test_who_comes_after_the_receiver_is_told_who_has_it(who: By) -> None:
    # H3
    story = handed().until("2026-11-23 09:45").may("accept", DOCTOR_SOUTH)
    refusal = story.act("accept", who)
    assert refusal is not None
    assert refusal.code is Code.ALREADY_ACCEPTED
    assert S_DOCTOR in refusal.message


def test_a_unit_that_has_the_case_offered_and_handed_over_answers_the_handover_unless_it_names_the_offer() -> None:
    # H2 K1e
    story = handed(to_profession="nurse").until("2026-11-23 09:30")
    assert [(offer.unit, offer.why) for offer in story.view().offers] == [
        (SOUTH, OfferWhy.ESCALATION),
        (SOUTH, OfferWhy.HANDOVER),
    ]
    by_offer = Told(story.region, story.now, story.file).may("accept", NURSE_SOUTH, offer=story.offer_of(SOUTH))
    assert by_offer.events[-1] is EventName.ACCEPTED
    assert by_offer.case.profession == "doctor"
    # It has taken the case itself, and need not be told that it is not asked any more.
    assert Reason.HANDOVER_WITHDRAWN not in [reason for reason, _ in by_offer.reasons]
    assert story.may("accept", NURSE_SOUTH).events[-1] is EventName.HANDED_OVER
    assert story.case.profession == "nurse"


def test_a_case_that_is_taken_otherwise_than_by_its_handover_has_the_ladder_of_its_own_profession() -> None:
    nurses = ladder("accepted", profession=["nurse"], due="PT3H")
    story = told(region(WAITING, nurses, ACCEPTED, HANDING))
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH, to_profession="nurse").until("2026-11-23 09:30")
    story.may("accept", NURSE_SOUTH, offer=story.offer_of(SOUTH))
    assert story.case.due_at == local("2026-11-23 11:30")


def test_a_second_handover_waits_for_the_first() -> None:
    story = handed()
    refusal = story.act("hand_over", NURSE_NORTH, to_unit=EAST, ground="misplaced")
    assert refusal is not None
    assert refusal.code is Code.HANDOVER_PENDING
    assert SOUTH in refusal.message


def test_an_answer_to_a_handover_that_is_not_asked_any_more_is_gone_though_there_is_a_new_one() -> None:
    story = handed()
    assert story.case.handover is not None
    old = story.case.handover.offer
    story.may("withdraw", NURSE_NORTH).may("hand_over", NURSE_NORTH, **TO_SOUTH)
    for name, more in (("accept", {}), ("refuse", {"reason": "x"})):
        refusal = story.act(name, DOCTOR_SOUTH, offer=old, **more)
        assert refusal is not None
        assert refusal.code is Code.OFFER_GONE
        assert NORTH in refusal.message
    story.may("accept", DOCTOR_SOUTH, offer=story.case.handover.offer)
