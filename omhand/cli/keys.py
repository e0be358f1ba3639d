"""Commands about a key ring: ``keys new``, ``keys rotate``, ``keys list`` (contract §8). None of them shows a key."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from omhand import rotation
from omhand.cli.saying import AsJson, bad_usage, refuse, say_json
from omhand.client.connecting import KEYS_FILE, ring_file
from omhand.codec import KeyRing, KeyRingError

RingFile = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help=f"The key ring; else that of {KEYS_FILE}, else that of `omhand dev` here."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    keys = typer.Typer(no_args_is_help=True, help="Key rings, which encrypt payloads: make, rotate and list them.")
    keys.command()(new)
    keys.command()(rotate)
    keys.command("list")(list_keys)
    app.add_typer(keys, name="keys")


def new(ctx: typer.Context, file: RingFile = None, *, as_json: AsJson = False) -> None:
    """Make a key ring that is not there yet: a random key that encrypts, and a linking key, for good."""
    path = _ring_file(ctx, file)
    try:
        ring = KeyRing.create(path)
    except KeyRingError as fault:
        _refuse(fault, as_json=as_json)
    _say(path, ring.encrypting, as_json=as_json)


def rotate(
    ctx: typer.Context,
    file: RingFile = None,
    *,
    stage: Annotated[bool, typer.Option(help="Put the new key last: it decrypts only, until --use.")] = False,
    use: Annotated[str | None, typer.Option(metavar="ID", help="Make no key: put this one of the ring first.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a new random key first: it encrypts from now, and all others stay, to decrypt what they encrypted.

    Running workers and clients take it up within a second. Where several machines have a copy of the file, rotate in
    two steps, so that none meets a key that it does not have: --stage on one; copy the file to all; then --use ID.
    """
    if stage and use is not None:
        bad_usage("--stage and --use: one of them, or none")
    path = _ring_file(ctx, file)
    try:
        if use is None:
            use = rotation.stage(path) if stage else rotation.rotate(path)
        else:
            rotation.use(path, use)
    except KeyRingError as fault:
        _refuse(fault, as_json=as_json)
    _say(path, use, as_json=as_json)


def list_keys(ctx: typer.Context, file: RingFile = None, *, as_json: AsJson = False) -> None:
    """List the keys in their order: id, what each does, and a fingerprint to compare two machines by."""
    path = _ring_file(ctx, file)
    try:
        ring = KeyRing.read(path)
    except KeyRingError as fault:
        _refuse(fault, as_json=as_json)
    if as_json:
        say_json([{"id": key, "does": ring.use_of(key), "fingerprint": ring.fingerprint(key)} for key in ring.keys])
        return
    width = max(map(len, ring.keys))
    for key in ring.keys:
        typer.echo(f"{key:<{width}}  {ring.use_of(key):<8}  {ring.fingerprint(key)}")


def _ring_file(ctx: typer.Context, file: Path | None) -> Path:
    """The file that is meant.

    Exits:
        2: none is named.
    """
    path = file or ring_file(ctx.obj().keys_file)
    if path is None:
        bad_usage(f"{KEYS_FILE}: is not set, and no --file is given")
    return path


def _say(path: Path, key_id: str, *, as_json: bool) -> None:
    """Say what a key of the ring does now."""
    try:
        does = KeyRing.read(path).use_of(key_id)
    except KeyRingError as fault:
        _refuse(fault, as_json=as_json)
    if as_json:
        say_json({"file": str(path), "id": key_id, "does": does})
    else:
        typer.echo(f"{path}: the key {key_id} {does}")


def _refuse(fault: KeyRingError, *, as_json: bool) -> NoReturn:
    refuse("InvalidKeys", str(fault), as_json=as_json)
