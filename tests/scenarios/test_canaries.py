"""Nothing about a patient is where it does not belong: every text that may be about one is looked for everywhere.

All kinds of case are played on a real ``omhand dev``, with a canary in every text that comes from outside, accepted or
refused. Then everything that has been stored, logged, listed or sent is searched for them (contract §4, §5, §6, §8).
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowQueryFailedError

from omhand.client import CaseClient
from omhand.codec import EncryptionCodec
from omhand.contract.reads import Reader

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from canaries import (
    ALL,
    NO_PATIENT_DATA,
    OF_PLAIN,
    SECRET,
    found_in,
    kept,
    labels_in,
    payloads_in,
    said,
    text_fields,
)
from canary_play import PARTS, TOKEN_SECRET, Play, vouched
from stage import FAST_POLICY, Gateway, listening
from stories import DIRECTORY, NURSE_NORTH, OTHER_PHASES
from test_restart import ROOT, Dev, command, environment, ready_line


@dataclass
class Stored:
    """What is left of the play wherever something is left, as bytes, by the place."""

    histories: dict[str, list[HistoryEvent]] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)
    columns: dict[str, bytes] = field(default_factory=dict)
    postgres: dict[str, bytes] = field(default_factory=dict)
    """Files of its data folder."""
    decoded: bytes = b""
    """All payloads of the histories, as whoever has the keys reads them."""
    shown: bytes = b""
    """The same, as the codec server answers."""
    planted: set[tuple[str, str]] = field(default_factory=set)


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[Play]:
    """An ``omhand dev`` with a gateway, an identity provider's secret, and ladders of seconds."""
    (folder / "directory.toml").write_text(DIRECTORY)
    (folder / "policy.toml").write_text(FAST_POLICY + OTHER_PHASES)
    gateway, log = Gateway(), folder / "dev.log"
    async with listening(gateway):
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command(folder),
                cwd=ROOT,
                env=environment(gateway) | {"OMHAND_TOKEN_SECRET": TOKEN_SECRET},
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        try:
            told = await ready_line(process, log)
            reader, keys = Reader(**NURSE_NORTH), Path(told["keys_file"])
            vouching = vouched("reader", sub=NURSE_NORTH["staff"])
            async with await CaseClient.connect(
                address=told["temporal"], keys_file=keys, reader=reader, assertion=vouching
            ) as staff:
                yield Play(Dev(process, told, staff.temporal, log), staff, gateway)
        finally:
            if process.returncode is None:
                await Dev(process, {}, None, log).kill()  # type: ignore[arg-type]


# Gathering --------------------------------------------------------------------------------------------------------


async def gather_from_temporal(play: Play, stored: Stored) -> None:
    """Every run's raw history, what lists and descriptions say of it, and what operators see of those that run."""
    raw = await Client.connect(play.dev.told["temporal"])
    codec = EncryptionCodec(Path(play.dev.told["keys_file"]))
    async for each in raw.list_workflows():
        place = f"{each.id} {each.run_id}"
        handle = raw.get_workflow_handle(each.id, run_id=each.run_id)
        stored.histories[place] = [event async for event in handle.fetch_history_events()]
        stored.places[f"list of {place}"] = each.raw_info.SerializeToString()
        described = await handle.describe()
        stored.places[f"description of {place}"] = described.raw_description.SerializeToString()
        with suppress(WorkflowQueryFailedError):
            seen = await play.dev.client.get_workflow_handle(each.id).query("__temporal_workflow_metadata")
            stored.places[f"details of {place}"] = str(seen).encode()
    async for schedule in await raw.list_schedules():
        description = await raw.get_schedule_handle(schedule.id).describe()
        stored.places[f"schedule {schedule.id}"] = description.raw_description.SerializeToString()
    payloads = [payload for events in stored.histories.values() for event in events for payload in payloads_in(event)]
    encrypted = [payload for payload in payloads if payload.metadata["encoding"] == b"binary/encrypted"]
    readable = [payload for payload in encrypted if "encryption-key-id" in payload.metadata]
    stored.decoded = b"".join(payload.SerializeToString() for payload in await codec.decode(readable))
    stored.shown = await shown(play, readable)


async def shown(play: Play, payloads: Sequence[Payload]) -> bytes:
    """What the codec server shows of them; it logs that it has, and in words of its own."""
    asked = json_format.MessageToJson(Payloads(payloads=payloads))
    headers = {"X-Namespace": play.dev.told["namespace"], "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{play.dev.told['codec']}/decode", data=asked) as answer,
    ):
        assert answer.status == HTTPStatus.OK, await answer.text()
        return await answer.read()


async def gather_from_postgres(play: Play, stored: Stored) -> None:
    """Every column of every table, as text."""
    connection = await asyncpg.connect(play.dev.told["postgres"])
    try:
        for table, column in await connection.fetch(
            "select table_schema || '.' || table_name, column_name from information_schema.columns"
            " join information_schema.tables using (table_schema, table_name)"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        ):
            rows = await connection.fetch(f'select "{column}"::text from {table} where "{column}" is not null')
            stored.columns[f"{table}.{column}"] = "\n".join(row[0] for row in rows).encode()
    finally:
        await connection.close()


