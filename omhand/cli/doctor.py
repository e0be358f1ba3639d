"""``omhand doctor``: whether all is well, and what to do where it is not. It runs from a checkout or the image."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import typer
from temporalio.service import RPCError

from omhand.cli.saying import AsJson, refuse, say_json
from omhand.cli.service import AWAY, settings_of, the_program


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(doctor)


def doctor(
    ctx: typer.Context,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Look at every case, and mend what differs between Postgres and Temporal.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at everything that cases need, and say what to do about each fault. Exits 1 where there is one."""
    program, read = the_program("doctor"), settings_of(ctx)
    if repair:
        try:
            mended, left = asyncio.run(program.repair(read))
        except (*AWAY, RPCError, RuntimeError) as fault:
            refuse("NotRepaired", f"one of the stores does not answer ({type(fault).__name__})", as_json=as_json)
        say_mended(mended, left, as_json=as_json)
        raise typer.Exit(1 if left else 0)
    is_well = asyncio.run(_examine(program, read, as_json=as_json))
    raise typer.Exit(0 if is_well else 1)


async def _examine(program: Any, settings: Any, *, as_json: bool) -> bool:  # noqa: ANN401 - of packages found at run time
    findings = []
    async for finding in program.examine(settings):
        findings.append(finding)
        if not as_json:
            say_finding(finding)
    is_well = all(finding.is_well for finding in findings)
    if as_json:
        told = [{"what": each.what, "is_well": each.is_well, "how": each.how, "to_do": each.to_do} for each in findings]
        say_json({"is_well": is_well, "findings": told})
    return is_well


def say_finding(finding: Any) -> None:  # noqa: ANN401 - of a package that is looked for at run time
    """Say how something is, and what to do where it is not well."""
    typer.echo(f"{'ok   ' if finding.is_well else 'FAULT'}  {finding.what}: {finding.how}")
    if finding.to_do:
        typer.echo(f"       -> {finding.to_do}")


def say_mended(mended: Sequence[Any], left: Collection[tuple[str, str]], *, as_json: bool) -> None:
    """Say what was done about each case that differed, and which ones still do."""
    if as_json:
        done = [{"case_id": each.case_id, "fault": each.fault, "done": each.done} for each in mended]
        say_json({"mended": done, "left": [{"case_id": case_id, "fault": fault} for case_id, fault in sorted(left)]})
        return
    for each in mended:
        typer.echo(f"{each.case_id}: {each.fault}: {each.done}")
    for case_id, fault in sorted(left):
        typer.echo(f"STILL {fault}: {case_id}")
    typer.echo(f"{len(mended)} differences, {len(left)} still stand")
