"""A consultation as a case of its own (K4a, K4b): opened, watched, answered, refused, or not asked any more."""

from datetime import timedelta
from typing import Any, Final

import pytest
from small_region import (
    ACCEPTED,
    CLERK_SOUTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    N_DOCTOR,
    NORTH,
    NOTIFY,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    OPENINGS,
    PATIENT,
    S_DOCTOR,
    S_NURSE,
    SOUTH,
    THERAPIST_SOUTH,
    WAITING,
    By,
    Told,
    by,
    ladder,
    local,
    region,
    told,
)  # fmt: skip

from decisions.ladders import NoLadder, Subject, plan
from decisions.receiving import answer_opening
from decisions.region import Region
from omhand.contract.names import Code, EventName, Kind, OfferWhy, Origin, Outcome, Phase, Reason, StartFault, Status
from omhand.contract.opening import Opening, StaffMember
from omhand.contract.policy import Policy

ASKING: Final = ladder(
    "consultation", NOTIFY, {"after": "PT10M", "do": "notify"}, {"after": "PT30M", "do": "alert_manager"}, due="PT20M"
)
ADVICE: Final = {"advice": "avvakta två veckor", "takes_over": False}


def a_question(at: str = "2026-11-23 09:00", *ladders: dict[str, Any], **opening: Any) -> Told:
    """NORTH asks SOUTH."""
    return told(region(*(ladders or (ASKING,))), at=at, kind=Kind.CONSULTATION, **opening)


# Opening ----------------------------------------------------------------------------------------------------------


def test_a_consultation_needs_no_patient_and_waits_for_an_answer_at_the_unit_that_is_asked() -> None:
    # K4a P1
    story = a_question()
    assert "patient" not in OPENINGS[Kind.CONSULTATION]
    assert (story.case.status, story.case.responsible_unit, story.case.priority) == (Status.WAITING, SOUTH, None)
    assert story.case.due_at == local("2026-11-23 09:20")
    assert story.reasons == [(Reason.CONSULTATION, SOUTH)]
    opened = story.log[0].detail
    assert opened["question"] == "ser du vad det är?"
    assert opened["asker"]["by"] == DOCTOR_NORTH
    assert opened["asker"]["case_id"] is None


def test_it_is_an_offer_to_the_unit_that_is_asked_until_somebody_accepts_it() -> None:
    # K4a
    story = a_question(to={"staff": S_DOCTOR})
    (offer,) = story.view().offers
    assert (offer.unit, offer.staff, offer.why) == (SOUTH, S_DOCTOR, OfferWhy.CONSULTATION)
    assert offer.answer_by == local("2026-11-23 09:20")
    assert story.may("accept", DOCTOR_SOUTH, offer=offer.offer).view().offers == ()
    assert story.refused("accept", NURSE_SOUTH, offer=offer.offer) is Code.OFFER_GONE
    assert story.refused("accept", NURSE_SOUTH) is Code.ALREADY_ACCEPTED


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"unit": NOWHERE, "asked_by": by(N_DOCTOR, NOWHERE, "shaman")}, StartFault.UNKNOWN_UNIT),
        ({"asked_by": by(N_DOCTOR, NOWHERE, "shaman"), "profession": "shaman"}, StartFault.UNKNOWN_UNIT),
        ({"profession": "shaman"}, StartFault.UNKNOWN_PROFESSION),
        ({"asked_by": by(N_DOCTOR, NORTH, "shaman"), "to": {"staff": N_DOCTOR}}, StartFault.UNKNOWN_PROFESSION),
        ({"asked_by": by(N_DOCTOR, NORTH, "nurse")}, StartFault.INVALID_CASE),
        ({"asked_by": by("SE2321000198-S999", NORTH, "nurse")}, StartFault.INVALID_CASE),
        ({"to": {"staff": N_DOCTOR}}, StartFault.INVALID_CASE),
        ({"to": {"staff": "SE2321000198-S999"}}, StartFault.INVALID_CASE),
    ],
)
def test_who_asks_and_whom_has_to_be_in_the_directory(changed: dict[str, Any], fault: StartFault) -> None:
    # K4a
    opening = Opening.model_validate(OPENINGS[Kind.CONSULTATION] | changed)
    refused = answer_opening(Kind.CONSULTATION, opening, local("2026-11-23 09:00"), region()).refused
    assert refused is not None
    assert refused.fault is fault
    assert not any(value in refused.message for value in ("S999", "HC99", "shaman"))


