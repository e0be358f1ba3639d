"""A case that Temporal has lost is taken over from Postgres: from its log, and from what has not gone out."""

import asyncio
from collections.abc import Sequence

import asyncpg
from temporalio import activity

from activities.postgres.pool import query
from decisions.effects import Notice, taken_up
from decisions.errands import TAKE_OVER, UNDELIVERED, TakenOver, TakingOver
from decisions.file import CaseFile, last_signal
from omhand.contract.events import Event
from omhand.contract.names import ConsultationStatus
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
            found = await connection.fetchval(query("take_over"), wanted.case_id, wanted.kind, wanted.run_id)
            if found is None:
                return TakenOver()
            rows = await connection.fetch(query("events_after"), wanted.case_id, 0)
            unsent = await connection.fetch(query("unsent_notices"), wanted.case_id)
        log = [_row(**row) for row in rows]
        # Aside: the log of a thread may be long, and cases wait for this worker's loop.
        taken: TakenOver = await asyncio.to_thread(_taken_over, wanted.case_id, log, {row["key"] for row in unsent})
        opened = await self._pool.fetch(query("cases_among"), taken.not_asked)
        not_asked = set(taken.not_asked) - {row["case_id"] for row in opened}
        answer: TakenOver = taken.model_copy(update={"not_asked": tuple(sorted(not_asked))})
        return answer


def _taken_over(case_id: str, log: Sequence[Row], unsent: set[str]) -> TakenOver:
    """What the rows say; of the consultations that are open, whether they have been opened is not known here."""
    notices: Sequence[Notice] = taken_up(case_id, None, [event for event, _ in log]).notices
    file = CaseFile.rebuilt(case_id, log)
    # Of what has failed for good the case was told, or is told now: to send it again only reads its row.
    told = {cause.removeprefix(UNDELIVERED) for _, cause in log if cause}
    return TakenOver(
        file=file,
        on_their_way=tuple(notice for notice in notices if notice.key in unsent - told),
        not_asked=tuple(each.case_id for each in file.case.consultations if each.status is ConsultationStatus.OPEN),
        signals=last_signal(cause for _, cause in log),
    )


def _row(cause: str | None, **event: object) -> Row:
    return read(Event, event), cause
