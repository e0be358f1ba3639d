"""Verifies the tokens (JWT, RFC 7519) by which people and services prove who they are.

The keys are those of the identity provider, which publishes them as a JWK Set (RFC 7517), or a shared secret. A token
is judged at an instant that the caller gives: an activity that is retried later must come to the same end.

An identity provider that is away stops nobody whose key is known: keys are asked for anew after 10 minutes, and used
for 24 hours where there is no answer.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

LONGEST_TOKEN: Final = 8_192
LEEWAY: Final = timedelta(seconds=60)
"""How far the clocks of the identity provider and of this machine may be apart."""

FETCH_SECONDS: Final = 10
MOST_BYTES: Final = 1024 * 1024
FRESH_SECONDS: Final = 600.0
KEPT_SECONDS: Final = 24 * 3600.0
SECONDS_BETWEEN_FETCHES: Final = 10.0
"""Anybody can send tokens with made-up key ids: the identity provider must not be called for each."""
PATIENCE: Final = 1.0
"""Seconds that a known key that has grown old waits to be asked for anew."""

LEAST_RSA_BITS: Final = 2048

_OF_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_EDWARDS: Final = "EdDSA"
_OF_SECRET: Final = "HS256"  # noqa: S105 - the name of the algorithm
_ALLOWED: Final = _OF_RSA | frozenset(_OF_CURVE.values()) | {_OF_EDWARDS}

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

log = structlog.get_logger(__name__)


class Untrusted(Exception):  # noqa: N818 - it is an answer, for whoever sent the token
    """Why a token is not believed, in words fit for a refusal; nothing of the token is quoted."""


class IdentityAway(Exception):  # noqa: N818 - nothing is wrong with the token: it has to be asked again
    """The identity provider's keys cannot be had, and those that are known do not decide: to be tried again."""


@dataclass(frozen=True)
class TokenSettings:
    """Whose tokens are believed: exactly one of `jwks` and `secret` is given."""

    jwks: str | None = field(default=None, repr=False)
    """The URL of the identity provider's JWK Set, which may hold a password."""
    secret: bytes | None = field(default=None, repr=False)
    """What is shared with whoever signs, at least 32 bytes: HS256 only."""
    issuer: str | None = None
    """What ``iss`` has to be; None: it is not looked at."""
    audience: str = "omhand"
    """What ``aud`` has to hold."""


@dataclass(frozen=True)
class _Key:
    """A key of a JWK Set, and the algorithms that it may be used with: never for the token to say."""

    kid: str | None
    public: PublicKey
    algorithms: frozenset[str]


