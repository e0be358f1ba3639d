"""Consultations from 1177 by phone (K5): not refused, handed over; those that come in the evening; the nurse rule."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from datetime import date
from typing import Any, Final

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    EVERY_DAY,
    JOUR,
    NORTH,
    NOTIFY,
    NOWHERE,
    NURSE_NORTH,
    NURSE_SOUTH,
    OPENINGS,
    SOUTH,
    STOCKHOLM,
    By,
    Told,
    ladder,
    local,
    on,
    region,
    told,
)  # fmt: skip

from decisions.receiving import answer_opening
from decisions.routing import outside_the_routine
from omhand.contract.names import Code, EventName, Kind, OfferWhy, Outcome, Reason, StartFault, Status
from omhand.contract.opening import Opening

REFUSE: Final = {"reason": "hinner inte"}
TO_SOUTH: Final = {"to_unit": SOUTH, "ground": "misplaced"}
PHONE: Final = Kind.PHONE_CONSULTATION
CALM: Final = ladder("waiting", NOTIFY, {"after": "PT2H", "do": "alert_manager"}, due="PT1H")


def a_call(at: str = "2026-11-23 09:00", **opening: Any) -> Told:
    """1177 hands a patient, who is not digital, to NORTH."""
    return told(region(CALM), at, PHONE, **opening)


def the_opening(**changed: Any) -> Opening:
    return Opening.model_validate(OPENINGS[PHONE] | changed)


def refused_at(at: str, here: Any = None, **changed: Any) -> StartFault | None:
    refused = answer_opening(PHONE, the_opening(**changed), local(at), here or region()).refused
    return refused.fault if refused else None


# It is the unit's from the start ----------------------------------------------------------------------------------


def test_the_unit_that_1177_names_is_responsible_at_once_and_the_log_says_what_triage_found() -> None:
    # K5a K5b P1
    story = a_call()
    assert (story.case.kind, story.case.status, story.case.responsible_unit) == (PHONE, Status.WAITING, NORTH)
    assert story.log[0].detail["level"] == "physical"
    assert story.reasons == [(Reason.NEW_CASE, NORTH)]


@pytest.mark.parametrize("name", ["waiting", "accepted", "handed"])
def test_it_may_not_be_refused(name: str) -> None:
    # K5b
    story = a_call()
    if name == "accepted":
        story.may("accept", NURSE_NORTH)
    if name == "handed":
        story.may("hand_over", NURSE_NORTH, **TO_SOUTH)
    refusal = story.act("refuse", NURSE_NORTH, **REFUSE)
    assert refusal is not None
    assert refusal.code is Code.MAY_NOT_BE_REFUSED
    assert "hand it over" in refusal.message
    assert story.case.is_open


def test_an_offer_of_it_is_not_refused_either() -> None:
    # K5b P5
    story = told(region(ladder("waiting", {"after": "PT5M", "do": "offer", "to": "cooperating"})), kind=PHONE)
    assert story.after(minutes=5).refused("refuse", DOCTOR_SOUTH, **REFUSE) is Code.MAY_NOT_BE_REFUSED


def test_it_is_handed_over_and_that_handover_may_be_refused_and_the_unit_still_has_it() -> None:
    # K5b H1 H3
    story = a_call().may("hand_over", NURSE_NORTH, **TO_SOUTH).may("refuse", NURSE_SOUTH, **REFUSE)
    assert (story.case.status, story.case.responsible_unit, story.case.handover) == (Status.WAITING, NORTH, None)
    assert EventName.REFUSED not in story.events
    story.may("hand_over", NURSE_NORTH, **TO_SOUTH).may("accept", DOCTOR_SOUTH)
    assert story.case.responsible_unit == SOUTH


def test_it_may_be_held_by_phone_and_by_any_profession_for_it_is_no_visit() -> None:
    # K5a P4
    story = a_call(profession="medical_secretary").may("accept", CLERK_NORTH)
    story.may("close", CLERK_NORTH, outcome="advice_given", held_as="phone")
    assert story.case.outcome is Outcome.ADVICE_GIVEN


def test_it_asks_others_as_any_case_does() -> None:
    # K4a
    assert a_call().consult(NURSE_NORTH).case.priority == 3


# What the routine gives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digital", [True, False])
@pytest.mark.parametrize("level", ["digital", "physical"])
@pytest.mark.parametrize("priority", range(1, 13))
def test_one_that_is_started_directly_has_to_be_of_the_routine(digital: bool, level: str, priority: int) -> None:
    # K5a
    patient = {"id": "ref:x", "digital": digital}
    fault = outside_the_routine(PHONE, the_opening(patient=patient, level=level, priority=priority))
    if priority == 1:
        assert fault is not None
        assert "112" in fault.message
    elif digital and level == "digital":
        assert fault is not None
        assert "K5a" in fault.message
    else:
        assert fault is None


def test_a_consultation_between_staff_is_of_the_routine_whatever_it_is_about() -> None:
    # K4a
    asked = OPENINGS[Kind.CONSULTATION]
    assert outside_the_routine(Kind.CONSULTATION, Opening.model_validate(asked)) is None
    assert outside_the_routine(Kind.CONSULTATION, Opening.model_validate(asked | {"priority": 1})) is not None


@pytest.mark.parametrize("priority", range(2, 13))
@pytest.mark.parametrize("level", ["physical", "digital"])
@pytest.mark.parametrize("profession", ["doctor", "nurse"])
def test_a_physical_case_to_a_doctor_of_6_to_11_goes_to_a_nurse(priority: int, level: str, profession: str) -> None:
    # K5c
    to_a_nurse = level == "physical" and profession == "doctor" and 6 <= priority <= 11
    fault = refused_at("2026-11-23 09:00", priority=priority, level=level, profession=profession)
    assert fault is (StartFault.NOT_IN_ROUTINE if to_a_nurse else None)


@pytest.mark.parametrize(
    ("at", "since", "holds"),
    [
        ("2026-04-01 00:00", "2026-04-01", True),
        ("2026-03-31 23:59", "2026-04-01", False),
        ("2026-11-23 09:00", None, False),
        ("2026-11-23 09:00", "2027-01-01", False),
    ],
)
def test_the_nurse_rule_holds_from_its_date_on_in_the_regions_own_days(at: str, since: str | None, holds: bool) -> None:
    # K5c
    day = date.fromisoformat(since) if since else None
    here = region(routing={"physical_doctor_6_11_to_nurse_from": day})
    assert refused_at(at, here, priority=7) is (StartFault.NOT_IN_ROUTINE if holds else None)


def test_the_nurse_rule_is_only_of_what_1177_sends() -> None:
    # K5c
    opening = Opening.model_validate(OPENINGS[Kind.CONSULTATION] | {"priority": 7, "level": "physical"})
    assert answer_opening(Kind.CONSULTATION, opening, local("2026-11-23 09:00"), region()).refused is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"unit": NOWHERE, "profession": "shaman"}, StartFault.UNKNOWN_UNIT),
        ({"profession": "shaman", "priority": 7}, StartFault.UNKNOWN_PROFESSION),
        ({"profession": "medical_secretary"}, None),
    ],
)
def test_it_goes_to_a_unit_and_a_profession_that_there_are(changed: dict[str, Any], fault: StartFault | None) -> None:
    # K5c
    assert refused_at("2026-11-23 09:00", **changed) is fault


# In the evening and at weekends -----------------------------------------------------------------------------------


def meanwhile(story: Told) -> list[tuple[str, tuple[str, ...]]]:
    """When it is offered to on-call units because its own is closed."""
    moments = [moment for moment in story.case.plan.moments if moment.why is OfferWhy.ON_CALL]
    assert not any(moment.raises for moment in moments)
    return [(f"{moment.at.astimezone(STOCKHOLM):%a %H:%M}", moment.units) for moment in moments]


def test_one_that_comes_outside_the_hours_is_due_from_the_next_opening_on() -> None:
    # K5d
    story = a_call("2026-11-23 22:30")
    assert story.case.due_at == local("2026-11-24 09:00")
    assert story.notices == []
    assert story.until("2026-11-24 08:00").reasons == [(Reason.NEW_CASE, NORTH)]


@pytest.mark.parametrize("at", ["2026-11-23 09:00", "2026-11-23 16:59"])
def test_one_that_comes_while_the_unit_is_open_is_offered_to_nobody_meanwhile(at: str) -> None:
    # K5d
    assert meanwhile(a_call(at)) == []


@pytest.mark.parametrize(
    ("at", "profession", "unit", "offered"),
    [
        # on call at once
        ("2026-11-23 17:30", "doctor", NORTH, [("Mon 17:30", (JOUR,))]),
        # when it comes on call before the unit opens
        ("2026-11-27 22:30", "doctor", NORTH, [("Sat 10:00", (JOUR,))]),
        ("2026-11-27 17:00", "nurse", NORTH, [("Sat 10:00", (EAST,))]),
        # not one that comes on call only when the unit is open again, nor at that instant
        ("2026-11-23 22:30", "doctor", NORTH, []),
        ("2026-11-23 12:30", "doctor", NORTH, []),
        # a clinic's opening hours are no on-call time
        ("2026-11-24 18:00", "nurse", NORTH, []),
        # not those without the profession, nor the unit itself
        ("2026-11-23 17:30", "nurse", NORTH, []),
        ("2026-11-23 17:30", "occupational_therapist", SOUTH, []),
        ("2026-11-27 17:00", "nurse", EAST, []),
        # a unit that is on call itself is not closed
        ("2026-11-28 11:00", "nurse", EAST, []),
    ],
)
def test_units_on_call_with_the_profession_are_asked_meanwhile(
    at: str, profession: str, unit: str, offered: list[tuple[str, tuple[str, ...]]]
) -> None:
    # K5d K5e
    assert meanwhile(a_call(at, profession=profession, unit=unit)) == offered


def test_who_is_on_call_takes_it_meanwhile_and_the_unit_is_responsible_until_then() -> None:
    # K5e H3
    story = a_call("2026-11-23 18:00")
    assert [(offer.unit, offer.why) for offer in story.case.offers] == [(JOUR, OfferWhy.ON_CALL)]
    assert story.reasons == [(Reason.OFFERED, JOUR)]
    assert (story.case.responsible_unit, story.case.escalation_level) == (NORTH, 0)
    story.may("accept", DOCTOR_JOUR, offer=story.offer_of(JOUR))
    assert story.case.responsible_unit == JOUR


def test_a_unit_that_never_opens_again_is_helped_by_who_comes_on_call_within_a_week() -> None:
    # K5e
    here = region(CALM, units={"HC01": {"opening": {}}, "JOUR": {"opening": on(("sun",), "10:00-18:00")}})
    assert meanwhile(told(here, "2026-11-23 09:00", PHONE)) == [("Sun 10:00", (JOUR,))]


@pytest.mark.parametrize(("opens", "offered"), [("08:00", []), ("07:59", [("Tue 07:59", (JOUR,))])])
def test_who_comes_on_call_just_as_the_unit_opens_is_too_late(opens: str, offered: list[Any]) -> None:
    # K5d K5e
    here = region(CALM, units={"JOUR": {"opening": on(EVERY_DAY, f"{opens}-10:00")}})
    assert meanwhile(told(here, "2026-11-23 22:30", PHONE)) == offered


def test_who_never_comes_on_call_is_not_waited_for() -> None:
    # K5e
    here = region(CALM, units={"JOUR": {"opening": {}}})
    assert meanwhile(told(here, "2026-11-23 18:00", PHONE)) == []


@pytest.mark.parametrize("kind", [Kind.DROP_IN_VISIT, Kind.CONSULTATION])
def test_only_what_1177_sends_is_offered_to_on_call_units_because_the_unit_is_closed(kind: Kind) -> None:
    # K5e
    assert meanwhile(told(region(CALM), "2026-11-23 18:00", kind)) == []


def test_a_case_that_is_given_back_in_the_evening_is_offered_to_who_is_on_call_then() -> None:
    # K5e
    story = a_call("2026-11-23 16:50").may("accept", DOCTOR_NORTH).until("2026-11-23 18:00")
    story.may("release", DOCTOR_NORTH, reason="slutar för dagen")
    assert [offer.unit for offer in story.case.offers] == [JOUR]


def test_a_profession_that_is_not_on_site_is_covered_at_once_and_in_the_evening_too() -> None:
    # K5d
    story = a_call(profession="occupational_therapist")
    assert [(offer.unit, offer.why) for offer in story.case.offers] == [
        (SOUTH, OfferWhy.COVERAGE),
        (EAST, OfferWhy.COVERAGE),
    ]


@pytest.mark.parametrize("who", [DOCTOR_NORTH, NURSE_NORTH])
def test_whoever_of_the_unit_takes_it_has_it(who: By) -> None:
    # K5d R2
    assert a_call().may("accept", who).case.status is Status.ACCEPTED
