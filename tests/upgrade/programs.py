"""Worker processes of this release and of the one before, on the same servers."""

import asyncio
import os
import signal
import sys
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stage import Stage

from workers.children import Child, start_child

RELEASES = Path(__file__).parents[1] / "releases"
SECONDS_TO_BE_READY = 60


def settings_of(stage: Stage) -> dict[str, str]:
    """What a worker process of that stage is told."""
    return {
        "OMHAND_DATABASE_URL": stage.dsn,
        "OMHAND_GATEWAY_URL": stage.gateway.url,
        "OMHAND_NOTICES_PER_SECOND": "1000",
        "TEMPORAL_ADDRESS": stage.address,
        "TEMPORAL_NAMESPACE": stage.client.namespace,
    }


@dataclass(frozen=True)
class Program:
    """A release of the program in a folder, and the servers that it is to use."""

    folder: Path
    env: Mapping[str, str]

    async def run(self, *command: str) -> str:
        """One command of it, which has to succeed; what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omhand", *command),
            cwd=self.folder,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS_TO_BE_READY)
        assert process.returncode == 0, said.decode()
        return said.decode()

    @asynccontextmanager
    async def worker(self, log: Path, **settings: str) -> AsyncIterator[Child]:
        """A worker of it that polls. At the end it is told to stop, and has to do so well."""
        child = await start_child(
            "worker",
            (sys.executable, "-m", "omhand", "worker"),
            log=log,
            folder=self.folder,
            env=self._environment() | settings,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.process.stdout
            said = await asyncio.wait_for(child.process.stdout.readline(), SECONDS_TO_BE_READY)
            assert said == b"ready\n", child.last_words()
            yield child
            await child.stop(signal.SIGTERM, patience=10)
            assert child.process.returncode == 0, child.last_words()
        finally:
            await child.stop(signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.env, "PYTHONPATH": str(self.folder), "TEMPORAL_CONFIG_FILE": os.devnull}


def unpack_previous(folder: Path) -> Path:
    """The newest release that is kept (`make release`), unpacked into the folder. It runs on this one's libraries."""
    newest = max(RELEASES.glob("omhand-*.tar.gz"), key=_version)
    with tarfile.open(newest) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _version(archive: Path) -> tuple[int, ...]:
    return tuple(map(int, archive.name.removeprefix("omhand-").removesuffix(".tar.gz").split(".")))
