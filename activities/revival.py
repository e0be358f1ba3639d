"""A case that Temporal has lost is taken over from Postgres: from its log, and from what has not gone out."""

import asyncio
from collections.abc import Sequence

import asyncpg
from temporalio import activity

from activities.postgres.pool import query
from decisions.effects import Notice, taken_up
from decisions.errands import TAKE_OVER, TakenOver, TakingOver
from decisions.file import CaseFile, last_signal
from omhand.contract.events import Event
from omhand.contract.wire import read

Row = tuple[Event, str | None]


class Revival:
    """The activity that takes over."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @activity.defn(name=TAKE_OVER)
    async def take_over(self, wanted: TakingOver) -> TakenOver:
        """Let the case's rows be the asking run's, where there is such an open case, and give what they say.

        Asked again by the same run it answers the same.

        Raises:
            ValueError: its log gives no case; retried, as operators have to see it.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            taken = await connection.fetchval(query("take_over"), wanted.case_id, wanted.kind, wanted.run_id)
            if taken is None:
                return TakenOver()
            rows = await connection.fetch(query("events_after"), wanted.case_id, 0)
            pending = await connection.fetch(query("pending_notices"), wanted.case_id)
        log = [_row(**row) for row in rows]
        # Aside: the log of a thread may be long, and cases wait for this worker's loop.
        return await asyncio.to_thread(_taken_over, wanted.case_id, log, {row["key"] for row in pending})


def _taken_over(case_id: str, log: Sequence[Row], pending: set[str]) -> TakenOver:
    notices: Sequence[Notice] = taken_up(case_id, None, [event for event, _ in log]).notices
    return TakenOver(
        file=CaseFile.rebuilt(case_id, log),
        on_their_way=tuple(notice for notice in notices if notice.key in pending),
        signals=last_signal(cause for _, cause in log),
    )


def _row(cause: str | None, **event: object) -> Row:
    return read(Event, event), cause
