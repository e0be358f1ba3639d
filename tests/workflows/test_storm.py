"""Everybody at once at one case: whatever comes in whatever order, its log is whole and one unit is responsible."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from stories import (
    CLERK_NORTH,
    DIRECTORY,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    EAST,
    JOUR,
    JOUR_DOCTOR,
    NORTH,
    NURSE_EAST,
    NURSE_NORTH,
    NURSE_SOUTH,
    SOUTH,
    a_member,
    a_unit,
    by,
)
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from decisions.case import Case
from decisions.lifecycle import evolve, opened, replay
from omhand.contract.events import Event
from omhand.contract.names import Code, EventName, Status

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

ACTIONS: Final = 200
AT_ONCE: Final = 10
"""As many updates as the server lets one workflow have in flight."""

SHORT_RUNS: Final = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=80")
"""The server asks for a new run after so many events in place of 4,096: the case goes on as new in mid-storm."""

POLICY: Final = """
[[ladder]]
phase = "waiting"
clock = "always"
due = "PT1S"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT0S", do = "offer", to = "cooperating", any_profession = true },
  { after = "PT1S", do = "alert_manager" },
]
repeat = { every = "PT1S", do = "alert_manager", at_most = 5 }
"""
STRANGER: Final = by("SE2321000198-S99", NORTH, "nurse")
WEST: Final = "SE2321000198-HC04"
NURSE_WEST: Final = by("SE2321000198-S8", WEST, "nurse")
DOCTOR_JOUR: Final = by(JOUR_DOCTOR, JOUR, "doctor")
UNITS: Final = (NORTH, SOUTH, EAST, WEST, JOUR)
STAFF: Final = (
    NURSE_NORTH, DOCTOR_NORTH, NURSE_SOUTH, DOCTOR_SOUTH, NURSE_EAST, NURSE_WEST, DOCTOR_JOUR, CLERK_NORTH, STRANGER,
)  # fmt: skip
FIVE_UNITS: Final = "\n".join([DIRECTORY, a_unit(WEST, '"nurse"', f'"{NORTH}"'), a_member(NURSE_WEST)])


OFTEN: Final = {
    "accept": 40, "release": 20, "hand_over": 40, "refuse": 8, "withdraw": 6, "consult": 8, "note": 8,
    "reprioritise": 8, "close": 5, "cancel": 4, "paint": 4,
}  # fmt: skip
"""How often each is tried, for its part."""


@pytest.fixture(scope="module")
async def stage(postgres_server: str) -> AsyncIterator[Stage]:
    """A stage on which three of five units may take every case from the start, and all be asked to."""
    dsn = await new_database(postgres_server, "storm")
    await load_rules(dsn, POLICY, FIVE_UNITS)
    async with staged(dsn, extra_args=SHORT_RUNS) as stage:
        yield stage


def an_action(chance: Random, view: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Something that somebody does, sensible or not; every other time by somebody whom the case concerned lately."""
    concerned = {view.get("assigned_to"), view.get("responsible_unit"), *(o["unit"] for o in view.get("offers", ()))}
    likely = [who for who in STAFF if concerned & {who["staff"], who["unit"]}]
    who = chance.choice(likely if likely and chance.random() < 0.5 else STAFF)
    name = chance.choices(tuple(OFTEN), tuple(OFTEN.values()))[0]
    if name == "release" and view.get("assigned_to"):
        who = next(each for each in STAFF if each["staff"] == view["assigned_to"])
    payload: dict[str, Any] = {"by": who}
    match name:
        case "release" | "refuse":
            payload["reason"] = "another one"
        case "note":
            payload["text"] = "x"
        case "reprioritise":
            payload |= {"priority": chance.choice((2, 3, 4, 5, 1, 99)), "reason": "so it seems"}
        case "close":
            payload |= {"outcome": "treated", "held_as": "phone"}  # never allowed for a visit (P4)
        case "cancel":
            payload["because"] = "no such key"
        case "hand_over":
            payload |= {
                "to_unit": chance.choice(UNITS),
                "ground": chance.choice(("misplaced", "misplaced", "misplaced", "agreed_practice")),
            }
        case "consult":
            payload |= {"to_unit": chance.choice(UNITS), "question": "x"}
    if chance.random() < 0.2:
        payload["action_id"] = f"again-{chance.randrange(20)}"
    return name, payload


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
async def test_two_hundred_actions_at_once_leave_a_whole_log_and_one_responsible_unit(stage: Stage, seed: int) -> None:
    chance = Random(seed)
    handle = await stage.start(f"storm-{seed}")
    gate = asyncio.Semaphore(AT_ONCE)
    refusals: Counter[str] = Counter()

    seen: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []

    async def do_something() -> None:
        async with gate:
            name, payload = an_action(chance, seen)
            tried.append(payload)
            if chance.random() < 0.5:
                await handle.signal(name, payload)
                return
            try:
                seen.update(await handle.execute_update(name, payload))
            except WorkflowUpdateFailedError as failed:
                refusals[getattr(failed.cause, "type", "") or str(failed.cause)] += 1

    run = (await handle.describe()).run_id
    await handle.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "x"})
    for _ in range(4):
        await asyncio.gather(*(do_something() for _ in range(ACTIONS // 4)))
        # When it is quiet the case goes on as new, with all that it knows.
        await until(lambda before=run: is_another_run(handle, before))
        run = (await handle.describe()).run_id
    last = await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "enough"})
    assert await handle.result() == last
    events = [Event.model_validate(event) for event in last["log"]]

    assert await stage.is_whole(f"storm-{seed}") == [event.event for event in events]
    assert set(refusals) <= set(Code)
    rejected = Counter(event.detail["code"] for event in events if event.event is EventName.REJECTED)
    assert len(refusals) > 3, "the storm has found little"
    assert refusals - rejected - Counter(repeats(tried)) == Counter(), "a refusal is not in the log"
    assert_one_unit_is_responsible_at_all_times(events)
    assert_nobody_takes_what_somebody_has(events)
    await assert_its_questions_have_ended(stage, last["consultations"])
    await assert_the_row_is_what_the_log_tells(stage, events, handle)
    await stage.settled(f"storm-{seed}")
    assert set(stage.gateway.keys(f"storm-{seed}").values()) == {1}


async def test_a_case_that_gets_nothing_but_updates_goes_on_as_new_too(stage: Stage) -> None:
    handle = await stage.start("updates-only")
    first = (await handle.describe()).run_id
    async with asyncio.timeout(20):  # takes 2 s: a long history is no reason to let staff wait
        for number in range(60):
            view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": f"{number}"})
    assert [event["seq"] for event in view["log"]] == list(range(1, len(view["log"]) + 1))
    # A run takes 2,000 updates, and then no more.
    await until(lambda: is_another_run(handle, first))
    again = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "still here"})
    assert len(again["log"]) >= len(view["log"]) + 1
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": "enough"})
    await stage.settled("updates-only")
    assert set(stage.gateway.keys("updates-only").values()) == {1}


