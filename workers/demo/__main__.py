"""Plays the demo: ``python -m workers.demo``. Exits 0 where nothing was lost, 1 where something was, 130 on Ctrl-C."""

import argparse
import asyncio
import signal
import sys
import tomllib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Console

from omhand.client import CaseClient
from omhand.contract.directory import Directory
from omhand.contract.wire import read
from workers.children import EmbeddedError
from workers.demo.board import Board
from workers.demo.gateway import phone_gateway
from workers.demo.morning import Morning
from workers.demo.parts import SECONDS_TO_CLOSING, SEED, cast_parts
from workers.demo.region import CLOSING_UNIT, closing_time, script
from workers.demo.report import how_to_look_again, report
from workers.demo.screen import Screen
from workers.demo.stack import load_closing, stack

STATE: Final = Path(".omhand/demo")
INTERRUPTED: Final = 130


async def demo(state: Path, seed: int, console: Console) -> list[str]:
    """Play it all; what was lost, a sentence each."""
    playing = asyncio.current_task()
    assert playing is not None, "a coroutine that runs has a task"
    # As for Ctrl-C: the servers are to be stopped before the demo ends.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    screen = Screen(console)
    screen.say("Starting Temporal, Postgres and a worker on this machine, with a region of eight invented units ...")
    async with AsyncExitStack() as held:
        gateway = await held.enter_async_context(phone_gateway())
        running = await held.enter_async_context(stack(state, gateway.url))
        directory = read(Directory, tomllib.loads((state / "directory.toml").read_text(encoding="utf-8")))
        names = {unit.id: unit.name for unit in directory.unit}
        board = await held.enter_async_context(Board.reading(running.postgres, names))
        client = await held.enter_async_context(
            await CaseClient.connect(
                address=running.temporal,
                namespace=running.namespace,
                keys_file=running.keys_file,
                database_url=running.postgres,
            )
        )
        parts = cast_parts(script(), directory, seed)
        closes_at = closing_time(SECONDS_TO_CLOSING)
        await load_closing(running, state, closes_at)
        morning = Morning(client, board, gateway, directory, closes_at)
        triaged = sum(part.opens is None for part in parts)
        screen.say(f"Ready. {triaged} triage outcomes and {len(parts) - triaged} other cases are coming in.")
        screen.say("Minutes are played as seconds.")
        screen.say(f"{names[CLOSING_UNIT]} closes at {closes_at.astimezone(ZoneInfo(directory.timezone)):%H:%M:%S}.")
        screen.say(f"Web UI, while this plays: {running.ui}")
        with screen.shown():
            await morning.play(parts, screen)
        faults = await report(morning, board, gateway, names, console)
    how_to_look_again(state, next(iter(names)), console)
    return faults


def main() -> int:
    """The command; its exit code."""
    asked = argparse.ArgumentParser(prog="python -m workers.demo", description=__doc__)
    asked.add_argument("--state", type=Path, default=STATE, help="the folder that is made anew (%(default)s)")
    asked.add_argument("--seed", type=int, default=SEED, help="the same seed gives the same morning (%(default)s)")
    options = asked.parse_args()
    # Where nobody looks at a terminal (a log, a pipe) nothing is gained by narrow tables.
    console = Console() if sys.stdout.isatty() else Console(width=100)
    try:
        faults = asyncio.run(demo(options.state, options.seed, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped; the servers too.")
        return INTERRUPTED
    except EmbeddedError as error:
        console.print(str(error), style="bold red", highlight=False, markup=False)
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
