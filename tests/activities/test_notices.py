"""Notifications through a gateway that is a real HTTP server (contract §6)."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from fake_gateway import FakeGateway, babble, hang_up
from samples import NORTH, acted, opened, soon, with_notice
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import notices
from activities.notices import Gateway, wait_asked_for
from activities.records import WITHDRAWN, Records
from decisions.errands import Delivery, Sending
from omhand.contract.names import Channel

KEY = "c1/2"
SENT = Delivery(delivered=True, channel=Channel.PHONE)
GONE = Delivery(delivered=False, withdrawn=True, channel=Channel.PHONE, error=WITHDRAWN)


@pytest.fixture
async def pending(records: Records) -> str:
    """The key of a notification that is to be sent."""
    await records.record(opened("c1"))
    return KEY


async def send(
    gateway: Gateway, key: str = KEY, heartbeats: list[Any] | None = None, details: Sequence[Any] = ()
) -> Delivery:
    """One attempt, after another that left these heartbeat details."""
    environment = ActivityEnvironment()
    environment.info = ActivityEnvironment.default_info().__class__(
        **{**vars(environment.info), "heartbeat_details": list(details)}
    )
    if heartbeats is not None:
        environment.on_heartbeat = lambda *args: heartbeats.append(list(args))
    async with gateway:
        delivery: Delivery = await environment.run(gateway.send_notice, Sending(key=key))
        return delivery


async def retried(gateway: Gateway) -> ApplicationError:
    """Why there will be another attempt."""
    with pytest.raises(ApplicationError) as caught:
        await send(gateway)
    assert not caught.value.non_retryable
    return caught.value


async def row(pool: asyncpg.Pool, key: str = KEY) -> dict[str, Any]:
    """What the log says of it."""
    return dict(await pool.fetchrow("select status, attempts, error from omhand.notification_log where key = $1", key))


# What the gateway gets


async def test_gateway_gets_what_the_contract_says(pool: asyncpg.Pool, records: Records, fake: FakeGateway) -> None:
    at = soon()
    await records.record(opened("c1", at))
    assert await send(Gateway(pool, fake.url)) == SENT
    (call,) = fake.calls
    text = call.told.pop("text")
    assert "Hälsocentral Norr" in text
    due_at = datetime.fromisoformat(call.told["due_at"])
    assert due_at == at + timedelta(minutes=30)
    assert {name: value for name, value in call.told.items() if name not in {"text", "due_at"}} == {
        "key": KEY,
        "case_id": "c1",
        "reason": "new_case",
        "unit": NORTH,
        "channel": "phone",
        "recipient": "+46701740601",
        "kind": "drop_in_visit",
        "priority": 3,
    }
    assert set(call.told) == {
        *("key", "case_id", "reason", "unit", "channel", "recipient", "kind", "priority", "due_at", "text")
    }
    assert call.headers["Idempotency-Key"] == KEY
    assert call.headers["Content-Type"] == "application/json"
    assert "Omhand-Signature" not in call.headers


@pytest.mark.usefixtures("pending")
async def test_signature_is_of_the_very_bytes_that_are_sent(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    await send(Gateway(pool, fake.url, "hemligt"))
    (call,) = fake.calls
    time, _, digest = call.headers["Omhand-Signature"].partition(",v1=")
    seconds = time.removeprefix("t=")
    expected = hmac.new(b"hemligt", seconds.encode() + b"." + call.body, hashlib.sha256).hexdigest()
    assert digest == expected
    assert abs(int(seconds) - soon().timestamp()) < 60


async def test_priority_and_deadline_may_be_missing(pool: asyncpg.Pool, records: Records, fake: FakeGateway) -> None:
    await records.record(with_notice(opened("c1"), priority=None, due_at=None))
    await send(Gateway(pool, fake.url))
    assert (fake.calls[0].told["priority"], fake.calls[0].told["due_at"]) == (None, None)


# What it answers


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_notification_that_was_taken_is_sent(pool: asyncpg.Pool, fake: FakeGateway, status: int) -> None:
    fake.answers = [status]
    assert await send(Gateway(pool, fake.url)) == SENT
    assert await row(pool) == {"status": "sent", "attempts": 1, "error": None}
    assert soon() - await pool.fetchval("select sent_at from omhand.notification_log") < timedelta(minutes=1)


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422, 301, 302, 307, 308])
async def test_notification_that_was_refused_has_failed_for_good(
    pool: asyncpg.Pool, fake: FakeGateway, status: int
) -> None:
    fake.answers = [(status, {"Location": fake.url})]
    error = f"gateway answered {status}"
    failed = Delivery(delivered=False, channel=Channel.PHONE, error=error)
    assert await send(Gateway(pool, fake.url)) == failed
    assert await row(pool) == {"status": "failed", "attempts": 1, "error": error}
    assert await send(Gateway(pool, fake.url)) == failed
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_gateway_in_trouble_is_tried_again(pool: asyncpg.Pool, fake: FakeGateway, status: int) -> None:
    fake.answers = [status]
    error = await retried(Gateway(pool, fake.url))
    assert (error.type, str(error)) == ("GatewayUnavailable", f"GatewayUnavailable: gateway answered {status}")
    assert error.next_retry_delay is None
    assert await row(pool) == {"status": "pending", "attempts": 1, "error": f"gateway answered {status}"}
    assert await send(Gateway(pool, fake.url)) == SENT
    assert await row(pool) == {"status": "sent", "attempts": 2, "error": None}
    assert [call.headers["Idempotency-Key"] for call in fake.calls] == [KEY, KEY]


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize("answer", [hang_up, babble])
async def test_broken_answer_is_tried_again(pool: asyncpg.Pool, fake: FakeGateway, answer: Any) -> None:
    fake.answers = [answer]
    error = await retried(Gateway(pool, fake.url))
    assert str(error).startswith("GatewayUnavailable: the gateway could not be reached (")
    assert (await row(pool))["status"] == "pending"


@pytest.mark.usefixtures("pending")
async def test_gateway_that_is_away_is_tried_again_and_its_address_is_not_told(pool: asyncpg.Pool) -> None:
    error = await retried(Gateway(pool, "http://user:secret@127.0.0.1:1/notify"))
    assert str(error) == "GatewayUnavailable: the gateway could not be reached (ClientConnectorError)"


@pytest.mark.usefixtures("pending")
async def test_gateway_that_does_not_answer_is_tried_again(
    pool: asyncpg.Pool, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notices.ATTEMPT_SECONDS == 10
    monkeypatch.setattr(notices, "ATTEMPT_SECONDS", 0.2)
    left = asyncio.Event()

    async def keep_waiting(_: web.Request) -> web.Response:
        await left.wait()
        return web.Response()

    fake.answers = [keep_waiting]
    error = await retried(Gateway(pool, fake.url))
    left.set()
    assert str(error) == "GatewayUnavailable: the gateway did not answer within 0.2 s"


@pytest.mark.usefixtures("pending")
async def test_gateway_says_when_to_try_again(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    fake.answers = [(503, {"Retry-After": "120"})]
    assert (await retried(Gateway(pool, fake.url))).next_retry_delay == timedelta(minutes=2)


NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("1", 1),
        (" 30 ", 30),
        ("600", 600),
        ("601", 600),
        ("9" * 30, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("Tue, 24 Nov 2026 09:01:00 -0000", 60),
        (format_datetime(NOW + timedelta(days=1), usegmt=True), 600),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), None),
    ],
)
def test_retry_after_is_heeded_up_to_ten_minutes(header: str | None, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert wait_asked_for(header, NOW) == expected


# Never twice, never too late


@pytest.mark.usefixtures("pending")
async def test_sent_notification_is_not_sent_again(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    assert [await send(Gateway(pool, fake.url)) for _ in range(2)] == [SENT, SENT]
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize(("status", "verdict"), [(202, "sent"), (404, "failed")])
async def test_answer_that_could_not_be_written_down_is_not_asked_for_again(
    pool: asyncpg.Pool, fake: FakeGateway, status: int, verdict: str
) -> None:
    async def lose_the_table(_: web.Request) -> web.Response:
        await pool.execute("alter table omhand.notifications rename to gone")
        return web.Response(status=status)

    fake.answers = [lose_the_table]
    heartbeats: list[Any] = []
    with pytest.raises(asyncpg.UndefinedTableError):
        await send(Gateway(pool, fake.url), heartbeats=heartbeats)
    await pool.execute("alter table omhand.gone rename to notifications")
    delivery = await send(Gateway(pool, fake.url), details=heartbeats[-1])
    assert delivery.delivered is (status == 202)
    assert (await row(pool))["status"] == verdict
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("pending")
async def test_attempt_in_vain_leaves_no_heartbeat(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    fake.answers = [503]
    heartbeats: list[Any] = []
    with pytest.raises(ApplicationError):
        await send(Gateway(pool, fake.url), heartbeats=heartbeats)
    assert heartbeats == []


async def test_notification_of_a_case_that_was_taken_is_not_sent(
    pool: asyncpg.Pool, records: Records, fake: FakeGateway
) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(acted(first, "accept"))
    assert await send(Gateway(pool, fake.url)) == GONE
    assert fake.calls == []
    assert (await row(pool))["attempts"] == 0


async def test_notification_that_waits_for_another_attempt_is_withdrawn_too(
    pool: asyncpg.Pool, records: Records, fake: FakeGateway
) -> None:
    first = opened("c1")
    await records.record(first)
    fake.answers = [503]
    await retried(Gateway(pool, fake.url))
    await records.record(acted(first, "accept"))
    assert await send(Gateway(pool, fake.url)) == GONE
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("status", "delivery", "logged"),
    [
        (202, SENT, ("sent", None)),
        (404, GONE, ("failed", WITHDRAWN)),
    ],
)
async def test_log_tells_what_became_of_one_that_was_withdrawn_on_its_way(
    pool: asyncpg.Pool,
    records: Records,
    fake: FakeGateway,
    status: int,
    delivery: Delivery,
    logged: tuple[str, str | None],
) -> None:
    first = opened("c1")
    await records.record(first)

    async def meanwhile(_: web.Request) -> web.Response:
        await records.record(acted(first, "accept"))
        return web.Response(status=status)

    fake.answers = [meanwhile]
    assert await send(Gateway(pool, fake.url)) == delivery
    found = await row(pool)
    assert (found["status"], found["error"]) == logged


async def test_withdrawn_on_its_way_and_to_be_tried_again_is_withdrawn(
    pool: asyncpg.Pool, records: Records, fake: FakeGateway
) -> None:
    first = opened("c1")
    await records.record(first)

    async def meanwhile(_: web.Request) -> web.Response:
        await records.record(acted(first, "accept"))
        return web.Response(status=503)

    fake.answers = [meanwhile]
    await retried(Gateway(pool, fake.url))
    assert await send(Gateway(pool, fake.url)) == GONE
    assert (await row(pool))["error"] == WITHDRAWN


@pytest.mark.usefixtures("pending")
async def test_cancelling_after_the_answer_does_not_keep_it_out_of_the_log(
    pool: asyncpg.Pool, fake: FakeGateway
) -> None:
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: environment.cancel()
    async with Gateway(pool, fake.url) as gateway:
        with pytest.raises(asyncio.CancelledError):
            await environment.run(gateway.send_notice, Sending(key=KEY))
    assert (await row(pool))["status"] == "sent"


async def test_notification_to_nobody_fails_and_is_not_sent(
    pool: asyncpg.Pool, records: Records, fake: FakeGateway
) -> None:
    await records.record(with_notice(opened("c1"), unit="SE2321000198-NOWHERE"))
    nobody = Delivery(delivered=False, channel=Channel.PHONE, error="no phone")
    assert await send(Gateway(pool, fake.url)) == nobody
    assert fake.calls == []


async def test_notification_that_is_not_in_the_log_is_tried_again(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    error = await retried(Gateway(pool, fake.url))
    assert str(error) == "NotRecorded: notification c1/2 is not in the log yet"


@pytest.mark.usefixtures("pending")
async def test_gateway_that_was_not_opened_says_so(pool: asyncpg.Pool, fake: FakeGateway) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await ActivityEnvironment().run(Gateway(pool, fake.url).send_notice, Sending(key=KEY))


# The console


@pytest.mark.usefixtures("pending")
async def test_without_a_gateway_it_goes_to_the_console_and_is_sent(
    pool: asyncpg.Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await send(Gateway(pool)) == SENT
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line.removeprefix("notification "))
    assert (told["key"], told["case_id"], told["reason"], told["unit"]) == (KEY, "c1", "new_case", NORTH)
    assert await row(pool) == {"status": "sent", "attempts": 1, "error": None}
