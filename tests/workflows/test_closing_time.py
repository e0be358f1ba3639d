"""The closing check on real servers (P6): what is in Postgres and not in Temporal, or the other way, is an alarm."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stories import ALWAYS, DIRECTORY, NORTH, NURSE_NORTH, NURSE_SOUTH, SOUTH, failure_of, opening, refusal_of
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from activities.directory import Rules
from activities.postgres.pool import open_pool
from activities.records import Records
from activities.slots import publish
from decisions.decide import open_case
from decisions.errands import OpeningQuestion, Step
from omhand.contract.directory import Slot
from omhand.contract.names import Kind
from omhand.contract.opening import Opening
from workers.embedded import TemporalServer

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, pending_activities, staged, until

UNITS = "".join(
    f"""
[[unit]]
id = "SE2321000198-{name}"
name = "Stängningsenhet {name}"
kind = "clinic"
opening = {{ {ALWAYS} }}
phone = "+46701741001"
manager = {{ name = "Chef", {manager} }}
professions = ["nurse"]
"""
    for name, manager in {
        "BOTH1": 'phone = "+46701741101", email = "both1@example.org"',
        "BOTH2": 'phone = "+46701741102", email = "both2@example.org"',
        "BOTH3": 'phone = "+46701741103", email = "both3@example.org"',
        "BOTH4": 'phone = "+46701741104", email = "both4@example.org"',
        "BOTH5": 'phone = "+46701741105", email = "both5@example.org"',
        "BOTH6": 'phone = "+46701741107", email = "both6@example.org"',
        "BOTH7": 'phone = "+46701741108", email = "both7@example.org"',
        "PHONE1": 'phone = "+46701741106"',
        "MAIL1": 'email = "mail1@example.org"',
        "WELL1": 'email = "well1@example.org"',
        "WELL2": 'email = "well2@example.org"',
        "TIMES1": 'phone = "+46701741201", email = "times1@example.org"',
        "TIMES2": 'phone = "+46701741202", email = "times2@example.org"',
        "TIMES3": 'phone = "+46701741203"',
        "TIMES4": 'phone = "+46701741204", email = "times4@example.org"',
    }.items()
)
ALL_LOOKS = timedelta(minutes=2)
SECRET = "Kanariefågel-4711"


def unit(name: str) -> str:
    """One of the units above; each test has its own, so that none disturbs another's check."""
    return f"SE2321000198-{name}"


