"""``omhand doctor``: looks at everything that cases need, and says of each fault what to do about it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import asyncpg
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from activities.audits import LOOK_AGAIN_AFTER, Audits, Findings
from activities.directory import Rules
from activities.patients import Patients, WrongLinkingKey, check_linking_key
from activities.postgres.pool import open_pool, query
from activities.records import Records
from decisions.audit import EVERY, TOLD_WITHIN, Auditing
from omhand.codec import LINKING, KeyRing, encryption
from omhand.contract.names import CASES_QUEUE, NOTICES_QUEUE, RECORDS_QUEUE
from workers.migrate import schema_fault
from workers.queues import MAKE_CURRENT, NOTHING_GIVEN, Backlog, backlog_of
from workers.repair import Mended, Repair
from workers.schedules import AUDITOR, CANARY
from workers.settings import Settings, temporal_connect_config
from workers.worker import missing_search_attributes

SECONDS: Final = 10.0
"""For each thing that is asked."""
SKEW: Final = timedelta(seconds=2)
LATE_TASK: Final = timedelta(minutes=1)
PERIODS: Final = 3
"""So many audits or canaries may be missing before it is a fault."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do where it is not well."""

    what: str
    is_well: bool
    how: str
    to_do: str | None = None


class Ill(Exception):  # noqa: N818 - it is no error of the program: it is what was looked for
    """Something is not well."""

    def __init__(self, how: str, to_do: str) -> None:
        """Take how it is, and what to do about it."""
        super().__init__(how)
        self.how = how
        self.to_do = to_do


