"""A phone gateway on this machine: a real HTTP server that takes notifications as contract §6 says."""

import hashlib
import hmac
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

SECRET: Final = "of-the-demo-only"  # noqa: S105 - signs nothing but the demo's own calls
BUSY_EVERY: Final = 8
"""Every so many calls it is too busy, so that retries are seen."""


class PhoneGateway:
    """What has been called, and how often it was too busy."""

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0
        self.busy = 0
        self.forged = 0
        self.delivered: Counter[str] = Counter()
        """How often each key was taken."""
        self.latest: deque[str] = deque(maxlen=4)

    async def take(self, request: web.Request) -> web.Response:
        """One notification: taken, or not now, or not signed by whom it says."""
        body = await request.read()
        self.calls += 1
        if not is_signed(request.headers.get("Omhand-Signature", ""), body):
            self.forged += 1
            return web.Response(status=401)
        if self.calls % BUSY_EVERY == 0:
            self.busy += 1
            return web.Response(status=503, headers={"Retry-After": "1"})
        notice: dict[str, Any] = json.loads(body)
        self.delivered[notice["key"]] += 1
        self.latest.append(f"{notice['channel']} {notice['recipient']}: {notice['text']}")
        return web.Response(status=204)


def is_signed(signature: str, body: bytes) -> bool:
    """Whether the header is ``t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<body>">``."""
    parts = dict(part.split("=", 1) for part in signature.split(",") if "=" in part)
    signed = hmac.new(SECRET.encode(), parts.get("t", "").encode() + b"." + body, hashlib.sha256)
    return hmac.compare_digest(signed.hexdigest(), parts.get("v1", ""))


@asynccontextmanager
async def phone_gateway() -> AsyncIterator[PhoneGateway]:
    """A gateway that answers on any free port of this machine while the context is open."""
    gateway = PhoneGateway()
    application = web.Application()
    application.router.add_post("/", gateway.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        gateway.url = f"http://{host}:{port}/"
        yield gateway
    finally:
        await runner.cleanup()
