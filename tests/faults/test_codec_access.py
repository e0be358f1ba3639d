"""Who may have payloads decoded, and that it is logged before they are shown (patientdatalagen; HSLF-FS 2016:40)."""

import asyncio
import base64
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import json_format
from multidict import CIMultiDictProxy
from temporalio.api.common.v1 import Payload, Payloads

from activities.identity import Identity, TokenSettings
from omhand.codec import EncryptionCodec, KeyRing
from workers.codec_server import codec_server

sys.path.insert(0, str(Path(__file__).parents[1] / "activities"))
from fake_idp import FakeIdp

UI = "http://127.0.0.1:8233"
RING = KeyRing({"a": bytes(32)})
STAFF, UNIT = "SE2321000198-S001", "SE2321000198-HC01"
NURSE = {"permissions": ["default:read", "default:codec"], "unit": UNIT}


@dataclasses.dataclass
class Recorder:
    """An access log in memory, which can be away."""

    reads: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    fault: Exception | None = None

    async def log_read(self, **entry: Any) -> None:
        if self.fault:
            raise self.fault
        self.reads.append(entry)

    @property
    def cases(self) -> list[str | None]:
        return [entry["case_id"] for entry in self.reads]


@dataclasses.dataclass
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    text: str


Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def idp() -> AsyncIterator[FakeIdp]:
    async with FakeIdp() as provider:
        yield provider


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def seconds() -> list[float]:
    """The clock by which keys grow old."""
    return [1000.0]


@pytest_asyncio.fixture
async def ask(idp: FakeIdp, recorder: Recorder, seconds: list[float]) -> AsyncIterator[Ask]:
    async with (
        Identity(TokenSettings(jwks=idp.url, issuer=idp.issuer), clock=lambda: seconds[0]) as identity,
        codec_server(EncryptionCodec(RING), port=0, ui_origin=UI, identity=identity, access_log=recorder) as url,
        aiohttp.ClientSession(url) as session,
    ):

        async def asked(token: str | None, *payloads: Payload, path: str = "/decode", **headers: str) -> Answer:
            sent = {"X-Namespace": "default", **({} if token is None else {"Authorization": f"Bearer {token}"})}
            sent = {name: value for name, value in (sent | headers).items() if value}
            async with session.post(path, data=body(*payloads), headers=sent) as answer:
                return Answer(answer.status, answer.headers, await answer.text())

        yield asked


def body(*payloads: Payload) -> str:
    return json_format.MessageToJson(Payloads(payloads=payloads))


async def secret(content: Any = None, workflow: str | None = None, ring: KeyRing = RING) -> Payload:
    """An encrypted payload, as a worker writes it for a workflow."""
    metadata = {"encoding": b"json/plain"} | ({"omhand-workflow": workflow.encode()} if workflow else {})
    data = content if isinstance(content, bytes) else json.dumps(content or {"text": "hosta"}).encode()
    (payload,) = await EncryptionCodec(ring).encode([Payload(metadata=metadata, data=data)])
    return payload


def shown(answer: Answer, text: bytes = b'{"text": "hosta"}') -> bool:
    return base64.b64encode(text).decode() in answer.text


def good(idp: FakeIdp, **more: Any) -> str:
    return idp.token(datetime.now(UTC), **(NURSE | more))


