"""The identity provider's keys: which are used, for how long, and what happens while it is away."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from activities import identity as identity_module
from activities.identity import Identity, IdentityAway, TokenSettings

sys.path.insert(0, str(Path(__file__).parent))
from fake_idp import NOW, Clock, FakeIdp, refused, segment


async def test_a_new_key_is_fetched_when_it_is_met(idp: FakeIdp, identity: Identity, clock: Clock) -> None:
    old = idp.token()
    assert await identity.claims(old, NOW)
    idp.rotate("k2")
    clock.now += 10
    assert await identity.claims(idp.token(), NOW)
    assert "does not publish" in await refused(identity, old)  # the old one was withdrawn
    assert idp.fetches == 2


async def test_unknown_keys_do_not_make_it_ask_again_and_again(idp: FakeIdp, identity: Identity, clock: Clock) -> None:
    unknown = [f"{segment({'alg': 'ES256', 'kid': f'x{n}'})}.e30.e30" for n in range(20)]
    for token in unknown:
        assert "does not publish" in await refused(identity, token)
    assert idp.fetches == 1
    clock.now += 10
    await asyncio.gather(*(refused(identity, token) for token in unknown))
    assert idp.fetches == 2


async def test_all_who_wait_share_one_fetch(idp: FakeIdp, identity: Identity) -> None:
    go_on = asyncio.Event()

    async def slowly(_request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"keys": idp.keys})

    idp.answers = [slowly]
    first, *others = [asyncio.create_task(identity.claims(idp.token(), NOW)) for _ in range(10)]
    await idp.arrived.wait()
    first.cancel()  # one who stops waiting does not stop it for the others
    go_on.set()
    assert [claims["sub"] for claims in await asyncio.gather(*others)] == ["SE2321000198-S001"] * 9
    assert idp.fetches == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_keys_are_asked_for_anew_after_ten_minutes(idp: FakeIdp, identity: Identity, clock: Clock) -> None:
    token = idp.token()
    for seconds, fetches in ((0, 1), (600, 1), (1, 2), (600, 2), (1, 3)):
        clock.now += seconds
        assert await identity.claims(token, NOW)
        assert idp.fetches == fetches


@pytest.mark.parametrize(
    "answer", [500, 404, 302, 204, b"hemligt", b"[]", b"{}", b'{"keys": {}}', b"[" * 5000, b" " * (1024 * 1024 + 1)]
)
async def test_keys_that_are_known_are_used_while_none_can_be_had(
    idp: FakeIdp, identity: Identity, clock: Clock, answer: int | bytes
) -> None:
    token = idp.token()
    await identity.claims(token, NOW)
    idp.answers = [answer] * 3
    clock.now += 601
    assert await identity.claims(token, NOW)
    with pytest.raises(IdentityAway, match="answer") as raised:  # a key not known may be a new one
        await identity.claims(f"{segment({'alg': 'ES256', 'kid': 'new'})}.e30.e30", NOW)
    assert "hemligt" not in str(raised.value)
    assert idp.fetches == 2
    clock.now += 10
    assert await identity.claims(token, NOW)
    assert idp.fetches == 3
    clock.now += 24 * 3600  # since they were had it is more than that
    with pytest.raises(IdentityAway):
        await identity.claims(token, NOW)
    clock.now += 10
    assert await identity.claims(token, NOW)
    assert idp.fetches == 5


async def test_without_any_key_the_token_is_left_open(idp: FakeIdp, identity: Identity, clock: Clock) -> None:
    await idp.goes_away()
    with pytest.raises(IdentityAway, match=r"could not be reached \(Client") as raised:
        await identity.claims(idp.token(), NOW)
    assert idp.url not in str(raised.value)
    clock.now += 5
    with pytest.raises(IdentityAway):
        await identity.claims(idp.token(), NOW)
    assert "not allowed" in await refused(identity, f"{segment({'alg': 'none'})}.e30.")  # no key would change that


async def test_an_identity_provider_that_does_not_answer_is_away(
    idp: FakeIdp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_module, "FETCH_SECONDS", 0.05)
    idp.answers = [idp.hangs]
    async with Identity(TokenSettings(jwks=idp.url), clock=clock) as identity:
        with pytest.raises(IdentityAway, match="did not answer within"):
            await identity.claims(idp.token(), NOW)


async def test_known_key_does_not_wait_for_a_provider_that_hangs(
    idp: FakeIdp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_module, "PATIENCE", 0.05)
    async with Identity(TokenSettings(jwks=idp.url), clock=clock) as identity:
        await identity.claims(idp.token(), NOW)
        clock.now += 3_600
        idp.answers = [idp.hangs]
        for _ in range(3):
            assert (await identity.claims(idp.token(), NOW))["sub"]
        # It is still being asked, once.
        assert idp.fetches == 2


async def test_closing_ends_a_fetch_that_is_on_its_way(idp: FakeIdp) -> None:
    idp.answers = [idp.hangs]
    async with Identity(TokenSettings(jwks=idp.url)) as identity:
        asked = asyncio.create_task(identity.claims(idp.token(), NOW))
        await idp.arrived.wait()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_an_identity_that_was_not_opened_says_so(idp: FakeIdp) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Identity(TokenSettings(jwks=idp.url)).claims(idp.token(), NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "alg", "crv", "kid", "use", "key_ops", "n", "e", "x", "y", "d"]),
    JSON | st.sampled_from(["RSA", "EC", "OKP", "oct", "RS256", "EdDSA", "P-256", "Ed25519", "AQAB", "sig", "verify"]),
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(MEMBERS | JSON, max_size=4))
def test_whatever_a_jwk_set_holds_it_is_read(keys: list[Any]) -> None:
    body = json.dumps({"keys": keys}).encode()
    assert len(list(identity_module._usable_keys(body))) <= len(keys)
