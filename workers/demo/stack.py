"""The stack that the demo plays on: ``omhand dev``, as anybody starts it, with a state folder of its own."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from workers.children import Child, EmbeddedError, claim, start_child
from workers.demo.gateway import SECRET
from workers.demo.region import POLICY, write_directory
from workers.load import load
from workers.settings import GATEWAY_SECRET, GATEWAY_URL

READY: Final = "ready "
SECONDS_TO_START: Final = 60.0
SECONDS_TO_STOP: Final = 10.0
"""What ``omhand dev`` promises."""

_PORTS: Final = ("--temporal-port", "0", "--ui-port", "0", "--codec-port", "0")


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything answers, from the ready line (contract §8)."""

    temporal: str
    namespace: str
    postgres: str
    keys_file: Path
    ui: str | None


@asynccontextmanager
async def stack(state: Path, gateway_url: str) -> AsyncIterator[Stack]:
    """Run the stack on a fresh state folder while the context is open.

    Raises:
        EmbeddedError: the folder is in use, or the stack does not start; with its last words.
    """
    log = _empty(state)
    directory = write_directory(state)
    command = [
        sys.executable, "-m", "omhand", "dev", "--state", str(state), *_PORTS,
        "--directory", str(directory), "--policy", str(POLICY),
    ]  # fmt: skip
    env = {**os.environ, GATEWAY_URL: gateway_url, GATEWAY_SECRET: SECRET}
    child = await start_child(
        "omhand dev", command, log=log, env=env, stdout=asyncio.subprocess.PIPE, death=signal.SIGTERM
    )
    try:
        yield _of(await _ready_line(child))
    finally:
        await child.stop(signal.SIGINT, SECONDS_TO_STOP)


async def load_closing(running: Stack, state: Path, closes_at: datetime) -> None:
    """Load the directory anew, in which one unit closes then: as `omhand load` does, while everything runs."""
    await load(running.postgres, write_directory(state, closes_at), POLICY)


def _empty(state: Path) -> Path:
    """Make the folder anew; the path of the stack's log in it. What an earlier demo left is removed."""
    with claim(state, "dev"):
        for found in state.iterdir():
            if found.is_dir():
                shutil.rmtree(found)
            elif found.suffix != ".lock":
                found.unlink()
    return state / "stack.log"


async def _ready_line(child: Child) -> Mapping[str, Any]:
    output = child.process.stdout
    assert output is not None, "standard output was asked for as a pipe"
    try:
        async with asyncio.timeout(SECONDS_TO_START):
            async for line in output:
                text = line.decode()
                if text.startswith(READY):
                    ready: Mapping[str, Any] = json.loads(text.removeprefix(READY))
                    return ready
    except TimeoutError:
        message = f"the stack was not ready within {SECONDS_TO_START:.0f} s. Its last words:\n{child.last_words()}"
        raise EmbeddedError(message) from None
    message = f"the stack ended while starting. Its last words:\n{child.last_words()}"
    raise EmbeddedError(message)


def _of(ready: Mapping[str, Any]) -> Stack:
    return Stack(
        temporal=ready["temporal"],
        namespace=ready["namespace"],
        postgres=ready["postgres"],
        keys_file=Path(ready["keys_file"]),
        ui=ready["ui"],
    )
