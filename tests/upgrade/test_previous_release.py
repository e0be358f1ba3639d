"""The release before and this one on the same cases: while one is rolled out, and when it is rolled back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from lives import LIVES, failed_tasks, go_on, open_all
from programs import Program, settings_of, unpack_previous
from stage import Gateway, Stage, listening, new_namespace
from stories import DIRECTORY, OTHER_PHASES, POLICY
from temporalio.client import Client

from omhand.codec import data_converter
from workers.embedded import TemporalServer
from workers.migrate import migrate
from workers.settings import Settings
from workers.worker import serving

HALF = tuple(LIVES)[::2]
OTHER_HALF = tuple(LIVES)[1::2]


@asynccontextmanager
async def empty_stage(server: str, temporal: TemporalServer, folder: Path) -> AsyncIterator[Stage]:
    """A namespace, a gateway and a database without anything."""
    admin = await asyncpg.connect(server)
    await admin.execute("create database upgrade")
    await admin.close()
    dsn = urlunsplit(urlsplit(server)._replace(path="/upgrade"))
    async with AsyncExitStack() as resources:
        namespace = await new_namespace(temporal, "upgrade")
        gateway = Gateway()
        await resources.enter_async_context(listening(gateway))
        client = await Client.connect(temporal.address, namespace=namespace)
        pool = await resources.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=2))
        yield Stage(client, dsn, pool, gateway, folder, temporal.address)


@asynccontextmanager
async def this_release(stage: Stage) -> AsyncIterator[None]:
    """A worker of this release."""
    settings = Settings(database_url=stage.dsn, gateway_url=stage.gateway.url, notices_per_second=1000.0)
    client = await stage.connect(data_converter=data_converter(None))
    async with serving(client, settings):
        yield


async def test_cases_go_on_through_an_upgrade_a_rollback_and_an_upgrade(
    postgres_server: str, temporal_server: TemporalServer, tmp_path: Path
) -> None:
    previous = unpack_previous(tmp_path / "previous")
    files = tmp_path / "directory.toml", tmp_path / "policy.toml"
    for file, text in zip(files, (DIRECTORY, POLICY + OTHER_PHASES), strict=True):
        file.write_text(text, encoding="utf-8")
    async with empty_stage(postgres_server, temporal_server, tmp_path) as stage:
        before, log = Program(previous, settings_of(stage)), tmp_path / "worker.log"
        await before.run("migrate")
        await before.run("load", "--directory", str(files[0]), "--policy", str(files[1]))
        async with before.worker(log):
            await open_all(stage, "old")
            assert await asyncio.to_thread(migrate, stage.dsn) is None
            # It does not notice: what has been added is nothing to it.
            await open_all(stage, "between", HALF)
            await go_on(stage, "between", HALF)
        async with this_release(stage):
            await go_on(stage, "old")
            await open_all(stage, "new")
        async with before.worker(log):
            await go_on(stage, "new", HALF)
            await open_all(stage, "back", OTHER_HALF)
        async with this_release(stage):
            await go_on(stage, "new", OTHER_HALF)
            await go_on(stage, "back", OTHER_HALF)
        assert await failed_tasks(stage) == []
        open_cases = "select case_id from omhand.handling_times where closed_at is null"
        assert await stage.rows(open_cases) == []