def test_every_fault_of_who_asks_and_whom_is_told_at_once() -> None:
    asked = {"asked_by": by(N_DOCTOR, NORTH, "nurse"), "to": {"staff": N_DOCTOR}}
    opening = Opening.model_validate(OPENINGS[Kind.CONSULTATION] | asked)
    refused = answer_opening(Kind.CONSULTATION, opening, local("2026-11-23 09:00"), region()).refused
    assert refused is not None
    assert "asked_by:" in refused.message
    assert "to.staff:" in refused.message


@pytest.mark.parametrize("profession", ["dietitian", "medical_secretary"])
def test_every_profession_can_be_consulted_also_those_that_the_unit_has_nobody_in(profession: str) -> None:
    # K4b
    story = a_question(profession=profession, unit=SOUTH)
    assert story.reasons == [(Reason.CONSULTATION, SOUTH)]
    story.may("accept", CLERK_SOUTH).may("answer", CLERK_SOUTH, **ADVICE)


def test_a_profession_that_is_not_on_site_is_offered_to_those_that_cooperate() -> None:
    # K4b
    story = a_question(unit=NORTH, profession="occupational_therapist", asked_by=NURSE_EAST)
    assert [(offer.unit, offer.why) for offer in story.case.offers] == [
        (SOUTH, OfferWhy.COVERAGE),
        (EAST, OfferWhy.COVERAGE),
    ]
    assert story.refused("answer", THERAPIST_SOUTH, **ADVICE) is Code.NOT_RESPONSIBLE
    story.may("accept", THERAPIST_SOUTH).may("answer", THERAPIST_SOUTH, **ADVICE)
    assert (story.case.responsible_unit, story.case.outcome) == (SOUTH, Outcome.ANSWERED)


# Its clock counts to the answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_accepted", [True, False])
def test_it_reminds_until_it_is_answered_whether_somebody_has_accepted_it_or_not(is_accepted: bool) -> None:  # noqa: FBT001
    # K4b R1
    story = a_question().after(minutes=5)
    if is_accepted:
        story.may("accept", DOCTOR_SOUTH)
    assert story.case.due_at == local("2026-11-23 09:20")
    assert story.until("2026-11-24 10:00").reasons == [
        (Reason.CONSULTATION, SOUTH),
        (Reason.UNANSWERED, SOUTH),
        (Reason.MANAGER_ALERT, SOUTH),
        (Reason.MANAGER_ALERT, SOUTH),
    ]
    assert story.view().overdue
    assert story.may("answer", DOCTOR_SOUTH, **ADVICE).case.was_late


def test_an_answer_in_time_is_not_late() -> None:
    # R1
    assert not a_question().after(minutes=19).may("answer", DOCTOR_SOUTH, **ADVICE).case.was_late


def test_one_that_somebody_has_is_offered_to_nobody_else_and_the_manager_is_told_instead() -> None:
    # K4b R1
    asking = ladder("consultation", NOTIFY, {"after": "PT30M", "do": "offer", "to": "cooperating"})
    here = {"unit": NORTH, "profession": "occupational_therapist", "asked_by": NURSE_EAST}
    story = a_question("2026-11-24 09:00", asking, **here)
    assert [offer.unit for offer in story.case.offers] == [SOUTH]
    # EAST, which covers too, opens on Wednesday.
    story.may("accept", NURSE_NORTH).until("2026-11-25 09:05")
    assert story.case.offers == ()
    assert story.case.escalation_level == 0
    assert EAST not in {unit for _, unit in story.reasons}
    assert story.reasons.count((Reason.MANAGER_ALERT, NORTH)) == 1