@dataclass
class Night:
    """A stage on which units close."""

    stage: Stage
    skipper: TimeSkipper
    numbers: int = 0

    async def open(self, case_id: str, name: str, **changes: Any) -> WorkflowHandle[Any, Any]:
        """A drop-in of that unit, announced, and in Temporal's list, which follows a moment later."""
        handle = await self.stage.start(case_id, unit=unit(name), **changes)
        await self.stage.settled(case_id)
        await until(lambda: self.is_listed(case_id))
        return handle

    async def is_listed(self, case_id: str) -> bool:
        """Whether Temporal's list has the case with its search attributes."""
        query = f"WorkflowId = 'case-{case_id}' AND CaseStatus = 'waiting'"
        return [each async for each in self.stage.client.list_workflows(query)] != []

    async def check(self, *args: Any) -> WorkflowHandle[Any, Any]:
        """A closing check that has begun."""
        self.numbers += 1
        return await self.stage.client.start_workflow(
            "ClosingTime", args=args, id=f"closing-by-hand-{self.numbers}", task_queue="cases"
        )

    async def well(self, unit_id: str) -> dict[str, Any]:
        """What a check of that unit ends with, at once, nothing being wrong."""
        handle = await self.check({"unit": unit_id})
        async with asyncio.timeout(20):
            checked: dict[str, Any] = await handle.result()
        return checked

    async def differ(self, name: str) -> ApplicationError:
        """What a check of that unit fails with, all its looks having been taken."""
        handle = await self.check({"unit": unit(name)})
        await self.skipper.fast_forward(handle, ALL_LOOKS)
        failure = await failure_of(handle)
        assert (failure.type, failure.non_retryable) == ("CasesDiffer", True)
        return failure

    def calls(self, case_id: str) -> list[dict[str, Any]]:
        """The alarms of closing checks about that case, as the gateway got them."""
        return [call for call in self.stage.gateway.calls if call["key"].startswith(f"{case_id}/closing/")]

    async def alarms(self, case_id: str) -> list[dict[str, Any]]:
        """Their rows."""
        return [row for row in await self.stage.notices(case_id) if row["key"].startswith(f"{case_id}/closing/")]

    async def publish(self, name: str, *hours: float) -> None:
        """Times of that unit, so many hours ahead."""
        now = datetime.now(UTC)
        slots = [
            Slot(
                id=f"{name}-{hour}",
                unit=unit(name),
                profession="nurse",
                starts_at=now + timedelta(hours=hour),
                length=timedelta(minutes=20),
            )
            for hour in hours
        ]
        async with (
            open_pool(self.stage.dsn, most=1) as pool,
            pool.acquire() as connection,
            connection.transaction(),
        ):
            await publish(connection, slots)

    def told_of_times(self, name: str) -> list[tuple[str, str]]:
        """How the manager was told that the unit has no free times."""
        key = f"closing-{unit(name)}/no_free_times/"
        calls = [call for call in self.stage.gateway.calls if call["key"].startswith(key)]
        assert {(call["reason"], call["kind"], call["priority"], call["due_at"]) for call in calls} <= {
            ("no_free_times", "scheduled_visit", None, None)
        }
        return [(call["channel"], call["recipient"]) for call in calls]

    async def forget(self, case_id: str) -> None:
        """Take the case's row away, as a database does that comes back from a backup."""
        await self.stage.pool.execute("delete from omhand.cases where case_id = $1", case_id)

    async def record(self, case_id: str, name: str, at: datetime, **changes: Any) -> None:
        """The rows of a case that was opened then, by the rules and the activities that do so."""
        given = Opening.model_validate(opening(case_id, unit=unit(name)))
        async with open_pool(self.stage.dsn, most=2) as pool:
            rules = Rules(pool)
            asked = OpeningQuestion(kind=Kind.DROP_IN_VISIT, opening=given, at=at, sent_at=at, run_id="elsewhere")
            made = open_case(Kind.DROP_IN_VISIT, given, await rules.look_up_opening(asked), at)
            await Records(pool, rules).record(
                Step(run_id="elsewhere", case=made.case, events=made.events, notices=(), takes=False, **changes)
            )


@pytest.fixture(scope="module")
async def night(postgres_server: str, temporal_server: TemporalServer) -> AsyncIterator[Night]:
    """A stage of its own: the checks of others' cases are not ours to disturb."""
    dsn = await new_database(postgres_server, "closing_time")
    await load_rules(dsn, directory=DIRECTORY + UNITS)
    async with staged(dsn, temporal=temporal_server) as stage:
        yield Night(stage, TimeSkipper(stage.client, config=TimeSkippingConfig(max_session_skip_count=5000)))


async def test_a_unit_whose_cases_run_and_are_recorded_compares_clean(night: Night) -> None:
    await night.open("well-1", "WELL1")
    taken = await night.open("well-2", "WELL1")
    await taken.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    over = await night.open("well-3", "WELL1")
    await over.execute_update("cancel", {"by": {"patient": True}, "reason": "better"})
    await over.result()
    before = datetime.now(UTC)
    checked = await night.well(unit("WELL1"))
    assert set(checked) == {"unit", "at", "compared", "no_free_times"}
    assert (checked["unit"], checked["compared"], checked["no_free_times"]) == (unit("WELL1"), 2, False)
    assert abs(datetime.fromisoformat(checked["at"]) - before) < timedelta(seconds=20)
    assert not any(night.calls(case_id) for case_id in ("well-1", "well-2", "well-3"))


async def test_a_unit_without_cases_compares_clean(night: Night) -> None:
    checked = await night.well(unit("WELL2"))
    assert checked["compared"] == 0


