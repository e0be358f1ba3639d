"""A case that is forgotten: what was written is gone in Postgres and in Temporal, what has to be kept is there."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from stories import NORTH, NURSE_NORTH, NURSE_SOUTH, SOUTH, failure_of, refusal_of
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from activities.access import verify
from omhand.client import ServerAway
from omhand.contract.reads import Reader
from workers.forget import ForgetRefused, forget

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

SECRET = "nobody is to read this"
BY = Reader(staff=NURSE_NORTH["staff"], unit=NORTH)
AT_ONCE: Final = [
    word
    for queue in ("transfer", "visibility", "timer")
    for word in ("--dynamic-config-value", f'history.{queue}ProcessorUpdateAckInterval="1s"')
]
"""Temporal deletes a history when its queues have been gone through; else that takes half a minute."""

CLOSE = {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video", "note": SECRET}


@pytest.fixture(scope="module")
async def stage(postgres_server: str) -> AsyncIterator[Stage]:
    """A stack of its own."""
    dsn = await new_database(postgres_server, "forgetting")
    await load_rules(dsn)
    async with staged(dsn, extra_args=AT_ONCE) as staging:
        yield staging


async def written(stage: Stage, case_id: str) -> WorkflowHandle[Any, Any]:
    """A case with texts of many kinds, and a consultation, not yet closed."""
    handle = await stage.start(case_id, reason=SECRET)
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": SECRET})
    await refusal_of(handle, "cancel", {"by": NURSE_SOUTH, "reason": SECRET})
    await handle.signal(SECRET, {"by": NURSE_NORTH})
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    await handle.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": SECRET})
    child = stage.client.get_workflow_handle(f"case-{case_id}.consultation-1")
    await until(lambda: stage.log(f"{case_id}.consultation-1"))
    await child.execute_update("answer", {"by": NURSE_SOUTH, "advice": SECRET, "takes_over": False})
    await child.result()
    await handle.execute_update("release", {"by": NURSE_NORTH, "reason": SECRET})
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    return handle


async def gone(stage: Stage, workflow_id: str) -> bool:
    """Whether Temporal has nothing of it any more."""
    try:
        await stage.client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND
    return False


async def everything_written(stage: Stage) -> str:
    """The logs of all cases, and their rows."""
    rows = await stage.rows(
        "select detail::text as text from omhand.events union all select cases::text from omhand.cases"
    )
    return "\n".join(row["text"] for row in rows)


async def test_texts_are_gone_and_what_happened_is_kept(stage: Stage) -> None:
    handle = await written(stage, "old")
    await handle.execute_update("close", CLOSE)
    await handle.result()
    before = await stage.log("old")
    times = await stage.rows("select * from omhand.handling_times where case_id = 'old'")
    assert SECRET in await everything_written(stage)
    done = await forget(stage.dsn, stage.client, "old", BY)
    assert (done.cases, done.runs) == (("old", "old.consultation-1"), 2)
    assert done.events >= 6
    assert SECRET not in await everything_written(stage)
    for workflow_id in ("case-old", "case-old.consultation-1"):
        await until(lambda workflow_id=workflow_id: gone(stage, workflow_id))
    after = await stage.log("old")
    assert [(row["seq"], row["at"], row["event"], row["by_staff"]) for row in after] == [
        (row["seq"], row["at"], row["event"], row["by_staff"]) for row in before
    ]
    assert await stage.rows("select * from omhand.handling_times where case_id = 'old'") == times
    (row,) = await stage.rows("select patient, forgotten_at from omhand.cases where case_id = 'old'")
    assert (row["patient"], row["forgotten_at"] is not None) == (None, True)


async def test_access_log_tells_of_it_and_of_whose_case_it_was(stage: Stage) -> None:
    handle = await stage.start("told")
    await stage.settled("told")
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
    await handle.result()
    token = (await stage.rows("select patient from omhand.cases where case_id = 'told'"))[0]["patient"]
    await forget(stage.dsn, stage.client, "told", BY)
    rows = await stage.rows(
        "select action, patient, staff, unit_id from omhand.access_log where case_id = 'told' order by entry"
    )
    assert [(row["action"], row["patient"]) for row in rows] == [("cancel", token), ("forget", token)]
    assert (rows[-1]["staff"], rows[-1]["unit_id"]) == (BY.staff, BY.unit)
    connection: Any = await asyncpg.connect(stage.dsn)
    assert (await verify(connection)).faults == ()
    # The log is as it was: nobody changes it.
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await connection.execute("update omhand.events set detail = '{}' where case_id = 'told'")
    await connection.close()


async def test_id_of_a_case_that_is_forgotten_is_used_up(stage: Stage) -> None:
    handle = await stage.start("used")
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
    await handle.result()
    await forget(stage.dsn, stage.client, "used", BY)
    await until(lambda: gone(stage, "case-used"))
    assert (await forget(stage.dsn, stage.client, "used", BY)).runs == 0
    assert (await failure_of(await stage.start("used"))).type == "CaseExists"


async def test_consultations_of_consultations_are_forgotten_too(stage: Stage) -> None:
    handle = await stage.start("deep")
    await handle.execute_update("consult", {"by": NURSE_NORTH, "to_unit": SOUTH, "question": SECRET})
    child = stage.client.get_workflow_handle("case-deep.consultation-1")
    await until(lambda: stage.log("deep.consultation-1"))
    await child.execute_update("consult", {"by": NURSE_SOUTH, "to_unit": NORTH, "question": SECRET})
    grandchild = stage.client.get_workflow_handle("case-deep.consultation-1.consultation-1")
    await until(lambda: stage.log("deep.consultation-1.consultation-1"))
    await grandchild.execute_update("answer", {"by": NURSE_NORTH, "advice": SECRET, "takes_over": False})
    with pytest.raises(ForgetRefused, match="is open"):
        await forget(stage.dsn, stage.client, "deep", BY)
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
    for case in (handle, child, grandchild):
        await case.result()
    done = await forget(stage.dsn, stage.client, "deep", BY)
    assert done.cases == ("deep", "deep.consultation-1", "deep.consultation-1.consultation-1")
    rows = await stage.rows("select detail::text as text from omhand.events where case_id like 'deep%'")
    assert SECRET not in json.dumps(rows)


async def test_with_temporal_away_nothing_is_forgotten(stage: Stage) -> None:
    handle = await stage.start("away")
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
    await handle.result()
    nobody = await Client.connect("127.0.0.1:1", lazy=True)
    with pytest.raises(ServerAway):
        await forget(stage.dsn, nobody, "away", BY)
    assert SECRET in json.dumps([row["detail"] for row in await stage.log("away")])
    (row,) = await stage.rows("select patient, forgotten_at from omhand.cases where case_id = 'away'")
    assert (row["patient"] is not None, row["forgotten_at"]) == (True, None)


async def test_cases_go_on_while_others_are_forgotten(stage: Stage) -> None:
    names = [f"many-{number}" for number in range(6)]
    handles = [await stage.start(name) for name in names]
    for handle in handles[:3]:
        await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
        await handle.result()

    async def written_to(handle: WorkflowHandle[Any, Any]) -> None:
        for number in range(15):
            await handle.execute_update("note", {"by": NURSE_NORTH, "text": str(number)})

    async with asyncio.TaskGroup() as at_once:
        for handle in handles[3:]:
            at_once.create_task(written_to(handle))
        for name in names[:3]:
            at_once.create_task(forget(stage.dsn, stage.client, name, BY))
    for handle in handles[3:]:
        assert [row["detail"].get("text") for row in (await handle.query("view"))["log"]][-1] == "14"


async def test_open_case_and_one_that_is_not_are_left_alone(stage: Stage) -> None:
    await written(stage, "open")
    before = await everything_written(stage)
    for case_id, code in (("open", "NotClosed"), ("never", "NoSuchCase"), ("open.consultation-7", "NoSuchCase")):
        with pytest.raises(ForgetRefused) as refused:
            await forget(stage.dsn, stage.client, case_id, BY)
        assert refused.value.code == code
    assert await everything_written(stage) == before
    assert not await gone(stage, "case-open")


async def test_worker_may_not_forget(stage: Stage) -> None:
    handle = await stage.start("kept", reason=SECRET)
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": SECRET})
    await handle.execute_update("cancel", {"by": {"patient": True}, "reason": SECRET})
    await handle.result()
    connection: Any = await asyncpg.connect(stage.dsn)
    await connection.execute("create role forgetful login password 'secret'; grant omhand_worker to forgetful")
    try:
        parts = stage.dsn.split("@")[1]
        with pytest.raises(ForgetRefused) as refused:
            await forget(f"postgresql://forgetful:secret@{parts}", stage.client, "kept", BY)
        assert refused.value.code == "NotOwner"
    finally:
        await connection.execute("drop role forgetful")
        await connection.close()
    assert SECRET in json.dumps([row["detail"] for row in await stage.log("kept")])
