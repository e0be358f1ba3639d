"""The commands (contract §8): what staff, operators and integrators type.

Every command takes ``--json``. It exits 0 on success, 1 where the system refused (code and message on standard error)
and 2 on bad usage.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from omhand.cli import actions, cases, doctor, keys, policy, privacy, service, slots
from omhand.cli.place import DEFAULT_READY, find_place
from omhand.client.tracing import send_the_rest

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they show local variables, and these hold patients' data
)


@app.callback(
    help=f"""Cases of the digital care routine: open them, act on them, read them; and run what serves them.

    Which server is meant: TEMPORAL_* and Temporal's profile, OMHAND_KEYS_FILE and OMHAND_DATABASE_URL say it. What they
    leave out is taken from the file {DEFAULT_READY} of the working directory, which `omhand dev` writes when it is
    ready, unless they name another server than that one. Without either it is 127.0.0.1:7233.

    Exits 0 on success, 1 where the system refused (code and message on standard error), 2 on bad usage."""
)
def omhand(
    ctx: typer.Context,
    ready: Annotated[
        Path | None,
        typer.Option(help="Speak to the `omhand dev` that wrote this file, whatever the environment says."),
    ] = None,
) -> None:
    """Find out which server the command speaks to; the help stands above."""
    ctx.obj = lambda: find_place(ready)


for group in (cases, actions, slots, policy, keys, privacy, service, doctor):
    group.add_to(app)


def main() -> NoReturn:
    """Run the command of the command line, and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter of a name is no reason to fail after the work is done.
            stream.reconfigure(errors="backslashreplace")
    status: str | int | None = None
    try:
        app()
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    send_the_rest()
    # At once: Temporal's native threads now and then abort an interpreter that is taking itself down, and then the
    # status would say that something failed which did not.
    os._exit(status if isinstance(status, int) else int(status is not None))
