"""Databases as earlier versions of the program left them."""

import io
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

import activities.postgres


def script_to(revision: str) -> str:
    """The SQL of the schema as it was at this revision."""
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(Path(activities.postgres.__file__).parent / "migrations"))
    command.upgrade(config, revision, sql=True)
    return f"create schema omhand;\n{written.getvalue()}"


async def migrate_to(revision: str, dsn: str) -> None:
    """Make the schema of that revision in an empty database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(script_to(revision))
    finally:
        await connection.close()
