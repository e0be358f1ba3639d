"""How a command says what came of it: exit status, codes, JSON."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final, NoReturn, TypeVar

import typer

from omhand.cli.showing import shown
from omhand.client import CaseClient, CaseError, NotConfigured
from omhand.codec import KeyRingError
from omhand.contract.reads import Reader
from omhand.contract.wire import Malformed, Wire, read

T = TypeVar("T")
M = TypeVar("M", bound=Wire)

REFUSED = 1
BAD_USAGE = 2

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


def bad_usage(message: str) -> NoReturn:
    """Say what is wrong with how the command was called, and exit 2."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(BAD_USAGE)


def refuse(code: str, message: str, *, as_json: bool) -> NoReturn:
    """Say that the system refused, and why, and exit 1."""
    say_refusal(code, message, as_json=as_json)
    raise typer.Exit(REFUSED)


def say_refusal(code: str, message: str, *, as_json: bool, line: int | None = None) -> None:
    """Say on standard error that the system refused, and why; ``line`` is the file's, where it had several."""
    if as_json:
        place = {} if line is None else {"line": line}
        typer.echo(json.dumps({**place, "code": code, "message": message}), err=True)
    else:
        typer.echo(f"{'' if line is None else f'line {line}: '}{code}: {message}", err=True)


def say_json(value: object) -> None:
    """Say one JSON document, on one line."""
    typer.echo(json.dumps(value))


SLOT_WORDS: Final = {
    "published": "bookable from now on",
    "unchanged": "bookable as before",
    "stay_withdrawn": "withdrawn by hand, and stay so until they are published with `omhand slots`",
    "withdrawn": "withdrawn, as the directory has them, their unit or their profession no more",
    "kept": "kept, as cases hold them, though the directory has them no more",
}


def say_slots(became: Mapping[str, Sequence[str]]) -> None:
    """Say what has become of bookable times, where there are any."""
    for what, slots in became.items():
        if slots:
            typer.echo(f"slots {SLOT_WORDS[what]}: {shown(', '.join(slots)).plain}")


ReadBy = Annotated[
    str | None, typer.Option("--by", metavar="STAFF@UNIT[:PROFESSION]", help="Who reads: it stands in the access log.")
]


def reader_of(by: str | None) -> Reader | None:
    """Who reads, of the command line. Exits 2 where it cannot be read."""
    return None if by is None else parsed(Reader, staff_at(by))


def staff_at(by: str) -> dict[str, str]:
    """``STAFF@UNIT`` or ``STAFF@UNIT:PROFESSION`` as keys of the contract. Exits 2 for anything else."""
    member, at, place = by.partition("@")
    unit, colon, profession = place.partition(":")
    if not (member and at and unit) or (colon and not profession):
        bad_usage("--by: is not STAFF@UNIT or STAFF@UNIT:PROFESSION")
    return {"staff": member, "unit": unit, **({"profession": profession} if profession else {})}


def parsed(model: type[M], payload: Mapping[str, object]) -> M:
    """What the command line gave, as a model. Exits 2 where it is none."""
    try:
        return read(model, payload)
    except Malformed as fault:
        bad_usage(str(fault))


def ask(ctx: typer.Context, job: Callable[[CaseClient], Awaitable[T]], *, as_json: bool, by: Reader | None = None) -> T:
    """Give what the job gives, that speaks to the server that the command is for; ``by`` is who reads.

    Exits:
        1: with the code of what was refused.
        2: a setting or an argument is wrong.
    """
    place = ctx.obj()

    async def with_client() -> T:
        async with await place.connect(by) as client:
            return await job(client)

    try:
        return asyncio.run(with_client())
    except CaseError as fault:
        refuse(fault.code, fault.message, as_json=as_json)
    except (NotConfigured, Malformed, KeyRingError) as fault:
        bad_usage(str(fault))
