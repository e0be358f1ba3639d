"""A stack for workflow tests: real servers, a worker in this process, a small region, a gateway that is a server."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiohttp import web
from temporalio.client import Client

from omhand.codec import data_converter
from workers.embedded import TemporalServer
from workers.load import load
from workers.migrate import migrate
from workers.settings import Settings
from workers.worker import serving

sys.path.insert(0, str(Path(__file__).parent))
from stories import DIRECTORY, OTHER_PHASES, POLICY, FakeGateway, Stack


@pytest.fixture(scope="session")
async def database(postgres_server: str) -> str:
    """A database with the schema, of the session's own."""
    parts = urlsplit(postgres_server)
    admin = await asyncpg.connect(postgres_server)
    await admin.execute("create database stories")
    await admin.close()
    dsn = urlunsplit(parts._replace(path="/stories"))
    await asyncio.to_thread(migrate, dsn)
    return dsn


@pytest.fixture(scope="session")
async def gateway() -> AsyncIterator[FakeGateway]:
    """The fake gateway, listening."""
    fake = FakeGateway()
    app = web.Application()
    app.router.add_post("/notify", fake.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}/notify"
    yield fake
    await runner.cleanup()


@pytest.fixture(scope="session")
async def stack(
    temporal_server: TemporalServer,
    database: str,
    gateway: FakeGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    """A worker in this process that serves cases against real servers."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "directory.toml").write_text(DIRECTORY)
    (folder / "policy.toml").write_text(POLICY + OTHER_PHASES)
    await load(database, folder / "directory.toml", folder / "policy.toml")
    settings = Settings(database_url=database, gateway_url=gateway.url, notices_per_second=1000.0)
    async with AsyncExitStack() as resources:
        worker = await Client.connect(temporal_server.address, data_converter=data_converter(None))
        await resources.enter_async_context(serving(worker, settings))
        # The tests' own client is what any integrator has: the plain SDK.
        client = await Client.connect(temporal_server.address)
        pool = await resources.enter_async_context(asyncpg.create_pool(database, min_size=1, max_size=2))
        yield Stack(client, database, pool, gateway, folder)