def with_the_public_key_as_a_secret(idp: FakeIdp) -> str:
    idp.rotate("k1", rsa.generate_private_key(65537, 2048))
    pem = idp.signing["k1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"k1"}')
    claims = jwt.utils.base64url_encode(json.dumps(idp.claims(datetime.now(UTC), **NURSE)).encode())
    mac = jwt.get_algorithm_by_name("HS256")
    signature = jwt.utils.base64url_encode(mac.sign(header + b"." + claims, pem))
    return b".".join((header, claims, signature)).decode()


def by_another_key(idp: FakeIdp, kid: str) -> str:
    claims = idp.claims(datetime.now(UTC), **NURSE)
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": kid})


UNTRUSTED: dict[str, Callable[[FakeIdp], str | None]] = {
    "a token is needed": lambda _: None,
    "malformed": lambda _: "hemligt",
    "expired": lambda idp: idp.token(datetime.now(UTC) - timedelta(hours=2), **NURSE),
    "another audience": lambda idp: good(idp, aud="billing"),
    "another issuer": lambda idp: good(idp, iss="https://hemligt.example"),
    "algorithm that is not allowed": lambda idp: jwt.encode(idp.claims(**NURSE), None, algorithm="none"),
    "an algorithm that is not": with_the_public_key_as_a_secret,
    "does not publish": lambda idp: by_another_key(idp, "k7"),
    "not signed by the key": lambda idp: by_another_key(idp, "k1"),
    "no subject": lambda idp: good(idp, sub=None),
    "sub": lambda idp: good(idp, sub="x" * 201),
    "1 to 200 characters": lambda idp: good(idp, sub="a\nb"),
    "none of them a control": lambda idp: good(idp, sub="\ud800"),
    "(sub)": lambda idp: good(idp, sub=""),
}


@pytest.mark.parametrize("told", UNTRUSTED)
async def test_without_a_token_that_is_believed_nothing_is_given(
    ask: Ask, idp: FakeIdp, recorder: Recorder, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    token = UNTRUSTED[told](idp)
    for path in ("/decode", "/encode"):
        answer = await ask(token, await secret(), path=path, Origin=UI)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Access-Control-Allow-Origin"] == UI  # else the page could not show why
        assert told in json.loads(answer.text)["message"]
        assert not shown(answer)
        assert not token or token not in answer.text + caplog.text
        assert "hemligt" not in answer.text + caplog.text
    assert recorder.reads == []
    assert "401" in caplog.text


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        (["Authorization: Bearer hemligt\x01"], ""),
        (["Connection: close", "Content-Length: 0"], "hemligt"),
        (["Connection: close", "Content-Encoding: gzip", "Content-Length: 7"], "hemligt"),
    ],
)
async def test_what_is_no_http_is_not_quoted_in_the_log(
    caplog: pytest.LogCaptureFixture, headers: list[str], sent: str
) -> None:
    async with codec_server(EncryptionCodec(RING), port=0, ui_origin=UI) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write("\r\n".join(["POST /decode HTTP/1.1", "Host: x", *headers, "", sent]).encode())
        answer = await reader.read()
        writer.close()
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert "400" in caplog.text or "Error handling request" in caplog.text
    assert "hemligt" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("given", ["Basic aGVtbGlndA==", "Bearer", "", "Bearer  ", "hemligt"])
async def test_another_scheme_is_no_token(ask: Ask, given: str) -> None:
    answer = await ask(None, await secret(), Authorization=given)
    assert (answer.status, shown(answer)) == (401, False)
    assert "hemligt" not in answer.text


