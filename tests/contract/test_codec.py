"""Payload encryption: the layout of Temporal's samples, and every way that a payload can be bad."""

import base64
import os
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client
from temporalio.converter import (
    ActivitySerializationContext,
    NexusSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from omhand import keys as keys_module
from omhand.codec import (
    WORKFLOW,
    DamagedPayload,
    EncryptionCodec,
    KeyRing,
    KeyRingError,
    MissingKey,
    data_converter,
    encryption,
)

Unreadable = Literal["raise", "mark"]

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING = KeyRing({"old": OLD})
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"case_id":"a"}')


def by_hand(payload: Payload, key_id: str = "old", key: bytes = OLD) -> Payload:
    """Encrypt as the samples do (samples-python, encryption/codec.py)."""
    nonce = os.urandom(12)
    data = nonce + AESGCM(key).encrypt(nonce, payload.SerializeToString(), None)
    metadata = {"encoding": b"binary/encrypted", "encryption-key-id": key_id.encode()}
    return Payload(metadata=metadata, data=data)


def line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}\n"


async def one(codec: EncryptionCodec, payload: Payload) -> Payload:
    (read,) = await codec.decode([payload])
    return read


async def fault_of(payload: Payload, *, require: bool = False) -> str:
    """What both ways of saying it say of a damaged payload."""
    with pytest.raises(DamagedPayload) as raised:
        await one(EncryptionCodec(RING, require=require), payload)
    marked = await one(EncryptionCodec(RING, require=require, unreadable="mark"), payload)
    assert marked.metadata["encoding"] == b"binary/unreadable"
    assert marked.data == b""
    assert marked.metadata["fault"].decode() == str(raised.value)
    return str(raised.value)


# The layout


async def test_a_payload_made_by_hand_in_the_layout_of_the_samples_is_read() -> None:
    assert await one(EncryptionCodec(RING), by_hand(PLAIN)) == PLAIN


async def test_what_it_writes_is_read_by_hand_in_the_layout_of_the_samples() -> None:
    (sealed,) = await EncryptionCodec(RING).encode([PLAIN])
    assert dict(sealed.metadata) == {"encoding": b"binary/encrypted", "encryption-key-id": b"old"}
    inner = AESGCM(OLD).decrypt(sealed.data[:12], sealed.data[12:], None)
    assert Payload.FromString(inner) == PLAIN
    assert len(sealed.data) == 12 + PLAIN.ByteSize() + 16


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Payload, metadata=st.dictionaries(st.text(max_size=20), st.binary()), data=st.binary())))
async def test_whatever_is_encrypted_comes_back_in_order(payloads: list[Payload]) -> None:
    codec = EncryptionCodec(RING, require=True)
    assert await codec.decode(await codec.encode(payloads)) == payloads


async def test_the_same_payload_twice_is_not_the_same_ciphertext() -> None:
    first, second = await EncryptionCodec(RING).encode([PLAIN, PLAIN])
    assert first.data[:12] != second.data[:12]
    assert first.data[12:] != second.data[12:]


async def test_one_layer_is_put_on_and_one_is_taken_off() -> None:
    codec = EncryptionCodec(RING)
    once = await codec.encode([PLAIN])
    assert await codec.decode(await codec.encode(once)) == once


# Plain payloads


async def test_a_plain_payload_is_read_as_it_is() -> None:
    assert await one(EncryptionCodec(RING), PLAIN) == PLAIN
    assert await one(EncryptionCodec(RING), Payload()) == Payload()


async def test_a_plain_payload_is_unreadable_where_encryption_is_required() -> None:
    assert await fault_of(PLAIN, require=True) == "not encrypted"


# Damage


async def test_truncation_at_any_length_is_damage() -> None:
    whole = by_hand(PLAIN)
    for length in range(len(whole.data)):
        cut = Payload(metadata=whole.metadata, data=whole.data[:length])
        assert "encrypted, but" in await fault_of(cut)


