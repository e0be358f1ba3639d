"""Commands that open cases and read them: ``open``, ``intake``, ``show``, ``worklist``."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.live import Live

from omhand.cli.reading import read_object, read_objects
from omhand.cli.saying import REFUSED, AsJson, ReadBy, ask, reader_of, say_json, say_refusal
from omhand.cli.showing import case_and_log, case_panel, console, local, worklist_table
from omhand.client import CaseClient, CaseError, ServerAway
from omhand.contract.names import Kind
from omhand.contract.view import View

SECONDS_BETWEEN_LOOKS: Final = 2.0

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON; `-` is standard input.")]
Case = Annotated[str, typer.Argument(metavar="CASE", help="The case's id.")]
Unit = Annotated[str, typer.Argument(metavar="UNIT", help="The unit's HSA-id.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("open")(open_case)
    app.command()(intake)
    app.command()(show)
    app.command()(worklist)


def open_case(
    ctx: typer.Context,
    file: File,
    kind: Annotated[Kind, typer.Option(help="The kind of case that FILE opens.")] = Kind.DROP_IN_VISIT,
    *,
    as_json: AsJson = False,
) -> None:
    """Open the case that FILE describes (contract §1), and show it once it is open."""
    opening = read_object(file)

    async def job(client: CaseClient) -> View:
        await client.open(kind, opening)
        return await client.opened(str(opening["case_id"]))

    view = ask(ctx, job, as_json=as_json)
    if as_json:
        say_json(view.to_json())
    else:
        console().print(case_panel(view))


def intake(ctx: typer.Context, file: File, *, as_json: AsJson = False) -> None:
    """Take the triage outcomes of FILE, one JSON object or one a line: the routine picks the kind of each.

    All of FILE is read before the first is sent. One that is refused is told on standard error, and the others go on.
    """
    outcomes = read_objects(file)
    if not ask(ctx, lambda client: _take(client, outcomes, as_json=as_json), as_json=as_json):
        raise typer.Exit(REFUSED)


async def _take(client: CaseClient, outcomes: Sequence[tuple[int, Mapping[str, object]]], *, as_json: bool) -> bool:
    all_taken = True
    for line, outcome in outcomes:
        try:
            answer = await client.intake(outcome)
        except ServerAway as fault:
            if len(outcomes) == 1:
                raise
            msg = f"at line {line}, so nothing after it was sent; the file may be given again: {fault.message}"
            raise ServerAway(msg) from fault
        except CaseError as fault:
            all_taken = False
            say_refusal(fault.code, fault.message, as_json=as_json, line=line if len(outcomes) > 1 else None)
            continue
        if as_json:
            say_json(answer.to_json())
        else:
            typer.echo(f"{answer.case_id}: {answer.kind} at {answer.unit}, for {answer.profession}")
    return all_taken


def show(ctx: typer.Context, case: Case, by: ReadBy = None, *, as_json: AsJson = False) -> None:
    """Show a case and its log; a closed one as it was at its end."""
    view = ask(ctx, lambda client: client.view(case), as_json=as_json, by=reader_of(by))
    if as_json:
        say_json(view.to_json())
    else:
        console().print(case_and_log(view))


def worklist(
    ctx: typer.Context,
    unit: Unit,
    by: ReadBy = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, anew every two seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the open cases that UNIT may act on, what is due first at the top. Needs OMHAND_DATABASE_URL."""
    if watch:
        try:
            ask(ctx, lambda client: _watch(client, unit, as_json=as_json), as_json=as_json, by=reader_of(by))
        except KeyboardInterrupt:
            return  # that is how one stops watching
    rows = ask(ctx, lambda client: client.worklist(unit), as_json=as_json, by=reader_of(by))
    if as_json:
        say_json([row.to_json() for row in rows])
    else:
        console().print(worklist_table(unit, rows))


async def _watch(client: CaseClient, unit: str, *, as_json: bool) -> None:
    """Never ends by itself: where Postgres is away for a while, what was read last stays, with a word about it."""
    rows, said = await client.worklist(unit), _as_of()
    out = console()
    with Live(console=out, auto_refresh=False) if out.is_terminal and not as_json else nullcontext() as live:
        while True:
            if as_json:
                say_json([row.to_json() for row in rows])
            elif live:
                live.update(worklist_table(unit, rows, said), refresh=True)
            else:
                out.print(worklist_table(unit, rows, said))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            try:
                rows, said = await client.worklist(unit), _as_of()
            except ServerAway as fault:
                said = f"{said.partition(';')[0]}; since then: {fault.message}"
                if as_json:
                    say_refusal(fault.code, fault.message, as_json=True)


def _as_of() -> str:
    return f"as of {local(datetime.now(UTC))}"
