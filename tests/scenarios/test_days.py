"""Stories in which hours and days pass, each case on a clock of its own that is wound forward on the real server.

What the views compute by the database's own clock is told with seconds of real time.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from omhand.codec import data_converter
from workers.embedded import TemporalServer
from workers.settings import Settings
from workers.worker import serving

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from days import (
    DOCTOR_JOUR,
    HOUR,
    MINUTE,
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
from stage import load_rules, new_database, staged, until
from stories import (
    EAST,
    JOUR,
    JOUR_DOCTOR,
    NORTH,
    NURSE,
    NURSE_NORTH,
    NURSE_SOUTH,
    POLICY,
    SOUTH,
    refusal_of,
)

CLOSE: Final = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"}
URGENT: Final = """
[[ladder]]
phase = "waiting"
priority = [2]
clock = "opening_hours"
due = "PT10M"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT5M", do = "notify" },
  { after = "PT10M", do = "offer", to = "cooperating" },
]

[[ladder]]
phase = "waiting"
priority = [5]
clock = "always"
due = "PT2S"
steps = [{ after = "PT0S", do = "notify" }, { after = "PT1H", do = "notify" }]

[[ladder]]
phase = "waiting"
priority = [4]
clock = "always"
due = "PT2S"
steps = [{ after = "PT0S", do = "notify" }, { after = "PT2S", do = "offer", to = "on_call", any_profession = true }]
"""


NO_CLOSING: Final = "[closing]\nkinds = []\n"
"""What happens at closing time is told elsewhere."""

RULES: Final = URGENT + POLICY + NO_CLOSING


@pytest.fixture(scope="module")
async def days(postgres_server: str, temporal_server: TemporalServer) -> AsyncIterator[Days]:
    """The stage."""
    dsn = await new_database(postgres_server, "days")
    await load_rules(dsn, RULES, region())
    async with staged(dsn, temporal=temporal_server) as stage:
        yield Days(stage, TimeSkipper(stage.client, config=TimeSkippingConfig(max_session_skip_count=5000)))


# Opening hours


async def test_over_lunch_nothing_happens_and_the_clock_stands_still(days: Days) -> None:  # K5d
    day = first(1)
    case = await days.place("lunch", at(day, "11:50"))
    view = await case.view()
    assert happened(view) == ["opened", "notified"]
    assert_at(view["due_at"], at(day, "13:20"))
    assert happened(await case.until(at(day, "13:04"))) == ["opened", "notified"]
    view = await case.until(at(day, "13:06"))
    assert_at(instants_of(view, "notified")[1], at(day, "13:05"))
    assert not (await case.until(at(day, "13:19")))["overdue"]
    view = await case.until(at(day, "13:21"))
    assert view["overdue"]
    assert_at(instants_of(view, "escalated")[0], at(day, "13:20"))
    # East closed at noon: only who is open then is offered the case (K1e).
    assert [offer["unit"] for offer in view["offers"]] == [SOUTH]


async def test_what_comes_on_friday_afternoon_goes_on_on_monday(days: Days) -> None:
    friday = first(4)
    monday = friday + timedelta(days=3)
    case = await days.place("friday", at(friday, "16:50"))
    assert happened(await case.until(at(monday, "07:59"))) == ["opened", "notified"]
    view = await case.until(at(monday, "08:06"))
    assert_at(instants_of(view, "notified")[1], at(monday, "08:05"))
    view = await case.until(at(monday, "08:21"))
    assert view["overdue"]
    assert_at(instants_of(view, "escalated")[0], at(monday, "08:20"))


async def test_what_comes_in_the_evening_is_announced_when_the_unit_opens(days: Days) -> None:  # K1f
    evening = first(2)
    case = await days.place("evening", at(evening, "21:00"))
    assert happened(await case.view()) == ["opened"]
    view = await case.until(at(evening + timedelta(days=1), "08:01"))
    assert_at(instants_of(view, "notified")[0], at(evening + timedelta(days=1), "08:00"))
    assert_at(view["due_at"], at(evening + timedelta(days=1), "08:30"))


async def test_what_comes_the_day_before_julafton_waits_over_the_holidays(days: Days) -> None:
    before = to_weekday(date(next_year(), 12, 23), -1)
    after = to_weekday(date(next_year(), 12, 27), 1)
    case = await days.place("jul", at(before, "16:50"))
    view = await case.until(at(after, "07:59"))
    assert happened(view) == ["opened", "notified"]
    assert_at(view["due_at"], at(after, "08:20"))
    view = await case.until(at(after, "08:21"))
    assert_at(instants_of(view, "escalated")[0], at(after, "08:20"))


async def test_in_the_night_that_clocks_go_forward_thirty_minutes_are_thirty_minutes(days: Days) -> None:
    night = last_sunday(3)
    case = await days.place("forward", at(night, "01:50"), unit=NIGHT)
    assert_at((await case.view())["due_at"], at(night, "03:20"))
    view = await case.until(at(night, "01:50") + 31 * MINUTE)
    assert view["overdue"]
    assert_at(instants_of(view, "escalated")[0], at(night, "03:20"))


async def test_in_the_night_that_clocks_go_back_the_hour_counts_twice(days: Days) -> None:
    night = last_sunday(10)
    case = await days.place("back", at(night, "02:50"), unit=NIGHT)
    assert_at((await case.view())["due_at"], at(night, "02:20", fold=1))
    assert not (await case.until(at(night, "02:50") + 29 * MINUTE))["overdue"]
    assert (await case.until(at(night, "02:21", fold=1)))["overdue"]


async def test_on_call_time_runs_over_midnight_and_stands_still_by_day(days: Days) -> None:  # K5e
    day = first(3)
    late = await days.place("midnight", at(day, "23:50"), unit=NIGHT)
    assert_at((await late.view())["due_at"], at(day + timedelta(days=1), "00:20"))
    early = await days.place("morning", at(day, "05:50"), unit=NIGHT)
    assert_at((await early.view())["due_at"], at(day, "20:20"))
    assert happened(await early.until(at(day, "19:59"))) == ["opened", "notified"]
    assert (await early.until(at(day, "20:21")))["overdue"]


# The ladder


async def test_the_whole_ladder_is_climbed_and_then_the_manager_is_told_every_day(days: Days) -> None:  # K1e K1f P5 R1
    day = first(1)
    case = await days.place("ladder", at(day, "09:00"))
    await case.until(at(day, "09:31"))
    view = await case.until(at(day, "09:46"))
    assert [(offer["unit"], offer["why"]) for offer in view["offers"]] == [
        (SOUTH, "escalation"),
        (EAST, "escalation"),
        (JOUR, "escalation"),  # has doctors only: any profession may help by now
    ]
    assert (view["escalation_level"], view["responsible_unit"], view["status"]) == (2, NORTH, "waiting")
    view = await case.until(at(day, "16:59"))
    events = [
        "opened",
        "notified",
        "notified",
        "escalated",
        "offered",
        "escalated",
        "offered",
        *["manager_alerted"] * 4,
    ]
    assert happened(view) == events, "the repeats are bounded"
    for alerted, clock in zip(instants_of(view, "manager_alerted"), ("10:00", "10:15", "10:30", "10:45"), strict=True):
        assert_at(alerted, at(day, clock))
    # An open case never falls silent: the watch tells the manager once a day, weekends too.
    view = await case.until(at(day, "10:44") + timedelta(days=7))
    assert happened(view) == [*events, *["manager_alerted"] * 6]
    for number, alerted in enumerate(instants_of(view, "manager_alerted")[4:], 1):
        assert_at(alerted, at(day, "10:45") + timedelta(days=number))
    gateway = days.stage.gateway
    assert Counter(gateway.reasons("ladder")) == {
        "new_case": 1, "reminder": 1, "escalated": 2, "offered": 3, "manager_alert": 10,
    }  # fmt: skip
    told = {(call["reason"], call["recipient"]) for call in gateway.calls if call["case_id"] == "ladder"}
    assert told == {
        ("new_case", "+46701740601"), ("reminder", "+46701740601"), ("escalated", "+46701740601"),
        ("offered", "+46701740602"), ("offered", "+46701740603"), ("offered", "+46701740609"),
        ("manager_alert", "+46701740701"),
    }  # fmt: skip
    assert set(gateway.keys("ladder").values()) == {1}


async def test_responsibility_moves_when_another_unit_accepts_and_not_before(days: Days) -> None:  # H3 P5
    day = first(1)
    case = await days.place("moves", at(day, "09:00"))
    assert (await refusal_of(case.handle, "accept", {"by": NURSE_SOUTH})).type == "NotOffered"
    view = await case.until(at(day, "09:50"))
    assert view["responsible_unit"] == NORTH
    [offer] = [offer for offer in view["offers"] if offer["unit"] == JOUR]
    view = await case.act("accept", by=DOCTOR_JOUR, offer=offer["offer"])
    assert (view["responsible_unit"], view["assigned_to"], view["offers"]) == (JOUR, JOUR_DOCTOR, [])
    assert (view["escalation_level"], view["log"][-1]["detail"]["substituted"]) == (2, True)
    assert (await refusal_of(case.handle, "accept", {"by": NURSE_NORTH})).type == "AlreadyAccepted"
    assert (await refusal_of(case.handle, "close", CLOSE)).type == "NotResponsible"
    # The clock is now the new unit's, and no alert of the old ladder comes any more.
    view = await case.until(at(day, "13:49"))
    assert "manager_alerted" not in happened(view)
    view = await case.act("close", **CLOSE | {"by": DOCTOR_JOUR})
    assert await case.handle.result() == view


async def test_an_accepted_case_that_nobody_closes_alerts_its_manager_again_and_again(days: Days) -> None:  # R1
    day = first(1)
    case = await days.place("unclosed", at(day, "09:00"))
    await case.until(at(day, "09:05"))
    view = await case.act("accept", by=NURSE_NORTH)
    due = datetime.fromisoformat(view["log"][-1]["at"]) + 5 * HOUR  # 4 hours, and lunch
    assert datetime.fromisoformat(view["due_at"]) == due
    view = await case.until(at(day, "14:04"))
    assert ("manager_alerted" in happened(view), view["overdue"]) == (False, False)
    view = await case.until(at(day, "14:06"))
    assert_at(instants_of(view, "manager_alerted")[0], due)
    assert (view["overdue"], view["offers"], view["status"]) == (True, [], "accepted")
    view = await case.until(due + timedelta(days=3, minutes=1))
    for number, alerted in enumerate(instants_of(view, "manager_alerted")):
        assert_at(alerted, due + timedelta(days=number))
    assert happened(view).count("manager_alerted") == 4


async def test_a_released_case_waits_anew_with_a_clock_of_its_own(days: Days) -> None:
    day = first(1)
    case = await days.place("released", at(day, "09:00"))
    await case.until(at(day, "09:35"))
    await case.act("accept", by=NURSE_NORTH)
    await case.until(at(day, "10:00"))
    view = await case.act("release", by=NURSE_NORTH, reason="called away")
    released = datetime.fromisoformat(instants_of(view, "released")[0])
    assert (view["status"], view["escalation_level"], view["assigned_to"]) == ("waiting", 0, None)
    assert datetime.fromisoformat(view["due_at"]) == released + 30 * MINUTE
    assert happened(view)[-1] == "notified", "the unit is told at once"
    assert (await refusal_of(case.handle, "accept", {"by": NURSE_SOUTH})).type == "NotOffered"
    view = await case.until(at(day, "10:29"))
    assert (view["overdue"], view["offers"]) == (False, [])
    view = await case.until(at(day, "10:31"))
    assert (view["overdue"], view["escalation_level"]) == (True, 1)
    assert (await case.act("accept", by=NURSE_SOUTH))["responsible_unit"] == SOUTH


async def test_another_priority_starts_another_ladder_from_now(days: Days) -> None:
    day = first(1)
    case = await days.place("worse", at(day, "09:00"))
    await case.until(at(day, "09:20"))
    view = await case.act("reprioritise", by=NURSE_NORTH, priority=2, reason="worse than it sounded")
    now = datetime.fromisoformat(instants_of(view, "reprioritised")[0])
    assert datetime.fromisoformat(view["due_at"]) == now + 10 * MINUTE
    view = await case.until(at(day, "09:31"))
    assert view["overdue"]
    assert_at(instants_of(view, "escalated")[0], now + 10 * MINUTE)
    # Nothing of the old ladder happens: its first offer would have come at 09:30, before this one.
    assert happened(view).count("escalated") == 1
    assert happened(view) == [
        "opened",
        "notified",
        "notified",
        "reprioritised",
        "notified",
        "notified",
        "escalated",
        "offered",
    ]


# Time decides


async def test_a_case_becomes_overdue_at_its_instant_with_nobody_acting(days: Days) -> None:
    stage = days.stage
    handle = await stage.start("overdue", priority=5)
    opened = await until(lambda: stage.rows("select * from omhand.worklist where case_id = 'overdue'"))
    assert [row["overdue"] for row in opened] == [False]
    [row] = await until(
        lambda: stage.rows("select *, now() as now from omhand.worklist where case_id = 'overdue' and overdue")
    )
    assert_at(row["now"], row["due_at"])

    async def is_listed() -> datetime | None:
        query = "WorkflowId = 'case-overdue' AND Overdue = true"
        return datetime.now(UTC) if [each async for each in stage.client.list_workflows(query)] else None

    assert_at(await until(is_listed), row["due_at"])
    view = await handle.query("view")
    assert view["overdue"]
    assert happened(view) == ["opened", "notified"], "being overdue is no event"
    view = await handle.execute_update("accept", {"by": NURSE_NORTH})
    assert view["overdue"] is False, "what was due has been done"
    times = await stage.rows("select in_time from omhand.handling_times where case_id = 'overdue'")
    assert times == [{"in_time": False}]


async def test_an_acceptance_in_the_very_task_of_a_deadline_comes_after_it(
    postgres_server: str, temporal_server: TemporalServer
) -> None:
    dsn = await new_database(postgres_server, "same_task")
    await load_rules(dsn, RULES, region())
    async with staged(dsn, temporal=temporal_server, served=False) as stage:
        worker = await stage.connect(data_converter=data_converter(None))
        settings = Settings(database_url=dsn, gateway_url=stage.gateway.url, notices_per_second=1000.0)
        async with serving(worker, settings):
            cases = {case_id: await stage.start(case_id, priority=4) for case_id in ("others", "own")}
            for case_id in cases:
                await until(lambda case_id=case_id: stage.log(case_id))
                await stage.settled(case_id)
        # Nobody serves: the timer fires, and then somebody accepts. Both wait for the one next task.
        for handle in cases.values():
            await until(lambda handle=handle: timer_has_fired(handle))
        await cases["others"].signal("accept", {"by": DOCTOR_JOUR})
        await cases["own"].signal("accept", {"by": NURSE_NORTH})
        async with serving(worker, settings):
            others = await cases["others"].execute_update("note", {"by": DOCTOR_JOUR, "text": "x"})
            own = await cases["own"].execute_update("note", {"by": NURSE_NORTH, "text": "x"})
        for view, unit in ((others, JOUR), (own, NORTH)):
            assert happened(view) == ["opened", "notified", "escalated", "offered", "accepted", "noted"]
            assert view["responsible_unit"] == unit
            assert view["log"][2]["at"] <= view["log"][4]["at"]


async def timer_has_fired(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether a timer of the case has fired."""
    events = (await handle.fetch_history()).events
    return any(event.HasField("timer_fired_event_attributes") for event in events)