async def gather_the_rest(play: Play, stored: Stored) -> None:
    """What has been sent to the gateway, and what the metrics say."""
    stored.places["gateway"] = json.dumps([play.gateway.calls, play.gateway.headers], ensure_ascii=False).encode()
    async with aiohttp.ClientSession() as session, session.get(play.dev.told["metrics"]) as page:
        stored.places["metrics"] = await page.read()


def gather_files(folder: Path, stored: Stored, when: str) -> None:
    """Every file of the state, and what was said on standard error."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with suppress(FileNotFoundError):  # Postgres takes its own away meanwhile
            into = stored.postgres if "data" in path.relative_to(folder).parts else stored.places
            into[f"{path.relative_to(folder)} {when}"] = path.read_bytes()


@pytest.fixture(scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """What is left when everything has been played, and stopped."""
    folder, stored = tmp_path_factory.mktemp("canaries"), Stored()
    async with playing(folder) as play:
        async with asyncio.TaskGroup() as parts:
            for part in PARTS:
                parts.create_task(part(play))
        await gather_from_temporal(play, stored)
        await gather_from_postgres(play, stored)
        await gather_the_rest(play, stored)
        gather_files(folder / "state" / "temporal", stored, "while it runs")
        await play.dev.stop()
        stored.planted = play.planted
    gather_files(folder, stored, "at the end")
    return stored


# What is found ----------------------------------------------------------------------------------------------------


def leaks(places: Mapping[str, bytes], wanted: frozenset[bytes]) -> dict[str, list[str]]:
    """Where something of it stands, and what is around it."""
    found = {place: found_in(data, wanted) for place, data in places.items()}
    return {place: each for place, each in found.items() if each}


def as_bytes(histories: Mapping[str, list[HistoryEvent]]) -> dict[str, bytes]:
    """The events by their place, undecoded."""
    return {
        f"{place} event {event.event_id}": event.SerializeToString()
        for place, events in histories.items()
        for event in events
    }


def test_every_text_that_comes_from_outside_has_its_canary(stored: Stored) -> None:
    wanted = {(model, key) for model, key in text_fields() if key not in NO_PATIENT_DATA}
    assert wanted - stored.planted == set()
    assert set(NO_PATIENT_DATA) <= {key for _, key in text_fields()}, "a field that there is not any more"


def test_whoever_has_the_keys_finds_every_canary(stored: Stored) -> None:
    # The control: what is searched below has them, and the search finds them.
    assert leaks({"decoded": stored.decoded}, SECRET)
    assert leaks({"shown by the codec server": stored.shown}, SECRET)
    assert labels_in(stored.decoded) >= {"note", "name", "listed-at", "unknown-key", "broken", "reference", "outcome"}
    assert len(labels_in(stored.decoded)) > 60


@pytest.mark.parametrize("before", range(4))
def test_the_search_knows_a_canary_in_whatever_form(before: int) -> None:
    text = "x" * before + json.dumps({"reason": kept("x"), "note": said("y")}, ensure_ascii=False)
    for data in (text.encode(), json.dumps(text).encode(), base64.b64encode(text.encode())):
        assert found_in(data, SECRET)
    for data in (text.encode().hex().encode(), text.encode().hex().upper().encode()):
        assert found_in(data, SECRET)
    assert found_in(said("x").encode(), SECRET) == []
    assert found_in(said("x").encode(), ALL)


def test_no_history_list_description_or_detail_holds_one(stored: Stored) -> None:  # contract §4, §8
    assert len(stored.histories) > 20
    assert leaks(as_bytes(stored.histories), ALL) == {}
    assert leaks(stored.places, ALL) == {}
    assert {place.split()[0] for place in stored.places} >= {"gateway", "metrics", "dev.log", "list", "schedule"}
    assert any("temporal.db-wal" in place for place in stored.places), "the store's own log has not been looked at"
    assert any("worker-1.log" in place for place in stored.places)


def test_the_database_holds_what_was_said_in_the_log_alone(stored: Stored) -> None:  # contract §5
    said_in_log = stored.columns["omhand.events.detail"]
    assert leaks({"log": said_in_log}, ALL - SECRET), "the log has nothing"
    assert leaks({"log": said_in_log}, SECRET) == {}
    others = {column: data for column, data in stored.columns.items() if column != "omhand.events.detail"}
    assert leaks(others, ALL | OF_PLAIN) == {}


def test_no_file_of_the_database_holds_who_the_patient_is(stored: Stored) -> None:  # contract §5
    assert len(stored.postgres) > 100
    assert leaks(stored.postgres, ALL - SECRET), "what is said is in none of them, so they cannot be searched like this"
    assert leaks(stored.postgres, SECRET) == {}


def test_what_a_client_without_keys_sends_is_plain_where_it_sent_it_and_nowhere_else(stored: Stored) -> None:
    found = leaks(as_bytes(stored.histories), OF_PLAIN)
    assert len(found) == 3, "each signal as it came"
    store = {place: data for place, data in stored.places.items() if "temporal.db" in place}
    assert leaks(store, OF_PLAIN), "the store has nothing, so it cannot be searched like this"
    elsewhere = {place: data for place, data in stored.places.items() if place not in store}
    assert leaks(elsewhere, OF_PLAIN) == {}
