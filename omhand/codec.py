"""Payload encryption (contract §8): what Temporal stores of a case is ciphertext.

The layout is that of Temporal's own encryption samples in every language, so that an integration in
Go, Java or TypeScript can use its SDK's sample codec with the same key: metadata ``encoding:
binary/encrypted`` and ``encryption-key-id``; data = 12-byte nonce + AES-256-GCM (tag at the end, no
associated data) of the serialised ``Payload``.

Three things can be wrong with a payload, and each ends differently. A key that is not in the ring
may come back: `MissingKey` is raised, so that the task is retried and waits. Damage never mends:
`DamagedPayload` is raised, or (in the worker) a marked payload stands in its place, so that the
workflow refuses it instead of failing its task for ever. A plain payload is read as it is, unless
encryption is required; then it counts as damaged.

No error here holds a key or anything of what a payload held.
"""

import base64
import binascii
import dataclasses
import os
import re
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

ENCRYPTED: Final = b"binary/encrypted"
UNREADABLE: Final = b"binary/unreadable"
"""The ``encoding`` of a payload that stands for one that could not be read; ``fault`` says why."""

_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SECONDS_BETWEEN_READS: Final = 1.0


class KeyRingError(Exception):
    """A key ring that cannot be used. Names the file and line, never a key."""


class MissingKey(Exception):  # noqa: N818 - it is not an error of the payload: it waits for its key
    """A payload was encrypted under a key that is not in the ring."""

    def __init__(self, key_id: str) -> None:
        """Name the key that is missing."""
        super().__init__(f"the key {key_id!r} is not in the key ring; put it back to go on")
        self.key_id = key_id


class DamagedPayload(Exception):  # noqa: N818 - named for what it is
    """A payload that no key can make readable: cut short, changed, or not what it says it is."""


