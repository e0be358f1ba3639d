"""Commands about the versions of directory and policy: list them, show, compare and put back (contract §7)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from omhand.cli.saying import AsJson, bad_usage, refuse, say_json, say_slots
from omhand.cli.service import AWAY, AFile, database_away, database_of, the_program
from omhand.cli.showing import local, shown

LARGEST = 2**31 - 1
Version = Annotated[int, typer.Argument(min=1, max=LARGEST, metavar="VERSION", help="As `policy list` has it.")]
InForce = typer.Argument(min=1, max=LARGEST, help="The one in force, where it is left out.")
TheOneBefore = typer.Argument(min=1, max=LARGEST, help="The one before NEW, where it is left out.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    policy = typer.Typer(no_args_is_help=True, help="Versions of directory and policy: list, compare, put back.")
    policy.command("list")(list_versions)
    policy.command()(show)
    policy.command()(diff)
    policy.command()(restore)
    app.add_typer(policy, name="policy")


def list_versions(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List all versions, the newest first: that one is in force for new cases."""
    rows = _ask(ctx, lambda program, dsn: program.list_versions(dsn), as_json=as_json)
    told = [asdict(row) | {"in_force": row is rows[0]} for row in rows]
    if as_json:
        say_json([row | {"loaded_at": row["loaded_at"].isoformat()} for row in told])
        return
    for row in told:
        notes = ["in force"] if row["in_force"] else []
        notes += [f"puts version {row['restores']} back"] if row["restores"] else []
        typer.echo(f"{row['version']:>5}  {local(row['loaded_at'])}  {', '.join(notes)}".rstrip())


def show(
    ctx: typer.Context,
    version: Annotated[int | None, InForce] = None,
    *,
    directory: Annotated[bool, typer.Option("--directory", help="Only the directory.")] = False,
    policy: Annotated[bool, typer.Option("--policy", help="Only the policy.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a version. With --directory or --policy it is a file that `omhand load` takes."""
    stored = _ask(ctx, lambda program, dsn: program.stored_version(dsn, version), as_json=as_json)
    both = directory == policy
    parts = [part for part, wanted in (("directory", directory or both), ("policy", policy or both)) if wanted]
    if as_json:
        say_json({"version": stored.version, **{part: getattr(stored, part) for part in parts}})
        return
    for part in parts:
        typer.echo(f"# version {stored.version}: {part}.toml\n{stored.toml(part)}")


def diff(
    ctx: typer.Context,
    old: Annotated[int | None, TheOneBefore] = None,
    new: Annotated[int | None, InForce] = None,
    directory: Annotated[Path | None, AFile] = None,
    policy: Annotated[Path | None, AFile] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say what differs between OLD and NEW: between the version before and that in force, where they are left out.

    With --directory and --policy: what loading these files would change.
    """
    if (directory is None) != (policy is None) or (directory and old):
        bad_usage("give OLD and NEW, or both --directory and --policy")
    if directory:
        found = _ask(ctx, lambda program, dsn: program.difference_to_files(dsn, directory, policy), as_json=as_json)
    else:
        found = _ask(ctx, lambda program, dsn: program.difference(dsn, old, new), as_json=as_json)
    if as_json:
        say_json({"old": found.old, "new": found.new, "changes": [asdict(change) for change in found.changes]})
        return
    then = f"version {found.new}" if found.new else "these files"
    alike = f"version {found.old} and {then} say the same"
    typer.echo(f"from version {found.old} to {then}:" if found.changes else alike)
    for line in found.words():
        typer.echo(shown(line).plain)


def restore(ctx: typer.Context, version: Version, *, as_json: AsJson = False) -> None:
    """Put VERSION back, as a new version: new cases get it, and those that run keep theirs.

    Bookable times stay as they are, but for those of units and professions that VERSION does not have. It is refused
    where it has not got a unit that open cases need.
    """
    done = _ask(ctx, lambda program, dsn: program.restore(dsn, version), as_json=as_json)
    became = asdict(done.left_out)
    if as_json:
        say_json({"version": done.version, "restores": version, "slots": became})
    else:
        typer.echo(f"version {done.version} is in force for new cases, and says what version {version} said")
        say_slots(became)


def _ask(
    ctx: typer.Context,
    job: Callable[[Any, str], Awaitable[Any]],
    *,
    as_json: bool,
) -> Any:  # noqa: ANN401 - of a package that is looked for at run time
    """What the job gives, of the module of versions and the database. Exits 1 with the code of what was refused."""
    program, rules, dsn = the_program("rule_versions"), the_program("load"), database_of(ctx)

    async def done() -> Any:  # noqa: ANN401
        return await job(program, dsn)

    try:
        return asyncio.run(done())
    except program.NoSuchVersion as fault:
        refuse("NoSuchVersion", str(fault), as_json=as_json)
    except rules.LoadError as fault:
        refuse("InvalidFiles", str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
