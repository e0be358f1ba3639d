"""What the hard stories are staged with: a stack of their own on real servers, and lines and gateways that fail.

The task queues have fixed names, and workers of two stages would take each other's cases: each stage has a namespace of
its own on the session's Temporal, or a Temporal of its own where its server is set otherwise.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiohttp import web
from google.protobuf.duration_pb2 import Duration
from stories import DIRECTORY, OTHER_PHASES, POLICY, FakeGateway, Stack
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.identity import TokenSettings
from omhand.codec import EncryptionCodec, data_converter
from workers.embedded import TemporalServer, embedded_temporal
from workers.load import load
from workers.migrate import migrate
from workers.settings import Settings
from workers.worker import register_search_attributes, serving

VIRTUAL_TIME: Final = (
    "--dynamic-config-value",
    "frontend.WorkflowTimeSkippingEnabled=true",
    "--dynamic-config-value",
    'history.timerProcessorMaxTimeShift="10ms"',
)
FAST_POLICY: Final = """
[[ladder]]
phase = "waiting"
clock = "always"
due = "PT1S"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT1S", do = "offer", to = "cooperating" },
  { after = "PT2S", do = "alert_manager" },
]
"""
"""Seconds in place of minutes: for stories in which the servers' own time has to pass."""

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOK_AGAIN_SECONDS: Final = 0.02
MOST_SECONDS_BETWEEN: Final = 0.2
"""Whoever asks all the time takes the processor from what is waited for."""


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Ask again and again, less and less often, as nobody tells when it has come true; what it gave when it was true.

    Raises:
        TimeoutError: it has not come true in so many seconds.
    """
    pause = LOOK_AGAIN_SECONDS
    async with asyncio.timeout(seconds):
        while not (answer := await condition()):
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, MOST_SECONDS_BETWEEN)
        return answer


async def pending_activities(handle: WorkflowHandle[Any, Any]) -> list[Any]:
    """What operators see of the activities that a workflow waits for."""
    return list((await handle.describe()).raw_description.pending_activities)


async def new_database(server: str, name: str) -> str:
    """A database with the schema on that server; its DSN."""
    admin = await asyncpg.connect(server)
    await admin.execute(f'create database "{name}"')
    await admin.close()
    dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    await asyncio.to_thread(migrate, dsn)
    return dsn


async def load_rules(dsn: str, policy: str = POLICY, directory: str = DIRECTORY) -> int:
    """Load a directory and a policy, which has a ladder for every other phase too; the version."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "directory.toml"), Path(folder, "policy.toml")
        for file, text in zip(files, (directory, policy + OTHER_PHASES), strict=True):
            file.write_text(text, encoding="utf-8")
        return await load(dsn, *files)


# The gateway


