"""Payload encryption: the layout of Temporal's samples, and every way that a payload can be bad."""

import base64
import os
import stat
import threading
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from omhand import codec as codec_module
from omhand.codec import (
    DamagedPayload,
    EncryptionCodec,
    KeyRing,
    KeyRingError,
    MissingKey,
    data_converter,
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


async def test_a_rotation_is_picked_up_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "_SECONDS_BETWEEN_READS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("old", OLD))
    codec = EncryptionCodec(path)
    path.write_text(line("new", NEW) + line("old", OLD))
    assert await one(codec, by_hand(PLAIN, "new", NEW)) == PLAIN
    (sealed,) = await codec.encode([PLAIN])
    assert sealed.metadata["encryption-key-id"] == b"new"


async def test_the_file_is_read_again_at_most_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("old", OLD))
    codec = EncryptionCodec(path)
    path.write_text(line("new", NEW))
    with pytest.raises(MissingKey):
        await one(codec, by_hand(PLAIN, "new", NEW))
    codec._read_at -= 1.0
    assert await one(codec, by_hand(PLAIN, "new", NEW)) == PLAIN


async def test_a_bad_file_leaves_the_ring_as_it_was_and_is_the_cause_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_module, "_SECONDS_BETWEEN_READS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("old", OLD))
    codec = EncryptionCodec(path)
    path.write_text("nonsense")
    with pytest.raises(MissingKey) as raised:
        await one(codec, by_hand(PLAIN, "new", NEW))
    assert isinstance(raised.value.__cause__, KeyRingError)
    assert await one(codec, by_hand(PLAIN)) == PLAIN


# The key ring


async def test_a_ring_is_read_with_its_comments_blank_lines_and_order(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        f"\ufeff# of the clinic\r\n\n {line('new', NEW).strip()}  # from May\n{line('old', OLD)}",
        encoding="utf-8",
    )
    assert list(KeyRing.read(path).keys.items()) == [("new", NEW), ("old", OLD)]


SECRET = base64.b64encode(NEW).decode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the key ring is empty"),
        ("# only\n\n", "the key ring is empty"),
        (f"\n{SECRET}\n", "line 2: not <id>:<base64 of 32 bytes>"),
        (f"a:{SECRET[:-2]}\n", "line 1: what follows the id is not base64"),
        (f"a:{SECRET} {SECRET}\n", "line 1: what follows the id is not base64"),
        (f"a:é{SECRET}\n", "line 1: what follows the id is not base64"),
        (f"a:{SECRET[:40]}\n", "line 1: the key has 30 bytes, not 32"),
        ("a:\n", "line 1: the key has 0 bytes, not 32"),
        (f"{SECRET}:a\n", "line 1: what follows the id is not base64"),
        (f"{SECRET}:{SECRET}\n", "line 1: the key id is not 1 to 64 of"),
        (f":{SECRET}\n", "line 1: the key id is not 1 to 64 of"),
        (f"a:{SECRET}\n# x\na:{SECRET}\n", "line 3: the key id 'a' is there already"),
    ],
)
async def test_a_faulty_ring_is_refused_by_file_and_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KeyRingError) as raised:
        KeyRing.read(path)
    assert str(raised.value).startswith(str(path))
    assert fault in str(raised.value)
    assert SECRET[:8] not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_ring_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match=r"keys: .*cannot be read \(No such file"):
        KeyRing.read(tmp_path / "keys")
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyRingError, match="not UTF-8"):
        KeyRing.read(tmp_path / "keys")


async def test_a_new_ring_is_one_random_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    first, second = KeyRing.create(tmp_path / "a"), KeyRing.create(tmp_path / "b")
    assert KeyRing.read(tmp_path / "a") == first
    assert len(first.keys) == 1
    assert first != second
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert set(os.listdir(tmp_path)) == {"a", "b"}  # noqa: PTH208 - names are what is asked


async def test_a_file_of_keys_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("mine")
    with pytest.raises(KeyRingError, match="left as it is"):
        KeyRing.create(path)
    assert path.read_text() == "mine"


async def test_of_many_makers_of_one_ring_one_wins_and_all_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made: list[KeyRing] = []

    def make() -> None:
        try:
            made.append(KeyRing.create(path))
        except KeyRingError:
            made.append(KeyRing.read(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(ring == made[0] for ring in made)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match="cannot be written"):
        KeyRing.create(tmp_path / "gone" / "keys")


async def test_no_key_is_shown_by_repr() -> None:
    assert "\\x" not in repr(RING)


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
