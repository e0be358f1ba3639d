"""Stories of handovers, 1177 by phone and closing time over hours and days, on the real server's own clocks."""

import sys
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from workers.embedded import TemporalServer

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from days import (
    DOCTOR_JOUR,
    NIGHT,
    Days,
    assert_at,
    at,
    first,
    happened,
    instants_of,
    last_sunday,
    next_year,
    region,
    to_weekday,
)
from stage import load_rules, new_database, staged
from stories import JOUR, NORTH, NURSE_NORTH, NURSE_SOUTH, POLICY, SOUTH, refusal_of

TO_SOUTH: Final = {"by": NURSE_NORTH, "to_unit": SOUTH, "ground": "misplaced"}
PHONE: Final[dict[str, Any]] = {
    "workflow_type": "PhoneConsultation",
    "origin": "1177_phone",
    "level": "physical",
    "profession": "doctor",
}


@pytest.fixture(scope="module")
async def days(postgres_server: str, temporal_server: TemporalServer) -> AsyncIterator[Days]:
    """A stage on which units close as the routine asks."""
    dsn = await new_database(postgres_server, "moving_days")
    await load_rules(dsn, POLICY, region())
    async with staged(dsn, temporal=temporal_server) as stage:
        yield Days(stage, TimeSkipper(stage.client, config=TimeSkippingConfig(max_session_skip_count=5000)))


def told(days: Days, case_id: str) -> list[tuple[str, str]]:
    """Who was called, and why."""
    calls = [call for call in days.stage.gateway.calls if call["case_id"] == case_id]
    return [(call["reason"], call["recipient"]) for call in calls]


def noted(view: dict[str, Any], reason: str) -> list[tuple[str, str]]:
    """Whom the log says to have been told for this reason, and when."""
    return [(row["detail"]["unit"], row["at"]) for row in view["log"] if row["detail"].get("reason") == reason]


# Handover


async def test_a_handover_crosses_a_weekend_and_the_sender_is_responsible_all_the_while(days: Days) -> None:  # H3 H4
    friday = first(4)
    monday = friday + timedelta(days=3)
    case = await days.place("weekend", at(friday, "16:30"))
    await case.until(at(friday, "16:40"))
    await case.act("accept", by=NURSE_NORTH)
    await case.until(at(friday, "16:50"))
    pending = await case.act("hand_over", **TO_SOUTH)
    # Ten minutes of Friday and twenty of Monday, by the receiver's hours.
    assert_at(pending["handover"]["answer_by"], at(monday, "08:20"))
    assert_at(noted(pending, "handover_requested")[0][1], at(friday, "16:50"))
    for instant in (at(friday, "23:00"), at(friday + timedelta(days=2), "12:00"), at(monday, "07:59")):
        view = await case.until(instant)
        assert (view["responsible_unit"], view["assigned_to"], view["status"]) == (
            NORTH, NURSE_NORTH["staff"], "accepted",
        )  # fmt: skip
    view = await case.until(at(monday, "08:21"))
    [reminded, told_sender] = noted(view, "handover_unanswered")
    assert (reminded[0], told_sender[0]) == (SOUTH, NORTH)
    assert_at(reminded[1], at(monday, "08:05"))
    assert_at(told_sender[1], at(monday, "08:20"))
    [(unit, alerted)] = noted(view, "manager_alert")
    assert unit == SOUTH, "it is the receiver who does not answer"
    assert_at(alerted, at(monday, "08:20"))
    taken = await case.act("accept", by=NURSE_SOUTH)
    assert (taken["responsible_unit"], taken["handover"]) == (SOUTH, None)
    moved = [row["event"] for row in taken["log"] if row["event"] in {"accepted", "handed_over"}]
    assert moved == ["accepted", "handed_over"]
    # The receiver's own clock runs from here, and nothing of the handover's comes any more.
    later = await case.until(at(monday, "12:00"))
    assert noted(later, "handover_unanswered") == noted(view, "handover_unanswered")


async def test_the_cases_own_clock_and_its_escalation_go_on_beside_a_pending_handover(days: Days) -> None:  # H3 K1e
    day = first(1)
    case = await days.place("beside", at(day, "09:00"))
    await case.until(at(day, "09:25"))
    await case.act("hand_over", **TO_SOUTH)
    view = await case.until(at(day, "09:31"))
    assert_at(view["due_at"], at(day, "09:30"))
    assert (view["overdue"], view["escalation_level"], view["responsible_unit"]) == (True, 1, NORTH)
    assert {(offer["unit"], offer["why"]) for offer in view["offers"]} >= {
        (SOUTH, "handover"), (SOUTH, "escalation"),
    }  # fmt: skip
    # The own unit takes it after all: the handover goes with that, and the receiver, who was rung, is told.
    view = await case.act("accept", by=NURSE_NORTH)
    assert (view["responsible_unit"], view["handover"], view["offers"]) == (NORTH, None, [])
    assert happened(view)[-3:] == ["handover_withdrawn", "notified", "accepted"]
    await days.stage.gateway.until(lambda: ("handover_withdrawn", "+46701740602") in told(days, "beside"))
    assert (await refusal_of(case.handle, "accept", {"by": NURSE_SOUTH})).type == "AlreadyAccepted"


