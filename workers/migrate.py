"""Brings the database's schema to the version of this program (contract §5).

The migrations are plain SQL, ordered by Alembic and run by the driver that everything else uses (see
``activities/postgres/migrations/env.py`` for why).
"""

import asyncio
import io
import threading
from pathlib import Path
from typing import Final, cast

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

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
    """The database was migrated by a later version of the program; this one must not touch it."""


def migrate(dsn: str) -> None:
    """Bring the schema to this program's version, in one transaction. Does nothing where it is there already.

    ``dsn`` is a libpq URL, of a host or of a Unix socket (``?host=/folder``). Processes that migrate at once take
    turns. Not to be called where an event loop runs: use a thread there (``asyncio.to_thread``).

    Raises:
        SchemaTooNewError: a later version of the program has migrated it.
        OSError, asyncpg.PostgresError: the database cannot be reached, or refused; then nothing has changed.
    """
    asyncio.run(_migrate(dsn))


async def schema_is_older(dsn: str) -> bool:
    """Whether the schema is of an earlier version than this program, which needs what is not there yet.

    Raises:
        OSError, asyncpg.PostgresError: the database cannot be reached.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
    try:
        revision = await _revision(connection)
    finally:
        await connection.close()
    scripts = _scripts(Config())
    earlier = {known.revision for known in scripts.walk_revisions()} - {scripts.get_current_head()}
    return revision is None or revision in earlier


async def _migrate(dsn: str) -> None:
    for others in range(MOST_TIMES):
        try:
            await _migrate_once(dsn)
        except asyncpg.DeadlockDetectedError:
            # Somebody reads what is to be changed, and waits for what is locked: one of the two has to give way.
            if others + 1 == MOST_TIMES:
                raise
        else:
            return


async def _migrate_once(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=MIGRATE_SECONDS)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            script = _script_from(await _revision(connection))
            if script:
                await connection.execute("create schema if not exists omhand")
                await connection.execute(script)
    finally:
        await connection.close()


async def _revision(connection: asyncpg.Connection) -> str | None:
    """The database's revision; None where it has none yet."""
    if await connection.fetchval("select to_regclass('omhand.alembic_version')") is None:
        return None
    return cast("str | None", await connection.fetchval("select version_num from omhand.alembic_version"))


def _script_from(revision: str | None) -> str:
    """The SQL that leads from a revision to this program's; empty where there is nothing to do."""
    written = io.StringIO()
    config = Config(output_buffer=written)
    scripts = _scripts(config)
    if revision == scripts.get_current_head():
        return ""
    if revision is not None and revision not in {known.revision for known in scripts.walk_revisions()}:
        msg = f"the database's schema ({revision}) is of a later version than this program: run the later one"
        raise SchemaTooNewError(msg)
    with _WRITING:
        command.upgrade(config, f"{revision}:head" if revision else "head", sql=True)
    return written.getvalue()


def _scripts(config: Config) -> ScriptDirectory:
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config)
