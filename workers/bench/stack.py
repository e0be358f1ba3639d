"""The servers that every variant is measured on, and the process that serves one of them."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import psutil
from aiohttp import web
from temporalio.client import Client

from omhand.codec import EncryptionCodec, KeyRing, data_converter
from workers.bench.process import READY
from workers.bench.variants import ROOT, Variant
from workers.children import Child, EmbeddedError, free_ports
from workers.children import start_child as start
from workers.demo.region import write_directory
from workers.embedded import PostgresServer, TemporalServer, embedded_temporal, running_postgres
from workers.load import load
from workers.migrate import migrate

POLICY: Final = ROOT / "examples" / "policy.toml"
SECONDS_TO_START: Final = 60
SECONDS_TO_STOP: Final = 15

SCHEMA: Final = """
create schema bench;
create table bench.steps (case_id text, step text, body jsonb not null, primary key (case_id, step));
create function bench.tell() returns trigger language plpgsql as $$
begin
    perform pg_notify('bench', new.case_id || ' ' || tg_argv[0]);
    return null;
end
$$;
"""
TELLING: Final = """
create trigger bench_{step} after {moment} on {table} for each row when ({condition})
    execute function bench.tell('{step}');
"""
"""How the driver learns that a row is visible: Postgres says so when it has committed, the same way for all three."""

TOLD: Final = (
    *(("bench.steps", "insert", step, f"new.step = '{step}'") for step in ("opened", "accepted", "closed")),
    *(("omhand.events", "insert", step, f"new.event = '{step}'") for step in ("opened", "accepted", "closed")),
    ("omhand.notifications", "update", "announced", "new.status = 'sent' and old.status <> 'sent'"),
)


@dataclasses.dataclass(frozen=True)
class Servers:
    """Everything that runs beside the driver and the worker."""

    folder: Path
    temporal: TemporalServer
    postgres: PostgresServer
    keys: Path
    gateway_url: str

    async def client(self, variant: Variant) -> Client:
        """What starts cases and signals them."""
        codec = EncryptionCodec(self.keys) if variant.encrypted else None
        return await Client.connect(self.temporal.address, data_converter=data_converter(codec))


@dataclasses.dataclass(frozen=True)
class Serving:
    """A worker process that serves."""

    child: Child
    process: psutil.Process

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        if self.child.process.stdin is None:
            msg = "the worker process has no standard input"
            raise RuntimeError(msg)
        self.child.process.stdin.write(f"{line}\n".encode())


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Servers]:
    """Temporal and Postgres as ``omhand dev`` starts them, the example region loaded, and a gateway that takes all.

    The region's units are open around the clock: at night the examples would announce nothing, and the numbers would
    depend on the time of day.
    """
    async with AsyncExitStack() as resources:
        postgres = await resources.enter_async_context(running_postgres(folder / "postgres"))
        temporal = await resources.enter_async_context(embedded_temporal(folder / "temporal"))
        gateway_url = await resources.enter_async_context(_gateway())
        await asyncio.to_thread(migrate, postgres.dsn)
        await load(postgres.dsn, write_directory(folder), POLICY)
        await _make_schema(postgres.dsn)
        keys = folder / "keys"
        KeyRing.create(keys)
        yield Servers(folder, temporal, postgres, keys, gateway_url)


@asynccontextmanager
async def serving(on: Servers, variant: Variant, cached_cases: int | None = None) -> AsyncIterator[Serving]:
    """The variant's worker process, alone, while the context is open; without a number, with its own cache size.

    Raises:
        EmbeddedError: it ended while starting, or does not say that it serves.
    """
    cached = [] if cached_cases is None else [str(cached_cases)]
    child = await start(
        variant.name,
        [sys.executable, "-m", *variant.serve, *cached],
        log=on.folder / f"{variant.name}.log",
        folder=variant.root,
        env=_environment(on, variant),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _until_ready(child)
        yield Serving(child, psutil.Process(child.process.pid))
        if child.process.stdin:
            child.process.stdin.close()
        # In good order, else the server would hand tasks to a poller that has gone.
        await asyncio.wait_for(child.exited(), SECONDS_TO_STOP)
    finally:
        if child.process.returncode is None:
            child.process.kill()
            await child.exited()


async def _until_ready(child: Child) -> None:
    if child.process.stdout is None:
        msg = "the worker process has no standard output"
        raise RuntimeError(msg)
    line = await asyncio.wait_for(child.process.stdout.readline(), SECONDS_TO_START)
    if line != READY:
        msg = f"the worker of {child.name} did not start:\n{child.last_words()}"
        raise EmbeddedError(msg)


def _environment(on: Servers, variant: Variant) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("OMHAND_", "TEMPORAL_"))}
    own = {
        "TEMPORAL_ADDRESS": on.temporal.address,
        "TEMPORAL_NAMESPACE": on.temporal.namespace,
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "OMHAND_DATABASE_URL": on.postgres.dsn,
    }
    if variant.encrypted:
        (metrics,) = free_ports(0)
        own |= {
            "OMHAND_KEYS_FILE": str(on.keys),
            "OMHAND_GATEWAY_URL": on.gateway_url,
            "OMHAND_LOG_FORMAT": "json",
            "OMHAND_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
            "OMHAND_NOTICES_PER_SECOND": str(variant.notices_per_second),
        }
    return inherited | own


async def _make_schema(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
        for table, moment, step, condition in TOLD:
            await connection.execute(TELLING.format(table=table, moment=moment, step=step, condition=condition))
    finally:
        await connection.close()


@asynccontextmanager
async def _gateway() -> AsyncIterator[str]:
    """A gateway of this process that takes every notification at once; its URL."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()
