"""How an action was answered long ago: a case remembers its latest answers, Postgres all of them (contract §2)."""

import asyncpg
from temporalio import activity

from activities.postgres.pool import query
from decisions.errands import LOOK_UP_ANSWERED, AnsweredBefore, Repeated
from decisions.file import refusal_in
from omhand.contract.events import Event
from omhand.contract.wire import read


class Answers:
    """The activity that looks."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @activity.defn(name=LOOK_UP_ANSWERED)
    async def look_up_answered(self, repeated: Repeated) -> AnsweredBefore:
        """What the log says of an action of that id; nothing where it came for the first time."""
        rows = await self._pool.fetch(query("events_of_cause"), repeated.case_id, repeated.cause)
        if not rows:
            return AnsweredBefore()
        events = [read(Event, dict(row)) for row in rows]
        return AnsweredBefore(seq=events[-1].seq, refusal=refusal_in(events[0]))