async def is_another_run(handle: WorkflowHandle[Any, Any], before: str | None) -> bool:
    """Whether the case has gone on as new since then."""
    return (await handle.describe()).run_id != before


def repeats(tried: list[dict[str, Any]]) -> dict[str, int]:
    """An action with the id of an earlier one is answered as that was, and leaves no row: so many may be missing."""
    with_ids = [payload["action_id"] for payload in tried if "action_id" in payload]
    return dict.fromkeys(Code, len(with_ids) - len(set(with_ids)))


def assert_one_unit_is_responsible_at_all_times(events: list[Event]) -> None:
    """H3: it changes when somebody accepts, the case or a handover of it, and at no other event."""
    case = opened("storm", events[0])
    for event in events[1:]:
        after = evolve(case, event)
        assert after.responsible_unit
        if event.event in {EventName.ACCEPTED, EventName.HANDED_OVER}:
            assert event.detail["from_unit"] == case.responsible_unit
            assert after.responsible_unit == event.detail["unit"]
        else:
            assert after.responsible_unit == case.responsible_unit, event.event
        assert event.at >= events[event.seq - 2].at
        case = after


def assert_nobody_takes_what_somebody_has(events: list[Event]) -> None:
    """No two acceptances without a release between, and what is handed over goes to whoever was asked."""
    case = opened("storm", events[0])
    moves: Counter[EventName] = Counter()
    for event in events[1:]:
        match event.event:
            case EventName.ACCEPTED:
                assert case.status is Status.WAITING
            case EventName.RELEASED:
                assert case.status is Status.ACCEPTED
            case EventName.HANDED_OVER:
                assert case.handover
                assert (case.handover.to_unit, case.handover.offer) == (event.detail["unit"], event.detail["offer"])
        moves[event.event] += 1
        case = evolve(case, event)
    assert moves[EventName.ACCEPTED] + moves[EventName.HANDED_OVER] > 3, "the storm was a breeze"
    assert moves[EventName.HANDOVER_REQUESTED], "nobody has been asked to take it over"


async def assert_its_questions_have_ended(stage: Stage, consultations: list[dict[str, Any]]) -> None:
    """Every consultation lived through the case's new runs, and has ended with it: as the case says."""
    assert consultations, "nobody has asked"
    for each in consultations:
        view = await stage.client.get_workflow_handle(f"case-{each['case_id']}").result()
        assert view["outcome"] == each["status"]
        assert each["status"] in {"withdrawn", "not_needed"}


async def assert_the_row_is_what_the_log_tells(
    stage: Stage, events: list[Event], handle: WorkflowHandle[Any, Any]
) -> None:
    """The log put through the rules again gives the case that Postgres has."""
    case_id = handle.id.removeprefix("case-")
    case: Case = replay(case_id, events)
    [row] = await stage.rows("select * from omhand.cases where case_id = $1", case_id)
    same = (
        "kind", "status", "priority", "profession", "received_by", "responsible_unit", "escalation_level",
        "highest_level", "accept_by", "was_late", "opened_at", "accepted_at", "accepted_by_unit", "closed_at",
        "outcome", "seq",
    )  # fmt: skip
    assert {name: row[name] for name in same} == {name: getattr(case, name) for name in same}
    assert row["assigned_to"] == (case.holder.staff if case.holder else None)
    assert (case.status, row["due_at"]) == (Status.CLOSED, None)
    stored = await stage.log(case_id)
    assert [(each["at"], each["event"]) for each in stored] == [(event.at, event.event) for event in events]
    open_offers = await stage.rows("select * from omhand.offers where case_id = $1", case_id)
    assert open_offers == []
