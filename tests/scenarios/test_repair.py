"""The repair, case by case: what one store says is made true in the other, and what cannot be is said."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Stage, is_running, load_rules, new_database, says, staged, until
from stories import NURSE_NORTH, SOUTH, a_ticket

from workers.doctor import repair
from workers.migrate import migrate
from workers.settings import Settings

PATIENT = {"patient": True}


@pytest.fixture(scope="module")
async def stage(postgres_server: str) -> AsyncIterator[Stage]:
    dsn = await new_database(postgres_server, "repair")
    await asyncio.to_thread(migrate, dsn)
    await load_rules(dsn)
    async with staged(dsn) as stage:
        yield stage


async def act(stage: Stage, case_id: str, action: str, by: dict[str, Any] = NURSE_NORTH, **payload: Any) -> Any:
    handle = stage.client.get_workflow_handle(f"case-{case_id}")
    return await handle.execute_update(action, {"by": by} | payload)


async def open_case(stage: Stage, case_id: str, **changes: Any) -> None:
    await stage.start(case_id, **changes)
    await until(lambda: stage.rows("select 1 from omhand.notifications where case_id = $1", case_id))


async def end(stage: Stage, *case_ids: str) -> None:
    """By force, as an operator may."""
    for case_id in case_ids:
        await stage.client.get_workflow_handle(f"case-{case_id}").terminate("lost")


async def erase(stage: Stage, what: str, *args: Any) -> None:
    """Rows that nobody may delete are gone, as after a restore."""
    await stage.pool.execute("alter table omhand.events disable trigger all")
    await stage.pool.execute(f"delete from {what}", *args)
    await stage.pool.execute("alter table omhand.events enable trigger all")


async def mended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, list[str]], set[str]]:
    """What was wrong with each case; of what the repair says that it could not."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", stage.address)
    done, left = await repair(Settings(database_url=stage.dsn, gateway_url=stage.gateway.url))
    faults: dict[str, list[str]] = {}
    for each in done:
        faults.setdefault(each.case_id, []).append(each.fault)
    not_done = {each.case_id for each in done if "NOT " in each.done}
    assert {case_id for case_id, _ in left} <= not_done
    return faults, not_done


async def test_each_case_is_mended_by_what_is_known_of_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(open_case(stage, each) for each in ("gap", "run", "asks", "told")))
    stage.gateway.answers["refused"] = [says(400)]
    await open_case(stage, "refused")
    # Rows are gone from among the others, or are those of a run that there is not.
    await act(stage, "gap", "note", text="one")
    await act(stage, "gap", "note", text="two")
    await erase(stage, "omhand.events where case_id = 'gap' and seq = 3")
    await stage.pool.execute("update omhand.cases set run_id = 'another' where case_id = 'run'")
    # A question was asked, and lost before it was opened.
    await act(stage, "asks", "accept")
    asked = (await act(stage, "asks", "consult", to_unit=SOUTH, question="?"))["consultations"][0]["case_id"]
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = $1", asked))
    await end(stage, "asks", asked)
    for table in ("cases", "events", "offers", "notifications"):
        await erase(stage, f"omhand.{table} where case_id = $1", asked)
    # A notification went out, and its row says that it is on its way; another failed, and its case was never told.
    await stage.settled("told")
    await stage.pool.execute(
        "update omhand.notifications set status = 'pending', created_at = now() - interval '1 hour'"
        " where case_id = 'told'"
    )
    await until(
        lambda: stage.rows("select 1 from omhand.case_log where event = 'manager_alerted' and case_id = 'refused'")
    )
    await stage.settled("refused")
    await end(stage, "refused")
    await erase(stage, "omhand.events where case_id = 'refused' and seq > 2")
    await stage.pool.execute("update omhand.cases set seq = 2 where case_id = 'refused'")
    await erase(stage, "omhand.notifications where case_id = 'refused' and key <> 'refused/2'")

    faults, not_done = await mended(stage, monkeypatch)
    assert faults == {
        "gap": ["unreadable"], "run": ["of_another_run"], "asks": ["not_running"], "told": ["untold"],
        "refused": ["not_running"],
    }  # fmt: skip
    assert not_done == set()
    assert [row["seq"] for row in await stage.log("gap")] == [1, 2, 3, 4]
    assert (await act(stage, "run", "accept"))["status"] == "accepted"
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = $1 and closed_at is null", asked))
    assert (await stage.notices("told"))[0]["status"] == "sent"
    await until(
        lambda: stage.rows("select 1 from omhand.case_log where event = 'manager_alerted' and case_id = 'refused'")
    )
    assert await mended(stage, monkeypatch) == ({}, set())


async def test_a_time_that_has_been_given_away_is_said_and_the_others_are_mended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.publish("T1")
    for case_id in ("first", "second"):
        given = {"priority": 7, "ticket": a_ticket(), "workflow_type": "ScheduledVisit"}
        await stage.start(case_id, **given)
        await until(lambda case_id=case_id: stage.rows("select 1 from omhand.cases where case_id = $1", case_id))
    await act(stage, "first", "book", PATIENT, slot="T1")
    # Postgres is put back to before that, and gives the time to another.
    await erase(stage, "omhand.events where case_id = 'first' and seq > 2")
    await stage.pool.execute(
        "update omhand.cases set seq = 2, slot = null, status = 'ticketed' where case_id = 'first'"
    )
    await stage.pool.execute("update omhand.slots set case_id = null where slot_id = 'T1'")
    await act(stage, "second", "book", PATIENT, slot="T1")
    await open_case(stage, "zz")
    await end(stage, "zz")
    faults, not_done = await mended(stage, monkeypatch)
    assert (faults["first"], faults["zz"], not_done) == (["behind"], ["not_running"], {"first"})
    await act(stage, "second", "cancel_booking", PATIENT)
    assert await mended(stage, monkeypatch) == ({"first": ["behind"]}, set())
    assert [row["event"] for row in await stage.log("first")][-1] == "booked"


@pytest.mark.parametrize("workflow_id", ["taken", "case-nobody", "case-taken.consultation-1"])
async def test_only_a_lost_case_is_taken_over_by_a_run_of_its_own_id(stage: Stage, workflow_id: str) -> None:
    await stage.start("taken")
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = 'taken'"))
    with pytest.raises(WorkflowFailureError) as failed:
        await stage.client.execute_workflow("DropInVisit", {"revived": True}, id=workflow_id, task_queue="cases")
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "InvalidCase"
    assert await is_running(stage.client.get_workflow_handle("case-taken"))
    assert (await act(stage, "taken", "note", text="x"))["log"][-1]["event"] == "noted"
