"""The canary's rows, and waiting until something has happened to it (``decisions/canary.py``)."""

import asyncio
from typing import Final

import asyncpg
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.postgres.pool import query
from decisions.canary import (
    AWAIT_CANARY,
    BEGIN_CANARY,
    CANARY_UNIT,
    END_CANARY,
    CanariesLeft,
    CanaryAwaited,
    CanaryBegins,
    CanaryEnds,
)

LOOKS: Final = 20
BETWEEN_LOOKS: Final = 0.5


class Canaries:
    """The activities of the canary."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @activity.defn(name=BEGIN_CANARY)
    async def begin(self, canary: CanaryBegins) -> CanariesLeft:
        """Write that it has been sent; which ones of before are still open."""
        rows = await self._pool.fetch(query("begin_canary"), canary.case_id, canary.at, CANARY_UNIT)
        return CanariesLeft(open=tuple(row["case_id"] for row in rows))

    @activity.defn(name=AWAIT_CANARY)
    async def until(self, awaited: CanaryAwaited) -> CanaryAwaited:
        """Return once the event stands in Postgres.

        Raises:
            ApplicationError: ``NotYet``, to be retried: not within 10 s.
        """
        for _ in range(LOOKS):
            rows = await self._pool.fetch(query("events_of_case"), awaited.case_id)
            if awaited.event in {row["event"] for row in rows}:
                return awaited
            await asyncio.sleep(BETWEEN_LOOKS)
        raise ApplicationError(f"{awaited.case_id}: not {awaited.event} yet", type="NotYet")

    @activity.defn(name=END_CANARY)
    async def end(self, canary: CanaryEnds) -> CanaryEnds:
        """Write that it has lived its life."""
        await self._pool.execute(query("end_canary"), canary.case_id, canary.at)
        return canary
