"""Commands that run what serves the cases: ``dev``, ``worker``, ``migrate``, ``load``, ``codec-server``.

What they run is the package ``workers``, which is not in the wheel that integrators install: it is looked for when the
command is given, and never imported before.
"""

import asyncio
import importlib
import os
import signal
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import asyncpg
import typer

from omhand.cli.saying import AsJson, bad_usage, refuse, say_json, say_slots
from omhand.client.environment import database_url
from omhand.client.faults import NotConfigured
from omhand.client.lists import DATABASE_URL
from omhand.codec import KeyRingError

AWAY: Final = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised where the database cannot be used."""

AFile = typer.Option(exists=True, dir_okay=False, metavar="FILE")
ServerJson = Annotated[bool, typer.Option("--json", help="Log in JSON; what is printed is for programs as it is.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(dev)
    app.command()(worker)
    app.command()(migrate)
    app.command()(load)
    app.command("codec-server")(codec_server)


def dev(
    state: Annotated[Path, typer.Option(metavar="DIR", help="Kept between runs: open cases go on.")] = Path(
        ".omhand/dev"
    ),
    temporal_port: Annotated[int, typer.Option(help="0 is any free one, here and below.")] = 7233,
    ui_port: int = 8233,
    codec_port: int = 8234,
    directory: Annotated[Path | None, AFile] = None,
    policy: Annotated[Path | None, AFile] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    *,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Without the Web UI.")] = False,
    as_json: ServerJson = False,
) -> None:
    """Start everything on this machine: Temporal and its Web UI, Postgres, workers, the codec server.

    When all of it answers it prints `ready ` and a JSON object. Ctrl-C stops it.
    """
    _log_in_json(wanted=as_json)
    program = the_program("dev")
    options = program.DevOptions(
        state=state,
        temporal_port=temporal_port,
        ui_port=ui_port,
        codec_port=codec_port,
        directory=directory,
        policy=policy,
        workers=workers,
        ui=not no_ui,
    )
    try:
        asyncio.run(program.run_dev(options))
    except program.DevError as fault:
        refuse("DevError", str(fault), as_json=as_json)


def worker(
    ctx: typer.Context,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Worker processes: one a core.")] = 1,
    *,
    as_json: ServerJson = False,
) -> None:
    """Serve cases and send notifications, until SIGINT or SIGTERM."""
    _log_in_json(wanted=as_json)
    program, settings, logs = the_program("worker"), the_program("settings"), the_program("logs")
    read = settings_of(ctx)
    logs.configure(read.log_format, read.log_level)
    if processes > 1:
        crew = the_program("crew")
        try:
            asyncio.run(crew.run_crew(processes, read.metrics_address))
        except crew.CrewError as fault:
            typer.echo(str(fault), err=True)
            raise typer.Exit(fault.status if fault.status and fault.status > 0 else 1) from None
        return
    try:
        asyncio.run(program.run_worker(read))
    except settings.SettingsError as fault:
        bad_usage(str(fault))


def migrate(
    ctx: typer.Context,
    *,
    contract: Annotated[
        bool, typer.Option("--contract", help="Also what programs of before cannot bear: once none of them runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the schema of Postgres to this version's. Does nothing where it is there already, or serves a later one."""
    program = the_program("migrate")
    try:
        waits = program.migrate(database_of(ctx), contract=contract)
    except program.SchemaTooNewError as fault:
        refuse("SchemaTooNew", str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    if as_json:
        say_json({"migrated": True, "waits": waits})
    elif waits:
        typer.echo(f"programs of before go on; {waits} and what follows wait for `omhand migrate --contract`")
    else:
        typer.echo("the schema is of this version")


def load(
    ctx: typer.Context,
    directory: Annotated[Path, AFile],
    policy: Annotated[Path, AFile],
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a directory and a policy, say every fault, and store both as a new version where there is none."""
    program = the_program("load")
    if check:
        faults = program.check_files(directory, policy)
        if faults:
            refuse("InvalidFiles", "\n".join(faults), as_json=as_json)
        say_json({"version": None}) if as_json else typer.echo("both files are well")
        return
    try:
        loaded = asyncio.run(program.store(database_of(ctx), directory, policy))
    except program.LoadError as fault:
        refuse("InvalidFiles", str(fault), as_json=as_json)
    except AWAY as fault:
        database_away(fault, as_json=as_json)
    became = {
        "published": loaded.slots.published,
        "stay_withdrawn": loaded.slots.stay_withdrawn,
        "withdrawn": loaded.left_out.withdrawn,
        "kept": loaded.left_out.kept,
    }
    if as_json:
        say_json({"version": loaded.version, "slots": became})
    else:
        typer.echo(f"version {loaded.version} is in force for new cases")
        say_slots(became)


def codec_server(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Another than loopback needs tokens.")] = "127.0.0.1",
    port: int = 8234,
    ui: Annotated[str | None, typer.Option(metavar="URL", help="The Web UI that is let in.")] = "http://127.0.0.1:8233",
    *,
    as_json: AsJson = False,
) -> None:
    """Let Temporal's Web UI and CLI show encrypted payloads, with the keys of OMHAND_KEYS_FILE, until Ctrl-C.

    With OMHAND_TOKEN_JWKS or OMHAND_TOKEN_SECRET a request needs a token; without it only a loopback address is served.
    """
    program, settings, logs = the_program("codec_server"), the_program("settings"), the_program("logs")
    os.environ.update(ctx.obj().environment())
    try:
        read = settings.read_settings(required=(settings.KEYS_FILE,))
        logs.configure(read.log_format, read.log_level)
        server = program.configured_codec_server(read, host=host, port=port, ui_origin=ui)
        asyncio.run(_serve(server, as_json=as_json))
    except (settings.SettingsError, KeyRingError) as fault:
        bad_usage(str(fault))
    except program.DatabaseAway as fault:
        database_away(fault.__cause__, as_json=as_json)
    except OSError as fault:
        refuse("ServerAway", f"the port {port} cannot be had ({fault.strerror})", as_json=as_json)


async def _serve(server: Any, *, as_json: bool) -> None:  # noqa: ANN401 - of a package that is looked for at run time
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server as url:
        say_json({"codec": url}) if as_json else typer.echo(f"the codec server answers at {url}")
        await stopped.wait()


def the_program(name: str) -> Any:  # noqa: ANN401 - a module that is looked for at run time
    """The module of that name of the package ``workers``. Exits 2 where it cannot be had."""
    try:
        return importlib.import_module(f"workers.{name}")
    except ModuleNotFoundError as error:
        if error.name in {"workers", f"workers.{name}"}:
            bad_usage("this command runs from a checkout or the image")
        bad_usage(f"this command needs the package {error.name}: install omhand[worker]")


def settings_of(ctx: typer.Context) -> Any:  # noqa: ANN401 - of a package that is looked for at run time
    """The settings of the process that the command runs. Exits 2, naming every fault."""
    settings = the_program("settings")
    os.environ.update(ctx.obj().environment())
    try:
        return settings.read_settings()
    except settings.SettingsError as fault:
        bad_usage(str(fault))


def _log_in_json(*, wanted: bool) -> None:
    if wanted:
        os.environ["OMHAND_LOG_FORMAT"] = "json"


def database_of(ctx: typer.Context) -> str:
    """The database that the command is for. Exits 2 where none is named."""
    try:
        url: str = ctx.obj().database_url or database_url(os.environ)
    except NotConfigured as fault:
        bad_usage(str(fault))
    if not url:
        bad_usage(f"{DATABASE_URL}: is not set")
    return url


def database_away(fault: Exception, *, as_json: bool) -> NoReturn:
    """Say why Postgres cannot be used, and nothing of its address: that holds a password."""
    if isinstance(fault, ValueError):
        bad_usage(f"{DATABASE_URL}: is not the URL of a Postgres database")
    if isinstance(fault, asyncpg.UndefinedTableError):
        refuse("ServerAway", "the database has no schema of Omhand: run `omhand migrate`", as_json=as_json)
    refuse("ServerAway", f"Postgres does not answer, or does not let us in ({type(fault).__name__})", as_json=as_json)
