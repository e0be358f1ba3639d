"""Rotation of a key ring's file: a new key comes first, and everything that the file had stays.

Where several machines have a copy of the file, a key that encrypts on one must decrypt on all: `stage` it, copy the
file to every machine, and only then `use` it, on each.

Each change is whole or has not happened, and changes at the same time come one after the other. The file keeps its
mode and owner; of a symbolic link it is the file behind it that is changed. All raise KeyRingError, naming the file,
where the ring cannot be read or written, and leave it as it was.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omhand.keys import LINKING, KeyRing, KeyRingError, keep_names, key_part, new_line


def rotate(path: Path) -> str:
    """Put a new random key first, so that it encrypts from now; its id."""
    line = new_line()
    _change(path, lambda lines: lines.insert(_first(lines), line))
    return _id_of(line)


def stage(path: Path) -> str:
    """Put a new random key last, so that it only decrypts; its id."""
    line = new_line()

    def put_last(lines: list[str]) -> None:
        # A file that ends with a newline has nothing after it.
        lines.insert(len(lines) if lines[-1].strip() else len(lines) - 1, line)

    _change(path, put_last)
    return _id_of(line)


def use(path: Path, key_id: str) -> None:
    """Put a key of the ring first, so that it encrypts from now. That it does so already is no error.

    Raises KeyRingError also where the ring has no key of this id, and for `LINKING`.
    """
    if key_id == LINKING:
        message = f"{path}: the key {LINKING!r} never encrypts: what it has linked would be lost"
        raise KeyRingError(message)

    def put_first(lines: list[str]) -> None:
        places = [place for place, line in enumerate(lines) if key_part(line) and _id_of(line) == key_id]
        if not places:
            message = f"{path}: there is no key of this id"
            raise KeyRingError(message)
        first = _first(lines)
        lines.insert(first, lines.pop(places[0]))

    _change(path, put_first)


def _change(path: Path, change: Callable[[list[str]], None]) -> None:
    """Change the lines of the file, where that gives a ring again."""
    try:
        file = Path(os.path.realpath(path, strict=True))
        with _alone_in(file.parent):
            before = file.read_bytes()
            KeyRing.parse(before, path)
            lines = before.decode("utf-8-sig").split("\n")
            change(lines)
            after = "\n".join(lines).encode()
            KeyRing.parse(after, path)
            if after != before:
                _replace(file, after)
    except OSError as error:
        message = f"{path}: the key ring cannot be changed ({error.strerror})"
        raise KeyRingError(message) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process changes a ring in this folder. The file cannot be locked: it is replaced."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _replace(file: Path, content: bytes) -> None:
    """Give the file another content, of a sudden and for good."""
    old = file.stat()
    # A folder that only its owner enters: the draft is nobody else's to read before it has its mode.
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".keys-") as drafts:
        draft = Path(drafts) / file.name
        with draft.open("xb") as writing:
            writing.write(content)
            writing.flush()
            made = os.fstat(writing.fileno())
            if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
                # Else a rotation by root would shut out the service that reads the file.
                os.fchown(writing.fileno(), old.st_uid, old.st_gid)
            os.fchmod(writing.fileno(), stat.S_IMODE(old.st_mode))
            os.fsync(writing.fileno())
        draft.replace(file)
    keep_names(file.parent)


def _first(lines: list[str]) -> int:
    """Where the first key stands."""
    return next(place for place, line in enumerate(lines) if key_part(line))


def _id_of(line: str) -> str:
    return key_part(line).partition(":")[0].strip()
