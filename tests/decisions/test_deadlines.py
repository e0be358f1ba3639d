"""What happens by itself when its instant has come, and what when nobody can be told (K1d, K1e, K1f, P5, R1)."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from small_region import (
    ACCEPTED,
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    HOLIDAYS,
    JOUR,
    MONDAY_9,
    NORTH,
    NOTIFY,
    PATIENT,
    SOUTH,
    STOCKHOLM,
    WAITING,
    Told,
    ladder,
    local,
    on,
    region,
    told,
)  # fmt: skip

from decisions.case import WATCH
from decisions.deadlines import NOBODY_OPEN, pass_moments
from decisions.decide import tick, undelivered
from decisions.effects import Course, Notice
from decisions.ladders import LONGEST_SILENCE
from omhand.contract.names import EventName, OfferWhy, Reason
from omhand.contract.plan import Moment, Plan

ALERT = {"after": "PT1H", "do": "alert_manager"}
OFFER = {"after": "PT30M", "do": "offer", "to": "cooperating"}


def story_of(
    *steps: dict[str, Any], at: str = "2026-11-23 09:00", repeat: dict[str, Any] | None = None, **more: Any
) -> Told:
    opening = {key: more.pop(key) for key in ("profession", "unit", "priority") if key in more}
    clock = more.pop("clock", "opening_hours")
    return told(region(ladder("waiting", *steps, repeat=repeat, clock=clock), **more), at=at, **opening)


def times(story: Told, event: EventName) -> list[str]:
    return [f"{each.at.astimezone(STOCKHOLM):%a %H:%M}" for each in story.log if each.event is event]


# The unit's phone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [2, 3, 4, 5])
def test_an_urgent_case_rings_the_phone_that_the_unit_has_stated(priority: int) -> None:
    # K1f
    story = told(region(), priority=priority)
    (notice,) = story.notices
    assert (notice.to, notice.unit, notice.reason, notice.priority) == ("unit", NORTH, Reason.NEW_CASE, priority)
    assert notice.due_at == local("2026-11-23 09:30")
    assert notice.until_taken


def test_the_first_notification_of_a_phase_is_of_a_new_case_and_the_others_remind() -> None:
    story = story_of(NOTIFY, {"after": "PT5M", "do": "notify"}, {"after": "PT9M", "do": "notify"}).after(minutes=10)
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.REMINDER, NORTH), (Reason.REMINDER, NORTH)]


def test_an_accepted_case_reminds_of_itself_and_its_reminders_outlive_nobody() -> None:
    # R1
    story = told(region(WAITING, ACCEPTED)).may("accept", DOCTOR_NORTH).until("2026-11-23 11:30")
    assert story.reasons[1:] == [(Reason.NEW_CASE, NORTH), (Reason.MANAGER_ALERT, NORTH)]
    assert not any(notice.until_taken for notice in story.notices[1:])


def test_every_notification_has_a_key_of_its_own() -> None:
    story = told(region()).until("2026-11-30 12:00")
    keys = [notice.key for notice in story.notices]
    assert len(keys) == len(set(keys))
    assert all(key.startswith("c-1/") for key in keys)


def test_nothing_rings_while_the_unit_is_closed_on_its_own_clock() -> None:
    story = told(region(), at="2026-11-27 18:00").until("2026-11-30 07:59")
    assert story.notices == []
    assert story.until("2026-11-30 08:00").reasons == [(Reason.NEW_CASE, NORTH)]


# Escalation -------------------------------------------------------------------------------------------------------


def test_a_case_not_taken_in_time_is_offered_to_others_and_its_unit_stays_responsible() -> None:
    # K1e P5 H3
    story = told(region()).until("2026-11-23 09:30")
    assert story.case.escalation_level == 1
    assert story.case.responsible_unit == NORTH
    (offer,) = story.case.offers
    assert (offer.unit, offer.why, offer.since) == (SOUTH, OfferWhy.ESCALATION, local("2026-11-23 09:30"))
    assert story.reasons[-2:] == [(Reason.ESCALATED, NORTH), (Reason.OFFERED, SOUTH)]
    assert story.case.is_overdue(story.now)


def test_each_step_raises_the_level_by_one_and_offers_only_to_those_it_was_not_offered_yet() -> None:
    # K1e
    story = told(region()).until("2026-11-23 09:45")
    assert story.case.escalation_level == story.case.highest_level == 2
    assert [offer.unit for offer in story.case.offers] == [SOUTH, EAST]
    assert story.reasons.count((Reason.OFFERED, SOUTH)) == 1
    assert len({offer.offer for offer in story.case.offers}) == 2


def test_where_nobody_can_be_offered_it_the_level_rises_and_the_manager_is_told_at_once() -> None:
    # K1e R1
    story = story_of(NOTIFY, OFFER, clock="always", at="2026-11-23 19:00").after(minutes=30)
    assert story.events[-2:] == [EventName.ESCALATED, EventName.MANAGER_ALERTED]
    assert story.case.escalation_level == 1
    assert story.log[-1].detail["because"] == NOBODY_OPEN
    assert story.notices[-1].to == "manager"


def test_where_all_who_could_be_offered_it_have_been_the_manager_is_told() -> None:
    story = story_of(NOTIFY, OFFER, OFFER | {"after": "PT40M"}).after(minutes=45)
    assert story.case.escalation_level == 2
    assert story.events[-1] is EventName.MANAGER_ALERTED


def test_an_escalation_that_is_switched_off_reminds_the_own_unit_and_asks_nobody_else() -> None:
    # K1e, and the row of clauses.md about the switch: the alerts to the own unit and its manager stay
    story = story_of(NOTIFY, OFFER, ALERT, escalation={"off": [{"profession": "doctor"}]}).after(minutes=61)
    assert story.case.escalation_level == 0
    assert story.case.offers == ()
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.REMINDER, NORTH), (Reason.MANAGER_ALERT, NORTH)]
    assert story.log[2].detail["escalation_off"] is True


# K1d --------------------------------------------------------------------------------------------------------------


def test_a_profession_that_is_not_on_site_is_offered_to_those_that_cooperate_from_the_start() -> None:
    # K1d
    story = told(region(), profession="occupational_therapist")
    assert [(offer.unit, offer.why) for offer in story.case.offers] == [
        (SOUTH, OfferWhy.COVERAGE),
        (EAST, OfferWhy.COVERAGE),
    ]
    assert story.case.escalation_level == 0
    assert story.reasons == [(Reason.NEW_CASE, NORTH), (Reason.OFFERED, SOUTH), (Reason.OFFERED, EAST)]


def test_who_covers_and_is_closed_is_asked_when_it_opens() -> None:
    # K1d
    story = told(region(ladder("waiting")), at="2026-11-24 09:00", profession="occupational_therapist")
    assert [offer.unit for offer in story.case.offers] == [SOUTH]
    story.until("2026-11-25 09:00")
    assert [offer.unit for offer in story.case.offers] == [SOUTH, EAST]


def test_a_new_clock_does_not_ask_those_who_are_asked_already() -> None:
    # K1d
    story = told(region(), profession="occupational_therapist")
    told_ = len(story.notices)
    story.may("reprioritise", DOCTOR_NORTH, priority=5, reason="x")
    assert len(story.case.offers) == 2
    assert [notice.unit for notice in story.notices[told_:]] == [NORTH]


def test_an_escalation_of_what_is_covered_by_all_tells_the_manager() -> None:
    # K1d K1e
    story = told(region(ladder("waiting", NOTIFY, OFFER)), profession="occupational_therapist").after(minutes=30)
    assert story.case.escalation_level == 1
    assert story.events[-2:] == [EventName.ESCALATED, EventName.MANAGER_ALERTED]


# Several at once, and the order of time ---------------------------------------------------------------------------


def test_several_moments_that_are_due_at_once_happen_in_their_order() -> None:
    story = told(region())
    decision = tick(story.case, local("2026-11-23 10:05"))
    assert [event.event for event in decision.events] == [
        EventName.NOTIFIED, EventName.ESCALATED, EventName.OFFERED, EventName.ESCALATED, EventName.OFFERED,
        EventName.MANAGER_ALERTED,
    ]  # fmt: skip
    assert {event.at for event in decision.events} == {local("2026-11-23 10:05")}
    assert [event.seq for event in decision.events] == list(range(3, 9))


def test_a_late_tick_comes_to_the_same_case_as_timely_ones() -> None:
    timely = told(region()).until("2026-11-23 10:30")
    late = tick(told(region()).case, local("2026-11-23 10:30"))
    same = {"offers": (), "seq": 0}
    assert late.case.model_copy(update=same) == timely.case.model_copy(update=same)
    assert [offer.unit for offer in late.case.offers] == [offer.unit for offer in timely.case.offers]


def test_nothing_happens_before_its_instant_and_it_happens_at_it() -> None:
    story = told(region())
    assert tick(story.case, local("2026-11-23 09:14:59")).events == ()
    assert len(tick(story.case, local("2026-11-23 09:15")).events) == 1


def test_what_became_due_before_somebody_acted_happens_before(story: Told) -> None:
    story.until("2026-11-23 09:44:59").may("accept", DOCTOR_SOUTH)
    assert story.events[-1] is EventName.ACCEPTED
    assert story.case.highest_level == 1


def test_a_case_is_looked_at_again_when_it_becomes_overdue(story: Told) -> None:
    assert story.case.next_instant(MONDAY_9) == local("2026-11-23 09:15")
    slow = story_of(NOTIFY, {"after": "PT2H", "do": "notify"})
    assert slow.case.next_instant(MONDAY_9) == local("2026-11-23 09:30")
    assert slow.case.next_instant(local("2026-11-23 09:30")) == local("2026-11-23 11:00")


def test_a_coverage_that_comes_to_nobody_new_is_passed_and_does_not_come_again() -> None:
    # K1d
    story = told(region(), profession="occupational_therapist")
    plan = Plan(
        phase=story.case.plan.phase, since=MONDAY_9, policy=1,
        moments=(Moment(at=MONDAY_9, do="offer", units=(SOUTH,), why=OfferWhy.COVERAGE),),
    )  # fmt: skip
    course = Course(at=MONDAY_9, case=story.case.model_copy(update={"plan": plan, "done": 0}))
    pass_moments(course)
    assert course.now.done == 1
    assert course.notices == []


# After the ladder: the watch --------------------------------------------------------------------------------------


def test_alerts_repeat_as_often_as_policy_says_and_then_once_a_day_for_ever() -> None:
    # R1
    story = story_of(NOTIFY, ALERT, repeat={"every": "PT30M", "do": "alert_manager", "at_most": 2})
    story.until("2026-11-26 12:00")
    assert times(story, EventName.MANAGER_ALERTED) == [
        "Mon 10:00",
        "Mon 10:30",
        "Mon 11:00",
        "Tue 11:00",
        "Wed 11:00",
        "Thu 11:00",
    ]


def test_a_ladder_without_a_manager_comes_to_the_manager_a_day_later() -> None:
    # R1
    story = story_of(NOTIFY).after(days=1)
    assert story.reasons[-1] == (Reason.MANAGER_ALERT, NORTH)


def test_a_plan_without_moments_is_watched_from_its_beginning(story: Told) -> None:
    bare = story.case.model_copy(
        update={"plan": Plan(phase=story.case.plan.phase, since=MONDAY_9, policy=1), "done": 0}
    )
    moment = bare.next_moment()
    assert moment == Moment(at=MONDAY_9 + WATCH, do="alert_manager")


def test_a_closed_case_is_watched_no_more(story: Told) -> None:
    story.may("cancel", PATIENT, reason="x")
    assert story.case.next_moment() is None
    assert tick(story.case, story.now + timedelta(days=100)).events == ()


def silences(story: Told, days: int) -> list[timedelta]:
    """Between the instants at which something happens by itself."""
    begin = story.now
    seen = len(story.log)
    story.after(days=days)
    instants = [begin, *(event.at for event in story.log[seen:]), story.now]
    return [later - earlier for earlier, later in pairwise(instants)]


def test_a_cover_that_opens_next_week_does_not_keep_the_manager_from_being_told_meanwhile() -> None:
    # K1d R1: SOUTH has the profession and is open on Mondays only; the own ladder is over by Tuesday.
    here = region(units={"HC02": {"opening": on(("mon",), "08:00-17:00")}, "HC03": {"opening": {}, "on_call": {}}})
    story = told(here, at="2026-11-24 16:00", profession="occupational_therapist").until("2026-11-25 10:00")
    assert max(silences(story, 14)) <= WATCH


def test_a_cover_that_opens_only_after_the_holidays_covers_nothing_today() -> None:
    # K1d: open on Fridays, and the next Friday is the 25th of December.
    here = region(units={"HC02": {"opening": on(("fri",), "08:00-17:00")}, "HC03": {"cooperates_with": []}})
    story = told(here, at="2026-12-18 17:30", profession="occupational_therapist")
    covering = [moment.units for moment in story.case.plan.moments if moment.why is OfferWhy.COVERAGE]
    assert covering == [(EAST,)]
    assert max(silences(story, 20)) <= LONGEST_SILENCE


def test_a_case_at_a_unit_that_opens_once_a_week_is_not_forgotten_for_a_week() -> None:
    # R1: the on-call unit takes it and gives it back as it closes.
    weekly = region(
        WAITING | {"clock": "always"}, units={"JOUR": {"opening": on(("sat",), "10:00-18:00")}, "HC01": {"opening": {}}}
    )
    always_then_own = told(weekly, at="2026-11-28 17:00").after(minutes=46)
    own_clock = region(WAITING, units={"JOUR": {"opening": on(("sat",), "10:00-18:00")}})
    story = Told(own_clock, always_then_own.now, always_then_own.file)
    story.may("accept", DOCTOR_JOUR).until("2026-11-28 18:05").may("release", DOCTOR_JOUR, reason="vi stänger")
    assert max(silences(story, 14)) <= LONGEST_SILENCE


@pytest.mark.parametrize("since", ["2026-12-23 16:59", "2026-11-27 16:59", "2026-12-30 16:59"])
def test_a_weekend_and_a_holiday_are_no_such_silence(since: str) -> None:
    assert HOLIDAYS
    story = told(region(), at=since)
    assert all(moment.do == "notify" for moment in story.case.plan.moments[:2])


# When a notification does not arrive ------------------------------------------------------------------------------


def failing(story: Told, notice: Notice) -> Notice:
    """It fails for good; the notification that comes of it."""
    decision = undelivered(story.case, notice, "gateway answered 404", story.now)
    story.file = story.file.after(decision)
    story.notices += decision.notices
    return decision.notices[0] if decision.notices else notice


def test_what_cannot_be_delivered_goes_to_the_manager_by_phone_then_by_email_then_into_the_log(story: Told) -> None:
    # R1: never nobody, and never round and round
    by_phone = failing(story, story.notices[0])
    assert (by_phone.to, by_phone.reason, by_phone.unit) == ("manager", Reason.GATEWAY_FAILED, NORTH)
    by_email = failing(story, by_phone)
    assert (by_email.to, by_email.reason) == ("manager_by_email", Reason.GATEWAY_FAILED)
    before = len(story.notices)
    failing(story, by_email)
    assert len(story.notices) == before
    assert story.log[-1].event is EventName.NOTED
    assert story.log[-1].by is None
    assert "Nobody could be told" in story.log[-1].detail["text"]
    assert "404" in story.log[-1].detail["text"]
    assert story.events[-3:] == [EventName.MANAGER_ALERTED, EventName.MANAGER_ALERTED, EventName.NOTED]


def test_what_cannot_be_delivered_to_an_offered_unit_is_told_to_the_responsible_units_manager(story: Told) -> None:
    story.until("2026-11-23 09:30")
    to_south = next(notice for notice in story.notices if notice.unit == SOUTH)
    alert = failing(story, to_south)
    assert alert.unit == NORTH
    assert SOUTH in story.log[-1].detail["because"]
    assert "offered" in story.log[-1].detail["because"]


def test_what_cannot_be_delivered_moves_no_deadline(story: Told) -> None:
    before = story.case
    failing(story, story.notices[0])
    assert story.case == before.model_copy(update={"seq": before.seq + 1})


def test_what_cannot_be_delivered_about_a_closed_case_is_told_to_nobody(story: Told) -> None:
    story.may("cancel", PATIENT, reason="x")
    decision = undelivered(story.case, story.notices[0], "gateway answered 404", story.now)
    assert (decision.events, decision.notices) == ((), ())


def test_what_asked_for_somebody_and_came_to_nobody_is_of_no_matter_once_somebody_has_it(story: Told) -> None:
    asked = story.notices[0]
    story.may("accept", DOCTOR_NORTH)
    decision = undelivered(story.case, asked, "gateway answered 404", story.now)
    assert (decision.events, decision.notices) == ((), ())
    # It waits again: then somebody has to know that the phone is dead.
    story.may("release", DOCTOR_NORTH, reason="x")
    assert undelivered(story.case, asked, "gateway answered 404", story.now).notices


def test_an_accepted_case_whose_reminder_does_not_arrive_is_told_to_the_manager(story: Told) -> None:
    # R1
    story.may("accept", DOCTOR_NORTH).until("2026-11-23 10:30")
    assert story.notices[-1].reason is Reason.NEW_CASE
    assert failing(story, story.notices[-1]).to == "manager"


def test_it_is_offered_to_the_jour_in_the_evening_and_to_the_clinic_in_its_on_call_time() -> None:
    # P5 K5e
    evening = told(region(WAITING | {"clock": "always"}), at="2026-11-23 19:00").after(minutes=50)
    assert [offer.unit for offer in evening.case.offers] == [JOUR]
    saturday = told(region(WAITING | {"clock": "always"}), at="2026-11-28 11:00").after(minutes=50)
    assert {offer.unit for offer in saturday.case.offers} == {EAST, JOUR}
