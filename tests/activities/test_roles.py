"""Who may do what in the database: each by a login of their own, as the database's own rules have it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from samples import EAST, NORTH, NOWHERE, NURSE, PATIENT, SOUTH, SOUTH_NURSE, acted, opened, with_offers
from stored import rows

from activities.access import AccessLog, verify
from activities.directory import Rules
from activities.patients import Patients, adopt_linking_key
from activities.postgres.pool import open_pool
from activities.records import Records
from omhand.client.lists import Lists
from workers.load import load, store
from workers.migrate import migrate

NUMBERS = itertools.count(1)
VIEWS = ("worklist", "case_log", "notification_log", "handling_times", "access_log")
TABLES = ("cases", "offers", "events", "notifications", "access")

Login = Callable[..., Any]


@asynccontextmanager
async def login_of(dsn: str, role: str, *units: str, more: str = "") -> AsyncIterator[str]:
    """The DSN of a new login that is a member of the role, and sees these units; it is gone afterwards."""
    name = f"somebody_{next(NUMBERS)}"
    owner: Any = await asyncpg.connect(dsn)
    try:
        await owner.execute(f"create role {name} login password 'secret' {more}")
        if role:
            await owner.execute(f"grant {role} to {name}")
        for unit in units:
            await owner.execute("insert into omhand.readers values ($1, $2)", name, unit)
        parts = urlsplit(dsn)
        yield urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.hostname or ''}:{parts.port}"))
        await owner.execute(f"drop owned by {name}")
        await owner.execute(f"drop role {name}")
    finally:
        await owner.close()


async def seen(dsn: str) -> dict[str, set[Any]]:
    """Which cases a login finds in each view."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        return {
            view: {row["case_id"] for row in await connection.fetch(f"select case_id from omhand.{view}")}
            for view in VIEWS
        }
    finally:
        await connection.close()


async def three_cases(records: Records) -> None:
    """One of the north, one of the south, and one of the north that the south is offered."""
    await records.record(opened("north"))
    await records.record(opened("south", unit=SOUTH))
    offer = {"unit": SOUTH, "profession": "nurse", "why": "escalation"}
    await records.record(with_offers(opened("shared", patient={"id": "ref:of-south", "digital": True}), offer))
    for case_id, by in (("north", NURSE), ("south", SOUTH_NURSE)):
        step = acted(opened(case_id, unit=by["unit"]), "note", by=by, text="seen")
        await records.record(step)


# The worker


async def test_worker_does_all_that_it_has_to(dsn: str) -> None:
    async with login_of(dsn, "omhand_worker") as worker, open_pool(worker) as pool:
        await adopt_linking_key(pool, b"k" * 32)
        records = Records(pool, Rules(pool), Patients(pool, b"k" * 32))
        await three_cases(records)
        await AccessLog(pool).log_read(case_id="north", action="view", staff=None, unit=None, via="client")
        assert {row["case_id"] for row in await rows(pool, "select case_id from omhand.worklist")} == {
            "north", "south", "shared",
        }  # fmt: skip
        assert {row["login"] for row in await rows(pool, "select login from omhand.access_log")} == {
            urlsplit(worker).username
        }


async def test_worker_loads_rules_and_publishes_times(unruled: str, files: tuple[Any, Any]) -> None:
    async with login_of(unruled, "omhand_worker") as worker:
        assert (await store(worker, *files)).slots.published


CHANGES = [
    statement.format(table=table)
    for table in ("events", "access")
    for statement in (
        "update omhand.{table} set case_id = 'x'",
        "delete from omhand.{table}",
        "truncate omhand.{table}",
        "alter table omhand.{table} disable trigger append_only",
        "drop table omhand.{table}",
    )
]


@pytest.mark.parametrize(
    "statement",
    [
        *CHANGES,
        "update omhand.access_head set entry = 0",
        "insert into omhand.readers values (current_user, '*')",
        "update omhand.linking_secret set secret = 'x'",
        "create or replace function omhand.log_read() returns void language sql as ''",
        "create table omhand.another ()",
        "alter table omhand.cases disable row level security",
    ],
)
async def test_worker_changes_no_log_and_no_rights(dsn: str, statement: str) -> None:
    async with login_of(dsn, "omhand_worker") as worker, open_pool(worker) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


@pytest.mark.parametrize("at", ["4000-01-01 BC", "20000-01-01", "infinity"])
async def test_worker_writes_no_time_that_nobody_could_read(dsn: str, at: str) -> None:
    async with login_of(dsn, "omhand_worker") as worker, open_pool(worker) as pool:
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.FeatureNotSupportedError)):
            await pool.execute(f"insert into omhand.access (at, by_patient, action) values ('{at}', false, 'view')")


async def test_worker_cannot_choose_what_the_chain_says(dsn: str) -> None:
    async with login_of(dsn, "omhand_worker") as worker, open_pool(worker) as pool:
        await pool.execute(
            "insert into omhand.access (at, by_patient, action, entry, hash, login)"
            " values (now(), false, 'view', 77, '', 'somebody else')"
        )
    owner: Any = await asyncpg.connect(dsn)
    found = await verify(owner)
    name = await owner.fetchval("select login from omhand.access where entry = 1")
    await owner.close()
    assert (found.faults, found.last.entry, name) == ((), 1, urlsplit(worker).username)


# Readers


async def test_reader_of_a_unit_sees_its_worklist_and_cases_and_no_others(dsn: str, records: Records) -> None:
    await three_cases(records)
    async with login_of(dsn, "omhand_reader", NORTH) as north, login_of(dsn, "omhand_reader", SOUTH) as south:
        by_north, by_south = await seen(north), await seen(south)
    assert by_north == {
        "worklist": {"north", "shared"},
        "case_log": {"north", "shared"},
        "notification_log": {"north", "shared"},
        "handling_times": {"north", "shared"},
        "access_log": {"north"},
    }
    assert by_south == {
        "worklist": {"south", "shared"},
        "case_log": {"south", "shared"},
        "notification_log": {"south"},
        "handling_times": {"south", "shared"},
        "access_log": {"south"},
    }


