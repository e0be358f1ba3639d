"""The restore drill: one store is put back to before the other, the audit names it all, and the repair heals it."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Gateway, listening, until
from stories import NURSE_NORTH, SOUTH, opening
from test_restart import CLOSE, Dev, dev

CALM = """
[[ladder]]
phase = "waiting"
clock = "always"
due = "PT8H"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT8H", do = "alert_manager" },
]
"""
ASKED = "asks.consultation-1"
WHAT_STANDS = {
    "cases": "select to_jsonb(cases) - 'run_id' as row from omhand.cases order by case_id",
    "events": "select to_jsonb(events) - 'cause' as row from omhand.events order by case_id, seq",
    "notifications": """
        select to_jsonb(notifications) - array['attempts', 'created_at', 'sent_at'] as row
        from omhand.notifications order by key
    """,
    "worklist": "select to_jsonb(worklist) - 'overdue' as row from omhand.worklist order by case_id, unit_id, stands",
}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    fake = Gateway()
    async with listening(fake):
        yield fake


class Drill:
    """A state folder whose two stores can be put aside and back."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self._folder = folder
        self._gateway = gateway

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dev]:
        async with dev(self._folder, self._gateway, CALM) as running:
            yield running
            await running.stop()

    async def put_aside(self, name: str) -> None:
        for store in ("postgres", "temporal"):
            await asyncio.to_thread(shutil.copytree, self._folder / "state" / store, self._folder / name / store)

    async def put_back(self, postgres: str, temporal: str) -> None:
        for store, name in (("postgres", postgres), ("temporal", temporal)):
            await asyncio.to_thread(shutil.rmtree, self._folder / "state" / store)
            await asyncio.to_thread(shutil.copytree, self._folder / name / store, self._folder / "state" / store)

    async def doctor(self, *options: str) -> dict[str, Any]:
        """What ``omhand doctor`` says."""
        ready = self._folder / "state" / "ready.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omhand", "--ready", str(ready), "doctor", "--json", *options),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        told: dict[str, Any] = json.loads(output)
        return told


async def open_case(on: Dev, case_id: str) -> None:
    await on.client.start_workflow("DropInVisit", opening(case_id), id=f"case-{case_id}", task_queue="cases")
    sent = "select 1 from omhand.notifications where case_id = $1 and status = 'sent'"
    await until(lambda: on.rows(sent, case_id))


async def act(on: Dev, case_id: str, action: str, **payload: Any) -> dict[str, Any]:
    view: dict[str, Any] = await on.case(case_id).execute_update(action, {"by": NURSE_NORTH} | payload)
    return view


async def what_stands(on: Dev) -> Mapping[str, list[dict[str, Any]]]:
    return {what: [json.loads(each["row"]) for each in await on.rows(rows)] for what, rows in WHAT_STANDS.items()}


def without_signalled(rows: Mapping[str, list[dict[str, Any]]]) -> Mapping[str, list[dict[str, Any]]]:
    return {what: [row for row in each if row["case_id"] != "signalled"] for what, each in rows.items()}


async def audited(on: Dev) -> dict[str, str]:
    """What an audit of everything finds: the fault of each case."""
    await on.client.execute_workflow("Auditor", {"deep": True}, id="by-hand", task_queue="cases")
    return {row["case_id"]: row["fault"] for row in await on.rows("select case_id, fault from omhand.findings")}


async def test_what_one_store_has_lost_is_named_and_comes_back_from_the_other(tmp_path: Path, gateway: Gateway) -> None:
    drill = Drill(tmp_path, gateway)
    async with drill.running() as on:
        for case_id in ("stays", "taken", "noted", "closed", "asks", "signalled"):
            await open_case(on, case_id)
        await act(on, "asks", "accept")
        assert await audited(on) == {}
    await drill.put_aside("then")
    async with drill.running() as on:
        await act(on, "taken", "accept")
        await act(on, "noted", "note", text="a note")
        await act(on, "closed", "accept")
        await act(on, "closed", "close", **CLOSE)
        for case_id in ("new", "short"):
            await open_case(on, case_id)
        await act(on, "short", "accept")
        await act(on, "short", "close", **CLOSE)
        await on.case("short").result()
        await act(on, "asks", "consult", to_unit=SOUTH, question="?")
        await until(lambda: on.rows("select 1 from omhand.notifications where case_id = $1 and status = 'sent'", ASKED))
        await on.case("signalled").signal("note", {"by": NURSE_NORTH, "text": "a note"})
        await until(lambda: on.rows("select 1 from omhand.case_log where case_id = 'signalled' and event = 'noted'"))
        stood = await what_stands(on)
    await drill.put_aside("now")

    await drill.put_back(postgres="then", temporal="now")
    lost = {
        "taken": "behind", "noted": "behind", "signalled": "behind", "asks": "behind", "closed": "not_closed",
        "new": "not_recorded", "short": "not_recorded", ASKED: "not_recorded",
    }  # fmt: skip
    async with drill.running() as on:
        assert await audited(on) == lost
        repaired = await drill.doctor("--repair")
        assert {each["case_id"]: each["fault"] for each in repaired["mended"]} == lost
        assert repaired["left"] == []
        assert await what_stands(on) == stood
        # And they go on: the healed rows are the cases' own.
        assert (await act(on, "taken", "close", **CLOSE))["status"] == "closed"
        assert (await act(on, "new", "accept"))["status"] == "accepted"

    await drill.put_back(postgres="now", temporal="then")
    calls = len(gateway.calls)
    async with drill.running() as on:
        # Before anybody mends anything: what comes now is not taken for the lost signal whose number it has.
        await on.case("signalled").signal("accept", {"by": NURSE_NORTH})
        await until(lambda: on.rows("select 1 from omhand.case_log where case_id = 'signalled' and event = 'accepted'"))
        assert await audited(on) == {
            "taken": "ahead", "noted": "ahead", "asks": "ahead", "closed": "not_open", "new": "not_running",
            ASKED: "not_running",
        }  # fmt: skip
        assert (await drill.doctor("--repair"))["left"] == []
        assert without_signalled(await what_stands(on)) == without_signalled(stood)
        assert (await act(on, "asks", "note", text="x"))["consultations"][0]["status"] == "open"
        assert (await act(on, "taken", "close", **CLOSE))["status"] == "closed"
        assert [event["event"] for event in (await act(on, "noted", "accept"))["log"]][-2:] == ["noted", "accepted"]
        assert (await on.case("closed").result())["status"] == "closed"
        assert (await act(on, "new", "accept"))["assigned_to"] == NURSE_NORTH["staff"]
        # Nobody has been called twice.
        assert len(gateway.calls) == calls
