"""Closing time (P6): whoever closes is warned before, and what is left then is offered to those that are open."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from datetime import timedelta
from typing import Any, Final

import pytest
from small_region import (
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    EVERY_DAY,
    HOLIDAYS,
    JOUR,
    NORTH,
    NOTIFY,
    NURSE_NORTH,
    PATIENT,
    SOUTH,
    STOCKHOLM,
    WEEKDAYS,
    Told,
    ladder,
    local,
    on,
    region,
    told,
)  # fmt: skip

from decisions.closing import CLOSINGS_WITHIN
from decisions.region import Region
from omhand.contract.names import EventName, Kind, OfferWhy, Reason, Status

CALM: Final = ladder("waiting", NOTIFY, due="PT8H")
SOUTH_IN_THE_EVENING: Final = {"opening": on(WEEKDAYS, "08:00-19:00")}
NEVER: Final = {"opening": on(("sun",), "03:00-04:00")}
CLOSING_REASONS: Final = {Reason.CLOSING_SOON, Reason.LEFT_AT_CLOSING}


def here(units: dict[str, dict[str, Any]] | None = None, **closing: Any) -> Region:
    """The small region with closing time as policy has it where nothing else is said."""
    return region(CALM, units=units, closing=closing)


def a_case(at: str = "2026-11-23 16:00", in_region: Region | None = None, **opening: Any) -> Told:
    return told(in_region or here(), at, **opening)


def at_closing(story: Told) -> list[tuple[str, str]]:
    """What the plan has for the unit's closings."""
    return [
        (f"{moment.at.astimezone(STOCKHOLM):%a %d %H:%M}", moment.do)
        for moment in story.case.plan.moments
        if moment.do in {"warn_of_closing", "leave_at_closing"}
    ]


def offered(story: Told) -> list[tuple[str, OfferWhy]]:
    return [(offer.unit, offer.why) for offer in story.case.offers]


# What happens -----------------------------------------------------------------------------------------------------


def test_the_unit_is_warned_before_it_closes() -> None:
    # P6
    story = a_case().until("2026-11-23 16:30")
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.CLOSING_SOON, NORTH)]
    assert story.notices[-1].until_taken
    assert story.case.offers == ()


def test_a_case_that_comes_when_the_unit_is_about_to_close_is_warned_of_at_once() -> None:
    # P6
    story = a_case("2026-11-23 16:45")
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.CLOSING_SOON, NORTH)]


def test_what_is_left_at_closing_is_told_to_the_manager_and_offered_to_who_is_open_then() -> None:
    # P6 R1
    story = a_case(in_region=here({"HC02": SOUTH_IN_THE_EVENING})).until("2026-11-23 17:00")
    assert story.events[-3:] == [EventName.LEFT_AT_CLOSING, EventName.MANAGER_ALERTED, EventName.OFFERED]
    assert story.log[-3].detail["unit"] == NORTH
    assert story.notices[-3].to == "manager"
    assert story.reasons[-3:] == [(Reason.LEFT_AT_CLOSING, NORTH), (Reason.OFFERED, SOUTH), (Reason.OFFERED, JOUR)]
    assert offered(story) == [(SOUTH, OfferWhy.CLOSING), (JOUR, OfferWhy.CLOSING)]


def test_the_unit_stays_responsible_and_the_case_is_not_escalated() -> None:
    # P6 H3
    story = a_case().until("2026-11-23 17:00")
    assert (story.case.responsible_unit, story.case.status) == (NORTH, Status.WAITING)
    assert (story.case.escalation_level, story.case.highest_level) == (0, 0)
    assert EventName.ESCALATED not in story.events
    story.may("accept", DOCTOR_JOUR, offer=story.offer_of(JOUR))
    assert story.case.responsible_unit == JOUR


def test_where_nobody_is_open_the_manager_is_told_and_nothing_is_offered() -> None:
    # P6 R1
    story = a_case(in_region=here({"JOUR": NEVER})).until("2026-11-23 17:00")
    assert story.events[-2:] == [EventName.LEFT_AT_CLOSING, EventName.MANAGER_ALERTED]
    assert story.case.offers == ()


