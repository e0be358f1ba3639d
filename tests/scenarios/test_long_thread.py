"""A thread in which a patient and a unit write for months: nothing lost, nothing unanswered in silence (K6).

Each week the patient writes on Monday morning and is answered at once, writes again, and gets no answer until Thursday,
long after it was due. `make soak` plays a year of it, with 5,000 messages; the ordinary test plays less, on a server
that asks for new runs sooner.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper, TimeSkippingConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from days import Days, Placed, at, first, region
from stage import VIRTUAL_TIME, load_rules, new_database, staged, until
from stories import NURSE_NORTH, POLICY

LADDER: Final = """
[[ladder]]
phase = "message"
clock = "opening_hours"
due = "PT4H"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT2H", do = "notify" },
  { after = "PT4H", do = "alert_manager" },
]
repeat = { every = "PT8H", do = "alert_manager", at_most = 2 }
"""
REPLY: Final = {"by": NURSE_NORTH, "text": "Vila, och hör av dig igen."}
SOON_NEW: Final = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=250")
"""A new run after so many events, in place of 4,096."""
MOST_BYTES: Final = 1_100_000


@asynccontextmanager
async def a_stage(postgres_server: str, name: str, *extra_args: str) -> AsyncIterator[Days]:
    """Servers on which a thread has its own time."""
    async with AsyncExitStack() as resources:
        dsn = await new_database(postgres_server, name)
        await load_rules(dsn, LADDER + POLICY, region())
        stage = await resources.enter_async_context(staged(dsn, extra_args=(*VIRTUAL_TIME, *extra_args)))
        yield Days(stage, TimeSkipper(stage.client, config=TimeSkippingConfig(max_session_skip_count=50_000)))


async def written(days: Days, thread: Placed, before: int, number: int) -> int:
    """The patient writes so many messages more, and they have been recorded; how many there are then."""
    for index in range(before, before + number):
        await thread.handle.signal("message", a_message(index))

    async def all_are_there() -> bool:
        rows = await days.stage.rows(
            "select count(*) as n from omhand.case_log where case_id = 'year' and event = 'message'"
        )
        return bool(rows[0]["n"] == before + number)

    await until(all_are_there, 60)
    return before + number


def a_message(index: int) -> dict[str, Any]:
    return {"by": {"patient": True}, "text": f"meddelande {index}: " + "det gör ont " * 5, "action_id": f"m-{index}"}


async def wound(thread: Placed, *instant: Any) -> dict[str, Any]:
    """The thread at that instant, or now. A run that has just begun cannot be asked at once."""

    async def asked() -> dict[str, Any] | None:
        with suppress(RPCError):
            return await thread.view()
        return None

    for goal in instant:
        ahead = goal - await thread.skipper.get_current_time(thread.handle)
        assert await thread.skipper.fast_forward(thread.handle, ahead)
    view: dict[str, Any] = await until(asked)
    return view


async def write_for(days: Days, weeks: int, a_time: int) -> Placed:
    """So many weeks of a thread in which the patient writes ``a_time`` messages, twice a week."""
    monday = first(0)
    begun = {"origin": "unit", "asked_by": NURSE_NORTH, "priority": None, "to": {"relation": "unit_chat"}}
    thread = await days.place("year", at(monday, "08:30"), "MessageThread", **begun)
    messages = 0
    for week in range(weeks):
        day = monday + timedelta(weeks=week)
        await wound(thread, at(day, "09:00"))
        messages = await written(days, thread, messages, a_time)
        await thread.act("reply", **REPLY)
        messages = await written(days, thread, messages, a_time)
        await wound(thread, at(day + timedelta(days=3), "10:00"))
        await thread.act("reply", **REPLY)
    return thread


async def is_kept(days: Days, thread: Placed, messages: int) -> None:
    """Every message once and in order, no gap in the log, an alarm wherever an answer was late, views that fit."""
    rows = await days.stage.log("year")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    texts = [json.loads(row["detail"])["text"] for row in rows if row["event"] == "message"]
    assert texts == [a_message(index)["text"] for index in range(messages)]
    waits, alarmed, late = None, False, 0
    for row in rows:
        if row["event"] == "message" and waits is None:
            waits, alarmed = row["at"], False
        elif row["event"] == "manager_alerted":
            alarmed = True
        elif row["event"] == "replied" and waits:
            is_late = row["at"] - waits > timedelta(hours=6)
            assert alarmed == is_late, row
            waits, late = None, late + is_late
    view = await wound(thread)
    assert (view["status"], view["earlier_events"] + len(view["log"])) == ("idle", len(rows))
    assert view["log"][-1]["seq"] == len(rows)
    assert len(str(view)) < MOST_BYTES
    assert late == [row["event"] for row in rows].count("replied") / 2


async def runs_of(thread: Placed) -> list[int]:
    """How long the history of each of its runs is."""
    query = f"WorkflowId = '{thread.handle.id}'"
    return [run.history_length async for run in thread.handle._client.list_workflows(query)]


async def test_a_thread_goes_on_over_new_runs_and_loses_nothing(postgres_server: str) -> None:  # K6a
    async with a_stage(postgres_server, "thread", *SOON_NEW) as days:
        thread = await write_for(days, weeks=4, a_time=15)
        await is_kept(days, thread, 120)
        lengths = await runs_of(thread)
        assert len(lengths) >= 3
        assert max(lengths) < 1_000
        # What is sent again, runs later, is known.
        await thread.act("message", **a_message(0))
        await is_kept(days, thread, 120)


@pytest.mark.soak
async def test_a_year_of_five_thousand_messages_is_kept(postgres_server: str) -> None:  # K6a
    async with a_stage(postgres_server, "year") as days:
        thread = await write_for(days, weeks=52, a_time=49)
        await is_kept(days, thread, 52 * 2 * 49)
        lengths = await runs_of(thread)
        assert len(lengths) >= 3
        assert max(lengths) < 8_000
        await thread.act("message", **a_message(0))
        await is_kept(days, thread, 52 * 2 * 49)
