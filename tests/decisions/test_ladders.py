"""Which ladder a phase climbs and at which instants (K1d, K1e, K1f, P5, R1): said in wall time of Stockholm."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from datetime import timedelta
from typing import Any

import pytest
from small_region import (
    ACCEPTED,
    DOCTOR_SOUTH,
    EAST,
    EVERY_DAY,
    JOUR,
    MONDAY_9,
    NORTH,
    NOTIFY,
    SOUTH,
    STOCKHOLM,
    WAITING,
    WEEKDAYS,
    a_unit,
    ladder,
    local,
    on,
    region,
    told,
)  # fmt: skip

from decisions.ladders import NoLadder, Subject, plan
from decisions.region import Region
from omhand.contract.names import Kind, OfferWhy, Origin, Phase
from omhand.contract.plan import Moment, Plan
from omhand.contract.policy import Policy


def a_plan(here: Region, since: str = "2026-11-23 09:00", phase: Phase = Phase.WAITING, **subject: Any) -> Plan:
    whom = Subject.model_validate({
        "kind": "drop_in_visit", "priority": 3, "profession": "doctor", "unit": NORTH, "origin": "min_vard", **subject,
    })  # fmt: skip
    return plan(here, phase, whom, local(since))


def said(moments: tuple[Moment, ...]) -> list[tuple[str, str]]:
    return [(f"{moment.at.astimezone(STOCKHOLM):%a %H:%M}", moment.do) for moment in moments]


def offers(made: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (f"{moment.at.astimezone(STOCKHOLM):%a %H:%M}", moment.units) for moment in made.moments if moment.do == "offer"
    ]


def offered(here: Region, since: str, **subject: Any) -> set[str]:
    (moment,) = [moment for moment in a_plan(here, since, **subject).moments if moment.do == "offer"]
    return set(moment.units)


def test_steps_and_repeats_fall_on_their_instants() -> None:
    made = a_plan(region())
    assert said(made.moments) == [
        ("Mon 09:00", "notify"), ("Mon 09:15", "notify"), ("Mon 09:30", "offer"), ("Mon 09:45", "offer"),
        ("Mon 10:00", "alert_manager"), ("Mon 10:15", "alert_manager"), ("Mon 10:30", "alert_manager"),
    ]  # fmt: skip
    assert made.due_at == local("2026-11-23 09:30")
    assert (made.phase, made.since) == (Phase.WAITING, MONDAY_9)


def test_the_opening_hours_clock_stands_still_over_lunch_nights_and_weekends() -> None:
    made = a_plan(region(), "2026-11-27 11:40")
    assert said(made.moments)[:3] == [("Fri 11:40", "notify"), ("Fri 11:55", "notify"), ("Fri 13:10", "offer")]
    late = a_plan(region(), "2026-11-27 16:40")
    assert said(late.moments)[:3] == [("Fri 16:40", "notify"), ("Fri 16:55", "notify"), ("Mon 08:10", "offer")]
    assert late.due_at == local("2026-11-30 08:10")


def test_on_call_time_counts_on_the_opening_hours_clock() -> None:
    # K5e
    made = a_plan(region(), "2026-11-27 17:00", unit=EAST, profession="nurse")
    assert said(made.moments)[:2] == [("Sat 10:00", "notify"), ("Sat 10:15", "notify")]


def test_a_holiday_counts_as_a_sunday() -> None:
    made = a_plan(region(), "2026-12-23 16:50")
    # The 24th, 25th and 26th are holidays, then comes a Sunday.
    assert made.due_at == local("2026-12-28 08:20")


def test_the_clock_that_always_runs_stands_still_for_nobody() -> None:
    here = region(WAITING | {"clock": "always"})
    made = a_plan(here, "2026-11-27 22:30")
    assert said(made.moments)[:3] == [("Fri 22:30", "notify"), ("Fri 22:45", "notify"), ("Fri 23:00", "offer")]
    assert made.due_at == local("2026-11-27 23:00")


@pytest.mark.parametrize("since", ["2026-03-28 23:30", "2026-10-24 23:30"])
def test_the_clock_that_always_runs_counts_elapsed_time_over_a_clock_change(since: str) -> None:
    made = a_plan(region(ladder("waiting", {"after": "PT8H", "do": "notify"}, clock="always", due="PT8H")), since)
    assert made.moments[0].at - local(since) == timedelta(hours=8)


def test_nothing_is_due_while_closed_what_is_due_at_once_comes_when_the_unit_next_runs() -> None:
    assert said(a_plan(region(), "2026-11-27 19:00").moments)[0] == ("Mon 08:00", "notify")
    assert said(a_plan(region(), "2026-11-27 12:30").moments)[0] == ("Fri 13:00", "notify")


def test_repeats_count_from_the_last_step_on_the_same_clock_and_are_bounded() -> None:
    here = region(ladder("waiting", NOTIFY, repeat={"every": "PT2H", "do": "notify", "at_most": 3}))
    assert said(a_plan(here, "2026-11-23 15:00").moments) == [
        ("Mon 15:00", "notify"), ("Tue 08:00", "notify"), ("Tue 10:00", "notify"), ("Tue 13:00", "notify"),
    ]  # fmt: skip


def test_a_clock_that_never_runs_again_lets_things_happen_too_early_rather_than_never() -> None:
    here = region(units={"HC01": {"opening": {}}})
    made = a_plan(here)
    assert made.due_at == MONDAY_9 + timedelta(minutes=30)
    assert made.moments[0].at == MONDAY_9


# Who may be offered it --------------------------------------------------------------------------------------------


def only(to: str, *, any_profession: bool = False, clock: str = "always", **policy: Any) -> Region:
    step = {"after": "PT0S", "do": "offer", "to": to, "any_profession": any_profession}
    return region(ladder("waiting", step, clock=clock), **policy)


MONDAY_14, MONDAY_20, SATURDAY_11, SATURDAY_20 = (
    f"2026-11-{at}" for at in ("23 14:00", "23 20:00", "28 11:00", "28 20:00")
)


@pytest.mark.parametrize(
    ("to", "any_profession", "since", "profession", "expected"),
    [
        # K1e P5: open or on call at that moment, with the profession on site
        ("cooperating", False, MONDAY_14, "doctor", {SOUTH}),
        ("cooperating", False, MONDAY_14, "nurse", {SOUTH, EAST}),
        ("cooperating", True, MONDAY_14, "doctor", {SOUTH, EAST}),
        ("cooperating", True, "2026-11-24 14:00", "doctor", {SOUTH}),
        ("cooperating", True, MONDAY_20, "doctor", set()),
        ("same_kind", True, MONDAY_14, "doctor", {SOUTH}),
        ("same_kind", True, MONDAY_20, "doctor", set()),
        ("every_unit", False, MONDAY_14, "doctor", {SOUTH}),
        ("every_unit", True, MONDAY_14, "doctor", {SOUTH, EAST}),
        ("every_unit", False, MONDAY_20, "doctor", {JOUR}),
        ("every_unit", True, SATURDAY_11, "doctor", {EAST, JOUR}),
        # on_call: units of that kind that are open, and any unit in its on-call time
        ("on_call", False, MONDAY_14, "doctor", set()),
        ("on_call", False, MONDAY_20, "doctor", {JOUR}),
        ("on_call", False, SATURDAY_11, "doctor", {JOUR}),
        ("on_call", True, SATURDAY_11, "doctor", {JOUR, EAST}),
        ("on_call", False, SATURDAY_11, "nurse", {EAST}),
        ("on_call", True, SATURDAY_20, "nurse", set()),
        ("on_call", True, MONDAY_14, "nurse", set()),
    ],
)
def test_it_is_offered_only_to_units_that_run_then_and_have_the_profession(
    to: str,
    any_profession: bool,
    since: str,
    profession: str,
    expected: set[str],
) -> None:
    assert offered(only(to, any_profession=any_profession), since, profession=profession) == expected


def test_the_own_unit_is_never_offered_its_own_case() -> None:
    assert NORTH not in offered(only("every_unit", any_profession=True), MONDAY_14)


def test_cooperation_is_looked_up_from_the_responsible_unit() -> None:
    assert offered(only("cooperating"), MONDAY_14, unit=SOUTH) == {NORTH}
    assert offered(only("cooperating", any_profession=True), MONDAY_14, unit=EAST) == set()


def test_each_offer_step_raises_the_level_and_says_why() -> None:
    made = [moment for moment in a_plan(region()).moments if moment.do == "offer"]
    assert [(moment.raises, moment.why, moment.off) for moment in made] == [(True, OfferWhy.ESCALATION, False)] * 2


# The switch of escalation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "subject", "since", "is_off"),
    [
        ({}, {}, MONDAY_14, True),
        ({"kind": "drop_in_visit"}, {}, MONDAY_14, True),
        ({"kind": "phone_consultation"}, {}, MONDAY_14, False),
        ({"profession": "doctor"}, {}, MONDAY_14, True),
        ({"profession": "nurse"}, {}, MONDAY_14, False),
        ({"unit": NORTH}, {}, MONDAY_14, True),
        ({"unit": SOUTH}, {}, MONDAY_14, False),
        ({"on_call_time": True}, {"unit": EAST, "profession": "nurse"}, SATURDAY_11, True),
        ({"on_call_time": True}, {"unit": EAST, "profession": "nurse"}, MONDAY_14, False),
        ({"on_call_time": False}, {"unit": EAST, "profession": "nurse"}, SATURDAY_11, False),
        ({"on_call_time": False}, {"unit": EAST, "profession": "nurse"}, MONDAY_14, True),
        ({"profession": "doctor", "unit": SOUTH}, {}, MONDAY_14, False),
        ({"profession": "doctor", "unit": NORTH, "kind": "drop_in_visit", "on_call_time": False}, {}, MONDAY_14, True),
    ],
)
def test_escalation_is_off_only_where_every_condition_of_the_switch_holds(
    off: dict[str, Any],
    subject: dict[str, Any],
    since: str,
    is_off: bool,
) -> None:
    # K1e, and the row of clauses.md about the switch
    here = only("every_unit", escalation={"off": [off]})
    (moment,) = a_plan(here, since, **subject).moments
    assert moment.off is is_off
    assert moment.raises is not is_off
    if is_off:
        assert moment.units == ()


def test_one_switch_of_several_is_enough() -> None:
    here = only("every_unit", escalation={"off": [{"unit": SOUTH}, {"profession": "doctor"}]})
    assert a_plan(here, MONDAY_14).moments[0].off


def test_the_switch_is_judged_at_the_steps_own_instant() -> None:
    step = {"after": "PT2H", "do": "offer", "to": "every_unit"}
    here = region(ladder("waiting", step, clock="always"), escalation={"off": [{"on_call_time": True}]})
    whom = {"unit": EAST, "profession": "nurse"}
    assert a_plan(here, "2026-11-28 09:00", **whom).moments[0].off
    assert not a_plan(here, "2026-11-28 13:00", **whom).moments[0].off


# K1d: a profession that the unit does not have --------------------------------------------------------------------


def covering(since: str, here: Region | None = None, **subject: Any) -> list[tuple[str, tuple[str, ...]]]:
    made = a_plan(here or region(ladder("waiting")), since, **{"profession": "occupational_therapist"} | subject)
    assert all(moment.why is OfferWhy.COVERAGE and not moment.raises for moment in made.moments if moment.do == "offer")
    return offers(made)


def test_a_profession_on_site_needs_no_cover() -> None:
    # K1d
    assert covering(MONDAY_14, profession="doctor") == []


def test_a_profession_that_is_not_on_site_is_covered_at_once_by_those_that_cooperate() -> None:
    # K1d
    assert covering(MONDAY_14) == [("Mon 14:00", (SOUTH, EAST))]


def test_a_unit_that_is_closed_then_covers_when_it_next_opens() -> None:
    # K1d
    assert covering("2026-11-24 14:00") == [("Tue 14:00", (SOUTH,)), ("Wed 09:00", (EAST,))]
    assert covering("2026-11-27 18:00") == [("Sat 10:00", (EAST,)), ("Mon 08:00", (SOUTH,))]


def test_only_units_that_cooperate_and_have_the_profession_cover() -> None:
    # K1d
    assert covering(MONDAY_14, unit=JOUR) == []
    assert covering(MONDAY_14, profession="dietitian") == []


def test_a_unit_that_never_runs_again_covers_nothing() -> None:
    # K1d
    here = region(ladder("waiting"), units={"HC02": {"opening": {}}})
    assert covering(MONDAY_14, here) == [("Mon 14:00", (EAST,))]


def test_an_administrative_case_is_not_covered_this_way() -> None:
    assert covering(MONDAY_14, kind=Kind.ADMINISTRATIVE_CASE) == []


def test_only_waiting_is_covered() -> None:
    # K1d
    made = a_plan(region(), phase=Phase.ACCEPTED, profession="occupational_therapist")
    assert offers(made) == []


def test_an_escalation_step_names_those_that_cover_too_as_it_may_be_the_first_to_reach_them() -> None:
    made = a_plan(region(), profession="occupational_therapist")
    assert offers(made)[0] == ("Mon 09:00", (SOUTH, EAST))
    assert offers(made)[1] == ("Mon 09:30", (SOUTH, EAST))


# Which ladder -----------------------------------------------------------------------------------------------------


def test_an_accepted_case_cannot_be_offered_so_its_manager_is_told_instead() -> None:
    # R1
    steps = [{"after": "PT1H", "do": "notify"}, {"after": "PT2H", "do": "offer", "to": "every_unit"}]
    here = region(ladder("accepted", *steps, repeat={"every": "PT1H", "do": "alert_manager", "at_most": 1}))
    made = a_plan(here, phase=Phase.ACCEPTED)
    assert said(made.moments) == [
        ("Mon 10:00", "notify"),
        ("Mon 11:00", "alert_manager"),
        ("Mon 13:00", "alert_manager"),
    ]


def test_the_first_ladder_that_fits_is_used() -> None:
    here = region(
        ladder("waiting", priority=[4], due="PT1H"),
        ladder("waiting", priority=[3], profession=["nurse"], due="PT2H"),
        ladder("handover", due="PT3H"),
        ladder("waiting", priority=[3], unit=[NORTH], origin=["min_vard"], due="PT4M"),
        ladder("waiting", priority=[3], due="PT5M"),
    )
    assert a_plan(here).due_at == MONDAY_9 + timedelta(minutes=4)
    assert a_plan(here, profession="nurse").due_at == local("2026-11-23 11:00")
    assert a_plan(here, origin=Origin.PHONE_1177).due_at == MONDAY_9 + timedelta(minutes=5)
    assert a_plan(here, unit=SOUTH).due_at == MONDAY_9 + timedelta(minutes=5)
    assert a_plan(here, priority=5).due_at == MONDAY_9 + timedelta(minutes=30)


def test_a_case_without_a_ladder_is_an_error_that_names_its_kind_and_phase() -> None:
    bare = region()
    here = Region(
        1, Policy(ladder=()), bare.units, bare.professions, bare.staff, bare.calendars, bare.zone
    )  # fmt: skip
    with pytest.raises(NoLadder, match=r"drop_in_visit.*waiting"):
        a_plan(here)


def test_the_plan_says_under_which_policy_it_was_made() -> None:
    assert a_plan(region(version=7)).policy == 7


def test_cases_keep_their_policy_but_not_their_directory() -> None:
    # contract §7
    old = region(ladder("waiting", due="PT5M"), version=1)
    new = region(ladder("waiting", due="PT50M"), version=2, units={"HC01": {"opening": on(EVERY_DAY, "00:00-24:00")}})
    made = a_plan(new.under(old), "2026-11-28 20:00")
    assert made.due_at == local("2026-11-28 20:05")
    assert made.policy == 1


def test_what_falls_on_one_instant_keeps_the_ladders_order() -> None:
    steps = [{"after": "PT5M", "do": "alert_manager"}, {"after": "PT5M", "do": "notify"}]
    assert [moment.do for moment in a_plan(region(ladder("waiting", *steps))).moments] == ["alert_manager", "notify"]


def test_the_accepting_units_own_clock_counts_from_there() -> None:
    # SOUTH has no lunch, NORTH has.
    here = region(WAITING, ACCEPTED)
    story = told(here).until("2026-11-23 11:30")
    story.may("accept", DOCTOR_SOUTH)
    assert story.case.due_at == local("2026-11-23 13:30")


def test_an_hour_that_a_unit_shares_with_nobody_offers_to_nobody() -> None:
    lonely = a_unit("SE2321000198-LONE", ["doctor"], on(WEEKDAYS, "05:00-06:00"))
    here = region(
        ladder("waiting", {"after": "PT0S", "do": "offer", "to": "every_unit", "any_profession": True}),
        units={"lonely": lonely},
    )
    assert offered(here, "2026-11-23 05:30", unit="SE2321000198-LONE") == set()