def test_what_somebody_has_accepted_is_not_left() -> None:
    # P6, contract §7
    story = a_case().may("accept", DOCTOR_NORTH).until("2026-11-24 18:00")
    assert not CLOSING_REASONS & {reason for reason, _ in story.reasons}
    assert EventName.LEFT_AT_CLOSING not in story.events


def test_what_is_given_back_is_left_at_the_closing_that_follows() -> None:
    # P6
    story = a_case().may("accept", DOCTOR_NORTH).until("2026-11-23 16:50").may("release", DOCTOR_NORTH, reason="x")
    assert story.reasons[-2:] == [(Reason.NEW_CASE, NORTH), (Reason.CLOSING_SOON, NORTH)]
    assert story.until("2026-11-23 17:00").events.count(EventName.LEFT_AT_CLOSING) == 1


def test_a_case_is_left_at_each_closing_and_offered_only_once_to_each() -> None:
    # P6
    story = a_case().until("2026-11-24 17:00")
    assert story.reasons.count((Reason.LEFT_AT_CLOSING, NORTH)) == 2
    assert story.reasons.count((Reason.OFFERED, JOUR)) == 1
    assert offered(story) == [(JOUR, OfferWhy.CLOSING)]


def test_a_unit_that_is_asked_to_take_it_over_is_offered_it_at_closing_all_the_same() -> None:
    # P6 H3: a handover can be withdrawn
    story = a_case().may("hand_over", NURSE_NORTH, to_unit=JOUR, ground="misplaced").until("2026-11-23 17:00")
    assert offered(story) == [(JOUR, OfferWhy.CLOSING)]
    story.may("withdraw", NURSE_NORTH).may("accept", DOCTOR_JOUR)


def test_a_closed_case_is_not_left() -> None:
    story = a_case().may("cancel", PATIENT, reason="x").until("2026-11-23 18:00")
    assert EventName.LEFT_AT_CLOSING not in story.events


def test_a_worker_that_was_away_over_closing_time_does_it_in_order() -> None:
    story = a_case()
    story.now = local("2026-11-23 18:00")
    story.until(story.now)
    assert story.reasons[1:] == [
        (Reason.CLOSING_SOON, NORTH),
        (Reason.LEFT_AT_CLOSING, NORTH),
        (Reason.OFFERED, JOUR),
    ]


# Which cases, and to whom: policy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "closing", "is_left"),
    [
        (Kind.DROP_IN_VISIT, {}, True),
        (Kind.PHONE_CONSULTATION, {}, True),
        (Kind.CONSULTATION, {}, False),
        (Kind.DROP_IN_VISIT, {"kinds": ["phone_consultation"]}, False),
        (Kind.PHONE_CONSULTATION, {"kinds": ["phone_consultation"]}, True),
        (Kind.DROP_IN_VISIT, {"kinds": []}, False),
        # P6 speaks of what waits to be taken; a consultation waits for its answer
        (Kind.CONSULTATION, {"kinds": ["consultation"]}, False),
    ],
)
def test_only_the_kinds_that_policy_names_are_left(kind: Kind, closing: dict[str, Any], is_left: bool) -> None:
    # P6
    assert bool(at_closing(a_case(in_region=here(**closing), kind=kind))) is is_left


@pytest.mark.parametrize(
    ("closing", "profession", "units"),
    [
        ({}, "doctor", [SOUTH, JOUR]),
        ({}, "nurse", [SOUTH, EAST]),
        ({}, "dietitian", []),
        ({"any_profession": True}, "nurse", [SOUTH, EAST, JOUR]),
        ({"offer_to": ["on_call"]}, "doctor", [JOUR]),
        ({"offer_to": ["cooperating"]}, "doctor", [SOUTH]),
        ({"offer_to": ["on_call", "cooperating"]}, "doctor", [JOUR, SOUTH]),
        ({"offer_to": ["every_unit"], "any_profession": True}, "nurse", [SOUTH, EAST, JOUR]),
        ({"offer_to": ["same_kind"]}, "nurse", [SOUTH]),
        ({"offer_to": []}, "doctor", []),
    ],
)
def test_it_is_offered_to_whom_policy_says_where_the_profession_is_on_site(
    closing: dict[str, Any], profession: str, units: list[str]
) -> None:
    # P6: a cooperating unit, or the digital on-call doctor
    evening = {"opening": on(WEEKDAYS, "09:00-19:00")}
    in_region = here({"HC02": SOUTH_IN_THE_EVENING, "HC03": evening}, **closing)
    story = a_case(in_region=in_region, profession=profession).until("2026-11-23 17:00")
    assert [unit for unit, why in offered(story) if why is OfferWhy.CLOSING] == units


