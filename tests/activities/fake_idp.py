"""An identity provider that is a real HTTP server: it publishes keys, and signs tokens with them."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from activities.identity import Identity, Untrusted

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def public_jwk(key: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half, as a JWK Set has it; `more` adds members, and replaces them."""
    public = key.public_key()
    by_type = {rsa.RSAPublicKey: "RS256", ec.EllipticCurvePublicKey: "ES256"}
    algorithm = next((name for type_, name in by_type.items() if isinstance(public, type_)), "EdDSA")
    described = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {name: value for name, value in described.items() if name != "key_ops"} | {"use": "sig"} | more


def segment(content: Any) -> str:
    """A part of a token: bytes as they are, anything else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeIdp:
    """Publishes `keys` at `url`, unless something else is queued: a status, a body, or a function of the request."""

    issuer: str = "https://idp.example.org"
    audience: str = "omhand"
    url: str = ""
    signing: dict[str, PrivateKey] = field(default_factory=lambda: {"k1": ec.generate_private_key(ec.SECP256R1())})
    keys: list[Any] = field(default_factory=list)
    fetches: int = 0
    answers: list[int | bytes | Answering] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.keys = [public_jwk(key, kid=kid) for kid, key in self.signing.items()]

    def rotate(self, kid: str, key: PrivateKey | None = None) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.signing = {kid: key or ec.generate_private_key(ec.SECP256R1())}
        self.keys = [public_jwk(self.signing[kid], kid=kid)]

    def claims(self, at: datetime = NOW, **more: Any) -> dict[str, Any]:
        """Those of a good token; `more` replaces them, None takes them away."""
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": "SE2321000198-S001",
            "iat": int(at.timestamp()),
            "exp": int((at + timedelta(hours=1)).timestamp()),
        }
        return {name: value for name, value in (claims | more).items() if value is not None}

    def token(self, at: datetime = NOW, *, algorithm: str = "ES256", kid: str | None = None, **more: Any) -> str:
        """A token, signed by the key of that id (the first one's)."""
        kid = kid or next(iter(self.signing))
        return jwt.encode(self.claims(at, **more), self.signing[kid], algorithm=algorithm, headers={"kid": kid})

    async def hangs(self, _request: web.Request) -> web.StreamResponse:
        """An answer that does not come."""
        return await asyncio.get_running_loop().create_future()

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        self.fetches += 1
        self.arrived.set()
        answer = self.answers.pop(0) if self.answers else json.dumps({"keys": self.keys}).encode()
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"Location": self.url})
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return await answer(request)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/jwks", self._publish)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/jwks"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def goes_away(self) -> None:
        """Close the port, and every connection."""
        await self._runner.cleanup()


async def refused(identity: Identity, token: str) -> str:
    """Why the token is not believed."""
    with pytest.raises(Untrusted) as raised:
        await identity.claims(token, NOW)
    assert raised.value.__cause__ is None  # a cause of PyJWT's could quote the token
    return str(raised.value)