async def test_who_may_is_given_what_is_inside(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    answer = await ask(good(idp), await secret(), Origin=UI)
    assert (answer.status, shown(answer)) == (200, True)
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    entry = {"case_id": None, "action": "decode", "staff": STAFF, "unit": UNIT, "via": "codec-server"}
    assert recorder.reads == [entry]
    answer = await ask(None, await secret(), Authorization=f"bearer   {good(idp)}")  # the scheme has no case
    assert answer.status == 200


@pytest.mark.parametrize(
    "permissions", [None, [], "default:codec", {"default:codec": 1}, ["default:read"], ["codec"], ["other:codec"], [7]]
)
async def test_the_permission_is_for_one_namespace(
    ask: Ask, idp: FakeIdp, recorder: Recorder, permissions: Any
) -> None:
    answer = await ask(good(idp, permissions=permissions), await secret(), Origin=UI)
    assert (answer.status, shown(answer)) == (403, False)
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    assert "permissions" in answer.text
    assert recorder.reads == []


async def test_a_token_of_another_namespace_opens_nothing(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    # The keys are those of the namespace that is served, whatever a token permits elsewhere.
    for namespace in ("playground", "*", "default:codec"):
        token = good(idp, permissions=[f"{namespace}:codec", "default:read"])
        answer = await ask(token, await secret(), **{"X-Namespace": namespace})
        assert (answer.status, shown(answer)) == (403, False)
    assert recorder.reads == []


async def test_the_namespace_is_named_by_the_request(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    for namespace, status in (("", 400), ("other", 403), ("default ", 200), ("Default", 403)):
        answer = await ask(good(idp), await secret(), **{"X-Namespace": namespace})
        assert (answer.status, shown(answer)) == (status, status == 200)
    assert len(recorder.reads) == 1


async def test_another_origin_is_refused_whatever_its_token(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    answer = await ask(good(idp), await secret(), Origin="http://evil.example")
    assert (answer.status, shown(answer)) == (403, False)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert recorder.reads == []


async def test_a_preflight_and_a_health_check_need_no_token(idp: FakeIdp) -> None:
    async with (
        Identity(TokenSettings(jwks=idp.url)) as identity,
        codec_server(EncryptionCodec(RING), port=0, ui_origin=UI, identity=identity) as url,
        aiohttp.ClientSession(url) as session,
    ):
        async with session.options("/decode", headers={"Origin": UI}) as answer:
            assert answer.status == 204
        async with session.get("/health") as answer:
            assert answer.status == 200
    assert idp.fetches == 0


async def test_an_identity_provider_that_is_away(
    ask: Ask, idp: FakeIdp, recorder: Recorder, seconds: list[float]
) -> None:
    idp.answers = [500]
    answer = await ask(good(idp), await secret(), Origin=UI)
    assert (answer.status, shown(answer)) == (503, False)
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    assert recorder.reads == []
    seconds[0] += 10
    assert (await ask(good(idp), await secret())).status == 200
    token = good(idp)
    await idp.goes_away()
    seconds[0] += 601
    assert (await ask(token, await secret())).status == 200  # by the keys that are known


async def test_a_key_that_was_rotated(ask: Ask, idp: FakeIdp, seconds: list[float]) -> None:
    old = good(idp)
    assert (await ask(old, await secret())).status == 200
    idp.rotate("k2")
    seconds[0] += 10
    assert (await ask(good(idp), await secret())).status == 200
    assert (await ask(old, await secret())).status == 401


# What is written to the access log


@pytest.mark.parametrize(
    ("content", "workflow", "cases"),
    [
        ({}, "case-a1", ["a1"]),
        ({"case_id": "b"}, "intake-a1", ["a1"]),
        ({}, "case-a1.consultation-2", ["a1.consultation-2"]),
        ({"case_id": "a1"}, None, ["a1"]),
        ({"case_id": "a1", "case": {"case_id": "b"}}, None, ["a1"]),
        ({"case": {"case_id": "a1"}, "opening": {"case_id": "b"}, "x": {"case_id": "a1"}}, None, ["a1", "b"]),
        ({"case_id": "a1"}, "closing-unit", ["a1"]),
        ({"case_id": "a1"}, "case-no id", ["a1"]),
        ({}, "case-", [None]),
        ({"case_id": "no id"}, None, [None]),
        ({"case_id": "a1\n"}, None, [None]),
        ({"case_id": 7, "case": [{"case_id": "a1"}], "carried": {"file": {"case_id": "a1"}}}, None, [None]),
        (b'[{"case_id": "a1"}]', None, [None]),
        (b'{"case_id": "a1"', None, [None]),
        (b'{"x":' * 5000, None, [None]),
        (b"\xff\xfe\x00", None, [None]),
        (b"", None, [None]),
    ],
)
async def test_whose_payload_it_is(
    ask: Ask, idp: FakeIdp, recorder: Recorder, content: Any, workflow: str | None, cases: list[str | None]
) -> None:
    assert (await ask(good(idp), await secret(content or {"text": "x"}, workflow))).status == 200
    assert recorder.cases == cases


async def test_a_case_is_written_once_a_request(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    payloads = [
        await secret(workflow="case-a"),
        await secret({"case_id": "b"}),
        await secret(),
        await secret({"case_id": "a"}, workflow="intake-a"),
        await secret(),
    ]
    assert (await ask(good(idp), *payloads)).status == 200
    assert recorder.cases == ["a", "b", None]
    await ask(good(idp), payloads[0])
    assert recorder.cases == ["a", "b", None, "a"]


@pytest.mark.parametrize("unit", [None, "hemligt", 7, f"{UNIT}\n", "SE232100019\u0668-HC01"])
async def test_whoever_reads_is_named(ask: Ask, idp: FakeIdp, recorder: Recorder, unit: Any) -> None:
    """An operator has no HSA-id: their name is kept all the same; a unit that is none is not."""
    answer = await ask(good(idp, sub="åsa@example.org", unit=unit), await secret())
    assert answer.status == 200
    assert [(entry["staff"], entry["unit"]) for entry in recorder.reads] == [("åsa@example.org", None)]


@pytest.mark.parametrize(
    "fault",
    [
        ConnectionRefusedError("hemligt"),
        TimeoutError(),
        asyncpg.InterfaceError("hemligt"),
        asyncpg.UndefinedTableError("hemligt"),
    ],
)
async def test_what_cannot_be_logged_is_not_shown(ask: Ask, idp: FakeIdp, recorder: Recorder, fault: Exception) -> None:
    recorder.fault = fault
    answer = await ask(good(idp), await secret(), Origin=UI)
    assert (answer.status, shown(answer)) == (503, False)
    assert "access log" in answer.text
    assert "hemligt" not in answer.text
    recorder.fault = None
    assert shown(await ask(good(idp), await secret()))


async def test_what_is_not_shown_was_not_read(ask: Ask, idp: FakeIdp, recorder: Recorder) -> None:
    damaged = await secret()
    damaged.data = damaged.data[:-1]
    for payload, status in ((damaged, 422), (await secret(ring=KeyRing({"gone": bytes(32)})), 409)):
        answer = await ask(good(idp), await secret(), payload)
        assert (answer.status, shown(answer)) == (status, False)
    assert (await ask(good(idp), await secret(), path="/encode")).status == 200
    assert (await ask(good(idp))).status == 200  # nothing was asked for
    assert recorder.reads == []
