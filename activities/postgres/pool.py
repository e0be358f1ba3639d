"""The worker's connections to Postgres, and its queries by name."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg

CONNECT_SECONDS: Final = 5
COMMAND_SECONDS: Final = 10
MOST_CONNECTIONS: Final = 8
"""Of one process. A step takes a millisecond or two, so they are shared by very many cases."""

_QUERIES: Final = Path(__file__).parent / "queries"


@asynccontextmanager
async def open_pool(dsn: str, *, most: int = MOST_CONNECTIONS) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the database of ``dsn``, made on the loop that runs, closed with the context.

    Connecting may take 5 s, a command 10 s.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or does not let us in.
    """
    async with asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=most,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        init=_prepare,
        reset=_leave_as_it_is,
        server_settings={"application_name": "omhand"},
    ) as pool:
        yield pool


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """Nobody changes a session here, and undoing nothing would cost a round trip each time."""


@cache
def query(name: str) -> str:
    """The SQL of ``queries/<name>.sql``; its first lines describe it.

    Raises:
        OSError: there is no such query; a fault of the program.
    """
    return (_QUERIES / f"{name}.sql").read_text(encoding="utf-8")
