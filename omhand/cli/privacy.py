"""Commands about privacy: ``audit verify``, ``audit patient``, ``audit case``, and ``forget``."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from omhand.cli.cases import Case
from omhand.cli.saying import AsJson, ReadBy, ask, bad_usage, parsed, reader_of, refuse, say_json
from omhand.cli.service import AWAY, database_away, database_of, the_program
from omhand.cli.showing import console, entries_table
from omhand.client import CaseClient
from omhand.client.connecting import KEYS_FILE, ring_file
from omhand.codec import KeyRingError
from omhand.contract.patient import PatientId
from omhand.contract.wire import CaseId, Time, Wire

Since = Annotated[str | None, typer.Option(metavar="TIME", help="From when: 2026-11-24T00:00:00+01:00.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Until when.")]
WithStaff = Annotated[bool, typer.Option("--staff", help="Also who it was: for the unit's own checks.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    audit = typer.Typer(no_args_is_help=True, help="The access log: check it, and read what was done and by whom.")
    audit.command("verify")(verify)
    audit.command("patient")(of_patient)
    audit.command("case")(of_case)
    app.add_typer(audit, name="audit")
    app.command()(forget)


class _Asked(Wire):
    """What an extract is of."""

    patient: PatientId | None = None
    case: CaseId | None = None
    since: Time | None = None
    until: Time | None = None


def verify(
    ctx: typer.Context,
    anchor: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER:HASH", help="An anchor of before; may be given several times.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check that nothing in the access log has been changed, removed or inserted, and print its anchor.

    Keep the anchor where the owner of the database cannot reach it, and give it next time: without one, a log that was
    cut off or made anew looks whole.
    """
    program, access = the_program("audit"), the_program("audit").Anchor
    try:
        anchors = [access.read(each) for each in anchor or ()]
    except ValueError as fault:
        bad_usage(f"--anchor: {fault}")
    try:
        found = asyncio.run(program.verify_log(database_of(ctx), anchors))
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    if found.faults:
        refuse("AccessLogBroken", "; ".join(found.faults), as_json=as_json)
    if as_json:
        say_json({"entries": found.last.entry, "anchor": str(found.last)})
    else:
        typer.echo(f"the access log holds: {found.last.entry} entries, anchor {found.last}")


def of_patient(
    ctx: typer.Context,
    patient: Annotated[str, typer.Argument(metavar="ID", help="Their identity; `-` reads it from standard input.")],
    since: Since = None,
    until: Until = None,
    by: ReadBy = None,
    *,
    staff: WithStaff = False,
    as_json: AsJson = False,
) -> None:
    """List what was done to or read of a patient's cases: which unit, when and what (patientdatalagen 8:5).

    What stands on a command line can be seen by others on the machine: `-` is for that.
    """
    given = sys.stdin.readline().strip() if patient == "-" else patient
    asked = parsed(_Asked, _given(patient=given, since=since, until=until))
    program, keys = the_program("audit"), ring_file(ctx.obj().keys_file)
    reader, dsn = reader_of(by), database_of(ctx)
    try:
        rows = asyncio.run(program.of_patient(dsn, keys, asked.patient, asked.since, asked.until, reader))
    except KeyRingError as fault:
        bad_usage(f"{KEYS_FILE}: {fault}")
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    _say(rows, staff=staff, as_json=as_json)


def of_case(
    ctx: typer.Context,
    case: Case,
    since: Since = None,
    until: Until = None,
    by: ReadBy = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List what was done to or read of a case, and by whom."""
    asked = parsed(_Asked, _given(case=case, since=since, until=until))
    program, reader, dsn = the_program("audit"), reader_of(by), database_of(ctx)
    try:
        rows = asyncio.run(program.of_case(dsn, case, asked.since, asked.until, reader))
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    _say(rows, staff=True, as_json=as_json)


def forget(ctx: typer.Context, case: Case, by: ReadBy = None, *, as_json: AsJson = False) -> None:
    """Erase what was written about a closed CASE and its consultations, here and in Temporal. It cannot be undone.

    What happened, when, by whom and at which unit is kept, and so is the access log. Backups are not reached. Needs the
    database's owner, who migrates it.
    """
    parsed(_Asked, {"case": case})
    program, reader, dsn = the_program("forget"), reader_of(by), database_of(ctx)

    async def job(client: CaseClient) -> Any:  # noqa: ANN401 - of a package that is looked for at run time
        return await program.forget(dsn, client.temporal, case, reader)

    try:
        done = ask(ctx, job, as_json=as_json, by=reader)
    except program.ForgetRefused as fault:
        refuse(fault.code, str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    if as_json:
        say_json({"cases": done.cases, "events": done.events, "runs": done.runs})
    else:
        typer.echo(f"forgotten: {', '.join(done.cases)} ({done.events} rows of the log, {done.runs} histories)")


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _say(rows: Sequence[Any], *, staff: bool, as_json: bool) -> None:
    if not as_json:
        console().print(entries_table(rows, staff=staff))
        return
    kept = ("at", "action", "case_id", "unit", "unit_name", "by_patient", *(("staff", "via") if staff else ()))
    say_json([{name: _plain(getattr(row, name)) for name in kept} for row in rows])


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