def test_one_that_nobody_has_is_escalated_where_policy_says_so() -> None:
    # K1e P5
    asking = ladder("consultation", NOTIFY, {"after": "PT30M", "do": "offer", "to": "cooperating"})
    story = a_question("2026-11-23 09:00", asking).after(minutes=30)
    assert [(offer.unit, offer.why) for offer in story.case.offers] == [(NORTH, OfferWhy.ESCALATION)]
    assert story.case.escalation_level == 1


def test_an_escalation_that_is_switched_off_reminds_of_the_answer() -> None:
    # K1e
    asking = ladder("consultation", NOTIFY, {"after": "PT30M", "do": "offer", "to": "cooperating"})
    here = region(asking, escalation={"off": [{"kind": "consultation"}]})
    assert told(here, kind=Kind.CONSULTATION).after(minutes=30).reasons == [
        (Reason.CONSULTATION, SOUTH),
        (Reason.UNANSWERED, SOUTH),
    ]


def test_giving_it_back_starts_the_clock_to_the_answer_again() -> None:
    story = a_question().after(minutes=5).may("accept", DOCTOR_SOUTH).after(minutes=5)
    story.may("release", DOCTOR_SOUTH, reason="fel person")
    assert (story.case.status, story.case.plan.phase) == (Status.WAITING, Phase.CONSULTATION)
    assert story.case.due_at == local("2026-11-23 09:30")


def test_another_priority_starts_the_clock_to_the_answer_again() -> None:
    urgent = ladder("consultation", priority=[2], due="PT5M")
    story = a_question("2026-11-23 09:00", urgent, ASKING, priority=4).may("accept", DOCTOR_SOUTH).after(minutes=25)
    story.may("reprioritise", DOCTOR_SOUTH, priority=2, reason="sämre")
    assert (story.case.status, story.case.due_at) == (Status.ACCEPTED, local("2026-11-23 09:30"))
    assert story.case.was_late
    assert a_question().refused("reprioritise", DOCTOR_SOUTH, priority=2, reason="x") is Code.WRONG_KIND


def test_a_consultation_that_is_handed_over_is_still_to_be_answered_in_the_same_time() -> None:
    # H1 H3
    story = a_question().may("hand_over", NURSE_SOUTH, to_unit=EAST, ground="misplaced", to_profession="nurse")
    story.after(minutes=5).may("accept", NURSE_EAST)
    assert (story.case.responsible_unit, story.case.profession, story.case.status) == (EAST, "nurse", Status.ACCEPTED)
    assert (story.case.plan.phase, story.case.due_at) == (Phase.CONSULTATION, local("2026-11-23 09:20"))
    story.may("refuse", NURSE_EAST, reason="inte vårt")
    assert (story.case.outcome, story.reasons[-1]) == (Outcome.REFUSED, (Reason.CONSULTATION_ANSWERED, NORTH))


def test_a_policy_need_not_have_another_ladder_for_handing_a_consultation_over() -> None:
    # H4
    bare = region()
    only_asking = Policy.model_validate({"ladder": [ASKING]})
    here = Region(1, only_asking, bare.units, bare.professions, bare.staff, bare.calendars, bare.zone)
    whom = {"priority": None, "profession": "doctor", "unit": SOUTH, "origin": Origin.STAFF}
    asked = plan(here, Phase.HANDOVER, Subject(kind=Kind.CONSULTATION, **whom), local("2026-11-23 09:00"))
    assert (asked.phase, asked.due_at) == (Phase.HANDOVER, local("2026-11-23 09:20"))
    with pytest.raises(NoLadder):
        plan(here, Phase.HANDOVER, Subject(kind=Kind.PHONE_CONSULTATION, **whom), local("2026-11-23 09:00"))


