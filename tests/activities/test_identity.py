"""Tokens: who is believed, and who is not, by a real identity provider on loopback."""

import asyncio
import hashlib
import hmac
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.identity import Identity, TokenSettings, Untrusted

sys.path.insert(0, str(Path(__file__).parent))
from fake_idp import NOW, Clock, FakeIdp, PrivateKey, public_jwk, refused, segment

RSA_KEY = rsa.generate_private_key(65537, 2048)
SECRET = b"a secret of the region's own, as long as its longest signature is"


def hmac_signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """PyJWT would not sign this: it knows the trick."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


async def test_a_token_of_the_identity_provider_is_believed(idp: FakeIdp, identity: Identity) -> None:
    claims = await identity.claims(idp.token(permissions=["default:codec"]), NOW)
    assert claims["sub"] == "SE2321000198-S001"
    assert claims["permissions"] == ["default:codec"]
    await identity.claims(idp.token(aud=["other", "omhand"]), NOW)
    assert idp.fetches == 1  # the keys were kept


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [(name, RSA_KEY) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")]
    + [("ES256", ec.generate_private_key(ec.SECP256R1())), ("ES384", ec.generate_private_key(ec.SECP384R1()))]
    + [("ES512", ec.generate_private_key(ec.SECP521R1())), ("EdDSA", ed25519.Ed25519PrivateKey.generate())],
)
async def test_every_asymmetric_algorithm_is_understood(
    idp: FakeIdp, identity: Identity, algorithm: str, key: PrivateKey
) -> None:
    idp.rotate("k", key)
    assert await identity.claims(idp.token(algorithm=algorithm), NOW)
    idp.keys[0]["alg"] = algorithm
    assert await identity.claims(idp.token(algorithm=algorithm), NOW)


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": None}, "has no exp"),
        ({"exp": int((NOW - timedelta(seconds=60)).timestamp())}, "has expired"),
        ({"exp": "hemligt"}, "no number (exp)"),
        ({"exp": True}, "no number (exp)"),
        ({"exp": float("inf")}, "cannot be (exp)"),
        ({"exp": float("nan")}, "cannot be (exp)"),
        ({"exp": 10**400}, "cannot be (exp)"),
        ({"nbf": int((NOW + timedelta(seconds=61)).timestamp())}, "not valid yet"),
        ({"nbf": [1]}, "no number (nbf)"),
        ({"aud": None}, "has no aud"),
        ({"aud": "hemligt"}, "another audience"),
        ({"aud": ["hemligt"]}, "another audience"),
        ({"aud": {"omhand": 1}}, "another audience"),
        ({"iss": None}, "has no iss"),
        ({"iss": "https://hemligt.example"}, "another issuer"),
        ({"iss": ["https://idp.example.org"]}, "another issuer"),
        ({"sub": 7}, "no text"),
    ],
)
async def test_what_a_token_must_claim(idp: FakeIdp, identity: Identity, claims: dict[str, Any], told: str) -> None:
    # Signed by hand: PyJWT does not write every one of these.
    good = {name: value for name, value in (idp.claims() | claims).items() if value is not None}
    header = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    signed = f"{segment(header)}.{segment(good)}".encode()
    signature = jwt.get_algorithm_by_name("ES256").sign(signed, idp.signing["k1"])
    why = await refused(identity, f"{signed.decode()}.{segment(signature)}")
    assert told in why
    assert "hemligt" not in why


async def test_clocks_may_be_a_minute_apart(idp: FakeIdp, identity: Identity) -> None:
    at = int(NOW.timestamp())
    await identity.claims(idp.token(exp=at - 59, nbf=at + 60), NOW)
    assert "expired" in await refused(identity, idp.token(exp=at - 60))


async def test_time_is_judged_at_the_instant_that_is_given(idp: FakeIdp, identity: Identity) -> None:
    """An activity that is retried next year comes to the end that it would have come to at once."""
    token = idp.token(NOW)
    assert await identity.claims(token, NOW)
    for elsewhen, told in ((timedelta(hours=2), "expired"), (timedelta(days=365), "expired")):
        with pytest.raises(Untrusted, match=told):
            await identity.claims(token, NOW + elsewhen)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "hemligt",
        "a.b.c",
        "..",
        "é.é.é",
        "\ud800",
        "x" * 8192,
        f"{segment([])}.e30.",
        f"{segment({})}.e30.e30",
        f"{segment({'alg': ['ES256']})}.e30.e30",
        f"{segment(b'[' * 5000)}.e30.e30",
        f"{segment({'alg': 'ES256', 'kid': 7})}.e30.e30",
        f"{segment({'alg': 'ES256', 'kid': 'k1'})}.e30.e30.e30",
        f"{segment({'alg': 'ES256', 'kid': 'k1', 'crit': ['x'], 'x': 1})}.e30.e30",
    ],
)
async def test_what_is_no_token_is_malformed(identity: Identity, token: str) -> None:
    assert await refused(identity, token) == "the token is malformed"


async def test_claims_that_are_no_object_are_malformed(idp: FakeIdp, identity: Identity) -> None:
    for claims in (b"[" * 2000, b"[]", b'"x"', b"x"):
        token = jwt.PyJWS().encode(claims, idp.signing["k1"], algorithm="ES256", headers={"kid": "k1"})
        assert await refused(identity, token) == "the token is malformed"


async def test_a_token_that_is_too_long_is_not_looked_at(idp: FakeIdp, identity: Identity) -> None:
    assert await refused(identity, idp.token(more="x" * 8192)) == "the token has more than 8192 characters"
    assert idp.fetches == 0


async def test_an_unsigned_token_is_never_believed(idp: FakeIdp, identity: Identity) -> None:
    for algorithm in ("none", "None", "NONE", ""):
        for signature in ("", "e30"):
            token = f"{segment({'alg': algorithm, 'kid': 'k1'})}.{segment(idp.claims())}.{signature}"
            assert "not allowed" in await refused(identity, token)


async def test_a_public_key_is_no_shared_secret(idp: FakeIdp, identity: Identity) -> None:
    """The oldest trick: HS256, with what everybody can read as the secret."""
    idp.rotate("k1", RSA_KEY)
    public = RSA_KEY.public_key()
    forms = [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), json.dumps(idp.keys[0]).encode()]
    for secret in forms:
        token = hmac_signed({"alg": "HS256", "kid": "k1"}, idp.claims(), secret)
        assert "not allowed" in await refused(identity, token)


async def test_a_key_is_used_with_its_own_algorithms_only(idp: FakeIdp, identity: Identity) -> None:
    idp.signing = {"k1": RSA_KEY, "k2": ec.generate_private_key(ec.SECP256R1())}
    idp.keys = [public_jwk(RSA_KEY, kid="k1", alg="RS256"), public_jwk(idp.signing["k2"], kid="k2")]
    assert "does not fit its key" in await refused(identity, idp.token(algorithm="PS256", kid="k1"))
    for header in ({"alg": "ES256", "kid": "k1"}, {"alg": "RS256", "kid": "k2"}, {"alg": "ES384", "kid": "k2"}):
        token = f"{segment(header)}.{segment(idp.claims())}.e30"
        assert "does not fit its key" in await refused(identity, token)
    assert idp.fetches == 1


async def test_another_signature_is_not_believed(idp: FakeIdp, identity: Identity) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = jwt.encode(idp.claims(), stranger, algorithm="ES256", headers={"kid": "k1"})
    header, _, signature = idp.token().split(".")
    for token in (forged, f"{header}.{segment(idp.claims(sub='me'))}.{signature}", f"{header}.e30."):
        assert await refused(identity, token) == "the token is not signed by the key that it names"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: public_jwk(key, kid="k1", use="enc"),
        lambda key: public_jwk(key, kid="k1", key_ops=["encrypt"]),
        lambda key: public_jwk(key, kid="k1", alg="RSA-OAEP"),
        lambda key: public_jwk(key, kid="k1", alg=["RS256"]),
        lambda key: public_jwk(key, kid="k1", e="!"),
        lambda key: public_jwk(key, kid="k1", n=7),
        lambda key: public_jwk(key, kid="k1", kty="oct", k="c2VjcmV0"),
        lambda key: public_jwk(key, kid="k1", kty="XX"),
        lambda key: public_jwk(key, kid="k1", d="AQAB"),
        lambda _: public_jwk(rsa.generate_private_key(65537, 1024), kid="k1"),
        lambda _: "k1",
        lambda _: None,
    ],
)
async def test_a_key_that_is_not_for_this_is_not_used(idp: FakeIdp, identity: Identity, spoil: Any) -> None:
    idp.signing["k1"] = RSA_KEY
    idp.keys[:] = [spoil(RSA_KEY)]
    assert "does not publish" in await refused(identity, idp.token(algorithm="RS256"))
    good = ec.generate_private_key(ec.SECP256R1())
    idp.signing = {"k2": good}
    idp.keys.append(public_jwk(good, kid="k2"))  # and the others are still read
    async with Identity(TokenSettings(jwks=idp.url)) as another:
        assert await another.claims(idp.token(), NOW)


async def test_a_short_rsa_key_is_not_used_to_sign_either(idp: FakeIdp, identity: Identity) -> None:
    idp.rotate("k1", rsa.generate_private_key(65537, 1024))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = idp.token(algorithm="RS256")
    assert "does not publish" in await refused(identity, token)


async def test_curves_that_are_not_in_the_list_are_not_used(idp: FakeIdp, identity: Identity) -> None:
    idp.signing = {"k1": ec.generate_private_key(ec.SECP256K1())}
    idp.keys = [public_jwk(idp.signing["k1"], kid="k1", crv="secp256k1")]
    assert "not allowed" in await refused(identity, idp.token(algorithm="ES256K"))
    assert "does not publish" in await refused(identity, f"{segment({'alg': 'ES256', 'kid': 'k1'})}.e30.e30")


async def test_ed448_is_eddsa_too(idp: FakeIdp, identity: Identity) -> None:
    idp.signing = {"k1": ed448.Ed448PrivateKey.generate()}
    idp.keys = [public_jwk(idp.signing["k1"], kid="k1", alg="EdDSA")]
    assert await identity.claims(idp.token(algorithm="EdDSA"), NOW)


async def test_a_token_without_a_key_id_is_of_the_only_key(idp: FakeIdp, identity: Identity, clock: Clock) -> None:
    token = jwt.encode(idp.claims(), idp.signing["k1"], algorithm="ES256")
    assert await identity.claims(token, NOW)
    idp.keys.append(public_jwk(ec.generate_private_key(ec.SECP256R1())))
    clock.now += 601
    assert "which of several keys" in await refused(identity, token)


# A shared secret, and nothing at all


async def test_a_shared_secret_is_for_hs256_only(idp: FakeIdp) -> None:
    async with Identity(TokenSettings(secret=SECRET)) as identity:
        assert (await identity.claims(jwt.encode(idp.claims(), SECRET), NOW))["aud"] == "omhand"
        for algorithm in ("HS384", "HS512"):
            assert "not allowed" in await refused(identity, jwt.encode(idp.claims(), SECRET, algorithm=algorithm))
        assert "not allowed" in await refused(identity, idp.token())
        assert "not allowed" in await refused(identity, f"{segment({'alg': 'none'})}.{segment(idp.claims())}.")
        assert "not signed by" in await refused(identity, jwt.encode(idp.claims(), SECRET + b"x"))
        assert "expired" in await refused(identity, jwt.encode(idp.claims(exp=1), SECRET))
    assert idp.fetches == 0


async def test_without_settings_nobody_is_believed(idp: FakeIdp) -> None:
    async with Identity(None) as identity:
        assert "knows nobody whose tokens it could trust: see OMHAND_TOKEN_JWKS" in await refused(identity, idp.token())


def test_no_secret_is_shown_by_repr() -> None:
    assert "hemligt" not in repr(TokenSettings(jwks="https://u:hemligt@idp", secret=b"hemligt"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    header=JSON | st.fixed_dictionaries({"alg": st.just("HS256")}, optional={"kid": JSON, "b64": JSON, "crit": JSON})
)
@pytest.mark.parametrize("claims", [{}, {"exp": 1}])
def test_whatever_a_token_is_it_is_refused_and_nothing_else(header: Any, claims: dict[str, Any]) -> None:
    identity = Identity(TokenSettings(secret=SECRET))
    token = f"{segment(header)}.{segment(claims)}.{segment(b'signature')}"
    with pytest.raises(Untrusted):
        asyncio.run(identity.claims(token, NOW))
