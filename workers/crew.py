"""Worker processes under one that starts them, keeps them running, and stops them (``omhand dev``, ``--processes``).

A worker says that it polls by the line ``ready`` on its standard output; what it prints there beside (notifications,
where there is no gateway) is passed on to our standard error. A worker that ends is started again, after a pause that
doubles from one second to thirty; so is one that was started again and does not come to poll.
"""

import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workers import settings
from workers.children import Child, start_child

WORKER_READY: Final = b"ready"
"""The line by which a worker says on its standard output that it polls."""

SECONDS_TO_FINISH: Final = 5.5
"""A worker's grace of 5 s and its exit."""

_COMMAND: Final = (sys.executable, "-m", "omhand", "worker")
_SECONDS_TO_BE_READY: Final = 60.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_SECONDS_OF_GOOD_HEALTH: Final = 60.0
"""A worker that has polled so long is started again after the first pause."""

_logger = logging.getLogger(__name__)


class CrewError(Exception):
    """A worker could not be started, or was not ready in time."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Take what is wrong, and the exit status of the worker that ended."""
        super().__init__(message)
        self.status = status


@dataclass
class Member:
    """A worker process, started again whenever it ends."""

    number: int
    env: Mapping[str, str]
    metrics_address: str | None
    """``ip:port`` of its own metrics; None: it has none."""
    log: Path | None = None
    """Where it logs; None: to our own standard error."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has polled for the first time."""
    seconds_to_be_ready: float = _SECONDS_TO_BE_READY
    """When it is started again: it is killed if it does not poll by then."""
    _polls_since: float = math.inf
    """On the loop's clock, of the process that runs; infinite: it does not poll yet."""

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"worker-{self.number}"

    async def keep_running(self) -> None:
        """Run until cancelled. Raises CrewError if it ends before it has been ready once."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            ended = await self._run_once()
            status = ended.process.returncode
            if not self.ready.is_set():
                words = f". Its last words:\n{ended.last_words()}" if self.log else f" (exit status {status})"
                raise CrewError(f"{self.name} ended while starting{words}", status)
            if loop.time() - self._polls_since > _SECONDS_OF_GOOD_HEALTH:
                pause = _FIRST_PAUSE
            where = f"; see {self.log}" if self.log else ""
            _logger.error("%s ended (exit status %s) and is started again in %.0f s%s", self.name, status, pause, where)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self) -> Child:
        env = dict(self.env)
        if self.metrics_address:
            env[settings.METRICS_ADDRESS] = self.metrics_address
        self._polls_since = math.inf
        child = await start_child(self.name, _COMMAND, log=self.log, env=env, stdout=asyncio.subprocess.PIPE)
        try:
            # The first time the whole crew is waited for, by whoever starts it.
            async with asyncio.timeout(self.seconds_to_be_ready if self.ready.is_set() else None) as patience:
                await self._listen(child, patience)
                await child.exited()
        except TimeoutError:
            _logger.warning("%s was not ready within %.0f s and is killed", self.name, self.seconds_to_be_ready)
            await child.stop(signal.SIGKILL)
        finally:
            await child.stop(signal.SIGTERM, SECONDS_TO_FINISH)
        return child

    async def _listen(self, child: Child, patience: asyncio.Timeout) -> None:
        """Wait for the line that says that it polls, and pass on all others, until it closes its output.

        ``patience`` has no end once it polls.
        """
        output = child.process.stdout
        if output is None:
            msg = f"{self.name} was started without a pipe"
            raise CrewError(msg)
        while line := await output.readline():
            if line.strip() == WORKER_READY:
                _logger.info("%s is ready (process %d)", self.name, child.process.pid)
                patience.reschedule(None)
                self._polls_since = asyncio.get_running_loop().time()
                self.ready.set()
                break
            _pass_on(line)
        while rest := await output.read(65536):
            _pass_on(rest)


async def run_crew(processes: int, metrics_address: str | None) -> None:
    """Serve with that many processes until SIGINT or SIGTERM: one a core, as each has one loop and one interpreter.

    The first has its metrics at the address that is given, each other one on the next port.

    Raises:
        CrewError: one could not be started. All are down by then.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    host, _, port = (metrics_address or ":").rpartition(":")
    addresses = [f"{host}:{int(port) + nth}" if port else None for nth in range(processes)]
    crew = [Member(number, os.environ, address) for number, address in enumerate(addresses, start=1)]
    stopping = asyncio.create_task(stopped.wait())
    serving = asyncio.create_task(_serve(crew))
    try:
        await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not serving.done():
            serving.cancel()
    with suppress(asyncio.CancelledError):  # our own
        await serving


async def _serve(crew: Sequence[Member]) -> None:
    async with working(crew) as ending:
        print(WORKER_READY.decode(), flush=True)  # noqa: T201 - whoever started us waits for this line
        await ending


def _pass_on(output: bytes) -> None:
    sys.stderr.write(output.decode(errors="replace"))
    sys.stderr.flush()


@asynccontextmanager
async def working(crew: Sequence[Member], *, beside: Sequence[Child] = ()) -> AsyncIterator[asyncio.Task[None]]:
    """Run the workers; when all are ready give a task that ends, with CrewError, when anything ends by itself.

    ``beside`` are the servers without which they are of no use.
    """
    running = [asyncio.create_task(worker.keep_running()) for worker in crew]
    running += [asyncio.create_task(_gone(server)) for server in beside]
    ending = asyncio.create_task(_first_of(running))
    ready = asyncio.create_task(_all_ready(crew))
    try:
        await _first_of([ending, ready])
        yield ending
    finally:
        tasks = [*running, ending, ready]
        for task in tasks:
            task.cancel()
        # What they raise has been told by `ending`, or is our own cancelling.
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until one ends, and raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        await task


async def _gone(server: Child) -> None:
    status = await server.exited()
    words = server.last_words()
    raise CrewError(f"{server.name} ended by itself (exit status {status}). Its last words:\n{words}", status)


async def _all_ready(crew: Sequence[Member]) -> None:
    try:
        async with asyncio.timeout(_SECONDS_TO_BE_READY):
            for worker in crew:
                await worker.ready.wait()
    except TimeoutError:
        late = ", ".join(worker.name for worker in crew if not worker.ready.is_set())
        raise CrewError(f"not ready within {_SECONDS_TO_BE_READY:.0f} s: {late}") from None
