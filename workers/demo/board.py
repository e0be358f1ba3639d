"""Looks at the demo from outside, through the views that any reader may use (contract §5).

Only who holds which time is looked up in the tables themselves: no view tells one patient's case of another's.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import asyncpg

from activities.access import Verified, verify
from omhand.contract.names import EventName, NoticeStatus
from workers.demo.news import SENTENCES, News, is_worth_a_line, news_of
from workers.demo.tally import Row, asks_in_vain, fate_of

_CASES: Final = (
    "select case_id, kind, unit_id, opened_at, accepted_at, accepted_by_unit, closed_at, outcome, in_time,"
    " escalation_level, status from omhand.handling_times"
    " left join (select distinct case_id, status from omhand.worklist) as listed using (case_id)"
)
_NOTICES: Final = "select key, unit_id, reason, status, error from omhand.notification_log"
_WORKLIST: Final = "select unit_id, stands, case_id from omhand.worklist"
_TIMES: Final = (
    "select coalesce(slot_id, slot) as slot_id, slots.case_id as held_by,"
    " array_remove(array_agg(cases.case_id order by cases.case_id), null) as booked_by"
    " from omhand.slots full join omhand.cases on cases.slot = slots.slot_id"
    " where slot is not null or (slot_id is not null and withdrawn_at is null)"
    " group by slots.slot_id, cases.slot, slots.case_id"
)
_REFUSALS: Final = (
    "select detail ->> 'code' as code, count(*) as times from omhand.case_log"
    " where event = 'rejected' group by code order by times desc, code"
)
_LOG: Final = (
    "select case_id, kind, seq, at, event, by_staff, by_unit, detail from omhand.case_log"
    " join omhand.handling_times using (case_id) where event = any($1) order by at, case_id, seq"
)

BETWEEN_UNITS: Final = (
    EventName.HANDOVER_REQUESTED, EventName.HANDED_OVER, EventName.HANDOVER_REFUSED, EventName.HANDOVER_WITHDRAWN,
    EventName.LEFT_AT_CLOSING,
)  # fmt: skip
"""What is counted of a case's log."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of one instant."""

    cases: Sequence[Row]
    notices: Sequence[Row]
    worklist: Sequence[Row]
    log: Sequence[Row]
    """Handovers, and what was left at closing, in the order of time."""
    times: Sequence[Row]
    """Every bookable time, which case holds it, and which cases say that they have booked it."""

    @property
    def is_settled(self) -> bool:
        """Whether no notification is on its way, and every consultation has learnt of the end of its case."""
        return NoticeStatus.PENDING not in map(fate_of, self.notices) and not asks_in_vain(self.cases)


class Board:
    """The state of the region, read anew each time that somebody asks."""

    def __init__(self, connection: asyncpg.Connection, names: Mapping[str, str]) -> None:
        self._connection = connection
        self._names = names
        self._told: set[tuple[str, int]] = set()

    @classmethod
    @asynccontextmanager
    async def reading(cls, dsn: str, names: Mapping[str, str]) -> AsyncIterator[Self]:
        """A board on a connection of its own; ``names`` are the units' by their ids."""
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=10)
        try:
            await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
            yield cls(connection, names)
        finally:
            await connection.close()

    async def cases(self) -> Sequence[Row]:
        """Every case, how it was handled."""
        return await self._rows(_CASES)

    async def notices(self) -> Sequence[Row]:
        """Every notification."""
        return await self._rows(_NOTICES)

    async def snapshot(self) -> Snapshot:
        """Every case, every notification and the open cases for each unit that may act on them, of one instant."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            return Snapshot(
                cases=await self.cases(),
                notices=await self.notices(),
                worklist=await self._rows(_WORKLIST),
                log=await self._rows(_LOG, list(BETWEEN_UNITS)),
                times=await self._rows(_TIMES),
            )

    async def refusals(self) -> Sequence[Row]:
        """How many staff actions were refused, by code."""
        return await self._rows(_REFUSALS)

    async def audited(self) -> Verified:
        """Whether the access log holds."""
        return await verify(self._connection)

    async def news(self) -> list[News]:
        """What has happened since the last time and is worth a line."""
        rows = await self._rows(_LOG, list(SENTENCES))
        new = [row for row in rows if (row["case_id"], row["seq"]) not in self._told]
        self._told |= {(row["case_id"], row["seq"]) for row in new}
        return [news_of(row, self._names) for row in new if is_worth_a_line(row)]

    async def _rows(self, sql: str, *arguments: object) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(sql, *arguments)
        return rows
