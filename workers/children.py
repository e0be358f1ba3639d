"""Child processes, folders and ports of one machine: what ``omhand dev`` and its embedded servers are made of.

Children die with us, also when we are killed: the kernel is asked to see to it (on Linux). What is left over all the
same is found at the next start by its working folder, and stopped. A folder is used by one at a time: a lock, which the
kernel lets go of when its holder dies.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

import psutil

T = TypeVar("T")

LOOPBACK: Final = "127.0.0.1"
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
                taken.bind((LOOPBACK, port))
            except OSError as error:
                message = f"port {port} of {LOOPBACK} cannot be had: {error.strerror}"
                raise EmbeddedError(message) from error
            ports.append(taken.getsockname()[1])
        return ports


# Processes


@dataclasses.dataclass(frozen=True)
class Child:
    """A child process, made by `start_child`."""

    name: str
    process: asyncio.subprocess.Process
    log: Path | None
    """None: it writes where we do."""
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
        """Ask it to stop with the signal `how`; kill it after `patience` seconds.

        SIGKILL is for what it started too: a child that is killed cannot see to its own.
        """
        if self.ended:
            return
        try:
            if how is signal.SIGKILL:
                self._kill_group()
            else:
                self.process.send_signal(how)
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            _logger.warning("%s did not stop within %.1f s and is killed", self.name, patience)
        finally:
            if not self.ended:
                self._kill_group()
                await self.process.wait()

    def _kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group, and has not been waited for: the id is its own

    def last_words(self) -> str:
        """Return the end of what this process wrote to its log, at most 2 000 bytes."""
        if self.log is None:
            return "(see above)"
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_begins, end - _LAST_WORDS_BYTES))
            return log.read().decode(errors="replace").strip()


async def start_child(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path | None,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    owner: tuple[int, int] | None = None,
    stdin: IO[bytes] | int = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    death: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start `command` in `folder` as `owner` (uid and gid), its output going to the end of `log`, or where ours goes.

    It has a session of its own, so that Ctrl-C on the terminal is for us alone, and gets the signal
    `death` when the thread that calls this ends: call it from the main thread, never from a pool.
    `stdout` PIPE takes standard output out of the log. Raises EmbeddedError if it cannot be run.
    """
    us = os.getpid()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        begins = output.seek(0, os.SEEK_END) if output else 0
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
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
        )
        return await _started(name, starting, log, begins)


async def _started(
    name: str, starting: "asyncio.Future[asyncio.subprocess.Process]", log: Path | None, begins: int
) -> Child:
    """The child, once it runs. One that nobody waits for any more may run already, and have children: it is killed."""
    try:
        process = await asyncio.shield(starting)
    except OSError as error:
        message = f"{name} cannot be run: {error.strerror}: {error.filename}"
        raise EmbeddedError(message) from error
    except asyncio.CancelledError:
        await Child(name, await starting, log, begins).stop(signal.SIGKILL)
        raise
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
