"""Whatever is sent to the codec server, it answers, and shows nothing to whoever has no token (contract §8)."""

import asyncio
import base64
import gzip
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads

from activities.identity import Identity, TokenSettings
from omhand.codec import EncryptionCodec, KeyRing
from workers.codec_server import codec_server

sys.path.insert(0, str(Path(__file__).parents[1] / "activities"))
from fake_idp import FakeIdp

UI = b"http://127.0.0.1:8233"
RING = KeyRing({"a": bytes(32)})
INSIDE = b'{"case_id":"a1","text":"hosta"}'
SHOWN = (INSIDE, b'"text"', base64.b64encode(INSIDE))


class Recorder:
    def __init__(self) -> None:
        self.reads: list[dict[str, Any]] = []

    async def log_read(self, **entry: Any) -> None:
        self.reads.append(entry)


class Served:
    """The codec server on loopback, and bytes to send to it."""

    def __init__(self, port: int, recorder: Recorder, token: bytes, body: bytes) -> None:
        self.port, self.recorder, self.token, self.body = port, recorder, token, body

    async def answer(self, request: bytes) -> bytes:
        """All that it sends back until it closes, which it does within a few seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(5):
                writer.write(request)
                return await reader.read()
        except ConnectionError:  # it hung up on us, which is an answer too
            return b""
        finally:
            writer.close()


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    recorder = Recorder()
    (payload,) = await EncryptionCodec(RING).encode([Payload(metadata={"encoding": b"json/plain"}, data=INSIDE)])
    async with (
        FakeIdp() as idp,
        Identity(TokenSettings(jwks=idp.url)) as identity,
        codec_server(
            EncryptionCodec(RING), port=0, ui_origin=UI.decode(), identity=identity, access_log=recorder
        ) as url,
    ):
        token = idp.token(datetime.now(UTC), permissions=["default:codec"])
        body = json_format.MessageToJson(Payloads(payloads=[payload])).encode()
        yield Served(int(url.rpartition(":")[2]), recorder, token.encode(), body)


HEADER_BYTES = st.binary(max_size=30).map(lambda raw: raw.translate(None, b"\r\n\0"))
METHODS = st.sampled_from([b"POST", b"GET", b"OPTIONS", b"HEAD", b"PUT", b"post", b"DELETE"]) | st.binary(max_size=8)
PATHS = st.sampled_from([b"/decode", b"/encode", b"/decode/", b"/decode?x=%ff", b"//decode", b"/health", b"*", b""])
AUTHORIZATIONS = st.one_of(
    st.none(),
    st.builds(lambda token: b"Bearer " + token, HEADER_BYTES),
    st.sampled_from(
        [b"Bearer", b"Bearer e30.e30.e30", b"Bearer eyJhbGciOiJub25lIn0.e30.", b"Basic e30=", b"bearer a b"]
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from([b"Origin", b"X-Namespace", b"Content-Type", b"Content-Encoding", b"Expect", b"Cookie"]),
    st.sampled_from([UI, b"null", b"default", b"application/json", b"gzip", b"deflate", b"br", b"100-continue"])
    | HEADER_BYTES,
    max_size=4,
).filter(lambda headers: headers.get(b"Expect", b"").isascii())  # to others aiohttp answers 500, before we are asked
BODIES = st.sampled_from([b"SECRET", b"ZIPPED", b"CUT", b"{}", b"[]", b'{"payloads":[{}]}', b""]) | st.binary(
    max_size=200
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.just("YQ=="),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["payloads", "metadata", "data", "encoding", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


def body_of(served: Served, kind: bytes) -> bytes:
    """The bytes that a kind of body stands for: those of a real, encrypted case among them."""
    known = {b"SECRET": served.body, b"ZIPPED": gzip.compress(served.body), b"CUT": served.body[:-9]}
    return known.get(kind, kind)


def request_of(method: bytes, path: bytes, headers: dict[bytes, bytes], body: bytes, *, told: int | None) -> bytes:
    """The bytes of an HTTP request; `told` is the length that it claims, at most its own."""
    length = len(body) if told is None else min(told, len(body))
    lines = [b"%b: %b" % header for header in headers.items()]
    lines += [b"Host: x", b"Connection: close", b"Content-Length: %d" % length]
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, path, b"\r\n".join(lines), body)


def statuses(answer: bytes) -> list[int]:
    return [int(line.split()[1]) for line in answer.splitlines() if line.startswith(b"HTTP/1.")]


FUZZ = settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(METHODS, PATHS | HEADER_BYTES, HEADERS, AUTHORIZATIONS, BODIES, st.none() | st.integers(0, 99))
@example(b"POST", b"/decode", {b"X-Namespace": b"default"}, None, b"SECRET", None)
@example(b"POST", b"/decode", {b"X-Namespace": b"default"}, b"Bearer e30.e30.", b"SECRET", None)
async def test_without_a_token_nothing_is_shown_and_nothing_breaks(
    served: Served,
    method: bytes,
    path: bytes,
    headers: dict[bytes, bytes],
    authorization: bytes | None,
    kind: bytes,
    told: int | None,
) -> None:
    if authorization is not None:
        headers = {**headers, b"Authorization": authorization}
    answer = await served.answer(request_of(method, path, headers, body_of(served, kind), told=told))
    assert all(status < 500 for status in statuses(answer)), answer
    assert not any(inside in answer for inside in SHOWN)
    assert served.recorder.reads == []


@FUZZ
@given(
    PATHS, HEADERS, BODIES | JSON.map(lambda content: json_bytes({"payloads": content})), st.none() | st.integers(0, 99)
)
@example(b"/decode", {b"Content-Encoding": b"gzip"}, b"SECRET", None)
@example(b"/decode", {b"Content-Encoding": b"gzip"}, b"ZIPPED", None)
async def test_with_a_token_nothing_breaks_and_what_is_shown_is_logged(
    served: Served, path: bytes, headers: dict[bytes, bytes], kind: bytes, told: int | None
) -> None:
    headers = {b"X-Namespace": b"default", **headers, b"Authorization": b"Bearer " + served.token}
    answer = await served.answer(request_of(b"POST", path, headers, body_of(served, kind), told=told))
    logged = [entry["case_id"] for entry in served.recorder.reads]
    served.recorder.reads.clear()
    assert all(status < 500 for status in statuses(answer)), answer
    assert ("a1" in logged) == any(inside in answer for inside in SHOWN)


def json_bytes(content: Any) -> bytes:
    return json.dumps(content).encode()