@dataclass
class Gateway(FakeGateway):
    """A phone gateway that can also be told how to answer the announcement of a case, call by call."""

    answers: dict[str, list[Answering]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """One notification: the next way to answer that has been told, else 202."""
        usual = await super().take(request)
        self.times.append(asyncio.get_running_loop().time())
        call = self.calls[-1]
        waiting = self.answers.get(call["case_id"]) if call["reason"] == "new_case" else None
        return await waiting.pop(0)(request) if waiting else usual

    def keys(self, case_id: str = "") -> Counter[str]:
        """How often each key came, about this case or all."""
        return Counter(call["key"] for call in self.calls if case_id in {"", call["case_id"]})

    def times_of(self, case_id: str) -> list[float]:
        """When its calls came, in seconds of the loop's clock."""
        return [at for at, call in zip(self.times, self.calls, strict=True) if call["case_id"] == case_id]


@asynccontextmanager
async def listening(gateway: FakeGateway, port: int = 0) -> AsyncIterator[None]:
    """The gateway takes calls on loopback, under its ``url``."""
    app = web.Application()
    app.router.add_post("/notify", gateway.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    try:
        yield
    finally:
        await runner.cleanup()


def says(status: int, **headers: str) -> Answering:
    """An answer with this status and these headers."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The request has been read; then the connection ends without a word."""
    assert request.transport
    request.transport.close()
    return web.Response()


def silent_until(event: asyncio.Event, then: int = 202) -> Answering:
    """No answer until the event."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        await event.wait()
        return web.Response(status=then)

    return answer


# The line to a server


class Line:
    """A TCP line to a server: it can be cut and mended, held, or made to lose an answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._losing: bytes | None = None
        self.lost = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        """Not cut."""
        return self._server is not None

    async def mend(self) -> None:
        """Take connections, again on the same port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection at once, and refuse new ones."""
        if self._server:
            self._server.close()
            self._server = None
        for end in list(self._ends):
            end.transport.abort()

    def hold(self) -> None:
        """Pass nothing on, in either direction: the other side seems to have frozen."""
        self._open.clear()

    def let_go(self) -> None:
        """Pass everything on, also what has been held."""
        self._open.set()

    def lose_the_answer_to(self, words: bytes) -> None:
        """The next request with these words reaches the server; its answer never comes, and the connection ends."""
        self._losing = words
        self.lost.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        deaf = asyncio.Event()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            self._ends.discard(writer)
            return
        self._ends.add(far_writer)
        there = self._pass_on(reader, far_writer, lambda sent: self._listen(sent, deaf))
        back = self._pass_on(far_reader, writer, lambda _answer: deaf.is_set())
        ways = [asyncio.ensure_future(way) for way in (there, back)]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, far_writer):
            end.transport.abort()
            self._ends.discard(end)
        if deaf.is_set():
            self.lost.set()

    def _listen(self, sent: bytes, deaf: asyncio.Event) -> bool:
        if self._losing and self._losing in sent:
            self._losing = None
            deaf.set()
        return False

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends_at: Callable[[bytes], bool]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 20):
                await self._open.wait()
                if ends_at(data):
                    return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def line_to(dsn: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to that Postgres, and the DSN through it."""
    parts = urlsplit(dsn)
    line = Line((parts.hostname or "", parts.port or 5432))
    await line.mend()
    user = parts.netloc.rpartition("@")[0]
    try:
        yield line, urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{line.port}"))
    finally:
        await line.cut()


# The whole


@dataclass
class Stage(Stack):
    """A stack of its own: ``dsn`` is what the worker uses, ``pool`` goes straight to the database."""

    gateway: Gateway
    address: str = ""

    async def connect(self, **how: Any) -> Client:
        """Another client of its namespace."""
        return await Client.connect(self.address, namespace=self.client.namespace, **how)

    async def log(self, case_id: str) -> list[dict[str, Any]]:
        """The case's log in Postgres."""
        return await self.rows("select * from omhand.case_log where case_id = $1 order by seq", case_id)

    async def notices(self, case_id: str) -> list[dict[str, Any]]:
        """The case's notifications."""
        return await self.rows("select * from omhand.notification_log where case_id = $1 order by created_at", case_id)

    async def settled(self, case_id: str) -> list[dict[str, Any]]:
        """Its notifications, when none is pending any more."""

        async def none_pending() -> list[dict[str, Any]]:
            rows = await self.notices(case_id)
            return [] if any(row["status"] == "pending" for row in rows) else rows

        return list(await until(none_pending))

    async def is_whole(self, case_id: str) -> list[str]:
        """Nothing lost and nothing twice: the log has no gap, and is what the workflow says. Its events."""
        rows = await self.log(case_id)
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        view = await self.client.get_workflow_handle(f"case-{case_id}").query("view")
        assert [row["event"] for row in rows] == [event["event"] for event in view["log"]]
        keys = [row["key"] for row in await self.notices(case_id)]
        assert len(keys) == len(set(keys))
        return [row["event"] for row in rows]


async def new_namespace(server: TemporalServer, name: str) -> str:
    """A namespace with the search attributes on that server; its name."""
    client = await Client.connect(server.address)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    asked = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    await client.workflow_service.register_namespace(asked)
    await register_search_attributes(await Client.connect(server.address, namespace=name))
    return name


@asynccontextmanager
async def staged(
    dsn: str,
    *,
    temporal: TemporalServer | None = None,
    through: str | None = None,
    gateway: Gateway | None = None,
    keys: Path | None = None,
    require_encryption: bool = False,
    served: bool = True,
    extra_args: Sequence[str] = (),
    tokens: TokenSettings | None = None,
    require_assertions: bool = False,
    heartbeat_url: str | None = None,
) -> AsyncIterator[Stage]:
    """A Temporal, a gateway and a worker in this process, on a migrated database with rules.

    On the server ``temporal`` it has a namespace named as the database; else a server of its own with ``extra_args``.
    ``through`` is the worker's own way to the database, if it is another. Where there are ``keys`` the client encrypts.
    Not ``served``: without a worker.
    """
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        if temporal:
            namespace = await new_namespace(temporal, urlsplit(dsn).path.removeprefix("/"))
        else:
            temporal = await resources.enter_async_context(embedded_temporal(extra_args=extra_args))
            namespace = temporal.namespace
        if gateway is None:
            gateway = Gateway()
            await resources.enter_async_context(listening(gateway))
        settings = Settings(
            database_url=through or dsn,
            gateway_url=gateway.url,
            notices_per_second=1000.0,
            keys_file=keys,
            require_encryption=require_encryption,
            tokens=tokens,
            require_assertions=require_assertions,
            heartbeat_url=heartbeat_url,
        )
        if served:
            converter = data_converter(settings.codec())
            worker = await Client.connect(temporal.address, namespace=namespace, data_converter=converter)
            await resources.enter_async_context(serving(worker, settings))
        codec = EncryptionCodec(keys) if keys else None
        client = await Client.connect(temporal.address, namespace=namespace, data_converter=data_converter(codec))
        pool = await resources.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=2))
        yield Stage(client, settings.database_url, pool, gateway, folder, temporal.address)


async def is_running(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the workflow exists and has not ended."""
    with suppress(RPCError):
        return (await handle.describe()).raw_description.workflow_execution_info.status == 1
    return False