class Identity:
    """Verifies tokens; an asynchronous context manager, for the session in which it asks for keys."""

    def __init__(self, settings: TokenSettings | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Without settings nobody is believed. `clock` gives seconds, by which the keys grow old."""
        self._settings = settings
        self._keys = _KeySet(settings.jwks, clock) if settings and settings.jwks else None

    async def __aenter__(self) -> Self:
        """Open the session."""
        if self._keys:
            self._keys.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._keys:
            await self._keys.close()

    async def claims(self, token: str, at: datetime) -> Mapping[str, Any]:
        """What the token claims, where it is to be believed at that (aware) instant.

        ``exp`` and ``aud`` are there; ``sub`` is a string if it is there. Nothing else is vouched for.

        Raises:
            Untrusted: it is malformed, not signed by a key that is trusted, of another issuer or for another audience,
                without an expiry, expired, or not valid yet.
            IdentityAway: to be tried again.
        """
        if self._settings is None:
            msg = "this service knows nobody whose tokens it could trust: see OMHAND_TOKEN_JWKS"
            raise Untrusted(msg)
        if len(token) > LONGEST_TOKEN:
            raise Untrusted(f"the token has more than {LONGEST_TOKEN} characters")
        kid, algorithm = _header(token)
        if self._keys is None:
            claims = _verified(token, self._settings.secret or b"", frozenset({_OF_SECRET}), self._settings)
        else:
            if algorithm not in _ALLOWED:  # before anything is fetched for it
                msg = "the token is signed by an algorithm that is not allowed"
                raise Untrusted(msg)
            key = await self._keys.find(kid, algorithm)
            claims = _verified(token, key.public, key.algorithms, self._settings)
        _check_time(claims, at)
        return claims


class _KeySet:
    """The keys that an identity provider publishes, as they were when they were last had."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._keys: tuple[_Key, ...] = ()
        self._had_at = -math.inf
        self._asked_at = -math.inf
        self._fault: str | None = None
        """Why the last fetch gave nothing; None where it did."""
        self._fetching: asyncio.Task[None] | None = None

    def open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        if self._session:
            await self._session.close()

    async def find(self, kid: str | None, algorithm: str) -> _Key:
        """The one key of that id (of any, where the token names none) that the algorithm may be used with."""
        if self._clock() - self._had_at > FRESH_SECONDS:
            # Whoever's key is known does not wait long for an identity provider that does not answer.
            await self._fetch(PATIENCE if self._named(kid) else None)
        if not self._named(kid):
            await self._fetch()
        named = self._named(kid)
        if not named and self._fault:
            # The key may be a new one: no answer is better than a wrong one.
            raise IdentityAway(f"the key of the token is not known, and the identity provider {self._fault}")
        if not named:
            msg = "the token is signed by a key that the identity provider does not publish"
            raise Untrusted(msg)
        fitting = [key for key in named if algorithm in key.algorithms]
        if not fitting:
            msg = "the token is signed by an algorithm that does not fit its key"
            raise Untrusted(msg)
        if len(fitting) > 1:
            msg = "the token does not say which of several keys it is signed by"
            raise Untrusted(msg)
        return fitting[0]

    def _named(self, kid: str | None) -> list[_Key]:
        if self._clock() - self._had_at > KEPT_SECONDS:
            return []
        return [key for key in self._keys if kid is None or key.kid == kid]

    async def _fetch(self, patience: float | None = None) -> None:
        """Ask the identity provider, together with everybody who waits; not again shortly after it was asked."""
        if self._fetching is None:
            if self._clock() - self._asked_at < SECONDS_BETWEEN_FETCHES:
                return
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_once())
        # Who stops waiting does not stop it for the others.
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.shield(self._fetching)

    async def _fetch_once(self) -> None:
        try:
            self._keys, self._fault = tuple(_usable_keys(await self._body())), None
            self._had_at = self._clock()
        except _NoKeySet as fault:
            self._fault = str(fault)
        except TimeoutError:
            self._fault = f"did not answer within {FETCH_SECONDS} s"
        except (aiohttp.ClientError, OSError) as error:
            # Only its name: the text holds the URL, and that may hold a password.
            self._fault = f"could not be reached ({type(error).__name__})"
        finally:
            self._fetching = None
        if self._fault:
            log.warning("the identity provider's keys could not be had", error=self._fault)

    async def _body(self) -> bytes:
        if self._session is None:
            msg = "the session has not been opened: use `async with`"
            raise RuntimeError(msg)
        async with self._session.get(self._url, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004 - the one status that says: here it is
                raise _NoKeySet(f"answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _NoKeySet(f"answered with more than {MOST_BYTES} bytes")
            return bytes(body)


class _NoKeySet(Exception):  # noqa: N818 - it is told as what the identity provider did
    """What came of asking for the keys, where it was no JWK Set."""


def _usable_keys(body: bytes) -> Iterator[_Key]:
    """The keys of a JWK Set that signatures may be checked with; others are for others, and no fault."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        msg = "did not answer with JSON"
        raise _NoKeySet(msg) from None
    keys = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(keys, list):
        msg = "did not answer with a JWK Set"
        raise _NoKeySet(msg)
    for described in keys:
        if not (isinstance(described, dict) and _is_for_signatures(described)):
            continue
        try:
            public = jwt.PyJWK(described).key
        except (jwt.PyJWTError, UnsupportedAlgorithm, KeyError, TypeError, ValueError) as error:
            # The last three are the library's too, of a key that lacks a member or has one of another type.
            log.warning("a key of the identity provider is not used", error=type(error).__name__)
            continue
        algorithms = _algorithms_of(public)
        if "alg" in described:  # then it is for that one alone
            algorithms &= {described["alg"]}
        if algorithms:
            kid = described.get("kid")
            yield _Key(kid if isinstance(kid, str) else None, public, algorithms)


def _is_for_signatures(described: Mapping[str, Any]) -> bool:
    texts = ("kty", "alg", "crv")
    if any(not isinstance(described.get(name, ""), str) for name in texts):
        return False
    operations = described.get("key_ops", ["verify"])
    return (
        described.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in described  # a private key that was published is nobody's any more
    )


def _algorithms_of(public: object) -> frozenset[str]:
    """The algorithms that fit a key by its type, its curve and its length; none where it is of no use."""
    match public:
        case RSAPublicKey(key_size=bits) if bits >= LEAST_RSA_BITS:
            return _OF_RSA
        case EllipticCurvePublicKey(curve=curve) if curve.name in _OF_CURVE:
            return frozenset({_OF_CURVE[curve.name]})
        case Ed25519PublicKey() | Ed448PublicKey():
            return frozenset({_OF_EDWARDS})
        case _:
            return frozenset()


def _header(token: str) -> tuple[str | None, str]:
    """The key id and the algorithm that a token names."""
    try:
        # JWT is ASCII, and what is not could not even be encoded.
        header = jwt.get_unverified_header(token) if token.isascii() else {}
    except jwt.InvalidTokenError:
        msg = "the token is malformed"
        raise Untrusted(msg) from None  # the cause quotes it
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        msg = "the token is malformed"
        raise Untrusted(msg)
    return header.get("kid"), algorithm


def _verified(
    token: str, key: PublicKey | bytes, algorithms: frozenset[str], settings: TokenSettings
) -> Mapping[str, Any]:
    """The claims of a token that this key has signed, for us; its times are not looked at.

    Raises:
        Untrusted: it is not.
    """
    try:
        return jwt.decode(
            token,
            key,
            algorithms=sorted(algorithms),
            audience=settings.audience,
            issuer=settings.issuer,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp"]},
        )
    except jwt.InvalidAlgorithmError:
        why = "is signed by an algorithm that is not allowed"
    except jwt.InvalidSignatureError:
        why = "is not signed by the key that it names"
    except jwt.InvalidIssuerError:
        why = "is of another issuer (iss)"
    except jwt.InvalidAudienceError:
        why = "is for another audience (aud)"
    except jwt.MissingRequiredClaimError as fault:
        why = f"has no {fault.claim}"
    except jwt.exceptions.InvalidSubjectError:
        why = "has a subject (sub) that is no text"
    except jwt.InvalidTokenError:
        why = "is malformed"
    # Outside of the handlers: their causes may quote the token.
    raise Untrusted(f"the token {why}")


def _check_time(claims: Mapping[str, Any], at: datetime) -> None:
    seconds, leeway = at.timestamp(), LEEWAY.total_seconds()
    if _numeric_date(claims, "exp") + leeway <= seconds:
        msg = "the token has expired (exp)"
        raise Untrusted(msg)
    if "nbf" in claims and _numeric_date(claims, "nbf") - leeway > seconds:
        msg = "the token is not valid yet (nbf)"
        raise Untrusted(msg)


def _numeric_date(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Untrusted(f"the token has a time that is no number ({name})")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Untrusted(f"the token has a time that cannot be ({name})")
    return value