def test_a_unit_in_its_on_call_time_is_asked_too() -> None:
    # P6 K5e
    on_call = {"HC03": {"on_call": on(WEEKDAYS, "16:00-20:00")}}
    story = a_case(in_region=here(on_call, offer_to=["on_call"]), profession="nurse").until("2026-11-23 17:00")
    assert offered(story) == [(EAST, OfferWhy.CLOSING)]


def test_without_a_time_to_warn_before_there_is_no_warning() -> None:
    # P6
    story = a_case(in_region=here(warn_before="PT0S"))
    assert {do for _, do in at_closing(story)} == {"leave_at_closing"}


def test_a_warning_comes_so_long_before_as_policy_says() -> None:
    # P6
    assert at_closing(a_case(in_region=here(warn_before="PT45M")))[:2] == [
        ("Mon 23 16:15", "warn_of_closing"),
        ("Mon 23 17:00", "leave_at_closing"),
    ]


# When a unit closes -----------------------------------------------------------------------------------------------


def closings(at: str, in_region: Region | None = None, **opening: Any) -> list[str]:
    return [when for when, do in at_closing(a_case(at, in_region, **opening)) if do == "leave_at_closing"]


def test_lunch_is_no_closing() -> None:
    # P6
    assert closings("2026-11-23 11:45")[0] == "Mon 23 17:00"


def test_a_case_that_comes_when_the_unit_is_closed_is_left_when_it_closes_next() -> None:
    # P6
    assert closings("2026-11-23 17:00")[0] == "Tue 24 17:00"
    assert closings("2026-11-23 22:00")[0] == "Tue 24 17:00"


@pytest.mark.parametrize(
    ("on_call", "first"),
    [("17:00-21:00", "Mon 23 21:00"), ("19:00-21:00", "Mon 23 21:00"), ("06:00-08:00", "Mon 23 17:00")],
)
def test_on_call_time_after_the_opening_hours_puts_closing_off(on_call: str, first: str) -> None:
    # P6 K5e
    in_region = here({"HC01": {"on_call": on(EVERY_DAY, on_call)}})
    assert closings("2026-11-23 09:00", in_region)[0] == first


def test_the_friday_before_a_holiday_is_followed_by_the_next_day_that_is_worked() -> None:
    # P6: the 24th to the 26th of December are holidays, the 27th is a Sunday
    assert HOLIDAYS
    assert closings("2026-12-23 09:00")[:2] == ["Wed 23 17:00", "Mon 28 17:00"]
    assert closings("2026-11-27 09:00")[:2] == ["Fri 27 17:00", "Mon 30 17:00"]


def test_closings_are_worked_out_for_a_week_and_the_manager_is_told_daily_after_that() -> None:
    # P6 R1
    story = a_case("2026-11-23 09:00")
    assert closings("2026-11-23 09:00") == [
        f"{day} 17:00" for day in ("Mon 23", "Tue 24", "Wed 25", "Thu 26", "Fri 27")
    ]
    assert story.case.plan.moments[-1].at - story.now <= CLOSINGS_WITHIN
    story.until("2026-12-03 09:00")
    assert story.notices[-1].reason is Reason.MANAGER_ALERT
    assert EventName.MANAGER_ALERTED in {event.event for event in story.log if event.at > local("2026-12-02 09:00")}


def test_a_closing_exactly_a_week_ahead_counts() -> None:
    assert closings("2026-11-23 17:00")[-1] == "Mon 30 17:00"