# How it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("takes_over", "outcome"), [(True, Outcome.TAKEN_OVER), (False, Outcome.ANSWERED)])
@pytest.mark.parametrize("who", [None, DOCTOR_SOUTH, NURSE_SOUTH])
def test_the_unit_that_is_asked_answers_whoever_has_accepted_it(takes_over: bool, outcome: Outcome, who: By) -> None:  # noqa: FBT001
    # K4a H2
    story = a_question()
    if who:
        story.may("accept", who)
    told_ = len(story.notices)
    story.may("answer", DOCTOR_SOUTH, advice="vi tar över", takes_over=takes_over)
    assert (story.case.status, story.case.outcome) == (Status.CLOSED, outcome)
    assert story.lately(told_) == [(Reason.CONSULTATION_ANSWERED, NORTH)]
    said = next(event for event in story.log if event.event is EventName.ANSWERED)
    assert (said.by, said.detail["advice"]) == (StaffMember.model_validate(DOCTOR_SOUTH), "vi tar över")
    assert said.detail["takes_over"] is takes_over


def test_a_consultation_can_be_refused_with_a_reason() -> None:
    # K4a, and clauses.md: who may refuse what
    story = a_question()
    story.may("refuse", NURSE_SOUTH, reason="inte vårt område", offer="1.0")
    assert (story.case.status, story.case.outcome) == (Status.CLOSED, Outcome.REFUSED)
    assert story.reasons[-1] == (Reason.CONSULTATION_ANSWERED, NORTH)
    said = next(event for event in story.log if event.event is EventName.REFUSED)
    assert said.detail["reason"] == "inte vårt område"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("answer", ADVICE),
        ("refuse", {"reason": "x"}),
        ("close", {"outcome": "treated", "held_as": "phone"}),
        ("cancel", {"reason": "x"}),
        ("hand_over", {"to_unit": NORTH, "ground": "misplaced"}),
    ],
)
def test_whoever_asks_does_not_deal_with_it(name: str, payload: dict[str, Any]) -> None:
    # K4a
    code = a_question().refused(name, DOCTOR_NORTH, **payload)
    assert code is (Code.NOT_OFFERED if name == "refuse" else Code.NOT_RESPONSIBLE)


def test_one_to_whom_it_is_offered_does_not_refuse_it_for_the_others() -> None:
    story = a_question(unit=NORTH, profession="occupational_therapist", asked_by=NURSE_EAST)
    assert story.refused("refuse", THERAPIST_SOUTH, reason="x") is Code.NOT_RESPONSIBLE


@pytest.mark.parametrize(
    ("name", "payload", "outcome"),
    [
        ("close", {"outcome": "advice_given", "held_as": "phone"}, Outcome.ADVICE_GIVEN),
        ("cancel", {"reason": "dubblett"}, Outcome.CANCELLED),
    ],
)
def test_however_the_unit_that_is_asked_ends_it_whoever_asks_is_told(
    name: str, payload: dict[str, Any], outcome: Outcome
) -> None:
    # K4a R2
    story = a_question().may("accept", DOCTOR_SOUTH).may(name, DOCTOR_SOUTH, **payload)
    assert (story.case.outcome, story.reasons[-1]) == (outcome, (Reason.CONSULTATION_ANSWERED, NORTH))
    assert story.notices[-1].scope == "always"


def test_an_answer_withdraws_what_was_to_be_handed_over() -> None:
    story = (
        a_question()
        .may("hand_over", NURSE_SOUTH, to_unit=EAST, ground="misplaced")
        .may("answer", DOCTOR_SOUTH, **ADVICE)
    )
    assert story.case.handover is None
    assert story.reasons[-2:] == [(Reason.HANDOVER_WITHDRAWN, EAST), (Reason.CONSULTATION_ANSWERED, NORTH)]


# Not asked any more -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [DOCTOR_NORTH, NURSE_NORTH])
def test_whoever_asks_takes_the_question_back_and_the_unit_that_knows_of_it_is_told(who: By) -> None:
    # K4a
    story = a_question().may("withdraw", who)
    assert (story.case.status, story.case.outcome) == (Status.CLOSED, Outcome.WITHDRAWN)
    assert story.reasons[-1] == (Reason.CONSULTATION_WITHDRAWN, SOUTH)
    assert story.refused("answer", DOCTOR_SOUTH, **ADVICE) is Code.CASE_CLOSED


def test_a_unit_that_does_not_know_of_the_question_is_not_told_of_its_end() -> None:
    story = a_question("2026-11-23 19:00").may("withdraw", DOCTOR_NORTH)
    assert story.reasons == []
    assert story.case.outcome is Outcome.WITHDRAWN


