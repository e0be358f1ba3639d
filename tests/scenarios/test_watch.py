"""The auditor, the canary and the doctor: what is not well is named, and what to do about it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Gateway, Stage, listening, new_database, says, staged, until
from stories import DIRECTORY, NURSE_NORTH, OTHER_PHASES, POLICY, opening

from activities.identity import TokenSettings
from decisions.audit import EVERY, is_of_slice
from decisions.canary import CANARY_UNIT
from omhand.codec import KeyRing
from workers.doctor import Finding, examine, repair
from workers.load import load
from workers.migrate import migrate
from workers.schedules import AUDITOR, CANARY, set_watch
from workers.settings import Settings

CANARY_EVERY = timedelta(minutes=5)
SOON = [datetime.now(UTC) + EVERY * turn for turn in range(3)]
ASLEEP = next(name for name in map("asleep-{}".format, range(100)) if not any(is_of_slice(name, at) for at in SOON))
"""A case whose turn to be looked at closely does not come while this is tested."""
TOKENS = TokenSettings(None, b"a secret of the identity provider, of 32 bytes and more")


class Outside:
    """Where the heartbeat is awaited."""

    def __init__(self) -> None:
        self.beats = 0
        self.status = 200

    async def take(self, _request: web.Request) -> web.Response:
        self.beats += 1
        return web.Response(status=self.status)


@pytest.fixture(scope="module")
async def outside() -> AsyncIterator[tuple[Outside, str]]:
    there = Outside()
    app = web.Application()
    app.router.add_get("/beat", there.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield there, f"http://127.0.0.1:{runner.addresses[0][1]}/beat"
    await runner.cleanup()


@pytest.fixture(scope="module")
async def dsn(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    dsn = await new_database(postgres_server, "watch")
    folder = tmp_path_factory.mktemp("rules")
    await asyncio.to_thread(migrate, dsn)
    (folder / "directory.toml").write_text(DIRECTORY)
    (folder / "policy.toml").write_text(POLICY + OTHER_PHASES)
    await load(dsn, folder / "directory.toml", folder / "policy.toml")
    return dsn


@pytest.fixture(scope="module")
async def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    KeyRing.create(keys)
    return keys


@pytest.fixture(scope="module")
async def stage(dsn: str, keys: Path, outside: tuple[Outside, str]) -> AsyncIterator[Stage]:
    """A stage on which whoever acts has to be vouched for."""
    heartbeat_url = outside[1]
    async with staged(dsn, keys=keys, tokens=TOKENS, require_assertions=True, heartbeat_url=heartbeat_url) as stage:
        yield stage


@pytest.fixture
async def settings(stage: Stage, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of the doctor, of the same servers."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", stage.address)
    return Settings(database_url=stage.dsn, gateway_url=stage.gateway.url, keys_file=keys, canary_every=CANARY_EVERY)


async def audit(stage: Stage, name: str, *, deep: bool = False) -> dict[str, str]:
    """What an audit finds."""
    await stage.client.execute_workflow("Auditor", {"deep": deep}, id=f"audit-{name}", task_queue="cases")
    rows = await stage.rows("select case_id, fault from omhand.findings")
    return {row["case_id"]: row["fault"] for row in rows}


async def open_case(stage: Stage, case_id: str) -> None:
    await stage.client.start_workflow("DropInVisit", opening(case_id), id=f"case-{case_id}", task_queue="cases")
    await until(lambda: stage.rows("select 1 from omhand.notifications where case_id = $1", case_id))


async def ill(settings: Settings) -> dict[str, Finding]:
    """What the doctor finds not to be well."""
    return {finding.what: finding async for finding in examine(settings) if not finding.is_well}


async def test_a_canary_lives_through_everything_but_the_gateway_and_stands_in_no_report(stage: Stage) -> None:
    lived = await stage.client.execute_workflow("Canary", {}, id="canary-by-hand", task_queue="cases")
    case_id = lived["case_id"]
    events = [row["event"] for row in await stage.log(case_id)]
    assert events == ["opened", "notified", "escalated", "manager_alerted", "accepted", "closed"]
    assert {row["status"] for row in await stage.settled(case_id)} == {"sent"}
    assert stage.gateway.calls == []
    (row,) = await stage.rows("select * from omhand.canaries")
    assert (row["case_id"], row["finished_at"] - row["started_at"]) == (case_id, row["took"])
    assert await stage.rows("select * from omhand.handling_times") == []


async def test_a_canary_that_was_forgotten_is_cancelled_by_the_next_one(stage: Stage) -> None:
    forgotten = "omhand.canary.20200101T000000"
    await stage.client.start_workflow(
        "DropInVisit",
        opening(forgotten) | {"unit": CANARY_UNIT},
        id=f"case-{forgotten}",
        task_queue="cases",
    )
    await until(lambda: stage.rows("select 1 from omhand.cases where case_id = $1", forgotten))
    await stage.pool.execute("update omhand.cases set opened_at = '2020-01-01' where case_id = $1", forgotten)
    await stage.client.execute_workflow("Canary", {}, id="canary-after-one", task_queue="cases")
    view = await stage.client.get_workflow_handle(f"case-{forgotten}").result()
    assert (view["status"], view["log"][-1]["event"]) == ("closed", "cancelled")


@pytest.mark.parametrize(
    ("case_id", "unit"), [("a-patient", CANARY_UNIT), ("omhand.canary.20200101T000001", opening("x")["unit"])]
)  # fmt: skip
async def test_no_patient_comes_to_the_canaries_and_no_canary_to_patients(
    stage: Stage, case_id: str, unit: str
) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await stage.client.execute_workflow(
            "DropInVisit", opening(case_id) | {"unit": unit}, id=f"case-{case_id}", task_queue="cases"
        )
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "UnknownUnit"


async def test_an_audit_names_what_differs_until_it_is_mended_and_tells_outside(
    stage: Stage, settings: Settings, outside: tuple[Outside, str]
) -> None:
    await asyncio.gather(*(open_case(stage, each) for each in ("well", "ended", ASLEEP, "erased")))
    beats = outside[0].beats
    assert await audit(stage, "before") == {}
    assert outside[0].beats == beats + 1
    stage.gateway.answers["untold"] = [says(503)] * 100
    await open_case(stage, "untold")
    await stage.client.get_workflow_handle("case-ended").terminate("by force")
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    await stage.pool.execute("update omhand.cases set next_at = $1 where case_id = $2", long_ago, ASLEEP)
    await stage.pool.execute("update omhand.notifications set created_at = $1 where case_id = 'untold'", long_ago)
    token = "select patient from omhand.cases where case_id = 'erased'"
    patient = await stage.pool.fetchval(token)
    await stage.pool.execute("alter table omhand.events disable trigger all")
    for table in ("cases", "events", "offers", "notifications"):
        await stage.pool.execute(f"delete from omhand.{table} where case_id = 'erased'")
    await stage.pool.execute("alter table omhand.events enable trigger all")
    found = {"ended": "not_running", ASLEEP: "overslept", "untold": "untold", "erased": "not_recorded"}
    assert await audit(stage, "after") == found
    since = await stage.rows("select case_id, since from omhand.findings order by case_id")
    assert await audit(stage, "again") == found
    assert await stage.rows("select case_id, since from omhand.findings order by case_id") == since

    assert (await ill(settings))["audit"].how == "4 differences stand"
    stage.gateway.answers["untold"] = []
    await stage.settled("untold")
    mended, left = await repair(settings)
    # What was put to sleep by hand sleeps in its row only: its log, which is looked at now, says otherwise.
    assert {each.case_id: each.fault for each in mended} == {"ended": "not_running", "erased": "not_recorded"}
    assert left == set()
    await stage.pool.execute("update omhand.cases set next_at = null where case_id = $1", ASLEEP)
    assert await audit(stage, "mended", deep=True) == {}
    assert await stage.pool.fetchval(token) == patient is not None


async def test_an_audit_is_made_though_nobody_outside_takes_the_heartbeat(
    stage: Stage, outside: tuple[Outside, str]
) -> None:
    there, _ = outside
    there.status = 404
    handle = await stage.client.start_workflow("Auditor", {}, id="audit-alone", task_queue="cases")
    audits = await stage.pool.fetchval("select count(*) from omhand.audits")
    await until(lambda: is_more(stage, audits))
    there.status = 200
    assert (await handle.result())["found"] == 0


async def is_more(stage: Stage, audits: int) -> bool:
    return bool(await stage.pool.fetchval("select count(*) from omhand.audits") >= audits)


async def test_the_doctor_says_of_each_fault_what_to_do(stage: Stage, settings: Settings) -> None:
    await set_watch(stage.client, CANARY_EVERY)
    await set_watch(stage.client, CANARY_EVERY)
    for each in (AUDITOR, CANARY):  # as it was: nothing had to be changed
        assert (await stage.client.get_schedule_handle(each).describe()).info.last_updated_at is None
    assert await ill(settings) == {}
    await stage.client.get_schedule_handle(CANARY).pause()
    await stage.pool.execute("update omhand.audits set at = at - interval '1 hour'")
    gone = Gateway()
    async with listening(gone):
        pass
    found = await ill(replace(settings, gateway_url=gone.url))
    assert {what: finding.how for what, finding in found.items() if what != "audit"} == {
        "schedules": "the schedule canary is paused",
        "gateway": "ClientConnectorError",
    }
    assert found["audit"].how.startswith("none has been made since")
    assert all(finding.to_do for finding in found.values())
    await stage.client.get_schedule_handle(CANARY).unpause()
    assert (await stage.client.get_schedule_handle(AUDITOR).describe()).schedule.spec.intervals[0].every == timedelta(
        minutes=5
    )


async def test_the_doctor_goes_on_without_the_database(settings: Settings) -> None:
    found = await ill(replace(settings, database_url="postgresql://nobody@127.0.0.1:1/none"))
    assert "schema" in found
    assert found["postgres"].to_do == "see OMHAND_DATABASE_URL"
    assert "temporal" not in found


async def test_nobody_acts_on_a_patients_case_unvouched_though_canaries_do(stage: Stage) -> None:
    handle = stage.client.get_workflow_handle("case-well")
    await handle.signal("accept", {"by": NURSE_NORTH})
    await until(lambda: stage.rows("select 1 from omhand.case_log where case_id = 'well' and event = 'rejected'"))
    (row,) = [row for row in await stage.log("well") if row["event"] == "rejected"]
    assert "NotAsserted" in row["detail"]