def test_a_unit_that_never_closes_leaves_nothing() -> None:
    # P6
    assert closings("2026-11-23 09:00", here({"HC01": {"opening": on(EVERY_DAY, "00:00-24:00")}})) == []


@pytest.mark.parametrize(
    ("since", "first", "length"),
    [("2026-10-24 20:00", "Sun 25 04:00", 9), ("2027-03-27 20:00", "Sun 28 04:00", 7)],
)
def test_a_unit_that_is_open_over_the_night_of_a_clock_change_closes_by_the_clock_on_the_wall(
    since: str, first: str, length: int
) -> None:
    # P6: 20:00 to 04:00 is eight hours on the wall
    nightly = {"opening": {"sat": ["20:00-24:00"], "sun": ["00:00-04:00"]}}
    story = a_case(since, here({"HC01": nightly}))
    warned, left = [moment for moment in story.case.plan.moments if "closing" in moment.do][:2]
    assert f"{left.at.astimezone(STOCKHOLM):%a %d %H:%M}" == first
    assert left.at - story.now == timedelta(hours=length)
    assert left.at - warned.at == timedelta(minutes=30)


def test_another_priority_starts_the_clock_again_and_the_closing_stays() -> None:
    # P6
    story = a_case().until("2026-11-23 16:40").may("reprioritise", NURSE_NORTH, priority=2, reason="sämre")
    assert at_closing(story)[:2] == [("Mon 23 16:40", "warn_of_closing"), ("Mon 23 17:00", "leave_at_closing")]


def test_a_warning_that_does_not_arrive_is_told_to_the_manager() -> None:
    # P6 R1
    story = a_case().until("2026-11-23 16:30")
    (alert,) = story.fails(story.notices[-1])
    assert (alert.unit, alert.to) == (NORTH, "manager")


def test_who_takes_it_at_closing_has_it_and_the_unit_that_closed_is_told_who_was_first() -> None:
    # P6 H3
    story = a_case(in_region=here({"HC02": SOUTH_IN_THE_EVENING})).until("2026-11-23 17:10").may("accept", DOCTOR_SOUTH)
    refusal = story.act("accept", DOCTOR_NORTH)
    assert refusal is not None
    assert DOCTOR_SOUTH["staff"] in refusal.message


def test_what_is_given_back_when_the_unit_has_closed_is_left_there_and_then() -> None:
    # P6
    story = a_case().may("accept", DOCTOR_NORTH).until("2026-11-23 17:30")
    assert EventName.LEFT_AT_CLOSING not in story.events
    story.may("release", DOCTOR_NORTH, reason="kallad till annat")
    assert story.log[-3].event is EventName.LEFT_AT_CLOSING
    assert story.reasons[-2:] == [(Reason.LEFT_AT_CLOSING, NORTH), (Reason.OFFERED, JOUR)]
    assert offered(story) == [(JOUR, OfferWhy.CLOSING)]


def test_what_is_given_back_while_the_unit_is_open_is_left_when_it_closes() -> None:
    # P6
    story = a_case().may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="kallad till annat")
    assert EventName.LEFT_AT_CLOSING not in story.events
    assert at_closing(story)[1] == ("Mon 23 17:00", "leave_at_closing")


def test_a_case_that_comes_when_the_unit_has_closed_was_never_left() -> None:
    # P6
    assert EventName.LEFT_AT_CLOSING not in a_case("2026-11-23 18:00").events


def test_who_comes_on_call_after_the_closing_is_asked_then() -> None:
    # P6 K5e
    later = here({"JOUR": {"opening": on(EVERY_DAY, "18:00-22:00")}})
    story = a_case(in_region=later).until("2026-11-23 17:59")
    assert offered(story) == []
    assert offered(story.until("2026-11-23 18:00")) == [(JOUR, OfferWhy.CLOSING)]
    assert story.case.escalation_level == 0


def test_who_opens_only_when_the_unit_itself_does_is_not_asked_at_its_closing() -> None:
    # P6
    story = a_case(in_region=here({"JOUR": {"professions": ["dietitian"]}}))
    assert [moment.why for moment in story.case.plan.moments if moment.do == "offer"] == []
    story.until("2026-11-23 17:00")
    assert offered(story) == []