@dataclasses.dataclass(frozen=True)
class KeyRing:
    """Keys of 32 bytes by their id, in the order of the file: the first encrypts, all decrypt."""

    keys: Mapping[str, bytes] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        """Check ids and lengths; raise KeyRingError, naming a key by its place."""
        if not self.keys:
            message = "the key ring is empty"
            raise KeyRingError(message)
        for number, (key_id, key) in enumerate(self.keys.items(), start=1):
            _check_key(f"key {number}", key_id, key)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of ``<id>:<base64 of 32 bytes>`` lines; ``#`` begins a comment.

        Raises KeyRingError, naming the file and the line, for whatever is wrong with it.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            message = f"{path}: the key ring cannot be read ({error.strerror})"
            raise KeyRingError(message) from error
        except UnicodeDecodeError:
            message = f"{path}: the key ring is not UTF-8 text"
            raise KeyRingError(message) from None  # the cause holds the file's bytes
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            content = line.partition("#")[0].strip()
            if not content:
                continue
            key_id, key = _read_line(f"{path}, line {number}", content)
            if key_id in keys:
                message = f"{path}, line {number}: the key id {key_id!r} is there already"
                raise KeyRingError(message)
            keys[key_id] = key
        if not keys:
            message = f"{path}: the key ring is empty"
            raise KeyRingError(message)
        return cls(keys)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new file with one random key, readable by its owner only, and read it.

        The file is there whole or not at all, and one that exists is never overwritten. Raises
        KeyRingError where it exists or cannot be written.
        """
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        line = f"k{secrets.token_hex(4)}:{key}\n"
        try:
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".keys-") as draft:
                # Made with mode 0600, and given its name only when it is whole: a link, unlike a
                # rename, fails where the name is taken.
                draft.write("# <id>:<base64 of 32 bytes>; the first encrypts, all decrypt\n" + line)
                draft.flush()
                os.fsync(draft.fileno())
                os.link(draft.name, path)
            _keep_name(path)
        except FileExistsError:
            message = f"{path}: there is a file already, and it may hold keys: it is left as it is"
            raise KeyRingError(message) from None
        except OSError as error:
            message = f"{path}: the key ring cannot be written ({error.strerror})"
            raise KeyRingError(message) from error
        return cls.read(path)


class EncryptionCodec(PayloadCodec):
    """Encrypts every payload under the ring's first key; decrypts under whichever key it names.

    Of a `Path` the file is read at once, and again (at most once a second) when a payload names a
    key that is not there: a key put back, or a new first key, is picked up without a restart. The
    nonces are random, so one key is good for 2**32 payloads (NIST SP 800-38D).

    `unreadable` is what becomes of a damaged payload: "raise" raises DamagedPayload, "mark" gives a
    payload of the encoding `UNREADABLE` in its place. MissingKey is raised in both.

    Raises KeyRingError where the ring cannot be read when the codec is made.
    """

    def __init__(
        self,
        ring_source: Path | KeyRing,
        *,
        require: bool = False,
        unreadable: Literal["raise", "mark"] = "raise",
    ) -> None:
        """Read the ring; the parameters are told above."""
        self._path = ring_source if isinstance(ring_source, Path) else None
        self._ring = KeyRing.read(ring_source) if isinstance(ring_source, Path) else ring_source
        self._read_at = time.monotonic()
        self._require = require
        self._marks = unreadable == "mark"

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, one that is encrypted already too, as the samples do."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Take one layer of encryption off each payload.

        Raises MissingKey, and DamagedPayload unless damaged ones are marked.
        """
        return [self._read(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        key_id, key = next(iter(self._ring.keys.items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, payload.SerializeToString(), None)
        metadata = {"encoding": ENCRYPTED, "encryption-key-id": key_id.encode()}
        return Payload(metadata=metadata, data=nonce + sealed)

    def _read(self, payload: Payload) -> Payload:
        try:
            return self._plain(payload)
        except DamagedPayload as fault:
            if not self._marks:
                raise
            return Payload(metadata={"encoding": UNREADABLE, "fault": str(fault).encode()})

    def _plain(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") == ENCRYPTED:
            return self._decrypt(payload)
        if self._require:
            message = "not encrypted"
            raise DamagedPayload(message)
        return payload

    def _decrypt(self, payload: Payload) -> Payload:
        key = self._key(_named_key(payload))
        if len(payload.data) < _NONCE_BYTES + _TAG_BYTES:
            message = "encrypted, but cut short"
            raise DamagedPayload(message)
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(AESGCM(key).decrypt(nonce, sealed, None))
        except InvalidTag:
            message = "encrypted, but changed since, or under another key of that id"
        except DecodeError:
            message = "encrypted, but there is no payload inside"
        raise DamagedPayload(message)

    def _key(self, key_id: str) -> bytes:
        key = self._ring.keys.get(key_id)
        if key is not None:
            return key
        fault = self._read_again()
        try:
            return self._ring.keys[key_id]
        except KeyError:
            raise MissingKey(key_id) from fault

    def _read_again(self) -> KeyRingError | None:
        """Read the file anew unless that was just done; a bad file leaves the ring as it was."""
        if self._path is None or time.monotonic() - self._read_at < _SECONDS_BETWEEN_READS:
            return None
        self._read_at = time.monotonic()
        try:
            self._ring = KeyRing.read(self._path)
        except KeyRingError as fault:
            return fault
        return None


def data_converter(codec: PayloadCodec | None) -> DataConverter:
    """Return the project's converter: Pydantic models as JSON, encrypted where there is a codec.

    With a codec the messages and stack traces of failures are encrypted too. Failure types,
    workflow ids, activity types and search attributes are plain whatever is done here.
    """
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes if codec else DefaultFailureConverter,
    )


def _keep_name(path: Path) -> None:
    """Put the folder on the disk too: what a lost key encrypted is lost with it."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_line(place: str, content: str) -> tuple[str, bytes]:
    key_id, colon, encoded = (part.strip() for part in content.partition(":"))
    if not colon:
        message = f"{place}: not <id>:<base64 of {_KEY_BYTES} bytes>"
        raise KeyRingError(message)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        message = f"{place}: what follows the id is not base64"
        raise KeyRingError(message) from None  # the cause could hold part of the key
    _check_key(place, key_id, key)
    return key_id, key


def _check_key(place: str, key_id: str, key: bytes) -> None:
    if not _KEY_ID.fullmatch(key_id):
        # The id is not named: on a line that is written the wrong way round it is the key.
        message = f"{place}: the key id is not 1 to 64 of A-Z a-z 0-9 . _ -"
        raise KeyRingError(message)
    if len(key) != _KEY_BYTES:
        message = f"{place}: the key has {len(key)} bytes, not {_KEY_BYTES}"
        raise KeyRingError(message)


def _named_key(payload: Payload) -> str:
    raw = payload.metadata.get("encryption-key-id")
    if raw is None:
        message = "encrypted, but under no key: it has no encryption-key-id"
        raise DamagedPayload(message)
    key_id = raw.decode("utf-8", errors="replace")
    if not _KEY_ID.fullmatch(key_id):
        message = "encrypted, but its encryption-key-id is not the id of a key"
        raise DamagedPayload(message)
    return key_id
