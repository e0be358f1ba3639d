"""Looks at the demo from outside, through the views that any reader may use (contract §5)."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg

from omhand.contract.names import EventName, NoticeStatus
from workers.demo.tally import Row, fate_of

_CASES: Final = (
    "select case_id, unit_id, opened_at, accepted_at, accepted_by_unit, closed_at, in_time, escalation_level"
    " from omhand.handling_times"
)
_NOTICES: Final = "select key, unit_id, reason, status, error from omhand.notification_log"
_WORKLIST: Final = "select unit_id, stands, case_id from omhand.worklist"
_REFUSALS: Final = (
    "select detail ->> 'code' as code, count(*) as times from omhand.case_log"
    " where event = 'rejected' group by code order by times desc, code"
)
_NEWS: Final = (
    "select case_id, seq, at, event, by_staff, by_unit, detail from omhand.case_log"
    " where event = any($1) order by at, case_id, seq"
)

TOLD: Final = (
    EventName.ESCALATED, EventName.MANAGER_ALERTED, EventName.REJECTED, EventName.RELEASED,
    EventName.REPRIORITISED, EventName.CANCELLED,
)  # fmt: skip
"""What is worth a line as it happens."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of one instant."""

    cases: Sequence[Row]
    notices: Sequence[Row]
    worklist: Sequence[Row]

    @property
    def is_settled(self) -> bool:
        """Whether no notification is on its way."""
        return NoticeStatus.PENDING not in map(fate_of, self.notices)


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
            return Snapshot(await self.cases(), await self.notices(), await self._rows(_WORKLIST))

    async def refusals(self) -> Sequence[Row]:
        """How many staff actions were refused, by code."""
        return await self._rows(_REFUSALS)

    async def news(self) -> list[tuple[str, str]]:
        """What has happened since the last time and is worth a line: the event's name, and a sentence."""
        rows = await self._rows(_NEWS, list(TOLD))
        new = [row for row in rows if (row["case_id"], row["seq"]) not in self._told]
        self._told |= {(row["case_id"], row["seq"]) for row in new}
        return [(row["event"], f"{row['case_id']} {sentence(row, self._names)}") for row in new]

    async def _rows(self, sql: str, *arguments: object) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(sql, *arguments)
        return rows


def sentence(row: Row, names: Mapping[str, str]) -> str:
    """What happened, in words; of texts that people wrote only what the routine itself says."""
    detail: Mapping[str, Any] = row["detail"]
    who = names.get(row["by_unit"] or "", "the patient")
    words = {
        EventName.ESCALATED: "escalated to level {level}: other units may take it",
        EventName.MANAGER_ALERTED: "the manager of {unit} is alerted",
        EventName.REJECTED: "{who} is refused to {action}: {code}",
        EventName.RELEASED: "given back by {who}: it waits again",
        EventName.REPRIORITISED: "priority {was} is now {priority}: a new clock",
        EventName.CANCELLED: "cancelled by {who}",
    }
    unit = names.get(detail.get("unit", ""), "")
    return words[row["event"]].format_map({**detail, "who": who, "unit": unit})