async def test_a_closed_receiver_is_asked_when_it_opens(days: Days) -> None:  # H4
    day = first(1)
    case = await days.place("asked-at-night", at(day, "16:55"))
    await case.act("accept", by=NURSE_NORTH)
    await case.until(at(day, "17:30"))
    pending = await case.act("hand_over", **TO_SOUTH)
    tomorrow = day + timedelta(days=1)
    assert_at(pending["handover"]["answer_by"], at(tomorrow, "08:30"))
    assert noted(await case.until(at(tomorrow, "07:59")), "handover_requested") == []
    view = await case.until(at(tomorrow, "08:01"))
    assert_at(noted(view, "handover_requested")[0][1], at(tomorrow, "08:00"))


# 1177 by phone


async def test_what_1177_sends_in_the_evening_waits_for_the_unit_and_the_jour_may_take_it(days: Days) -> None:
    # K5b K5d K5e
    evening = first(2)
    case = await days.place("1177-evening", at(evening, "21:00"), **PHONE)
    view = await case.view()
    assert_at(view["due_at"], at(evening + timedelta(days=1), "08:30"))
    assert (view["responsible_unit"], happened(view)) == (NORTH, ["opened", "offered"])
    assert [(offer["unit"], offer["why"]) for offer in view["offers"]] == [(JOUR, "on_call")]
    refusal = await refusal_of(case.handle, "refuse", {"by": NURSE_NORTH, "reason": "inte vår"})
    assert refusal.type == "MayNotBeRefused"
    await case.handle.signal("refuse", {"by": NURSE_NORTH, "reason": "inte vår"})
    view = await case.act("note", by=NURSE_NORTH, text="x")
    tried = [row for row in view["log"] if row["event"] == "rejected"]
    assert [row["detail"]["code"] for row in tried] == ["MayNotBeRefused"] * 2
    assert {row["by"]["staff"] for row in tried} == {NURSE_NORTH["staff"]}
    view = await case.act("accept", by=DOCTOR_JOUR)
    assert view["responsible_unit"] == JOUR
    closed = await case.act("close", by=DOCTOR_JOUR, outcome="treated", held_as="phone")
    assert closed["status"] == "closed"


async def test_a_misplaced_consultation_of_1177_is_handed_over_and_still_needs_acceptance(days: Days) -> None:  # K5b
    day = first(1)
    case = await days.place("1177-misplaced", at(day, "10:00"), **PHONE | {"profession": "nurse"})
    await case.act("hand_over", **TO_SOUTH)
    view = await case.act("refuse", by=NURSE_SOUTH, reason="patienten är listad hos er")
    assert (view["responsible_unit"], view["handover"], view["status"]) == (NORTH, None, "waiting")
    await case.act("hand_over", **TO_SOUTH)
    assert (await case.act("accept", by=NURSE_SOUTH))["responsible_unit"] == SOUTH


# Closing time


async def test_on_friday_afternoon_before_a_holiday_nothing_is_left_in_silence(days: Days) -> None:  # P6
    before = to_weekday(date(next_year(), 12, 23), -1)
    case = await days.place("closing", at(before, "16:20"), profession="doctor")
    view = await case.until(at(before, "16:31"))
    assert_at(noted(view, "closing_soon")[0][1], at(before, "16:30"))
    view = await case.until(at(before, "16:59"))
    assert "left_at_closing" not in happened(view)
    view = await case.until(at(before, "17:01"))
    assert_at(instants_of(view, "left_at_closing")[0], at(before, "17:00"))
    assert noted(view, "left_at_closing")[0][0] == NORTH
    # South has closed as well; the digital on-call doctor has not.
    closing = [(offer["unit"], offer["why"]) for offer in view["offers"] if offer["why"] == "closing"]
    assert closing == [(JOUR, "closing")]
    assert (view["responsible_unit"], view["status"]) == (NORTH, "waiting")
    await days.stage.gateway.until(lambda: ("left_at_closing", "+46701740701") in told(days, "closing"))
    view = await case.act("accept", by=DOCTOR_JOUR)
    assert (view["responsible_unit"], view["log"][-1]["detail"]["offer"]) != (NORTH, None)


async def test_lunch_is_no_closing_and_what_somebody_has_is_not_left(days: Days) -> None:  # P6
    day = first(1)
    waiting = await days.place("over-lunch", at(day, "11:45"))
    taken = await days.place("taken-in-time", at(day, "16:00"))
    await taken.act("accept", by=NURSE_NORTH)
    lunch = await waiting.until(at(day, "13:01"))
    assert (noted(lunch, "closing_soon"), "left_at_closing" in happened(lunch)) == ([], False)
    assert "left_at_closing" not in happened(await taken.until(at(day, "17:30")))


@pytest.mark.parametrize(("month", "arrives"), [(3, "01:50"), (10, "02:30")])
async def test_in_the_nights_that_clocks_change_the_clinic_closes_at_its_time(
    days: Days, month: int, arrives: str
) -> None:  # P6 K5e
    night = last_sunday(month)
    changes = PHONE | {"unit": NIGHT, "profession": "nurse"}
    case = await days.place(f"1177-{month}", at(night, arrives), **changes)
    view = await case.until(at(night, "06:01"))
    assert_at(noted(view, "closing_soon")[0][1], at(night, "05:30"))
    assert_at(instants_of(view, "left_at_closing")[0], at(night, "06:00"))