async def test_a_case_that_was_ended_by_force_is_an_alarm_to_the_manager_once(night: Night) -> None:  # R1
    await night.open("ended-1", "BOTH1")
    await (await night.open("ended-2", "BOTH1", priority=4)).terminate("by force")
    failure = await night.differ("BOTH1")
    assert failure.message == f"unit {unit('BOTH1')}, of 2 open cases these differ: ended-2: not_running"
    (call,) = night.calls("ended-2")
    assert (call["reason"], call["channel"], call["recipient"]) == ("manager_alert", "phone", "+46701741101")
    assert (call["unit"], call["kind"], call["priority"]) == (unit("BOTH1"), "drop_in_visit", 4)
    assert "bevakas inte längre: drop in-besök, prio 4, Stängningsenhet BOTH1. Ärende ended-2." in call["text"]
    (row,) = await night.alarms("ended-2")
    assert (row["status"], row["channel"], row["unit_id"]) == ("sent", "phone", unit("BOTH1"))
    assert night.calls("ended-1") == []
    # Checked again on the same day it is still a failure, and nobody is rung a second time.
    assert "ended-2: not_running" in (await night.differ("BOTH1")).message
    assert len(night.calls("ended-2")) == 1
    assert len(await night.alarms("ended-2")) == 1


async def test_a_case_that_postgres_does_not_have_is_an_alarm(night: Night) -> None:
    handle = await night.open("lost-1", "BOTH2", priority=2)
    await night.forget("lost-1")
    failure = await night.differ("BOTH2")
    assert failure.message == f"unit {unit('BOTH2')}, of 1 open cases these differ: lost-1: not_recorded"
    (call,) = night.calls("lost-1")
    assert (call["recipient"], call["priority"]) == ("+46701741102", 2)
    assert "syns inte i någon arbetslista" in call["text"]
    await handle.terminate("the story is over")


async def test_a_case_in_which_nothing_happens_any_more_is_an_alarm(night: Night) -> None:
    # It runs as Temporal sees it, but its tasks are for nobody: nothing in it ever happens.
    for case_id in ("slept-1", "awake-1"):
        await night.stage.client.start_workflow("DropInVisit", {}, id=f"case-{case_id}", task_queue="nobody-serves-it")
    now = datetime.now(UTC)
    await night.record("slept-1", "BOTH3", now - timedelta(minutes=20))
    await night.record("awake-1", "BOTH3", now - timedelta(minutes=1))
    failure = await night.differ("BOTH3")
    assert failure.message == f"unit {unit('BOTH3')}, of 2 open cases these differ: slept-1: overslept"
    (call,) = night.calls("slept-1")
    assert "har inte hänt" in call["text"]
    assert night.calls("awake-1") == []


async def test_a_log_that_cannot_be_read_is_an_alarm_and_not_a_check_that_never_ends(night: Night) -> None:
    await night.stage.client.start_workflow("DropInVisit", {}, id="case-torn-1", task_queue="nobody-serves-it")
    await night.record("torn-1", "MAIL1", datetime.now(UTC))
    await night.stage.pool.execute(
        "insert into omhand.events (case_id, seq, at, event, detail) values ('torn-1', 7, now(), 'escalated', '{}')"
    )
    assert "torn-1: unreadable" in (await night.differ("MAIL1")).message
    (call,) = night.calls("torn-1")
    assert (call["channel"], call["recipient"]) == ("email", "mail1@example.org")


async def test_an_alarm_that_fails_goes_by_email_and_where_that_fails_too_the_run_says_so(night: Night) -> None:  # R1
    for case_id, name in (("deaf-1", "BOTH4"), ("deaf-2", "BOTH4"), ("deaf-3", "PHONE1")):
        await (await night.open(case_id, name)).terminate("by force")
    night.stage.gateway.statuses |= {"deaf-1": [410], "deaf-2": [410, 404], "deaf-3": [400]}
    failure = await night.differ("BOTH4")
    assert [(call["channel"], call["recipient"]) for call in night.calls("deaf-1")] == [
        ("phone", "+46701741104"),
        ("email", "both4@example.org"),
    ]
    assert "deaf-1: not_running; deaf-2: not_running" in failure.message
    assert failure.message.endswith("NOBODY COULD BE TOLD of these: deaf-2: gateway answered 404")
    # A manager without an email cannot be written to: that is said, not passed over.
    failure = await night.differ("PHONE1")
    assert failure.message.endswith("NOBODY COULD BE TOLD of these: deaf-3: no email")
    rows = {row["channel"]: (row["status"], row["error"]) for row in await night.alarms("deaf-3")}
    assert rows == {"phone": ("failed", "gateway answered 400"), "email": ("failed", "no email")}


