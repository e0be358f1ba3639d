"""Settings from the environment (contract §8), read once at start, with every fault told at once.

A variable that is set but empty counts as not set, as a compose file writes what is left out. An
``OMHAND_*`` variable that nobody knows is a fault: it is most likely a misspelling, and a setting
that silently does nothing is worse than a worker that does not start.

A secret may stand in a file: ``<NAME>_FILE`` names it (`omhand.client.environment`).
"""

import dataclasses
import ipaddress
import math
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import jwt
from pydantic import TypeAdapter, ValidationError
from temporalio.envconfig import ClientConnectConfig

from activities.identity import TokenSettings
from omhand.client.connecting import connect_config
from omhand.client.environment import DATABASE_PASSWORD, file_of, setting, with_password
from omhand.client.faults import NotConfigured
from omhand.codec import EncryptionCodec, KeyRing, KeyRingError
from omhand.contract.wire import Duration

T = TypeVar("T")

DATABASE_URL: Final = "OMHAND_DATABASE_URL"
GATEWAY_URL: Final = "OMHAND_GATEWAY_URL"
GATEWAY_SECRET: Final = "OMHAND_GATEWAY_SECRET"  # noqa: S105 - the name of the setting
KEYS_FILE: Final = "OMHAND_KEYS_FILE"
REQUIRE_ENCRYPTION: Final = "OMHAND_REQUIRE_ENCRYPTION"
LOG_FORMAT: Final = "OMHAND_LOG_FORMAT"
LOG_LEVEL: Final = "OMHAND_LOG_LEVEL"
METRICS_ADDRESS: Final = "OMHAND_METRICS_ADDRESS"
NOTICES_PER_SECOND: Final = "OMHAND_NOTICES_PER_SECOND"
TOKEN_JWKS: Final = "OMHAND_TOKEN_JWKS"  # noqa: S105 - the name of the setting, as those below
TOKEN_SECRET: Final = "OMHAND_TOKEN_SECRET"  # noqa: S105
TOKEN_ISSUER: Final = "OMHAND_TOKEN_ISSUER"  # noqa: S105
TOKEN_AUDIENCE: Final = "OMHAND_TOKEN_AUDIENCE"  # noqa: S105
REQUIRE_ASSERTIONS: Final = "OMHAND_REQUIRE_ASSERTIONS"
BUILD_ID: Final = "OMHAND_BUILD_ID"
CANARY_EVERY: Final = "OMHAND_CANARY_EVERY"
HEARTBEAT_URL: Final = "OMHAND_HEARTBEAT_URL"
ASSERTION: Final = "OMHAND_ASSERTION"
"""Of clients: what they send with each action. No server reads it."""

_DURATION: Final = TypeAdapter[timedelta](Duration)

LEAST_SECRET_BYTES: Final = 32
"""Of a secret for HS256 (RFC 7518, 3.2)."""

SECRETS: Final = (DATABASE_URL, DATABASE_PASSWORD, GATEWAY_SECRET, TOKEN_SECRET, HEARTBEAT_URL)
"""Those that may stand in a file."""

KNOWN: Final = frozenset(
    {
        *SECRETS,
        *map(file_of, SECRETS),
        GATEWAY_URL,
        KEYS_FILE,
        REQUIRE_ENCRYPTION,
        LOG_FORMAT,
        LOG_LEVEL,
        METRICS_ADDRESS,
        NOTICES_PER_SECOND,
        TOKEN_JWKS,
        TOKEN_ISSUER,
        TOKEN_AUDIENCE,
        REQUIRE_ASSERTIONS,
        BUILD_ID,
        CANARY_EVERY,
        ASSERTION,
    }
)

