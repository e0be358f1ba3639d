"""The key ring (contract §8): a file of keys, one a line, ``<id>:<base64 of 32 bytes>``; ``#`` begins a comment.

The first key encrypts and all decrypt. The id `LINKING` is reserved: its key never encrypts, wherever it stands. It
keys what is stored about a patient outside Temporal, where a new key would part the old from the new: it never changes.

No error and no line in the log here holds a key or any part of one.
"""

import base64
import binascii
import dataclasses
import hashlib
import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

LINKING: Final = "linking"
"""The id of the key that links and never encrypts."""

KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY_BYTES: Final = 32
SECONDS_BETWEEN_LOOKS: Final = 1.0

_HEADER: Final = (
    f"# <id>:<base64 of {KEY_BYTES} bytes>; the first encrypts, all decrypt.\n"
    f"# The key {LINKING!r} never encrypts, and is never changed.\n"
)
_logger = logging.getLogger(__name__)


class KeyRingError(Exception):
    """A key ring that cannot be used, or may not be changed so. Names the file and line, never a key."""


@dataclasses.dataclass(frozen=True)
class KeyRing:
    """Keys of 32 bytes by their id, in the order of the file: the first but `LINKING` encrypts, all decrypt."""

    keys: Mapping[str, bytes] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        """Check ids, lengths and that one encrypts; raise KeyRingError, naming a key by its place."""
        for number, (key_id, key) in enumerate(self.keys.items(), start=1):
            _check_key(f"key {number}", key_id, key)
        if not self.keys:
            message = "the key ring is empty"
            raise KeyRingError(message)
        if not set(self.keys) - {LINKING}:
            message = f"the key ring has nothing but the key {LINKING!r}, and that one never encrypts"
            raise KeyRingError(message)

    @property
    def encrypting(self) -> str:
        """The id of the key that encrypts."""
        return next(key_id for key_id in self.keys if key_id != LINKING)

    @property
    def linking(self) -> bytes | None:
        """The linking key, 32 bytes; None in a ring without one. It never encrypts, and is never rotated."""
        return self.keys.get(LINKING)

    def use_of(self, key_id: str) -> Literal["encrypts", "decrypts", "links"]:
        """What the key is there for."""
        if key_id == LINKING:
            return "links"
        return "encrypts" if key_id == self.encrypting else "decrypts"

    def fingerprint(self, key_id: str) -> str:
        """The first 8 hex digits of SHA-256 of ``omhand`` and the key: to compare two machines by, and no more."""
        return hashlib.sha256(b"omhand" + self.keys[key_id]).hexdigest()[:8]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of keys.

        Raises KeyRingError, naming the file and the line, for whatever is wrong with it.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            message = f"{path}: the key ring cannot be read ({error.strerror})"
            raise KeyRingError(message) from error
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Take the content of the file `path`, with the errors of `read`."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            message = f"{path}: the key ring is not UTF-8 text"
            raise KeyRingError(message) from None  # the cause holds the file's bytes
        keys: dict[str, bytes] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            said = key_part(line)
            if not said:
                continue
            key_id, key = _read_line(f"{path}, line {number}", said)
            if key_id in keys:
                message = f"{path}, line {number}: its key id is that of line {lines[key_id]} already"
                raise KeyRingError(message)
            keys[key_id], lines[key_id] = key, number
        try:
            return cls(keys)
        except KeyRingError as fault:
            message = f"{path}: {fault}"
            raise KeyRingError(message) from None

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new file with a random key and a random linking key, readable by its owner only, and read it.

        The file is there whole or not at all, and one that exists is never overwritten. Raises
        KeyRingError where it exists or cannot be written.
        """
        text = f"{_HEADER}{new_line()}\n{new_line(LINKING)}\n"
        try:
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".keys-") as draft:
                # Made with mode 0600, and given its name only when it is whole: a link, unlike a
                # rename, fails where the name is taken.
                draft.write(text)
                draft.flush()
                os.fsync(draft.fileno())
                os.link(draft.name, path)
            keep_names(path.parent)
        except FileExistsError:
            message = f"{path}: there is a file already, and it may hold keys: it is left as it is"
            raise KeyRingError(message) from None
        except OSError as error:
            message = f"{path}: the key ring cannot be written ({error.strerror})"
            raise KeyRingError(message) from error
        return cls.read(path)


class KeySource:
    """A ring that is given, or that of a file, which is read again when the file has changed.

    A file that has become bad, or has gone, leaves the ring as it was, and the log says so once for each change.
    Raises KeyRingError where the file cannot be read when this is made.
    """

    def __init__(self, source: Path | KeyRing) -> None:
        """Read the ring."""
        self._path = source if isinstance(source, Path) else None
        # The state comes before the content: what is written between the two is a change.
        self._state = _state_of(source) if isinstance(source, Path) else None
        self._ring = KeyRing.read(source) if isinstance(source, Path) else source
        self._looked_at = time.monotonic()
        self.fault: KeyRingError | None = None
        """Why the file, as it is now, cannot be used."""

    def encrypting(self) -> tuple[str, bytes]:
        """The id and the key that encrypts now: a new first key is taken up within a second."""
        if time.monotonic() - self._looked_at >= SECONDS_BETWEEN_LOOKS:
            self._look()
        key_id = self._ring.encrypting
        return key_id, self._ring.keys[key_id]

    def find(self, key_id: str) -> bytes | None:
        """The key of this id; one that the ring has not is looked for in the file at once."""
        if key_id not in self._ring.keys:
            self._look()
        return self._ring.keys.get(key_id)

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        if self._path is None:
            return
        state = _state_of(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._ring = KeyRing.read(self._path)
        except KeyRingError as fault:
            self.fault = fault
            _logger.warning("the key ring stays as it was before: %s", fault)
        else:
            self.fault = None
            _logger.info("the key ring has been read anew: the key %r encrypts", self._ring.encrypting)


def new_line(key_id: str | None = None) -> str:
    """A line of a key ring with a random key, of a random id where none is given."""
    encoded = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"{key_id or 'k' + secrets.token_hex(4)}:{encoded}"


def key_part(line: str) -> str:
    """The line without its comment; "" of a line without a key."""
    return line.partition("#")[0].strip()


def keep_names(folder: Path) -> None:
    """Put the names in a folder on the disk too: what a lost key encrypted is lost with it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None  # reading it says why
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read_line(place: str, said: str) -> tuple[str, bytes]:
    key_id, colon, encoded = (part.strip() for part in said.partition(":"))
    if not colon:
        message = f"{place}: not <id>:<base64 of {KEY_BYTES} bytes>"
        raise KeyRingError(message)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        message = f"{place}: what follows the id is not base64"
        raise KeyRingError(message) from None  # the cause could hold part of the key
    _check_key(place, key_id, key)
    return key_id, key


def _check_key(place: str, key_id: str, key: bytes) -> None:
    if not KEY_ID.fullmatch(key_id):
        # The id is not named: on a line that is written the wrong way round it is the key.
        message = f"{place}: the key id is not 1 to 64 of A-Z a-z 0-9 . _ -"
        raise KeyRingError(message)
    if len(key) != KEY_BYTES:
        message = f"{place}: the key has {len(key)} bytes, not {KEY_BYTES}"
        raise KeyRingError(message)
