"""The codec server: lets Temporal's Web UI and CLI show payloads that are stored encrypted.

It speaks Temporal's remote codec protocol: ``POST /encode`` and ``POST /decode`` take and give the JSON of
``temporal.api.common.v1.Payloads``. A browser asks it from the Web UI's page, so that page's origin is let in by CORS,
and no other.

Whoever may call it may read patients' data. So a request has to come with a token (``Authorization: Bearer <JWT>``)
whose claim ``permissions`` has ``<namespace>:codec`` for the namespace that ``X-Namespace`` names; and what is decoded
is written to the access log before it is given out. Without tokens it serves the loopback only (contract §8).

Answers: 400 for a body that is no `Payloads`, or without a namespace; 401 without a token that is believed; 403 for
another origin, or without the permission; 409 where the key is missing (put it back and ask again); 413 for a body
above 32 MiB; 422 for a damaged payload; 503 where the identity provider or the access log is away. None of these
answers, and no log line, quotes a body or a token.
"""

import ipaddress
import json
import logging
import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import asyncpg
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from activities.access import AccessLog
from activities.identity import Identity, IdentityAway, Untrusted
from activities.postgres.pool import open_pool
from omhand.client.connecting import DEFAULT_NAMESPACE
from omhand.codec import WORKFLOW, DamagedPayload, EncryptionCodec, MissingKey
from omhand.contract.names import ANY_CASE_ID_PATTERN, HSA_ID_PATTERN
from workers.settings import (
    DATABASE_URL,
    KEYS_FILE,
    TOKEN_JWKS,
    Settings,
    SettingsError,
    temporal_connect_config,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""A payload may have 2 MiB and an event several, in base64."""

LONGEST_SUBJECT: Final = 200

_WORKFLOW_ID: Final = re.compile(r"(?:case|intake)-(?P<case_id>.+)", re.DOTALL)
_CASE_ID: Final = re.compile(ANY_CASE_ID_PATTERN)
_HSA_ID: Final = re.compile(HSA_ID_PATTERN, re.ASCII)
_CONNECTIONS: Final = 2
"""An entry of the access log is one short statement."""

_logger = logging.getLogger(__name__)
_http_logger = logging.getLogger(f"{__name__}.http")


def _quotes_nothing(record: logging.LogRecord) -> bool:
    """Let a line pass without the request: of one that is no HTTP, aiohttp would quote the body and the token."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
        record.exc_info = None
    return True


_http_logger.addFilter(_quotes_nothing)


class DecodeLog(Protocol):
    """Where it is written who read what: `activities.access.AccessLog`."""

    async def log_read(
        self, *, case_id: str | None, action: str, staff: str | None, unit: str | None, via: str
    ) -> None:
        """Add one entry.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: it could not be added.
        """


class DatabaseAway(Exception):  # noqa: N818 - it is said to whoever starts the server
    """The database of the access log cannot be used; the cause says why."""


@dataclass(frozen=True)
class _Caller:
    """Who asks: the token's ``sub``, and its ``unit``. Nobody is known where no tokens are asked for."""

    staff: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class _Door:
    """Who believes tokens, and for which namespace they have to be."""

    identity: Identity
    namespace: str


class _Refused(Exception):  # noqa: N818 - it is an answer
    """What a request gets in place of payloads."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_app(
    codec: PayloadCodec,
    ui_origin: str | None,
    *,
    identity: Identity | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    access_log: DecodeLog | None = None,
) -> web.Application:
    """Return the server's application.

    `ui_origin` is the Web UI's origin (``http://127.0.0.1:8233``); None lets no browser in. The two names of the
    loopback, ``127.0.0.1`` and ``localhost``, are taken for one another. Without an `identity` no token is asked for;
    with one, the token has to permit it for `namespace`, whose keys these are. Without an `access_log` nothing is
    logged.
    """

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is None:  # no browser: the CLI, a health check
            return await handler(request)
        if origin not in origins:
            return _refusal(HTTPStatus.FORBIDDEN, "this origin is not the Web UI that the codec server serves")
        response = await handler(request)
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        return response

    origins, door = _origins(ui_origin), _Door(identity, namespace) if identity else None
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[let_in])
    app.router.add_post("/encode", _transforming(codec.encode, door, None))
    app.router.add_post("/decode", _transforming(codec.decode, door, access_log))
    for path in ("/encode", "/decode"):
        app.router.add_options(path, _preflight)
    app.router.add_routes([web.get("/health", _health), web.get("/metrics", _health)])
    return app


@asynccontextmanager
async def codec_server(
    codec: PayloadCodec,
    *,
    host: str = "127.0.0.1",
    port: int,
    ui_origin: str | None,
    identity: Identity | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    access_log: DecodeLog | None = None,
) -> AsyncIterator[str]:
    """Serve while the context is open and give the URL. The parameters are those of `make_app`.

    Raises:
        SettingsError: there is no `identity`, and the host is not a loopback address.
        OSError: the port cannot be had.
    """
    if identity is None and not _is_loopback(host):
        raise SettingsError([_NO_TOKENS])
    app = make_app(codec, ui_origin, identity=identity, namespace=namespace, access_log=access_log)
    runner = web.AppRunner(app, access_log=None, logger=_http_logger, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def configured_codec_server(
    settings: Settings, *, host: str, port: int, ui_origin: str | None
) -> AsyncIterator[str]:
    """Serve as the settings say, while the context is open, and give the URL.

    Raises:
        SettingsError: a setting is missing without which this host may not be served.
        KeyRingError: the key file has become unusable since the settings were read.
        DatabaseAway: as its cause says.
        OSError: the port cannot be had.
    """
    codec = EncryptionCodec(_keys_file(settings, host))
    async with AsyncExitStack() as stack:
        identity = await stack.enter_async_context(Identity(settings.tokens)) if settings.tokens else None
        access_log = await _access_log(stack, settings.database_url) if settings.database_url else None
        server = codec_server(
            codec,
            host=host,
            port=port,
            ui_origin=ui_origin,
            identity=identity,
            namespace=temporal_connect_config()["namespace"],
            access_log=access_log,
        )
        yield await stack.enter_async_context(server)


_NO_TOKENS: Final = f"{TOKEN_JWKS}: missing; without tokens only a loopback address may be served"


def _keys_file(settings: Settings, host: str) -> Path:
    """The key file, where everything else is there too that this host needs."""
    faults = [] if settings.keys_file else [f"{KEYS_FILE}: missing"]
    if settings.tokens is None and not _is_loopback(host):
        faults.append(_NO_TOKENS)
    if not settings.database_url and (settings.tokens or not _is_loopback(host)):
        faults.append(f"{DATABASE_URL}: missing; who reads what has to be written to the access log")
    if faults or not settings.keys_file:
        raise SettingsError(faults)
    return settings.keys_file


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may be anybody's
        return False


async def _access_log(stack: AsyncExitStack, dsn: str) -> AccessLog:
    try:
        return AccessLog(await stack.enter_async_context(open_pool(dsn, most=_CONNECTIONS)))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        raise DatabaseAway from fault


def _transforming(transform: Transform, door: _Door | None, access_log: DecodeLog | None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            caller = await _caller(request, door) if door else _Caller()
            transformed = await _transformed(await _payloads(request), transform)
            if access_log:
                await _log(transformed, caller, access_log)
        except _Refused as refused:
            return _refusal(refused.status, str(refused))
        text = json_format.MessageToJson(Payloads(payloads=transformed), indent=None)
        return web.Response(text=text, content_type="application/json")

    return handle


async def _caller(request: web.Request, door: _Door) -> _Caller:
    """Who the token says that it is, if they may."""
    try:
        claims = await door.identity.claims(_bearer_token(request), datetime.now(UTC))
    except Untrusted as fault:
        raise _Refused(HTTPStatus.UNAUTHORIZED, str(fault)) from fault
    except IdentityAway as fault:
        raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(fault)) from fault
    subject, unit, permissions = (claims.get(name) for name in ("sub", "unit", "permissions"))
    if not _is_subject(subject):
        message = (
            f"the token has no subject (sub) of 1 to {LONGEST_SUBJECT} characters, none of them a control character"
        )
        raise _Refused(HTTPStatus.UNAUTHORIZED, message)
    namespace = request.headers.get("X-Namespace")
    if not namespace:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the header X-Namespace is missing")
    if namespace != door.namespace:
        raise _Refused(HTTPStatus.FORBIDDEN, "this codec server has the keys of another namespace")
    if not (isinstance(permissions, list) and f"{namespace}:codec" in permissions):
        raise _Refused(
            HTTPStatus.FORBIDDEN, "the token does not permit <namespace>:codec for this namespace (permissions)"
        )
    return _Caller(subject, unit if isinstance(unit, str) and _HSA_ID.fullmatch(unit) else None)


def _bearer_token(request: web.Request) -> str:
    match request.headers.getall("Authorization", []):
        case [given]:
            scheme, _, token = given.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
    raise _Refused(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer <JWT>")


def _is_subject(value: object) -> bool:
    """Whether it is a text that can stand in the access log, where it has to be readable."""
    if not (isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT):
        return False
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in value)


async def _payloads(request: web.Request) -> Sequence[Payload]:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"the body has more than {MAX_BODY_BYTES} bytes"
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message) from None
    except (web.RequestPayloadError, ConnectionError) as fault:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"the body cannot be read ({type(fault).__name__})") from fault
    try:
        return _read(body)
    except (ValueError, RecursionError, json_format.ParseError):
        message = "the body is not the JSON of temporal.api.common.v1.Payloads"
        raise _Refused(HTTPStatus.BAD_REQUEST, message) from None  # the cause quotes what it read


def _read(body: bytes) -> Sequence[Payload]:
    content = json.loads(body)
    if not isinstance(content, dict):  # the parser below would take a list for an empty object
        raise json_format.ParseError
    return json_format.ParseDict(content, Payloads()).payloads


async def _transformed(payloads: Sequence[Payload], transform: Transform) -> list[Payload]:
    try:
        return await transform(payloads)
    except MissingKey as fault:
        raise _Refused(HTTPStatus.CONFLICT, str(fault)) from fault
    except DamagedPayload as fault:
        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(fault)) from fault


async def _log(payloads: Iterable[Payload], caller: _Caller, access_log: DecodeLog) -> None:
    """Write down that the caller reads these, before they do: once for each case."""
    cases = dict.fromkeys(case_id for payload in payloads for case_id in _cases_of(payload))
    try:
        for case_id in cases:
            await access_log.log_read(
                case_id=case_id, action="decode", staff=caller.staff, unit=caller.unit, via="codec-server"
            )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        message = f"the access log cannot be written, so nothing is shown ({type(fault).__name__})"
        raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, message) from fault


def _cases_of(payload: Payload) -> Sequence[str | None]:
    """The cases that a payload tells of; one None where it does not say."""
    named = _WORKFLOW_ID.fullmatch(payload.metadata.get(WORKFLOW, b"").decode(errors="replace"))
    if named and _CASE_ID.fullmatch(named["case_id"]):
        return [named["case_id"]]
    return _cases_in(payload.data) or [None]


def _cases_in(data: bytes) -> list[str]:
    """The ``case_id`` of a JSON object, else those of the objects that are its values."""
    try:
        content = json.loads(data) if data.lstrip().startswith(b"{") else {}
    except (ValueError, RecursionError):
        content = {}  # no JSON, though it begins like it: it names no case
    return _case_ids([content]) or _case_ids(content.values())


def _case_ids(values: Iterable[object]) -> list[str]:
    ids = [value.get("case_id") for value in values if isinstance(value, dict)]
    return [case_id for case_id in ids if isinstance(case_id, str) and _CASE_ID.fullmatch(case_id)]


async def _preflight(_request: web.Request) -> web.StreamResponse:
    return web.Response(
        status=HTTPStatus.NO_CONTENT,
        headers={
            "Access-Control-Allow-Methods": "POST,OPTIONS",
            "Access-Control-Allow-Headers": "content-type,x-namespace,authorization",
            "Access-Control-Max-Age": "600",
        },
    )


async def _health(request: web.Request) -> web.StreamResponse:
    # Prometheus asks in its own form, and learns that somebody answers.
    return web.Response(text="") if request.path == "/metrics" else web.json_response({"status": "ok"})


def _refusal(status: HTTPStatus, message: str) -> web.Response:
    _logger.warning("codec server refused a request: %d %s", status, message)
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return web.json_response({"message": message}, status=status, headers=headers)


def _origins(ui_origin: str | None) -> frozenset[str]:
    if ui_origin is None:
        return frozenset()
    parts = urlsplit(ui_origin)
    if parts.hostname not in {"127.0.0.1", "localhost"}:
        return frozenset({ui_origin})
    port = "" if parts.port is None else f":{parts.port}"
    return frozenset(f"{parts.scheme}://{host}{port}" for host in ("127.0.0.1", "localhost"))
