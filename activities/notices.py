"""Sends notifications through the gateway, each until it has been answered (contract §6, K1f).

What keeps a key from being posted again once the gateway has answered: the answer is put in the activity's heartbeat
before it is put in the database. What remains: a worker killed between the two, and an answer that never came. In both
the key is posted again, and the gateway knows it by its ``Idempotency-Key``.

What keeps a unit from being called about a case that has been taken: an attempt begins by claiming the row, which a
withdrawal has closed. What remains: a case that is taken while the request is on its way, 10 s at most. Then it has
gone out, and the log says so.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

import aiohttp
import asyncpg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.postgres.pool import query
from decisions.canary import CANARY_UNIT
from decisions.errands import SEND_NOTICE, Delivery, Sending
from omhand.contract.names import Channel, NoticeStatus

ATTEMPT_SECONDS: Final = 10
LONGEST_WAIT: Final = timedelta(minutes=10)
"""What a gateway asks for with ``Retry-After`` is heeded so far: no case is to wait for a slip of its clock."""

TRIED_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)})
"""Every other answer but 2xx has failed for good; a redirection too, as nobody vouches for where it leads."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. ``error`` says why it was not taken; it never quotes the gateway."""

    verdict: Literal["sent", "failed", "again"]
    error: str | None = None
    wait: timedelta | None = None


class Gateway:
    """The activity that sends, with its HTTP session; an asynchronous context manager, opened on the worker's loop."""

    def __init__(self, pool: asyncpg.Pool, url: str | None = None, secret: str | None = None) -> None:
        """Without a ``url`` notifications go to the console; without a ``secret`` they are not signed."""
        self._pool = pool
        self._url = url
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._session:
            await self._session.close()

    @activity.defn(name=SEND_NOTICE)
    async def send_notice(self, sending: Sending) -> Delivery:
        """One attempt at a notification: sent, withdrawn, or failed for good.

        Raises:
            ApplicationError: ``GatewayUnavailable``, to be retried, after as long as the gateway asked for.
                ``NotRecorded``, to be retried: its row is not there.
        """
        answered = _answered_before()
        if answered is None:
            row = await self._pool.fetchrow(query("claim_notice"), sending.key)
            if row is None:
                return await self._settled(sending.key)
            answered = await self._tell(row)
            if answered.verdict != "again":
                activity.heartbeat(answered.verdict, answered.error)
        # The answer has come; that somebody now wants the attempt to end must not keep it out of the log.
        return await _to_its_end(self._write(sending.key, answered))

    async def _tell(self, row: asyncpg.Record) -> Answer:
        if row["unit_id"] == CANARY_UNIT:
            return Answer("sent")  # nobody is there to be called
        if self._url is None:
            # Standard output is the console; the log is elsewhere, and may be read by others than staff.
            print("notification", _body(row).decode(), flush=True)  # noqa: T201 - contract §6
            return Answer("sent")
        return await self._post(self._url, row["key"], _body(row))

    async def _post(self, url: str, key: str, body: bytes) -> Answer:
        if self._session is None:
            msg = "the gateway's session has not been opened: use `async with`"
            raise RuntimeError(msg)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._secret:
            headers["Omhand-Signature"] = signature(self._secret, body, datetime.now(UTC))
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return _verdict(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            return Answer("again", f"the gateway did not answer within {ATTEMPT_SECONDS} s")
        except (aiohttp.ClientError, OSError) as error:
            # Only its name: the text holds the URL, and that may hold a password.
            return Answer("again", f"the gateway could not be reached ({type(error).__name__})")

    async def _write(self, key: str, answer: Answer) -> Delivery:
        if answer.verdict == "again":
            await self._pool.execute(query("notice_waits"), key, answer.error)
            log.warning("the notification is tried again", key=key, error=answer.error)
            raise ApplicationError(
                answer.error or "the gateway wants another attempt",
                type="GatewayUnavailable",
                next_retry_delay=answer.wait,
                # The line above says it all; a traceback for each busy moment of the gateway would bury the rest.
                category=ApplicationErrorCategory.BENIGN,
            )
        if answer.verdict == "failed":
            await self._pool.execute(query("notice_failed"), key, answer.error)
        else:
            await self._pool.execute(query("notice_sent"), key)
        return await self._settled(key)

    async def _settled(self, key: str) -> Delivery:
        """What the row says of a notification that is not pending any more."""
        row = await self._pool.fetchrow(query("find_notice"), key)
        if row is None or row["status"] == NoticeStatus.PENDING:
            msg = f"notification {key} is not in the log yet"
            raise ApplicationError(msg, type="NotRecorded")
        return Delivery(
            delivered=row["status"] == NoticeStatus.SENT,
            withdrawn=row["withdrawn"],
            channel=Channel(row["channel"]),
            error=row["error"],
        )


def signature(secret: str, body: bytes, at: datetime) -> str:
    """The header ``Omhand-Signature`` of these very bytes at this (aware) instant."""
    seconds = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def wait_asked_for(header: str | None, now: datetime) -> timedelta | None:
    """What ``Retry-After`` asks for, in seconds or as a date, at most 10 minutes; None where it asks for nothing."""
    if header is None:
        return None
    try:
        wait = timedelta(seconds=int(header)) if header.strip().isdecimal() else _aware(header) - now
    except (ValueError, OverflowError):
        # Neither: then the usual interval is as good as any.
        return None
    return min(wait, LONGEST_WAIT) if wait > timedelta(0) else None


def _aware(header: str) -> datetime:
    at = parsedate_to_datetime(header)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _verdict(status: int, retry_after: str | None) -> Answer:
    if status in range(200, 300):
        return Answer("sent")
    error = f"gateway answered {status}"
    if status in TRIED_AGAIN:
        return Answer("again", error, wait_asked_for(retry_after, datetime.now(UTC)))
    return Answer("failed", error)


def _body(row: asyncpg.Record) -> bytes:
    told: dict[str, Any] = {
        "key": row["key"],
        "case_id": row["case_id"],
        "reason": row["reason"],
        "unit": row["unit_id"],
        "channel": row["channel"],
        "recipient": row["recipient"],
        "kind": row["kind"],
        "priority": row["priority"],
        "due_at": row["due_at"].isoformat() if row["due_at"] else None,
        "text": row["text"],
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _answered_before() -> Answer | None:
    """The answer that an earlier attempt got and could not write down."""
    match activity.info().heartbeat_details:
        case ["sent", _]:
            return Answer("sent")
        case ["failed", str(error)]:
            return Answer("failed", error)
        case _:
            return None


async def _to_its_end(writing: Awaitable[Delivery]) -> Delivery:
    """Await something that goes on when we are cancelled; the cancellation then counts after it."""
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
