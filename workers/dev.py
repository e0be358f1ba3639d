"""``omhand dev``: everything on one machine, in one folder, under one process (contract §8).

Postgres, Temporal and the workers are child processes; the codec server runs in this one. They come up in the order in
which they need each other and go down in the reverse: workers first, so that what they have in hand is finished. With
a worker's grace and 2 s for each server that is within the 10 s of the contract. A worker that ends is started again
(``crew.py``). A server that ends takes everything down: its data are safe, and the next start finds them.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activities.access import AccessLog
from activities.postgres.pool import open_pool
from omhand.client.environment import DATABASE_PASSWORD, file_of
from omhand.codec import EncryptionCodec, KeyRing, KeyRingError
from workers import logs, settings
from workers.children import LOOPBACK, EmbeddedError, claim, free_ports
from workers.codec_server import codec_server
from workers.crew import CrewError, Member, working
from workers.embedded import TemporalServer, embedded_temporal, running_postgres

READY_FILE: Final = "ready.json"
"""In the state folder while everything answers: where the commands find it."""

_NOT_OF_OUR_DATABASE: Final = dict.fromkeys(
    (file_of(settings.DATABASE_URL), DATABASE_PASSWORD, file_of(DATABASE_PASSWORD)), ""
)
"""What the environment may say of another one."""

_ROOT: Final = Path(__file__).parents[1]

_logger = logging.getLogger(__name__)


class DevError(Exception):
    """`omhand dev` could not start, or had to stop because one of its servers ended."""


@dataclass(frozen=True)
class DevOptions:
    """What ``omhand dev`` was asked for. Port 0 is any free port."""

    state: Path
    temporal_port: int = 7233
    ui_port: int = 8233
    codec_port: int = 8234
    directory: Path | None = None
    """With `policy`: None and None load the examples into a database that has no rules, and nothing into another. One
    of them alone is loaded with the other one's example."""
    policy: Path | None = None
    workers: int = 1
    ui: bool = True


async def run_dev(options: DevOptions) -> None:
    """Run everything until SIGINT or SIGTERM, and print the ready line when all of it answers.

    To be called from the main thread. Raises DevError where it cannot start or a server ends by itself; everything is
    down by then.
    """
    loop = asyncio.get_running_loop()
    everything = asyncio.create_task(_run(options))
    stopped = asyncio.Event()

    def stop() -> None:
        if not stopped.is_set():  # the first counts: a second would break off the clean end
            stopped.set()
            everything.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await everything
    except asyncio.CancelledError:
        if not stopped.is_set():  # it was our caller who cancelled
            raise
    except (CrewError, EmbeddedError, KeyRingError, settings.SettingsError, OSError) as fault:
        raise DevError(str(fault)) from fault
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _run(options: DevOptions) -> None:
    if options.workers < 1:
        message = "there has to be at least one worker"
        raise DevError(message)
    async with AsyncExitStack() as stack:
        home = stack.enter_context(claim(options.state, "dev"))
        keys_file = _keys_file(home)
        _check_settings(keys_file)
        log_folder = home / "logs"
        log_folder.mkdir(exist_ok=True)
        _logger.info("logs are in %s", log_folder)
        wanted = (options.temporal_port, options.ui_port if options.ui else 0, options.codec_port)
        temporal_port, ui_port, codec_port, *metrics_ports = free_ports(*wanted, *[0] * options.workers)
        ui_origin = f"http://127.0.0.1:{ui_port}" if options.ui else None
        web_port = ui_port if options.ui else None

        log = log_folder / "postgres.log"
        postgres = await stack.enter_async_context(running_postgres(home / "postgres", log=log))
        await _prepare(postgres.dsn, options)
        # Nobody is asked for a token on one's own machine, but what is decoded is logged as elsewhere.
        access_log = AccessLog(await stack.enter_async_context(open_pool(postgres.dsn, most=2)))
        codec = codec_server(EncryptionCodec(keys_file), port=codec_port, ui_origin=ui_origin, access_log=access_log)
        codec_url = await stack.enter_async_context(codec)
        log = log_folder / "temporal.log"
        dev_server = embedded_temporal(home / "temporal", temporal_port, web_port, codec_url, log=log)
        temporal = await stack.enter_async_context(dev_server)
        env = _worker_environment(temporal, postgres.dsn, keys_file)
        crew = _crew(env, metrics_ports, log_folder)
        async with working(crew, beside=[postgres.child, temporal.child]) as ending:
            where = {"temporal": temporal.address, "namespace": temporal.namespace, "ui": temporal.ui}
            where |= {
                "codec": codec_url,
                "postgres": postgres.dsn,
                "metrics": f"http://{crew[0].metrics_address}/metrics",
            }
            where |= {"keys_file": str(keys_file.resolve())}
            with _told(home, where):
                await ending


