"""Payload encryption (contract §8): what Temporal stores of a case is ciphertext.

The layout is that of Temporal's own encryption samples in every language, so that an integration in
Go, Java or TypeScript can use its SDK's sample codec with the same key: metadata ``encoding:
binary/encrypted`` and ``encryption-key-id``; data = 12-byte nonce + AES-256-GCM (tag at the end, no
associated data) of the serialised ``Payload``.

Inside, where nobody can change it without the key, the payload of a case or an intake says whose it is: metadata
`WORKFLOW`. One that was taken from another case is damaged; one that does not say, as of the samples, is read.

Three things can be wrong with a payload, and each ends differently. A key that is not in the ring
may come back: `MissingKey` is raised, so that the task is retried and waits. Damage never mends:
`DamagedPayload` is raised, or (in the worker) a marked payload stands in its place, so that the
workflow refuses it instead of failing its task for ever. A plain payload is read as it is, unless
encryption is required; then it counts as damaged.

No error here holds a key or anything of what a payload held.
"""

import copy
import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.plugin import SimplePlugin

from omhand.contract.names import case_workflow_id, intake_workflow_id
from omhand.keys import KEY_ID, LINKING, KeyRing, KeyRingError, KeySource

__all__ = [
    "ENCRYPTED",
    "LINKING",
    "UNREADABLE",
    "WORKFLOW",
    "DamagedPayload",
    "EncryptionCodec",
    "KeyRing",
    "KeyRingError",
    "MissingKey",
    "data_converter",
    "encryption",
]

ENCRYPTED: Final = b"binary/encrypted"
UNREADABLE: Final = b"binary/unreadable"
"""The ``encoding`` of a payload that stands for one that could not be read; ``fault`` says why."""

WORKFLOW: Final = "omhand-workflow"
"""Metadata inside of what is encrypted: the id of the workflow whose payload it is. It stays when that is decrypted."""

_BOUND: Final = (case_workflow_id(""), intake_workflow_id(""))
"""How the ids begin whose payloads are bound. A schedule knows only the beginning of the ids that it will start."""

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class MissingKey(Exception):  # noqa: N818 - it is not an error of the payload: it waits for its key
    """A payload was encrypted under a key that is not in the ring."""

    def __init__(self, key_id: str) -> None:
        """Name the key that is missing."""
        super().__init__(f"the key {key_id!r} is not in the key ring; put it back to go on")
        self.key_id = key_id


class DamagedPayload(Exception):  # noqa: N818 - named for what it is
    """A payload that no key can make readable here: cut short, changed, another case's, or not what it says it is."""


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts every payload under the ring's first key; decrypts under whichever key it names.

    Of a `Path` the file is read at once, and again when it has changed: a new first key is taken up within a second, a
    key that was put back as soon as a payload names it, without a restart. A file that has become bad leaves the ring
    as it was, and the log says so. The nonces are random, so one key is good for 2**32 payloads (NIST SP 800-38D).

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
        self._keys = KeySource(ring_source)
        self._require = require
        self._marks = unreadable == "mark"
        self._workflow: bytes | None = None

    def with_context(self, context: SerializationContext) -> Self:
        """The same codec, with the same ring, for the payloads of one workflow: a case's or an intake's are bound."""
        workflow = _bound(context)
        if workflow == self._workflow:
            return self
        codec = copy.copy(self)
        codec._workflow = workflow  # noqa: SLF001 - its own
        return codec

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, one that is encrypted already too, as the samples do."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Take one layer of encryption off each payload.

        Raises MissingKey, and DamagedPayload unless damaged ones are marked.
        """
        return [self._read(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        key_id, key = self._keys.encrypting()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, self._labelled(payload).SerializeToString(), None)
        metadata = {"encoding": ENCRYPTED, "encryption-key-id": key_id.encode()}
        return Payload(metadata=metadata, data=nonce + sealed)

    def _labelled(self, payload: Payload) -> Payload:
        """The payload with the name of its workflow, also where it came from another one and has that one's."""
        if self._workflow is None:
            return payload
        labelled = Payload()
        labelled.CopyFrom(payload)
        labelled.metadata[WORKFLOW] = self._workflow
        return labelled

    def _read(self, payload: Payload) -> Payload:
        try:
            return self._plain(payload)
        except DamagedPayload as fault:
            if not self._marks:
                raise
            return Payload(metadata={"encoding": UNREADABLE, "fault": str(fault).encode()})

    def _plain(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") == ENCRYPTED:
            plain = self._decrypt(payload)
            self._check_workflow(plain)
            return plain
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

    def _check_workflow(self, plain: Payload) -> None:
        if self._workflow is None or plain.metadata.get(WORKFLOW, self._workflow) == self._workflow:
            return
        # The SDK encodes the summary of a child as its parent's payload, and decodes it as the child's. A text alone
        # opens no case and is no action.
        if plain.metadata.get("encoding") == b"json/plain" and plain.data.startswith(b'"'):
            return
        message = "encrypted for another workflow"
        raise DamagedPayload(message)

    def _key(self, key_id: str) -> bytes:
        key = self._keys.find(key_id)
        if key is None:
            raise MissingKey(key_id) from self._keys.fault
        return key


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


def encryption(keys: Path | KeyRing | EncryptionCodec | None) -> SimplePlugin:
    """The plugin for a client or a Replayer: what it sends and reads goes through `data_converter`.

    It takes the place of a converter that is given beside it. A worker has it of its client, and needs none of its own.
    None: payloads are plain.

    Raises KeyRingError where the ring cannot be read.
    """
    codec = EncryptionCodec(keys) if isinstance(keys, Path | KeyRing) else keys
    return SimplePlugin("omhand.encryption", data_converter=data_converter(codec))


def _bound(context: SerializationContext) -> bytes | None:
    """The id of the workflow, if its payloads are bound to it."""
    if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
        return None
    named = context.workflow_id or ""
    return named.encode() if named.startswith(_BOUND) else None


def _named_key(payload: Payload) -> str:
    raw = payload.metadata.get("encryption-key-id")
    if raw is None:
        message = "encrypted, but under no key: it has no encryption-key-id"
        raise DamagedPayload(message)
    key_id = raw.decode("utf-8", errors="replace")
    if not KEY_ID.fullmatch(key_id):
        message = "encrypted, but its encryption-key-id is not the id of a key"
        raise DamagedPayload(message)
    return key_id
