"""The codec server: lets Temporal's Web UI and CLI show payloads that are stored encrypted.

It speaks Temporal's remote codec protocol: ``POST /encode`` and ``POST /decode`` take and give the JSON of
``temporal.api.common.v1.Payloads``. A browser asks it from the Web UI's page, so that page's origin is let in by CORS,
and no other. Whoever may call it may read patients' data: `omhand dev` serves it on loopback.

Answers: 400 for a body that is no `Payloads`, 403 for another origin, 409 where the key is missing (put it back and ask
again), 413 for a body above 32 MiB, 422 for a damaged payload. No answer and no log line quotes a body.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from omhand.codec import DamagedPayload, MissingKey

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""A payload may have 2 MiB and an event several, in base64."""

_logger = logging.getLogger(__name__)


def make_app(codec: PayloadCodec, ui_origin: str | None) -> web.Application:
    """Return the server's application.

    `ui_origin` is the Web UI's origin (``http://127.0.0.1:8233``); None lets no browser in. The two names of the
    loopback, ``127.0.0.1`` and ``localhost``, are taken for one another.
    """

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Here a token of the `authorization` header will be checked, before anything is decoded.
        origin = request.headers.get("Origin")
        if origin is None:  # no browser: the CLI, a health check
            return await handler(request)
        if origin not in origins:
            return _refusal(HTTPStatus.FORBIDDEN, "this origin is not the Web UI that the codec server serves")
        response = await handler(request)
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        return response

    origins = _origins(ui_origin)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[let_in])
    for path, transform in (("/encode", codec.encode), ("/decode", codec.decode)):
        app.router.add_post(path, _transforming(transform))
        app.router.add_options(path, _preflight)
    app.router.add_get("/health", _health)
    return app


@asynccontextmanager
async def codec_server(
    codec: PayloadCodec, *, host: str = "127.0.0.1", port: int, ui_origin: str | None
) -> AsyncIterator[str]:
    """Serve while the context is open and give the URL. Raises OSError where the port cannot be had."""
    runner = web.AppRunner(make_app(codec, ui_origin), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _transforming(transform: Transform) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MAX_BODY_BYTES} bytes")
        try:
            payloads = _read(body)
        except (ValueError, RecursionError, json_format.ParseError):  # none is passed on: they quote what they read
            return _refusal(HTTPStatus.BAD_REQUEST, "the body is not the JSON of temporal.api.common.v1.Payloads")
        try:
            transformed = await transform(payloads)
        except MissingKey as fault:
            return _refusal(HTTPStatus.CONFLICT, str(fault))
        except DamagedPayload as fault:
            return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(fault))
        text = json_format.MessageToJson(Payloads(payloads=transformed), indent=None)
        return web.Response(text=text, content_type="application/json")

    return handle


def _read(body: bytes) -> Sequence[Payload]:
    content = json.loads(body)
    if not isinstance(content, dict):  # the parser below would take a list for an empty object
        raise json_format.ParseError
    return json_format.ParseDict(content, Payloads()).payloads


async def _preflight(_request: web.Request) -> web.StreamResponse:
    return web.Response(
        status=HTTPStatus.NO_CONTENT,
        headers={
            "Access-Control-Allow-Methods": "POST,OPTIONS",
            "Access-Control-Allow-Headers": "content-type,x-namespace,authorization",
            "Access-Control-Max-Age": "600",
        },
    )


async def _health(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})


def _refusal(status: HTTPStatus, message: str) -> web.Response:
    _logger.warning("codec server refused a request: %d %s", status, message)
    return web.json_response({"message": message}, status=status)


def _origins(ui_origin: str | None) -> frozenset[str]:
    if ui_origin is None:
        return frozenset()
    parts = urlsplit(ui_origin)
    if parts.hostname not in {"127.0.0.1", "localhost"}:
        return frozenset({ui_origin})
    port = "" if parts.port is None else f":{parts.port}"
    return frozenset(f"{parts.scheme}://{host}{port}" for host in ("127.0.0.1", "localhost"))