async def test_any_flipped_bit_is_damage() -> None:
    whole = by_hand(PLAIN)
    for bit in range(len(whole.data) * 8):
        data = bytearray(whole.data)
        data[bit // 8] ^= 1 << bit % 8
        flipped = Payload(metadata=whole.metadata, data=bytes(data))
        assert "changed since" in await fault_of(flipped)


async def test_something_after_the_end_is_damage() -> None:
    whole = by_hand(PLAIN)
    whole.data += b"\0"
    assert "changed since" in await fault_of(whole)


async def test_another_key_under_the_same_id_is_damage() -> None:
    assert "another key" in await fault_of(by_hand(PLAIN, "old", NEW))


async def test_what_is_encrypted_but_no_payload_is_damage() -> None:
    nonce = os.urandom(12)
    sealed = by_hand(PLAIN)
    sealed.data = nonce + AESGCM(OLD).encrypt(nonce, b"\xff\xff\xff", None)
    assert "no payload inside" in await fault_of(sealed)


@pytest.mark.parametrize("key_id", [None, b"", b"\xff\xfe", b"19121212 1212", b"a" * 65])
async def test_a_payload_that_names_no_key_is_damage(key_id: bytes | None) -> None:
    sealed = by_hand(PLAIN)
    del sealed.metadata["encryption-key-id"]
    if key_id is not None:
        sealed.metadata["encryption-key-id"] = key_id
    fault = await fault_of(sealed)
    assert "encryption-key-id" in fault
    assert "1212" not in fault


async def test_one_damaged_payload_does_not_take_the_others_with_it() -> None:
    codec = EncryptionCodec(RING, unreadable="mark")
    cut = Payload(metadata=by_hand(PLAIN).metadata, data=b"x")
    before, bad, after = await codec.decode([by_hand(PLAIN), cut, PLAIN])
    assert (before, after) == (PLAIN, PLAIN)
    assert bad.metadata["encoding"] == b"binary/unreadable"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.none() | st.sampled_from([b"old", b"gone"]) | st.binary())
async def test_no_input_ends_in_another_error(data: bytes, key_id: bytes | None) -> None:
    metadata = {"encoding": b"binary/encrypted"}
    if key_id is not None:
        metadata["encryption-key-id"] = key_id
    codec = EncryptionCodec(RING, unreadable="mark")
    try:
        read = await one(codec, Payload(metadata=metadata, data=data))
    except MissingKey as error:
        assert key_id is not None
        assert error.key_id == key_id.decode()  # noqa: PT017 - either may happen
    else:
        assert read.metadata["encoding"] == b"binary/unreadable"


# Missing keys and rotation


@pytest.mark.parametrize("unreadable", ["raise", "mark"])
async def test_a_key_that_is_missing_is_named_and_never_taken_for_damage(
    unreadable: Unreadable,
) -> None:
    codec = EncryptionCodec(RING, unreadable=unreadable)
    with pytest.raises(MissingKey, match="'new' is not in the key ring") as raised:
        await one(codec, by_hand(PLAIN, "new", NEW))
    assert raised.value.key_id == "new"


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    codec = EncryptionCodec(KeyRing({"new": NEW, "old": OLD}))
    (sealed,) = await codec.encode([PLAIN])
    assert sealed.metadata["encryption-key-id"] == b"new"
    assert await codec.decode([sealed, by_hand(PLAIN)]) == [PLAIN, PLAIN]


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    """A ring of one key, as a file."""
    keep(tmp_path / "keys", line("old", OLD))
    return tmp_path / "keys"


def keep(path: Path, *lines: str) -> None:
    """Write a key ring anew."""
    path.write_text("".join(lines))


async def encrypts_under(codec: EncryptionCodec) -> bytes:
    (sealed,) = await codec.encode([PLAIN])
    return sealed.metadata["encryption-key-id"]


async def test_a_key_that_comes_into_the_file_is_found_at_once(ring_file: Path) -> None:
    codec = EncryptionCodec(ring_file)
    with pytest.raises(MissingKey):
        await one(codec, by_hand(PLAIN, "new", NEW))
    keep(ring_file, line("new", NEW), line("old", OLD))
    assert await one(codec, by_hand(PLAIN, "new", NEW)) == PLAIN
    assert await encrypts_under(codec) == b"new"


