"""Schemas that are older or newer than the program: what each release may run on while another one is rolled out."""

import asyncio
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.script import ScriptDirectory

import workers.migrate
from workers.migrate import SchemaTooNewError, migrate, schema_fault
from workers.settings import Settings, SettingsError
from workers.worker import run_worker

NUMBERS = itertools.count(1)
MIGRATIONS = Path(workers.migrate._FOLDER)
HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()
NEXT = """
from alembic import op
revision, down_revision, oldest_program = {revision!r}, {after!r}, {oldest_program!r}
def upgrade():
    op.execute("create table omhand.of_{revision} ()")
"""


@pytest.fixture
async def dsn(postgres_server: str) -> str:
    """A database without anything."""
    admin = await asyncpg.connect(postgres_server)
    name = f"schemas_{next(NUMBERS)}"
    await admin.execute(f'create database "{name}"')
    await admin.close()
    return urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Become a program with these migrations after today's, each told by the oldest program that can bear it."""

    def become(*migrations: str | None) -> None:
        folder = tmp_path / f"release_{next(NUMBERS)}"
        shutil.copytree(MIGRATIONS, folder)
        for number, oldest_program in enumerate(migrations, start=1):
            after = f"900{number - 1}" if number > 1 else HEAD
            text = NEXT.format(revision=f"900{number}", after=after, oldest_program=oldest_program)
            (folder / "versions" / f"900{number}.py").write_text(text)
        monkeypatch.setattr(workers.migrate, "_FOLDER", folder)

    return become


async def migrated(dsn: str, *, contract: bool = False) -> str | None:
    return await asyncio.to_thread(migrate, dsn, contract=contract)


async def standing(dsn: str) -> tuple[str, str]:
    """The schema's revision, and the oldest program that it serves."""
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchrow("select * from omhand.alembic_version")
    await connection.close()
    return row["version_num"], row["oldest_program"]


def test_each_migration_says_what_it_does_to_programs_of_before() -> None:
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
        if script.revision >= "0007":
            assert hasattr(script.module, "oldest_program"), f"{script.path}: see workers/migrate.py"


async def test_an_expand_is_applied_and_programs_of_before_go_on(dsn: str, release: Callable[..., None]) -> None:
    assert await migrated(dsn) is None
    release(None, None)
    assert await schema_fault(dsn) == "its schema is of an earlier version: run `omhand migrate` first"
    assert await migrated(dsn) is None
    assert (await schema_fault(dsn), await standing(dsn)) == (None, ("9002", "0006"))
    release()
    # The program of before: it starts, and has nothing to migrate.
    assert (await schema_fault(dsn), await migrated(dsn), await migrated(dsn, contract=True)) == (None, None, None)
    assert await standing(dsn) == ("9002", "0006")


async def test_a_contract_waits_until_it_is_asked_for_and_then_stops_programs_of_before(
    dsn: str, release: Callable[..., None]
) -> None:
    await migrated(dsn)
    release(None, "9001")
    assert await migrated(dsn) == "9002"
    assert (await standing(dsn), await schema_fault(dsn)) == (("9001", "0006"), None)
    assert await migrated(dsn) == "9002"
    assert await migrated(dsn, contract=True) is None
    assert (await standing(dsn), await schema_fault(dsn)) == (("9002", "9001"), None)
    release(None)
    assert await schema_fault(dsn) is None, "the program that the contract names can bear it"
    release()
    later = "the database's schema (9002) is of a later version, which does not serve this program: run the later one"
    assert await schema_fault(dsn) == later
    with pytest.raises(SchemaTooNewError, match="9002"):
        await migrated(dsn)
    with pytest.raises(SettingsError, match=r"OMHAND_DATABASE_URL: the database's schema \(9002\) is of a later"):
        await run_worker(Settings(database_url=dsn))


async def test_what_comes_after_a_contract_that_was_left_waiting_waits_with_it(
    dsn: str, release: Callable[..., None]
) -> None:
    await migrated(dsn)
    release("0007", None)
    assert await migrated(dsn) == "9001"
    assert "run `omhand migrate`" in (await schema_fault(dsn) or "")
    assert await migrated(dsn, contract=True) is None
    assert (await standing(dsn), await schema_fault(dsn)) == (("9002", "0007"), None)


async def test_an_empty_database_gets_everything_at_once(dsn: str, release: Callable[..., None]) -> None:
    release(None, "9001", None)
    assert await migrated(dsn) is None
    assert (await standing(dsn), await schema_fault(dsn)) == (("9003", "9001"), None)


async def test_a_later_schema_that_says_nothing_is_left_alone(dsn: str) -> None:
    await migrated(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute("update omhand.alembic_version set version_num = '9999'")
    await connection.execute("alter table omhand.alembic_version drop column oldest_program")
    await connection.close()
    assert "(9999) is of a later version" in (await schema_fault(dsn) or "")
    with pytest.raises(SchemaTooNewError, match="9999"):
        await migrated(dsn)