def test_somebody_who_has_it_is_told_though_no_phone_has_rung() -> None:
    story = a_question("2026-11-23 19:00").may("accept", DOCTOR_SOUTH).may("withdraw", DOCTOR_NORTH)
    assert story.reasons == [(Reason.CONSULTATION_WITHDRAWN, SOUTH)]


def test_nobody_else_takes_the_question_back() -> None:
    assert a_question().refused("withdraw", NURSE_EAST) is Code.NOT_RESPONSIBLE
    assert a_question().refused("withdraw", DOCTOR_SOUTH) is Code.NOTHING_PENDING


def test_a_question_to_the_own_unit_is_taken_back_after_the_handover_of_it() -> None:
    story = a_question(unit=NORTH, profession="nurse")
    story.may("hand_over", NURSE_NORTH, to_unit=SOUTH, ground="misplaced").may("withdraw", NURSE_NORTH)
    assert (story.case.handover, story.case.is_open) == (None, True)
    assert story.may("withdraw", NURSE_NORTH).case.outcome is Outcome.WITHDRAWN


@pytest.mark.parametrize(("status", "outcome"), [("withdrawn", Outcome.WITHDRAWN), ("not_needed", Outcome.NOT_NEEDED)])
def test_the_case_that_asked_takes_it_back_or_has_ended(status: str, outcome: Outcome) -> None:
    # K4a
    story = a_question(about="c-0", case_id="c-0.consultation-1")
    assert story.log[0].detail["asker"]["case_id"] == "c-0"
    story.may("hand_over", NURSE_SOUTH, to_unit=EAST, ground="misplaced").hears(status, DOCTOR_NORTH)
    assert (story.case.status, story.case.outcome, story.case.handover) == (Status.CLOSED, outcome, None)
    assert story.reasons[-2:] == [(Reason.CONSULTATION_WITHDRAWN, SOUTH), (Reason.HANDOVER_WITHDRAWN, EAST)]
    assert story.log[-1].by == StaffMember.model_validate(DOCTOR_NORTH)
    after = story.file
    assert story.hears(status).file == after


def test_a_question_that_is_still_asked_goes_on() -> None:
    story = a_question()
    before = story.file
    assert story.hears("open").file == before


def test_an_answer_that_does_not_reach_the_asker_is_told_to_the_askers_manager_though_it_has_ended() -> None:
    # R1
    story = a_question().may("answer", DOCTOR_SOUTH, **ADVICE)
    (alert,) = story.fails(story.notices[-1])
    assert (alert.unit, alert.to, alert.reason, alert.scope) == (NORTH, "manager", Reason.GATEWAY_FAILED, "always")


def test_a_colleague_who_is_not_the_one_asked_stands_in_and_the_log_says_so() -> None:
    # K4a K4b
    story = a_question(to={"staff": S_NURSE}, profession="nurse")
    other = Told(story.region, story.now, story.file).may("accept", DOCTOR_SOUTH)
    assert other.log[-1].detail["substituted"] is True
    assert story.may("accept", NURSE_SOUTH).log[-1].detail["substituted"] is False


def test_the_patient_may_call_it_off() -> None:
    assert a_question().may("cancel", PATIENT, reason="x").reasons[-1] == (Reason.CONSULTATION_ANSWERED, NORTH)


def test_other_kinds_are_not_answered() -> None:
    assert told(region(WAITING, ACCEPTED)).refused("answer", DOCTOR_NORTH, **ADVICE) is Code.WRONG_KIND


def test_one_that_was_late_stays_late_though_it_is_given_back_and_answered_then() -> None:
    # K4a R1
    question = a_question().may("accept", DOCTOR_SOUTH)
    late = question.case.due_at
    assert late is not None
    question.until(late + timedelta(minutes=1)).may("release", DOCTOR_SOUTH, reason="kallad till annat")
    assert question.case.was_late
    assert question.may("answer", NURSE_SOUTH, advice="vila", takes_over=False).case.was_late