async def test_a_unit_that_has_no_free_times_ahead_is_told_to_its_manager_once_a_day(night: Night) -> None:  # P2
    assert (await night.well(unit("TIMES1")))["no_free_times"] is False
    assert night.told_of_times("TIMES1") == []
    # What has passed is no time ahead, what is ahead is enough, and what is held or withdrawn is not free.
    await night.publish("TIMES1", -1, 5)
    assert (await night.well(unit("TIMES1")))["no_free_times"] is False
    await night.stage.pool.execute("update omhand.slots set case_id = 'somebody' where slot_id = 'TIMES1-5'")
    for _ in range(2):
        assert (await night.well(unit("TIMES1")))["no_free_times"] is True
    assert night.told_of_times("TIMES1") == [("phone", "+46701741201")]
    (row,) = await night.stage.notices(f"closing-{unit('TIMES1')}")
    assert (row["unit_id"], row["reason"], row["status"]) == (unit("TIMES1"), "no_free_times", "sent")
    (call,) = [call for call in night.stage.gateway.calls if call["key"] == row["key"]]
    assert "inga lediga tider att boka: schemalagt besök, Stängningsenhet TIMES1." in call["text"]


async def test_a_unit_that_has_given_tickets_and_no_times_is_told_to_its_manager(night: Night) -> None:  # P2 K2a
    now = datetime.now(UTC)
    ticket = {"valid_from": now.isoformat(), "valid_until": (now + timedelta(days=9)).isoformat()}
    await night.stage.start("ticket-1", "ScheduledVisit", unit=unit("TIMES2"), priority=7, ticket=ticket)
    await until(lambda: night.stage.log("ticket-1"))
    night.stage.gateway.statuses[f"closing-{unit('TIMES2')}"] = [410]
    for _ in range(2):
        assert (await night.well(unit("TIMES2")))["no_free_times"] is True
    # The phone failed for good: then by email.
    assert night.told_of_times("TIMES2") == [("phone", "+46701741202"), ("email", "times2@example.org")]


async def test_a_manager_who_cannot_be_told_of_missing_times_makes_no_case_differ(night: Night) -> None:  # P2
    await night.publish("TIMES3", -1)
    night.stage.gateway.statuses[f"closing-{unit('TIMES3')}"] = [410]
    assert (await night.well(unit("TIMES3")))["no_free_times"] is True
    rows = await night.stage.notices(f"closing-{unit('TIMES3')}")
    assert {(row["channel"], row["status"], row["error"]) for row in rows} == {
        ("phone", "failed", "gateway answered 410"),
        ("email", "failed", "no email"),
    }


async def test_missing_times_are_told_where_cases_differ_as_well(night: Night) -> None:  # P2 P6
    await night.publish("TIMES4", -1)
    await (await night.open("ended-5", "TIMES4")).terminate("by force")
    failure = await night.differ("TIMES4")
    assert failure.message == f"unit {unit('TIMES4')}, of 1 open cases these differ: ended-5: not_running"
    assert len(night.calls("ended-5")) == 1
    assert night.told_of_times("TIMES4") == [("phone", "+46701741204")]


async def looked_once(handle: WorkflowHandle[Any, Any]) -> None:
    """The check has looked, found something, and waits before it looks again."""
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED:
            return