def _crew(env: Mapping[str, str], metrics_ports: Sequence[int], log_folder: Path) -> list[Member]:
    return [
        Member(number, env, f"{LOOPBACK}:{port}", log_folder / f"worker-{number}.log")
        for number, port in enumerate(metrics_ports, start=1)
    ]


@contextmanager
def _told(home: Path, where: Mapping[str, str | None]) -> Iterator[None]:
    """Print the one line of standard output (contract §8), and leave it to the commands while it holds."""
    told = json.dumps({**where, "pid": os.getpid()})
    left, draft = home / READY_FILE, home / f"{READY_FILE}.new"
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # it holds the database's password
    draft.write_text(told, encoding="utf-8")
    draft.rename(left)
    print("ready", told, flush=True)  # noqa: T201 - what it is for
    try:
        yield
    finally:
        left.unlink(missing_ok=True)


def _keys_file(home: Path) -> Path:
    path = home / "keys"
    if not path.exists():
        KeyRing.create(path)
    return path


def _check_settings(keys_file: Path) -> None:
    """Find the faults that would keep every worker from starting, and log as the settings say."""
    set_by_us = {settings.DATABASE_URL: "postgresql://embedded", settings.KEYS_FILE: str(keys_file)}
    set_by_us |= _NOT_OF_OUR_DATABASE
    read = settings.read_settings({**os.environ, **set_by_us})
    logs.configure(read.log_format, read.log_level)


async def _prepare(dsn: str, options: DevOptions) -> None:
    """Bring the database up to date and load the rules that it was asked for, or needs."""
    from workers.load import LoadError, has_rules, load  # noqa: PLC0415 - only `omhand dev` needs them
    from workers.migrate import SchemaTooNewError, migrate  # noqa: PLC0415

    try:
        await asyncio.to_thread(migrate, dsn, contract=True)  # no other program runs on a database of our own
        asked = options.directory or options.policy
        if not asked and await has_rules(dsn):
            return
        directory = options.directory or _ROOT / "examples" / "directory.toml"
        policy = options.policy or _ROOT / "examples" / "policy.toml"
        version = await load(dsn, directory, policy)
    except (LoadError, SchemaTooNewError) as fault:
        raise DevError(str(fault)) from fault
    _logger.info("rules: version %d, of %s and %s", version, directory, policy)


def _worker_environment(temporal: TemporalServer, dsn: str, keys_file: Path) -> dict[str, str]:
    """Return our own environment with the embedded servers, and nothing of another Temporal, in it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return env | {
        "TEMPORAL_ADDRESS": temporal.address,
        "TEMPORAL_NAMESPACE": temporal.namespace,
        "TEMPORAL_CONFIG_FILE": os.devnull,  # else the user's own profile, with its TLS and API key, would be read
        settings.DATABASE_URL: dsn,
        settings.KEYS_FILE: str(keys_file),
        settings.LOG_FORMAT: "json",
        **_NOT_OF_OUR_DATABASE,
        settings.BUILD_ID: "",  # nobody would make it the current one, and nothing would be served
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), env.get("PYTHONPATH")))),
    }