# New rules


@pytest.fixture
async def old_rules_again(days: Days) -> AsyncIterator[None]:
    """What the test loads is not for the others."""
    yield
    await load_rules(days.stage.dsn, RULES, region())


@pytest.mark.usefixtures("old_rules_again")
async def test_a_new_policy_does_not_move_the_instants_of_a_case_that_runs(days: Days) -> None:  # contract §7
    day = first(1)
    case = await days.place("old-policy", at(day, "09:00"))
    plan = (await case.view())["log"][0]["detail"]["plan"]
    await load_rules(days.stage.dsn, POLICY.replace("PT30M", "PT20M") + NO_CLOSING, region())
    newer = await days.place("new-policy", at(day, "09:00"))
    assert_at((await newer.view())["due_at"], at(day, "09:20"))
    view = await case.until(at(day, "09:29"))
    assert (view["overdue"], view["offers"]) == (False, [])
    view = await case.until(at(day, "09:31"))
    assert_at(instants_of(view, "escalated")[0], datetime.fromisoformat(plan["due_at"]))
    # A phase that begins later is planned by the policy of the opening, too.
    await case.act("accept", by=NURSE_NORTH)
    view = await case.act("release", by=NURSE_NORTH, reason="called away")
    released = datetime.fromisoformat(instants_of(view, "released")[0])
    assert datetime.fromisoformat(view["due_at"]) == released + 30 * MINUTE
    assert view["log"][-2]["detail"]["plan"]["policy"] == plan["policy"]


