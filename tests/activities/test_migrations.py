"""The schema, made in a real Postgres: at once, by several, through a socket; and never half."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from bookings import until_waiting
from samples import NORTH
from schemas import migrate_to, script_to

from workers.load import has_rules, store
from workers.migrate import migrate, schema_fault
from workers.rule_files import read_files
from workers.settings import Settings, SettingsError
from workers.worker import run_worker

PROGRAM = "import sys; from workers.migrate import migrate; migrate(sys.argv[1])"


async def fetch(dsn: str, query: str) -> list[str]:
    """The first column."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_empty_database_gets_the_schema(empty: str) -> None:
    assert "run `omhand migrate`" in (await schema_fault(empty) or "")
    await asyncio.to_thread(migrate, empty)
    assert await schema_fault(empty) is None
    assert not await has_rules(empty)


async def test_migrating_again_changes_nothing(unruled: str) -> None:
    everything = "select oid::text || relname from pg_class where relnamespace = 'omhand'::regnamespace order by 1"
    before = await fetch(unruled, everything)
    await asyncio.to_thread(migrate, unruled)
    assert await fetch(unruled, everything) == before


async def test_processes_that_migrate_at_once_take_turns(empty: str, root: Path) -> None:
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, empty, cwd=root) for _ in range(3)]
    assert await asyncio.gather(*(process.wait() for process in processes)) == [0, 0, 0]
    assert await schema_fault(empty) is None
    assert len(await fetch(empty, "select secret from omhand.linking_secret")) == 1


async def test_each_database_makes_a_secret_of_its_own(empty: str, unruled: str) -> None:
    await asyncio.to_thread(migrate, empty)
    secrets = [await fetch(dsn, "select secret from omhand.linking_secret") for dsn in (empty, unruled)]
    assert secrets[0] != secrets[1]
    assert [len(secret) for (secret,) in secrets] == [32, 32]


async def test_there_can_be_no_second_secret(unruled: str) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await fetch(unruled, "insert into omhand.linking_secret (secret) values ('another')")


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0006"])
async def test_older_schema_is_brought_on_from_where_it_is_and_keeps_what_it_holds(empty: str, revision: str) -> None:
    connection = await asyncpg.connect(empty)
    await connection.execute(script_to(revision))
    await connection.execute(
        "insert into omhand.notifications"
        " (key, case_id, reason, unit_id, channel, recipient, kind, text, until_taken, status)"
        " values ('c-1/2', 'c-1', 'new_case', 'u', 'phone', '+46', 'drop_in_visit', 'x', true, 'pending')"
    )
    await connection.close()
    assert "run `omhand migrate`" in (await schema_fault(empty) or "")
    await asyncio.to_thread(migrate, empty)
    assert await schema_fault(empty) is None
    assert await fetch(empty, "select key || ' ' || scope from omhand.notifications") == ["c-1/2 case"]


async def test_times_of_a_directory_that_was_loaded_before_are_bookable(empty: str, files: tuple[Path, Path]) -> None:
    # P2
    older, newest = (read_files(*files).directory for _ in range(2))
    newest["slot"] += [
        {**newest["slot"][0], "id": "hc01-next", "starts_at": "2026-11-25T09:00:00Z", "length": "P1DT2H"}
    ]
    connection = await asyncpg.connect(empty)
    await connection.execute(script_to("0004"))
    for version, directory in enumerate((older | {"slot": [{**older["slot"][0], "id": "long-gone"}]}, newest), start=1):
        told = json.dumps(directory)
        await connection.execute("insert into omhand.rules values ($1, $2::jsonb, '{}')", version, told)
    await asyncio.to_thread(migrate, empty)
    found = await connection.fetch("select * from omhand.bookable_times order by starts_at")
    await connection.close()
    assert [tuple(row) for row in found] == [
        ("hc01-20261124-0900", NORTH, "nurse", datetime(2026, 11, 24, 8, tzinfo=UTC), timedelta(minutes=20), True),
        ("hc01-next", NORTH, "nurse", datetime(2026, 11, 25, 9, tzinfo=UTC), timedelta(days=1, hours=2), True),
    ]
    # Loaded again, they are what they are.
    loaded = await store(empty, *files)
    assert (loaded.slots.unchanged, loaded.left_out.withdrawn) == (("hc01-20261124-0900",), ("hc01-next",))


async def test_migration_that_fails_leaves_nothing_behind(empty: str) -> None:
    await fetch(empty, "create schema omhand")
    await fetch(empty, "create view omhand.case_log as select 1 as taken")
    with pytest.raises(asyncpg.DuplicateTableError):
        await asyncio.to_thread(migrate, empty)
    assert await fetch(empty, "select relname from pg_class where relnamespace = 'omhand'::regnamespace") == [
        "case_log"
    ]


@pytest.mark.parametrize("revision", [None, "0006"])
async def test_worker_does_not_start_on_a_schema_of_before(empty: str, revision: str | None) -> None:
    if revision:
        await migrate_to(revision, empty)
    with pytest.raises(SettingsError, match=r"OMHAND_DATABASE_URL: .* run `omhand migrate`"):
        await run_worker(Settings(database_url=empty))


async def test_worker_that_finds_no_database_says_so_and_no_password() -> None:
    with pytest.raises(SettingsError, match="OMHAND_DATABASE_URL: Postgres does not answer") as told:
        await run_worker(Settings(database_url="postgresql://omhand:geheim@127.0.0.1:1/omhand"))
    assert "geheim" not in str(told.value)


async def test_database_is_reached_through_a_unix_socket(empty: str, tmp_path: Path) -> None:
    parts = urlsplit(empty)
    async with _socket_to(parts.hostname or "", parts.port or 0, tmp_path / ".s.PGSQL.5432"):
        user = f"{parts.username}:{parts.password}"
        dsn = urlunsplit(("postgresql", f"{user}@", parts.path, f"host={tmp_path}", ""))
        await asyncio.to_thread(migrate, dsn)
        assert await schema_fault(dsn) is None


async def test_database_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await asyncio.to_thread(migrate, f"postgresql://postgres@/omhand?host={tmp_path}")


@asynccontextmanager
async def _socket_to(host: str, port: int, path: Path) -> AsyncIterator[None]:
    """A Unix socket that leads to a TCP port, as the embedded server has none."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        ways: list[Awaitable[None]] = [pump(reader, inner_writer), pump(inner_reader, writer)]
        await asyncio.gather(*ways)

    serve: Callable[..., Awaitable[None]] = connect
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield


async def test_whoever_reads_a_worklist_meanwhile_waits_for_a_migration_and_neither_fails(empty: str) -> None:
    """A reader has the view's lock and waits for the table's: a migration that went the other way round would die."""
    whole = script_to("0004:0005")
    begins, ends = whole.index("lock table"), whole.index("create or replace view omhand.worklist")
    first, second, onlooker = [await asyncpg.connect(empty) for _ in range(3)]
    await first.execute(script_to("0004"))
    async with first.transaction():
        await first.execute(whole[begins:ends])
        reading = asyncio.create_task(second.fetch("select * from omhand.worklist"))
        await until_waiting(onlooker, 1)
        await first.execute(whole[ends:])
    assert await asyncio.wait_for(reading, 20) == []
    assert "ticket_unit" in {
        row["column_name"]
        for row in await first.fetch("select column_name from information_schema.columns where table_name = 'cases'")
    }
    for connection in (first, second, onlooker):
        await connection.close()