async def test_reader_is_told_that_the_patient_has_other_cases(dsn: str, records: Records) -> None:
    # P7
    await three_cases(records)
    async with login_of(dsn, "omhand_reader", NORTH) as north, open_pool(north) as pool:
        found = await rows(pool, "select case_id, linked_cases from omhand.worklist order by case_id")
    assert found == [
        {"case_id": "north", "linked_cases": []},
        {"case_id": "shared", "linked_cases": ["south"]},
    ]


async def test_reader_learns_nothing_of_another_units_case_by_asking_about_it(dsn: str, records: Records) -> None:
    await three_cases(records)
    async with login_of(dsn, "omhand_reader", NORTH) as north, open_pool(north) as pool:
        assert await pool.fetchval("select omhand.open_beside('shared')") == ["south"]
        assert await pool.fetchval("select omhand.open_beside('south')") == []
        # What they have logged of it themselves, they do not see, as it names the patient.
        await AccessLog(pool).log_read(case_id="south", action="view", staff=None, unit=None, via="client", about=NORTH)
        await AccessLog(pool).log_read(
            case_id=None, action="worklist", staff=None, unit=None, via="client", about=NORTH
        )
        found = await rows(pool, "select case_id, action, patient from omhand.access_log where via = 'client'")
    assert found == [{"case_id": None, "action": "worklist", "patient": None}]


@pytest.mark.parametrize(
    "arguments",
    [
        "'c', 'view', null, null, false, 'case', null, null",
        f"'c', '{'x' * 301}', null, null, false, 'client', null, null",
    ],
)
async def test_reader_logs_reads_and_nothing_else(dsn: str, arguments: str) -> None:
    async with login_of(dsn, "omhand_reader", NORTH) as reader, open_pool(reader) as pool:
        with pytest.raises(asyncpg.PostgresError, match="this is no read"):
            await pool.execute(f"select omhand.log_read({arguments})")


@pytest.mark.parametrize(("units", "expected"), [((), set()), ((EAST,), set()), (("*",), {"north", "south", "shared"})])
async def test_reader_who_is_bound_nowhere_sees_nothing(
    dsn: str, records: Records, units: tuple[str, ...], expected: set[str]
) -> None:
    await three_cases(records)
    async with login_of(dsn, "omhand_reader", *units) as reader:
        found = await seen(reader)
        connection: Any = await asyncpg.connect(reader)
        by_table = {
            table: {row[0] for row in await connection.fetch(f"select case_id from omhand.{table}")} for table in TABLES
        }
        await connection.close()
    assert found["worklist"] == found["case_log"] == found["handling_times"] == expected
    assert by_table["cases"] == by_table["events"] == expected


@pytest.mark.parametrize(
    "statement",
    [
        "select secret from omhand.linking_secret",
        "select * from omhand.rules",
        "select * from omhand.readers",
        "insert into omhand.readers values (current_user, '*')",
        "insert into omhand.access (at, by_patient, action) values (now(), false, 'view')",
        "update omhand.cases set status = 'closed'",
        "select omhand.record_step('{}')",
        "set session authorization omhand",
        "set role omhand_worker",
    ],
)
async def test_reader_does_nothing_else(dsn: str, statement: str) -> None:
    async with login_of(dsn, "omhand_reader", NORTH) as reader, open_pool(reader) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_reader_has_what_the_commands_need(dsn: str, records: Records) -> None:
    await three_cases(records)
    async with login_of(dsn, "omhand_reader", NORTH) as reader:
        lists = await Lists.of(reader)
        assert {row.case_id for row in await lists.worklist(NORTH)} == {"north", "shared"}
        assert await lists.worklist(SOUTH) == []
        assert next(iter(await lists.log("north"))).event == "opened"
        assert await lists.professions_of(NURSE["staff"], NORTH) == ["nurse"]
        assert await lists.professions_of(NURSE["staff"], NOWHERE) == []
        assert len(await lists.slots(None, None, every=True)) == 1
        await lists.close()


async def test_login_of_no_role_sees_nothing(dsn: str) -> None:
    async with login_of(dsn, "") as nobody, open_pool(nobody) as pool:
        for view in VIEWS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(f"select * from omhand.{view}")


# The auditor, and the owner


async def test_auditor_reads_the_log_and_no_case(dsn: str, records: Records) -> None:
    await three_cases(records)
    async with login_of(dsn, "omhand_auditor") as auditor, open_pool(auditor) as pool:
        async with pool.acquire() as connection:
            assert (await verify(connection)).last.entry == 2
        assert len(await Patients(pool).token("ref:of-north")) == 64
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch("select * from omhand.events")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("delete from omhand.access")


async def test_owner_need_not_be_a_superuser(empty: str, files: tuple[Any, Any]) -> None:
    async with login_of(empty, "", more="createrole") as owner:
        connection: Any = await asyncpg.connect(empty)
        await connection.execute(f"grant create on database {urlsplit(empty).path[1:]} to {urlsplit(owner).username}")
        await asyncio.to_thread(migrate, owner)
        await load(owner, *files)
        async with open_pool(owner) as pool:
            records = Records(pool, Rules(pool))
            first = opened("c1")
            await records.record(first)
            await records.record(acted(first, "cancel", by=PATIENT, reason="better"))
            assert (await rows(pool, "select action from omhand.access_log")) == [{"action": "cancel"}]
        await connection.close()
