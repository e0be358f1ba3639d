"""What stands for a patient in the database says nothing, and finds their cases."""

import asyncio
import hashlib
import hmac

import asyncpg
import pytest
from samples import NURSE, acted, opened
from stored import rows
from temporalio.exceptions import ApplicationError

from activities.access import verify
from activities.directory import Rules
from activities.patients import BY_KEY, Patients, WrongLinkingKey, adopt_linking_key
from activities.records import Records

KEY, ANOTHER = b"k" * 32, b"a" * 32
SOMEBODY = {"id": "191212121212", "digital": True}


def keyed(pool: asyncpg.Pool) -> Records:
    """What writes with the linking key."""
    return Records(pool, Rules(pool), Patients(pool, KEY))


async def tokens(pool: asyncpg.Pool) -> dict[str, str]:
    """The token of each case."""
    return {row["case_id"]: row["patient"] for row in await rows(pool, "select case_id, patient from omhand.cases")}


async def test_token_cannot_be_made_without_the_key(pool: asyncpg.Pool) -> None:
    await adopt_linking_key(pool, KEY)
    await keyed(pool).record(opened("c1", patient=SOMEBODY))
    secret = bytes(await pool.fetchval("select secret from omhand.linking_secret"))
    token = (await tokens(pool))["c1"]
    inner = hmac.new(secret, SOMEBODY["id"].encode(), hashlib.sha256).hexdigest()
    assert token == BY_KEY + hmac.new(KEY, inner.encode(), hashlib.sha256).hexdigest()
    # All that a copy of the database holds does not make it.
    check = await pool.fetchval("select key_check from omhand.linking_secret")
    assert inner not in token
    assert hmac.new(check.encode(), inner.encode(), hashlib.sha256).hexdigest() not in token


async def test_cases_of_before_and_after_are_linked(pool: asyncpg.Pool, records: Records) -> None:
    # P7
    before = opened("before", patient=SOMEBODY)
    await records.record(before)
    await records.record(acted(before, "note", by=NURSE, text="seen"))
    await adopt_linking_key(pool, KEY)
    recorded = await keyed(pool).record(opened("after", patient=SOMEBODY))
    assert recorded.linked == ("before",)
    of_cases = await tokens(pool)
    assert of_cases["before"] == of_cases["after"]
    assert of_cases["after"].startswith(BY_KEY)
    # The access log is never changed: there both stand, and both are found.
    logged = {row["patient"] for row in await rows(pool, "select patient from omhand.access")}
    assert logged <= set(await Patients(pool, KEY).tokens(SOMEBODY["id"]))
    async with pool.acquire() as connection:
        assert (await verify(connection)).faults == ()


async def test_several_workers_adopt_it_once(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1", patient=SOMEBODY))
    await asyncio.gather(*(adopt_linking_key(pool, KEY) for _ in range(6)))
    assert await tokens(pool) == {"c1": await Patients(pool, KEY).token(SOMEBODY["id"])}


@pytest.mark.parametrize("given", [None, ANOTHER])
async def test_worker_without_the_key_does_not_start(pool: asyncpg.Pool, given: bytes | None) -> None:
    await adopt_linking_key(pool, KEY)
    with pytest.raises(WrongLinkingKey, match="put it back"):
        await adopt_linking_key(pool, given)


async def test_worker_that_runs_without_it_links_nothing_wrongly(pool: asyncpg.Pool, records: Records) -> None:
    await adopt_linking_key(pool, KEY)
    with pytest.raises(ApplicationError) as caught:
        await records.record(opened("c1", patient=SOMEBODY))
    assert (caught.value.type, caught.value.non_retryable) == ("LinkingKeyMissing", False)
    assert await tokens(pool) == {}


async def test_without_a_key_anywhere_it_stays_as_it_is(pool: asyncpg.Pool, records: Records) -> None:
    await adopt_linking_key(pool, None)
    await records.record(opened("c1", patient=SOMEBODY))
    assert await tokens(pool) == {"c1": await Patients(pool).token(SOMEBODY["id"])}
