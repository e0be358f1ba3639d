"""Commands about bookable times: ``slots list``, ``slots publish``, ``slots withdraw`` (P2; contract §8)."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from omhand.cli.saying import AsJson, ask, bad_usage, refuse, say_json, say_slots
from omhand.cli.service import AWAY, database_away, database_of, the_program
from omhand.cli.showing import console, slots_table
from omhand.contract.wire import Malformed, ShortText, Wire, read

SlotFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="TOML: [[slot]] as in the directory.")
]
SlotId = Annotated[str, typer.Argument(metavar="SLOT", help="The time's id.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    slots = typer.Typer(no_args_is_help=True, help="Bookable times: list them, publish and withdraw them.")
    slots.command("list")(list_slots)
    slots.command()(publish)
    slots.command()(withdraw)
    app.add_typer(slots, name="slots")


def list_slots(
    ctx: typer.Context,
    unit: Annotated[str | None, typer.Option(help="Only those of this unit: its HSA-id.")] = None,
    profession: Annotated[str | None, typer.Option(help="Only those of this profession.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are held or have passed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the free bookable times ahead, the earliest first. Needs OMHAND_DATABASE_URL."""
    rows = ask(ctx, lambda client: client.slots(unit, profession, every=every), as_json=as_json)
    if as_json:
        say_json([row.to_json() for row in rows])
    else:
        console().print(slots_table(rows))


def publish(ctx: typer.Context, file: SlotFile, *, as_json: AsJson = False) -> None:
    """Publish the times of FILE. A free one that is published already is moved; the same again changes nothing.

    Nothing is published where anything is wrong, or where a case holds a time that FILE would change.
    """
    workers, rules = the_program("slots"), the_program("load")
    try:
        published = asyncio.run(workers.publish_file(database_of(ctx), file))
    except rules.LoadError as fault:
        refuse("InvalidFiles", str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    became = {"published": published.published, "unchanged": published.unchanged}
    say_json(became) if as_json else say_slots(became)


class _Named(Wire):
    """A time that is named."""

    slot: ShortText


def withdraw(ctx: typer.Context, slot: SlotId, *, as_json: AsJson = False) -> None:
    """Withdraw a time, so that nobody can book it. One that a case holds stays: move or cancel that visit first."""
    try:
        read(_Named, {"slot": slot})
    except Malformed as fault:
        bad_usage(str(fault))
    workers = the_program("slots")
    try:
        asyncio.run(workers.withdraw_slot(database_of(ctx), slot))
    except workers.SlotRefused as fault:
        refuse(fault.code, str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    say_json({"withdrawn": slot}) if as_json else typer.echo("it is not bookable any more")
