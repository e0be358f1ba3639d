"""Brings the database's schema to the version of this program (contract §5).

The migrations are plain SQL, ordered by Alembic and run by the driver that everything else uses (see
``activities/postgres/migrations/env.py`` for why).

While a release is rolled out, workers of the one before go on beside the new ones, and when it is rolled back they are
all there is. So each migration says in its file what it does to them:

- An **expand** (``oldest_program = None``) only adds: new tables, columns with a default or nullable, functions that
  take what older programs send. Programs of before go on. `omhand migrate` applies these, before the rollout.
- A **contract** takes away what nobody needs any more: ``oldest_program = "0008"`` names the oldest program that can
  bear it, by its newest migration. It waits for `omhand migrate --contract`, when no older worker runs. A program that
  brings a contract has to run on the schema before it as well.

What is taken away is thus left alone by one release and removed by the next one: a release's expands stand before its
contracts, and an expand behind a contract that has been left waiting waits with it.

The database keeps the oldest program that it serves (``omhand.alembic_version.oldest_program``), so that an older
program can tell whether it may start on a schema that it does not know.
"""

import asyncio
import contextlib
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final, cast

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

import activities.postgres

CONNECT_SECONDS: Final = 5
MIGRATE_SECONDS: Final = 600
"""Of one statement: a migration may wait for another process's, and rewrite a table."""

MOST_TIMES: Final = 5

_FOLDER: Final = Path(activities.postgres.__file__).parent / "migrations"
_LOCK: Final = 0x6F6D68616E64  # "omhand": everybody who migrates takes the same one
_WRITING: Final = threading.Lock()
"""Alembic keeps the script that it writes in globals."""


class SchemaTooNewError(Exception):
    """The database was migrated by a later version of the program, and does not serve this one any more."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a database's schema stands."""

    revision: str | None = None
    """None: it has no schema yet."""
    oldest_program: str | None = None
    """None: it says nothing, as those of before 0007."""


def migrate(dsn: str, *, contract: bool = False) -> str | None:
    """Bring the schema to this program's version, in one transaction. Does nothing where it is there already.

    Where programs of before may be running, a contract and what comes after it wait until ``contract`` is asked for;
    gives the first that waits. An empty database gets them all, and one that a later program has migrated is left as it
    is, where it still serves this one.

    ``dsn`` is a libpq URL, of a host or of a Unix socket (``?host=/folder``). Processes that migrate at once take
    turns. Not to be called where an event loop runs: use a thread there (``asyncio.to_thread``).

    Raises:
        SchemaTooNewError: a later version of the program has migrated it, and it does not serve this one.
        OSError, asyncpg.PostgresError: the database cannot be reached, or refused; then nothing has changed.
    """
    return asyncio.run(_migrate(dsn, contract=contract))


async def schema_fault(dsn: str) -> str | None:
    """Why a worker of this program cannot run on the schema as it is; None where it can.

    Raises:
        OSError, asyncpg.PostgresError: the database cannot be reached.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
    try:
        standing = await _standing(connection)
    finally:
        await connection.close()
    try:
        pending = _pending(standing)
    except SchemaTooNewError as fault:
        return str(fault)
    if all(_oldest_program(script) for script in pending):  # what only takes away may wait
        return None
    return "its schema is of an earlier version: run `omhand migrate` first"


async def _migrate(dsn: str, *, contract: bool) -> str | None:
    for _ in range(MOST_TIMES - 1):
        # Somebody reads what is to be changed, and waits for what is locked: one of the two has to give way.
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            return await _migrate_once(dsn, contract=contract)
    return await _migrate_once(dsn, contract=contract)


async def _migrate_once(dsn: str, *, contract: bool) -> str | None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=MIGRATE_SECONDS)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            standing = await _standing(connection)
            pending = _pending(standing)
            wanted = pending if contract or standing.revision is None else list(takewhile(_is_expand, pending))
            if wanted:
                await connection.execute("create schema if not exists omhand")
                await connection.execute(_script(standing.revision, wanted))
                for oldest in filter(None, map(_oldest_program, wanted)):
                    await connection.execute("update omhand.alembic_version set oldest_program = $1", oldest)
            return next((script.revision for script in pending[len(wanted) :]), None)
    finally:
        await connection.close()


async def _standing(connection: asyncpg.Connection) -> _Standing:
    if await connection.fetchval("select to_regclass('omhand.alembic_version')") is None:
        return _Standing()
    # By its key: before 0007 there is no such column.
    row = await connection.fetchrow(
        "select version_num, to_jsonb(version) ->> 'oldest_program' as oldest from omhand.alembic_version as version"
    )
    return _Standing(row["version_num"], row["oldest"]) if row else _Standing()


def _pending(standing: _Standing) -> list[Script]:
    """The migrations of this program that the database has not had, the oldest first.

    Raises:
        SchemaTooNewError: its newest one is not this program's, and it does not serve this program.
    """
    scripts = list(_scripts(Config()).walk_revisions())[::-1]
    known = [script.revision for script in scripts]
    if standing.revision is None:
        return scripts
    if standing.revision in known:
        return scripts[known.index(standing.revision) + 1 :]
    if standing.oldest_program in known:
        return []
    later = f"the database's schema ({standing.revision}) is of a later version"
    msg = f"{later}, which does not serve this program: run the later one"
    raise SchemaTooNewError(msg)


def _oldest_program(script: Script) -> str | None:
    return cast("str | None", getattr(script.module, "oldest_program", None))


def _is_expand(script: Script) -> bool:
    return _oldest_program(script) is None


def _script(revision: str | None, wanted: Sequence[Script]) -> str:
    """The SQL of these migrations, which begin after the revision."""
    written = io.StringIO()
    config = Config(output_buffer=written)
    _scripts(config)
    with _WRITING:
        command.upgrade(config, f"{revision or 'base'}:{wanted[-1].revision}", sql=True)
    return written.getvalue()


def _scripts(config: Config) -> ScriptDirectory:
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config)
