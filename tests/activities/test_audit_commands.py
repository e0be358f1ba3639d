"""``omhand audit``: the access log for whoever looks after it, and for the patient."""

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import Result
from samples import NORTH, NURSE, PATIENT, acted, opened
from typer.testing import CliRunner

from activities.access import AccessLog
from activities.directory import Rules
from activities.patients import Patients, adopt_linking_key
from activities.postgres.pool import open_pool
from activities.records import Records
from omhand.cli import app

SOMEBODY = "191212121212"
LINKING = b"l" * 32


pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
async def logged(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The commands are for a database in which a case of somebody's has been taken, read and cancelled."""
    keys = tmp_path / "keys"
    keys.write_text(
        "".join(f"{name}:{base64.b64encode(key).decode()}\n" for name, key in (("k1", b"k" * 32), ("linking", LINKING)))
    )
    monkeypatch.setenv("OMHAND_DATABASE_URL", dsn)
    monkeypatch.setenv("OMHAND_KEYS_FILE", str(keys))
    monkeypatch.chdir(tmp_path)
    async with open_pool(dsn) as pool:
        before = opened("before", patient={"id": SOMEBODY, "digital": True})
        records = Records(pool, Rules(pool))
        for step in (before, acted(before, "accept", by=NURSE)):
            await records.record(step)
        # What was logged before there was a linking key is somebody's, too.
        await adopt_linking_key(pool, LINKING)
        records = Records(pool, Rules(pool), Patients(pool, LINKING))
        after = opened("after", patient={"id": SOMEBODY, "digital": True})
        for step in (after, acted(after, "cancel", by=PATIENT, reason="better"), opened("another")):
            await records.record(step)
        log = AccessLog(pool)
        await log.log_read(case_id="before", action="view", staff=NURSE["staff"], unit=NORTH, via="command")
        await log.log_read(case_id="another", action="view", staff=None, unit=None, via="client")
    return dsn


async def told(*words: str, given: str | None = None) -> Result:
    """What the command says; it runs a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, words, given)


async def rows_of(*words: str, given: str | None = None) -> list[dict[str, Any]]:
    """The extract, for programs."""
    result = await told(*words, "--json", given=given)
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def whats(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """What was done, and to which case."""
    return [(row["action"], row["case_id"]) for row in rows]


@pytest.mark.parametrize("written", [SOMEBODY, f"{SOMEBODY[:8]}-{SOMEBODY[8:]}"])
async def test_patient_is_told_which_unit_did_what_and_when_and_not_who(written: str) -> None:
    rows = await rows_of("audit", "patient", "-", given=f"{written}\n")
    # Whoever asks for it has looked, too.
    looked = ("audit patient", None)
    assert whats(rows) == [("accept", "before"), ("cancel", "after"), ("view", "before"), looked]
    assert [(row["unit"], row["unit_name"], row["by_patient"]) for row in rows[:-1]] == [
        (NORTH, "Hälsocentral Norr", False),
        (None, None, True),
        (NORTH, "Hälsocentral Norr", False),
    ]
    assert NURSE["staff"] not in json.dumps(rows)
    assert all(datetime.fromisoformat(row["at"]) <= datetime.now(UTC) for row in rows)


async def test_unit_checks_who_it_was(logged: str) -> None:
    rows = await rows_of("audit", "patient", SOMEBODY, "--staff", "--by", f"{NURSE['staff']}@{NORTH}")
    assert [row["staff"] for row in rows] == [NURSE["staff"], None, NURSE["staff"], NURSE["staff"]]
    # Whoever looks is logged.
    async with open_pool(logged) as pool:
        last = await pool.fetchrow("select action, staff, patient from omhand.access_log order by entry desc limit 1")
        token = await Patients(pool, LINKING).token(SOMEBODY)
    assert tuple(last) == ("audit patient", NURSE["staff"], token)


async def test_extract_is_of_the_time_that_was_asked_for() -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await rows_of("audit", "patient", SOMEBODY, "--since", later) == []
    assert len(await rows_of("audit", "patient", SOMEBODY, "--until", later)) == 5


async def test_patient_nobody_has_read_of_gets_an_empty_extract() -> None:
    assert whats(await rows_of("audit", "patient", "198507099805")) == [("audit patient", None)]


async def test_read_before_the_case_was_there_is_the_patients_too(dsn: str) -> None:
    async with open_pool(dsn) as pool:
        await AccessLog(pool).log_read(case_id="later", action="view", staff=None, unit=None, via="client")
        records = Records(pool, Rules(pool), Patients(pool, LINKING))
        await records.record(opened("later", patient={"id": SOMEBODY, "digital": True}))
    assert ("view", "later") in whats(await rows_of("audit", "patient", SOMEBODY))


async def test_case_is_told_of_with_who() -> None:
    rows = await rows_of("audit", "case", "another")
    assert [(row["action"], row["staff"], row["via"]) for row in rows] == [
        ("view", None, "client"),
        ("audit case", None, "command"),
    ]
    shown = await told("audit", "case", "before")
    assert shown.exit_code == 0
    assert NURSE["staff"] in shown.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "patient", "191212121213"),
        ("audit", "patient", "somebody"),
        ("audit", "patient", SOMEBODY, "--since", "yesterday"),
        ("audit", "patient", SOMEBODY, "--by", "nobody"),
        ("audit", "case", f"no case of {SOMEBODY}"),
        ("forget", f"no case of {SOMEBODY}"),
        ("audit", "verify", "--anchor", "7"),
    ],
)
async def test_bad_usage_is_told_and_no_identity_is_quoted(words: tuple[str, ...]) -> None:
    result = await told(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "1912121212" not in result.output


async def test_log_that_holds_gives_its_anchor() -> None:
    first = json.loads((await told("audit", "verify", "--json")).stdout)
    assert first["entries"] == 4
    await told("audit", "case", "after")
    again = await told("audit", "verify", "--anchor", first["anchor"])
    assert (again.exit_code, "5 entries" in again.stdout) == (0, True)


async def test_log_that_was_changed_is_told_of(logged: str) -> None:
    connection: Any = await asyncpg.connect(logged)
    await connection.execute("alter table omhand.access disable trigger append_only")
    await connection.execute("update omhand.access set staff = null where entry = 1")
    await connection.close()
    result = await told("audit", "verify", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stderr)
    assert (said["code"], "entry 1 has been changed" in said["message"]) == ("AccessLogBroken", True)
