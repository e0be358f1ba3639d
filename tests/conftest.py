"""Real servers for the tests: one Postgres and one Temporal a session, started when a test first asks for them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from workers.embedded import TemporalServer, embedded_postgres, embedded_temporal

VIRTUAL_TIME = (
    "--dynamic-config-value",
    "frontend.WorkflowTimeSkippingEnabled=true",
    "--dynamic-config-value",
    'history.timerProcessorMaxTimeShift="10ms"',
)


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine() -> None:
    """What is set in the shell that runs the tests must not decide how they end."""
    for name in [name for name in os.environ if name.startswith(("OMHAND_", "TEMPORAL_"))]:
        del os.environ[name]


@pytest.fixture(scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Postgres of the session's own, which does not wait for the disk: it need not outlive a power cut. Its DSN."""
    async with embedded_postgres(tmp_path_factory.mktemp("postgres")) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("alter system set fsync = off")
        await connection.execute("select pg_reload_conf()")
        await connection.close()
        yield dsn


@pytest.fixture(scope="session")
async def temporal_server() -> AsyncIterator[TemporalServer]:
    """A Temporal of the session's own, in memory, in which a workflow's time can be moved."""
    async with embedded_temporal(extra_args=VIRTUAL_TIME) as server:
        yield server


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return Path(__file__).parent.parent