_OF_KUBERNETES: Final = re.compile(
    r"OMHAND_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)
"""What Kubernetes sets in every pod for a service whose name begins with "omhand"."""

LogFormat = Literal["json", "console"]


class SettingsError(Exception):
    """Settings that a process cannot start with: one line a fault, naming it, never its value."""

    def __init__(self, faults: Collection[str]) -> None:
        """Take one line for each fault."""
        super().__init__("\n".join(sorted(faults)))
        self.faults = tuple(sorted(faults))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a worker process runs with."""

    database_url: str = dataclasses.field(repr=False)
    """A libpq DSN; "" only where `read_settings` was not told to require it."""
    gateway_url: str | None = dataclasses.field(default=None, repr=False)
    """None: notifications go to the console."""
    gateway_secret: str | None = dataclasses.field(default=None, repr=False)
    keys_file: Path | None = None
    """None: payloads are written plain."""
    require_encryption: bool = False
    log_format: LogFormat = "json"
    log_level: str = "INFO"
    metrics_address: str | None = None
    """``ip:port`` that Prometheus scrapes; None: no metrics."""
    notices_per_second: float = 20.0
    """How fast the gateway is called, by all workers together."""
    tokens: TokenSettings | None = None
    """Whose tokens are believed; None: nobody's."""
    require_assertions: bool = False
    """Whether an action has to come with a token of who acts."""
    build_id: str | None = None
    """Of this version of the program, for Temporal's worker versioning; None: workers take whatever there is to do."""
    canary_every: timedelta | None = None
    """How often a canary case is opened; None: never."""
    heartbeat_url: str | None = dataclasses.field(default=None, repr=False)
    """Asked after each audit that could be made: where it is awaited, its silence is an alarm. None: nobody waits."""

    def codec(self, unreadable: Literal["raise", "mark"] = "mark") -> EncryptionCodec | None:
        """Return the codec of the key file, or None without one. "mark" is for workers.

        Raises KeyRingError where the file has become unusable since the settings were read.
        """
        if self.keys_file is None:
            return None
        return EncryptionCodec(self.keys_file, require=self.require_encryption, unreadable=unreadable)

    def linking_key(self) -> bytes | None:
        """Return the key ring's linking key (``activities/patients.py``), or None without one.

        Raises KeyRingError as `codec` does.
        """
        return KeyRing.read(self.keys_file).linking if self.keys_file else None


def read_settings(
    environ: Mapping[str, str] | None = None,
    *,
    required: Collection[str] = (DATABASE_URL,),
) -> Settings:
    """Read ``OMHAND_*`` of `environ` (the process's own when None).

    `required` are the names that must be set. Raises SettingsError with every fault.
    """
    reader = _Reader(os.environ if environ is None else environ)
    settings = Settings(
        database_url=_read_database(reader),
        gateway_url=reader.read(GATEWAY_URL, _http_url, None),
        gateway_secret=reader.read(GATEWAY_SECRET, str, None),
        keys_file=reader.read(KEYS_FILE, _key_ring, None),
        require_encryption=reader.read(REQUIRE_ENCRYPTION, _yes_or_no, default=False),
        log_format=reader.read(LOG_FORMAT, _log_format, _default_log_format()),
        log_level=reader.read(LOG_LEVEL, _log_level, "INFO"),
        metrics_address=reader.read(METRICS_ADDRESS, _address, None),
        notices_per_second=reader.read(NOTICES_PER_SECOND, _rate, 20.0),
        tokens=_read_tokens(reader),
        require_assertions=reader.read(REQUIRE_ASSERTIONS, _yes_or_no, default=False),
        build_id=reader.read(BUILD_ID, _build_id, None),
        canary_every=reader.read(CANARY_EVERY, _period, None),
        heartbeat_url=reader.read(HEARTBEAT_URL, _http_url, None),
    )
    reader.require(required)
    reader.refuse_unknown()
    _check_together(reader, settings)
    if reader.faults:
        raise SettingsError(reader.faults)
    return settings


def _check_together(reader: "_Reader", settings: Settings) -> None:
    """Find what is wrong with settings that are each well by themselves."""
    if settings.require_encryption and not reader.has(KEYS_FILE):
        reader.fault(REQUIRE_ENCRYPTION, f"nothing can be encrypted without {KEYS_FILE}")
    if settings.gateway_secret and not reader.has(GATEWAY_URL):
        reader.fault(GATEWAY_SECRET, f"there is no {GATEWAY_URL} to sign for")
    if reader.has(TOKEN_JWKS) and reader.has(TOKEN_SECRET):
        reader.fault(TOKEN_SECRET, f"there is {TOKEN_JWKS} already, and only one of them may be")
    if not (reader.has(TOKEN_JWKS) or reader.has(TOKEN_SECRET)):
        for name in (TOKEN_ISSUER, TOKEN_AUDIENCE):
            if reader.has(name):
                reader.fault(name, f"there is no {TOKEN_JWKS} or {TOKEN_SECRET} to verify a token with")
        if settings.require_assertions:
            reader.fault(REQUIRE_ASSERTIONS, f"nothing can be verified without {TOKEN_JWKS} or {TOKEN_SECRET}")


def _read_database(reader: "_Reader") -> str:
    url = reader.read(DATABASE_URL, _database_url, "")
    if not url and reader.has(DATABASE_URL):  # which is a fault already
        return ""
    return reader.read(DATABASE_PASSWORD, lambda password: with_password(url, password), url)


def _read_tokens(reader: "_Reader") -> TokenSettings | None:
    jwks = reader.read(TOKEN_JWKS, _http_url, None)
    secret = reader.read(TOKEN_SECRET, _token_secret, None)
    if jwks is None and secret is None:
        return None
    audience = reader.read(TOKEN_AUDIENCE, str, TokenSettings.audience)
    return TokenSettings(jwks, secret, reader.read(TOKEN_ISSUER, str, None), audience)


def temporal_connect_config(environ: Mapping[str, str] | None = None) -> ClientConnectConfig:
    """Return what `Client.connect` takes, of ``TEMPORAL_*`` and the TOML profile.

    Where they do not say, the server is ``localhost:7233`` and the namespace ``default``, as for
    Temporal's own tools. Raises SettingsError.
    """
    try:
        config = connect_config(os.environ if environ is None else environ)
    except NotConfigured as fault:
        raise SettingsError([str(fault)]) from None
    config.setdefault("target_host", "localhost:7233")
    config.setdefault("namespace", "default")
    return config


class _Reader:
    """Reads variables one by one and gathers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._set = {name: value.strip() for name, value in environ.items() if value.strip()}
        self._unreadable: set[str] = set()
        self.faults: list[str] = []
        for name in SECRETS:
            self._take(name, environ)

    def _take(self, name: str, environ: Mapping[str, str]) -> None:
        """Take a secret, which may stand in a file."""
        self._set.pop(name, None)
        try:
            value = setting(environ, name)
        except NotConfigured as fault:
            self.faults.append(str(fault))
            self._unreadable.add(name)
        else:
            if value:
                self._set[name] = value

    def fault(self, name: str, what: str) -> None:
        self.faults.append(f"{name}: {what}")

    def has(self, name: str) -> bool:
        return name in self._set or name in self._unreadable

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """Parse a variable; `parse` raises ValueError with words that do not hold the value."""
        if name not in self._set:
            return default
        try:
            return parse(self._set[name])
        except ValueError as error:
            self.fault(name, str(error))
            return default

    def require(self, names: Collection[str]) -> None:
        for name in names:
            if not self.has(name):
                self.fault(name, "missing")

    def refuse_unknown(self) -> None:
        for name in self._set:
            known = name in KNOWN or _OF_KUBERNETES.fullmatch(name)
            if name.startswith("OMHAND_") and not known:
                self.fault(name, "there is no such setting; is it misspelt?")


def _default_log_format() -> LogFormat:
    return "console" if sys.stderr.isatty() else "json"


def _database_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        message = "not a URL that begins with postgresql://"
        raise ValueError(message)
    return value


def _http_url(value: str) -> str:
    message = "not an http:// or https:// URL with a host"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(message) from None
    if not usable:
        raise ValueError(message)
    return value


def _token_secret(value: str) -> bytes:
    secret = os.fsencode(value)  # what the environment held, UTF-8 or not
    if len(secret) < LEAST_SECRET_BYTES:
        message = f"not a secret of at least {LEAST_SECRET_BYTES} bytes"
        raise ValueError(message)
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError:
        message = f"not a secret but a key in PEM, SSH or JWK form: {TOKEN_JWKS} is for public keys"
        raise ValueError(message) from None  # the cause could quote it
    return secret


def _key_ring(value: str) -> Path:
    path = Path(value)
    try:
        KeyRing.read(path)
    except KeyRingError as error:
        raise ValueError(str(error)) from error
    return path


def _yes_or_no(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return words[value.lower()]
    except KeyError:
        message = "neither true nor false"
        raise ValueError(message) from None


def _log_format(value: str) -> LogFormat:
    match value:
        case "json" | "console":
            return value
        case _:
            message = "neither json nor console"
            raise ValueError(message)


def _log_level(value: str) -> str:
    if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        message = "none of DEBUG, INFO, WARNING, ERROR"
        raise ValueError(message)
    return value.upper()


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        usable = bool(colon) and port.isascii() and port.isdigit() and 0 < int(port) <= 65535  # noqa: PLR2004
    except ValueError:
        usable = False
    if not usable:
        message = "not <ip address>:<port>"
        raise ValueError(message)
    return value


def _build_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        message = "not 1 to 64 letters, digits, dots, hyphens and underscores that begin with a letter or a digit"
        raise ValueError(message)
    return value


def _period(value: str) -> timedelta:
    message = "not an ISO 8601 duration from a minute to an hour, as PT5M"
    try:
        period = _DURATION.validate_python(value)
    except ValidationError:
        raise ValueError(message) from None
    if not timedelta(minutes=1) <= period <= timedelta(hours=1):
        raise ValueError(message)
    return period


def _rate(value: str) -> float:
    message = "not a number above 0"
    try:
        rate = float(value)
    except ValueError:
        raise ValueError(message) from None
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(message)
    return rate