async def test_a_new_first_key_is_taken_up_within_a_second_by_what_only_encrypts(
    ring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = EncryptionCodec(ring_file)
    bound = codec.with_context(of_case("case-a"))
    keep(ring_file, line("new", NEW), line("old", OLD))
    monkeypatch.setattr(keys_module, "SECONDS_BETWEEN_LOOKS", 3600.0)
    assert await encrypts_under(bound) == b"old", "the file is not looked at for every payload"
    monkeypatch.setattr(keys_module, "SECONDS_BETWEEN_LOOKS", 0.0)
    assert await encrypts_under(bound) == b"new"
    assert await encrypts_under(codec.with_context(of_case("case-b"))) == b"new"
    monkeypatch.setattr(keys_module, "SECONDS_BETWEEN_LOOKS", 3600.0)
    assert await encrypts_under(codec) == b"new", "all contexts have one ring"


async def test_a_bad_file_leaves_the_ring_as_it_was_and_is_said_once_for_each_change(
    ring_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys_module, "SECONDS_BETWEEN_LOOKS", 0.0)
    caplog.set_level("INFO")
    codec = EncryptionCodec(ring_file)
    secret = base64.b64encode(NEW).decode()
    for said, change in enumerate([lambda: keep(ring_file, secret), ring_file.unlink], start=1):
        change()
        assert [await encrypts_under(codec) for _ in range(3)] == [b"old"] * 3
        with pytest.raises(MissingKey) as raised:
            await one(codec, by_hand(PLAIN, "new", NEW))
        assert isinstance(raised.value.__cause__, KeyRingError)
        assert await one(codec, by_hand(PLAIN)) == PLAIN
        assert [record.levelname for record in caplog.records] == ["WARNING"] * said
    keep(ring_file, line("new", NEW))
    assert await encrypts_under(codec) == b"new"
    assert caplog.records[-1].getMessage() == "the key ring has been read anew: the key 'new' encrypts"
    assert secret[:8] not in caplog.text
    with pytest.raises(MissingKey) as mended:
        await one(codec, by_hand(PLAIN))
    assert mended.value.__cause__ is None


# Whose a payload is


def of_case(workflow_id: str) -> WorkflowSerializationContext:
    return WorkflowSerializationContext(namespace="default", workflow_id=workflow_id)


def of_activity(workflow_id: str | None) -> ActivitySerializationContext:
    return ActivitySerializationContext(
        namespace="default", workflow_id=workflow_id, workflow_type="DropInVisit", activity_id="1",
        activity_type="record", activity_task_queue="cases", is_local=True,
    )  # fmt: skip


async def bound_to(workflow_id: str, payload: Payload = PLAIN) -> Payload:
    (sealed,) = await EncryptionCodec(RING).with_context(of_case(workflow_id)).encode([payload])
    return sealed


@pytest.mark.parametrize("workflow_id", ["case-a", "intake-a", "case-a.consultation-1"])
async def test_a_case_s_payload_says_inside_whose_it_is(workflow_id: str) -> None:
    sealed = await bound_to(workflow_id)
    assert set(sealed.metadata) == {"encoding", "encryption-key-id"}, "outside it is as the samples have it"
    inner = Payload.FromString(AESGCM(OLD).decrypt(sealed.data[:12], sealed.data[12:], None))
    assert inner.data == PLAIN.data
    assert dict(inner.metadata) == {"encoding": b"json/plain", WORKFLOW: workflow_id.encode()}
    for context in (of_case(workflow_id), of_activity(workflow_id)):
        assert await one(EncryptionCodec(RING).with_context(context), sealed) == inner
    assert await one(EncryptionCodec(RING), sealed) == inner, "the codec server knows no workflow, and sees whose it is"


async def test_another_case_s_payload_is_damage() -> None:
    taken = await bound_to("case-a")
    for context in (of_case("case-b"), of_activity("case-b"), of_case("intake-a")):
        with pytest.raises(DamagedPayload, match="encrypted for another workflow"):
            await one(EncryptionCodec(RING).with_context(context), taken)
        marking = EncryptionCodec(RING, unreadable="mark").with_context(context)
        assert (await one(marking, taken)).metadata["fault"] == b"encrypted for another workflow"


async def test_what_goes_on_to_another_case_is_that_one_s() -> None:
    inner = await one(EncryptionCodec(RING), await bound_to("case-a"))
    passed_on = await bound_to("case-b", inner)
    assert inner.metadata[WORKFLOW] == b"case-a", "what was given is left as it is"
    read = await one(EncryptionCodec(RING).with_context(of_case("case-b")), passed_on)
    assert read.metadata[WORKFLOW] == b"case-b"


async def test_a_payload_that_does_not_say_whose_it_is_is_read_as_before() -> None:
    bound = EncryptionCodec(RING).with_context(of_case("case-a"))
    assert await one(bound, by_hand(PLAIN)) == PLAIN
    assert await one(bound, PLAIN) == PLAIN


async def test_a_text_alone_is_read_whoever_wrote_it() -> None:
    """The SDK encodes the summary of a child as its parent's."""
    summary = Payload(metadata={"encoding": b"json/plain"}, data=b'"drop_in_visit, priority 3"')
    child = EncryptionCodec(RING).with_context(of_case("case-a"))
    assert (await one(child, await bound_to("intake-a", summary))).data == summary.data


async def test_only_cases_and_intakes_are_bound() -> None:
    codec = EncryptionCodec(RING)
    # A schedule gives the beginning of an id, and the workflow that it starts has another.
    for context in (
        of_case("closing-SE2321000198-HC01"), of_case(""), of_activity(None), of_case("a-case-a"),
        NexusSerializationContext(endpoint="e", service="s", operation="o"),
    ):  # fmt: skip
        assert codec.with_context(context) is codec
        assert codec.with_context(of_case("case-a")).with_context(context)._workflow is None
    assert codec.with_context(of_case("case-a")).with_context(of_case("case-b"))._workflow == b"case-b"


# The converter


class Note(BaseModel):
    text: str


async def test_the_converter_encrypts_models_and_failures() -> None:
    converter = data_converter(EncryptionCodec(RING))
    payloads = await converter.encode([Note(text="hosta")])
    assert b"hosta" not in payloads[0].SerializeToString()
    assert await converter.decode(payloads, [Note]) == [Note(text="hosta")]
    failure = Failure()
    error = ApplicationError("hosta", {"why": "hosta"}, type="InvalidCase")
    await converter.encode_failure(error, failure)
    assert b"hosta" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "InvalidCase"
    assert str(await converter.decode_failure(failure)) == "InvalidCase: hosta"


async def test_without_a_codec_the_converter_writes_plain_json() -> None:
    (payload,) = await data_converter(None).encode([Note(text="hosta")])
    assert payload.data == b'{"text":"hosta"}'


async def test_a_failure_with_a_marked_message_can_still_be_read() -> None:
    failure = Failure()
    await data_converter(EncryptionCodec(RING)).encode_failure(ApplicationError("a"), failure)
    failure.encoded_attributes.data = b"x"
    marking = data_converter(EncryptionCodec(RING, unreadable="mark"))
    error = await marking.decode_failure(failure)
    assert isinstance(error, ApplicationError)


# The plugin


async def test_the_plugin_puts_the_converter_on_a_client_once(ring_file: Path) -> None:
    client = await Client.connect("127.0.0.1:1", plugins=[encryption(ring_file)], lazy=True)
    for same in (client, Client(**client.config())):
        (sealed,) = await same.data_converter.encode([Note(text="hosta")])
        assert (await one(EncryptionCodec(RING), sealed)).data == b'{"text":"hosta"}'


async def test_the_plugin_without_keys_writes_plain_json() -> None:
    client = await Client.connect("127.0.0.1:1", plugins=[encryption(None)], lazy=True)
    (payload,) = await client.data_converter.encode([Note(text="hosta")])
    assert payload.data == b'{"text":"hosta"}'