class Doctor:
    """Looks, one thing after the other; what cannot be reached is said, and the rest is looked at all the same."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool | None, client: Client) -> None:
        self._settings = settings
        self._pool = pool
        self._client = client

    async def look(self) -> AsyncIterator[Finding]:
        """Everything, in the order in which one needs the other."""
        of_database: Mapping[str, Callable[[asyncpg.Pool], Awaitable[str]]] = {
            "schema": self._schema,
            "clock": self._clock,
            "directory and policy": self._rules,
            "linking key": self._linking_key,
            "notifications": self._notifications,
            "audit": self._audit,
            "canary": self._canary,
        }
        yield await _looked("keys", self._keys())
        for what, look in of_database.items():
            yield await _looked(what, look(self._pool)) if self._pool else Finding(what, is_well=False, how=NO_DATABASE)
        yield await _looked("temporal", self._temporal())
        yield await _looked("search attributes", self._search_attributes())
        for queue in (CASES_QUEUE, RECORDS_QUEUE, NOTICES_QUEUE):
            yield await _looked(f"task queue {queue}", self._queue(queue))
        yield await _looked("schedules", self._schedules())
        yield await _looked("gateway", self._gateway())

    async def _keys(self) -> str:
        if self._settings.keys_file is None:
            if self._settings.require_encryption:
                how = "payloads have to be encrypted, and there is no key ring"
                raise Ill(how, "set OMHAND_KEYS_FILE")
            return "no key ring: payloads are plain"
        ring = KeyRing.read(self._settings.keys_file)
        keys = len(set(ring.keys) - {LINKING})
        return f"{keys} that can decrypt, {'with' if ring.linking else 'without'} a linking key"

    async def _schema(self, _pool: asyncpg.Pool) -> str:
        fault = await schema_fault(self._settings.database_url)
        if fault:
            raise Ill(fault, "run `omhand migrate` of the newest version")
        return "of this version, or of one that serves it"

    async def _clock(self, pool: asyncpg.Pool) -> str:
        theirs = await pool.fetchval("select clock_timestamp()")
        skew = abs(datetime.now(UTC) - theirs)
        if skew > SKEW:
            raise Ill(
                f"this machine and Postgres are {skew.total_seconds():.0f} s apart",
                "let all machines ask an NTP server",
            )
        return "this machine and Postgres agree"

    async def _rules(self, pool: asyncpg.Pool) -> str:
        region = await Rules(pool).current()
        return f"version {region.version}: {len(region.units)} units, {len(region.staff)} members of staff"

    async def _linking_key(self, pool: asyncpg.Pool) -> str:
        try:
            is_adopted = await check_linking_key(pool, self._settings.linking_key())
        except WrongLinkingKey as fault:
            raise Ill(str(fault), "put the key ring's linking line back, from its backup") from fault
        return "patients are linked by it" if is_adopted else "patients are linked by a secret of the database alone"

    async def _notifications(self, pool: asyncpg.Pool) -> str:
        row = await pool.fetchrow(query("notifications_now"), datetime.now(UTC) - timedelta(days=1))
        waits = row["oldest"] or timedelta(0)
        if waits > TOLD_WITHIN:
            how = f"{row['pending']} wait, the oldest for {_words(waits)}"
            raise Ill(how, "see that the gateway answers, and that workers serve the queue `notices`")
        return f"{row['pending']} on their way, {row['failed']} failed since yesterday"

    async def _audit(self, pool: asyncpg.Pool) -> str:
        row = await pool.fetchrow(query("last_audit"))
        if row["at"] is None or datetime.now(UTC) - row["at"] > PERIODS * EVERY:
            when = f"since {row['at']:%Y-%m-%d %H:%M} UTC" if row["at"] else "yet"
            raise Ill(f"none has been made {when}", "see the schedule `auditor` in the Web UI, and its last run")
        if row["findings"]:
            raise Ill(f"{row['findings']} differences stand", "run `omhand doctor --repair`")
        return f"{row['compared']} cases compared, nothing differs"

    async def _canary(self, pool: asyncpg.Pool) -> str:
        if self._settings.canary_every is None:
            return "none is wanted (OMHAND_CANARY_EVERY)"
        row = await pool.fetchrow(query("last_canary"))
        since = row["finished_at"] or row["began"]
        if since and datetime.now(UTC) - since > PERIODS * self._settings.canary_every:
            how = f"none has lived since {since:%Y-%m-%d %H:%M} UTC"
            raise Ill(how, "see the last runs of the schedule `canary` in the Web UI")
        if row["took"] is None:
            return "the first one is on its way"
        return f"the last one lived {row['took'].total_seconds():.0f} s"

    async def _temporal(self) -> str:
        config = temporal_connect_config()
        await self._client.count_workflows("WorkflowId = 'none'")
        return f"{config.get('target_host')}, namespace {self._client.namespace}"

    async def _search_attributes(self) -> str:
        missing = await missing_search_attributes(self._client)
        if missing:
            raise Ill(
                f"missing: {', '.join(missing)}", "start a worker, which registers them, or let an operator do it"
            )
        return "all are there"

    async def _queue(self, queue: str) -> str:
        found: Backlog = await backlog_of(self._client, queue)
        if not found.pollers:
            how = "no worker serves it"
            raise Ill(how, "start workers: `omhand worker`")
        if found.nothing_given:
            raise Ill(NOTHING_GIVEN, MAKE_CURRENT)
        if found.unserved_version:
            how = f"the current version of the deployment, {found.unserved_version}, has no worker"
            raise Ill(how, "start workers of that version, or make another one the current one (docs/operations.md)")
        if found.age > LATE_TASK:
            raise Ill(f"{found.tasks} tasks wait, the oldest for {_words(found.age)}", "start more workers")
        return f"{found.pollers} pollers, {found.tasks} tasks wait"

    async def _schedules(self) -> str:
        wanted = [AUDITOR, *([CANARY] if self._settings.canary_every else [])]
        for each in wanted:
            handle: ScheduleHandle = self._client.get_schedule_handle(each)
            try:
                described = await handle.describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                raise Ill(f"there is no schedule {each}", "start a worker, which makes it") from error
            if described.schedule.state.paused:
                raise Ill(
                    f"the schedule {each} is paused", f"unpause it: `temporal schedule toggle --unpause -s {each}`"
                )
        return ", ".join(wanted)

    async def _gateway(self) -> str:
        """Whether somebody answers there, whatever they answer: nothing is sent."""
        if self._settings.gateway_url is None:
            return "none: notifications go to the console (OMHAND_GATEWAY_URL)"
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.options(self._settings.gateway_url, allow_redirects=False) as answer,
        ):
            return f"it answers ({answer.status})"


NO_DATABASE: Final = "cannot be looked at without the database"


async def _looked(what: str, look: Awaitable[str]) -> Finding:
    try:
        async with asyncio.timeout(SECONDS):
            return Finding(what, is_well=True, how=await look)
    except Ill as ill:
        return Finding(what, is_well=False, how=ill.how, to_do=ill.to_do)
    except TimeoutError:
        return Finding(
            what, is_well=False, how=f"no answer within {SECONDS:g} s", to_do="see that it runs, and the way to it"
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not well, and the rest is to be looked at
        # Only its name: the text may hold a URL with a password.
        return Finding(what, is_well=False, how=type(error).__name__, to_do="see that it runs, and the way to it")


def _words(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at everything, and give each finding as soon as it is known."""
    async with AsyncExitStack() as stack:
        pool, fault, to_do = None, None, None
        try:
            pool = await stack.enter_async_context(open_pool(settings.database_url, most=2))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            fault = f"does not answer, or does not let us in ({type(error).__name__})"
            to_do = "make room on its disk" if isinstance(error, asyncpg.DiskFullError) else "see OMHAND_DATABASE_URL"
        yield Finding("postgres", fault is None, fault or "it answers", to_do)
        async for finding in Doctor(settings, pool, await _client(settings)).look():
            yield finding


async def repair(settings: Settings) -> tuple[Sequence[Mended], Findings]:
    """Look at every case closely, mend what differs, and look again: what was done, and what still differs.

    Raises:
        OSError, asyncpg.PostgresError, RPCError: one of the stores cannot be reached; what has been done stays.
    """
    async with open_pool(settings.database_url) as pool:
        client = await _client(settings)
        audits = Audits(pool, client)
        mending = Repair(pool, client, audits, Records(pool, Rules(pool), Patients(pool, settings.linking_key())))
        auditing = Auditing(at=datetime.now(UTC), deep=True)
        compared, closely, found = await audits.lasting(auditing)
        mended = await mending.mend(found)
        if mended:
            await asyncio.sleep(LOOK_AGAIN_AFTER)
            auditing = auditing.model_copy(update={"at": datetime.now(UTC)})
            compared, closely, found = await audits.lasting(auditing)
        await audits.write_down(auditing, compared, closely, found)
        return mended, found


async def _client(settings: Settings) -> Client:
    plugin = encryption(replace(settings, require_encryption=False).codec("raise"))
    return await Client.connect(**temporal_connect_config(), plugins=[plugin], lazy=True)