@pytest.mark.usefixtures("old_rules_again")
async def test_a_new_directory_counts_from_the_next_action_and_the_next_call(days: Days) -> None:
    day = first(1)
    case = await days.place("directory", at(day, "09:00"))
    assert (await case.act("accept", by=NURSE_NORTH))["status"] == "accepted"
    await case.act("release", by=NURSE_NORTH, reason="leaving for good")
    await load_rules(days.stage.dsn, RULES, region("+46701740699", without=NURSE))
    # Who has left may not act any more, and the unit's new phone is the one that rings.
    refusal = await refusal_of(case.handle, "accept", {"by": NURSE_NORTH})
    assert refusal.type == "UnknownStaff"
    await case.until(at(day, "09:20"))
    calls = [call for call in days.stage.gateway.calls if call["case_id"] == "directory"]
    assert [(call["reason"], call["recipient"]) for call in calls][-1] == ("reminder", "+46701740699")
    assert {call["recipient"] for call in calls[:-1]} == {"+46701740601"}


async def test_many_cases_wait_at_once_each_on_its_own_clock(days: Days) -> None:
    day = first(1)
    clocks = ("08:00", "09:10", "11:59", "12:00", "12:30", "16:59", "17:00", "23:00")
    placed = await asyncio.gather(
        *(days.place(f"clock-{number}", at(day, clock)) for number, clock in enumerate(clocks))
    )
    views = await asyncio.gather(*(case.view() for case in placed))
    due = ("08:30", "09:40", "13:29", "13:30", "13:30")
    for view, clock in zip(views, due, strict=False):
        assert_at(view["due_at"], at(day, clock))
    tomorrow = day + timedelta(days=1)
    for view, clock in zip(views[5:], ("08:29", "08:30", "08:30"), strict=True):
        assert_at(view["due_at"], at(tomorrow, clock))
