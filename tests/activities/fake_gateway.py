"""A gateway that is a real HTTP server: it keeps what it gets, and answers as it is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """What came."""

    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object."""
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class FakeGateway:
    """Answers 202 unless something else is queued: a status, a response's headers, or a function of the request."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]] | Answering] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(Call(dict(request.headers), await request.read()))
        self.arrived.set()
        answer = self.answers.pop(0) if self.answers else 202
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], headers=answer[1])
        return await answer(request)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/notify"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    assert request.transport
    request.transport.close()
    return web.Response()


async def babble(request: web.Request) -> web.StreamResponse:
    """Say something that is not HTTP."""
    assert request.transport
    request.transport.write(b"who is there?\r\n\r\n")
    request.transport.close()
    return web.Response()