async def test_what_is_well_when_it_is_looked_at_again_is_no_difference(night: Night) -> None:
    await night.open("moment-1", "BOTH5")
    await night.stage.pool.execute("create table kept as select * from omhand.cases where case_id = 'moment-1'")
    await night.forget("moment-1")
    check = await night.check({"unit": unit("BOTH5")})
    await looked_once(check)
    await night.stage.pool.execute("insert into omhand.cases select * from kept")
    await night.skipper.fast_forward(check, ALL_LOOKS)
    assert (await check.result())["compared"] == 1
    assert await night.alarms("moment-1") == []


async def test_a_closed_case_that_is_still_sending_its_last_words_is_no_difference(night: Night) -> None:
    asking = await night.stage.start("words-1")
    await asking.execute_update("accept", {"by": NURSE_NORTH})
    consult = {"by": NURSE_NORTH, "to_unit": SOUTH, "to_profession": "nurse", "question": "vad tror du?"}
    await asking.execute_update("consult", consult)
    question = "words-1.consultation-1"
    await night.stage.settled(question)
    night.stage.gateway.statuses[question] = [503] * 20
    handle = night.stage.client.get_workflow_handle(f"case-{question}")
    await handle.execute_update("answer", {"by": NURSE_SOUTH, "advice": "vila", "takes_over": False})
    await until(lambda: pending_activities(handle))
    checked = await night.well(SOUTH)
    assert checked["compared"] == 0
    assert (await night.well(NORTH))["compared"] == 1
    night.stage.gateway.statuses[question] = []
    await night.skipper.fast_forward(handle, timedelta(minutes=5))
    assert (await handle.result())["status"] == "closed"


@pytest.mark.parametrize(
    ("args", "kind", "said"),
    [
        ((), "InvalidCase", "0 arguments"),
        (({"unit": NORTH}, {}), "InvalidCase", "2 arguments"),
        ((None,), "InvalidCase", "JSON object"),
        (({},), "InvalidCase", "unit: is required"),
        (({"unit": "HC01"},), "InvalidCase", "unit"),
        (({"unit": f"{NORTH}' OR 'a' = 'a"},), "InvalidCase", "unit"),
        (({"unit": NORTH, "colour": "red"},), "InvalidCase", "colour"),
        (({"unit": unit("NOWHERE")},), "UnknownUnit", "unit"),
    ],
)
async def test_a_malformed_check_fails_at_once_and_names_the_key(
    night: Night, args: tuple[Any, ...], kind: str, said: str
) -> None:
    failure = await failure_of(await night.check(*args))
    assert (failure.type, said in failure.message) == (kind, True)


async def test_a_check_takes_no_actions_and_is_not_disturbed_by_any(night: Night) -> None:
    # A case differs, so that the check waits before it looks again.
    await (await night.open("ended-3", "BOTH6")).terminate("by force")
    check = await night.check({"unit": unit("BOTH6")})
    await looked_once(check)
    refusal = await refusal_of(check, "accept", {"by": NURSE_NORTH})
    assert (refusal.type, "takes no actions" in refusal.message) == ("InvalidAction", True)
    await check.signal("accept", {"by": NURSE_NORTH})
    with pytest.raises(WorkflowQueryFailedError, match="has no view"):
        await check.query("view")
    await night.skipper.fast_forward(check, ALL_LOOKS)
    assert (await failure_of(check)).type == "CasesDiffer"


async def test_nothing_of_a_check_says_who_the_patient_is(night: Night) -> None:
    patient = {"id": "191212121212", "digital": True, "name": SECRET}
    await (await night.open("ended-4", "BOTH7", patient=patient, reason=SECRET)).terminate("by force")
    check = await night.check({"unit": unit("BOTH7")})
    await night.skipper.fast_forward(check, ALL_LOOKS)
    assert "ended-4" in (await failure_of(check)).message
    rows = await night.stage.rows("select * from omhand.notifications where case_id = 'ended-4'")
    told = f"{await check.fetch_history()}{rows}{night.calls('ended-4')}"
    assert len(night.calls("ended-4")) == 1
    assert not any(secret in told for secret in (SECRET, "Kanarief", "191212121212", "19121212-1212"))
