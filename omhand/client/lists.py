"""What is read from Postgres: worklists and logs, by the views that readers may rely on (contract §5)."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

import asyncpg

from omhand.client.faults import NotConfigured, ServerAway, read_answer
from omhand.contract.names import Kind, Status
from omhand.contract.reads import Read
from omhand.contract.wire import (
    CaseId,
    Duration,
    Flag,
    HsaId,
    Number,
    ProfessionName,
    RegionCode,
    ShortText,
    Time,
    Wire,
)

DATABASE_URL: Final = "OMHAND_DATABASE_URL"
DATABASE_SECONDS: Final = 10.0
"""How long one list may take, connecting included."""
CONNECTIONS: Final = 4


class WorklistRow(Wire):
    """A case that a unit may act on (contract §5, ``worklist``)."""

    unit_id: HsaId
    stands: Literal["responsible", "offered", "handover", "consulted"]
    case_id: CaseId
    kind: Kind
    status: Status
    priority: Number | None
    profession: ProfessionName
    responsible_unit: HsaId
    assigned_to: HsaId | None
    escalation_level: Number
    due_at: Time | None
    overdue: Flag
    opened_at: Time
    linked_cases: tuple[CaseId, ...] = ()
    """Other open cases of the same patient. An extension of version 1, as are those below."""
    patient_region: RegionCode | None = None
    out_of_region: Flag = False
    """The patient is of another county than the region's own (P7)."""


class LogRow(Wire):
    """A row of a case's log (contract §5, ``case_log``)."""

    case_id: CaseId
    seq: Number
    at: Time
    event: str
    """One of ``EventName``, or a later version's."""
    by_staff: HsaId | None
    by_unit: HsaId | None
    by_patient: Flag = False
    """An extension of version 1."""
    detail: dict[str, Any]


class SlotRow(Wire):
    """A bookable time (P2; view ``bookable_times``, an extension of version 1)."""

    slot_id: ShortText
    unit_id: HsaId
    profession: ProfessionName
    starts_at: Time
    length: Duration
    is_free: Flag


_WORKLIST: Final = f"""
select {", ".join(WorklistRow.model_fields)} from omhand.worklist where unit_id = $1
order by due_at nulls last, priority nulls last, opened_at, case_id
"""  # noqa: S608 - the columns are the model's own
_LOG: Final = f"""
select {", ".join(LogRow.model_fields)} from omhand.case_log where case_id = $1 order by seq
"""  # noqa: S608 - the same
_SLOTS: Final = f"""
select {", ".join(SlotRow.model_fields)} from omhand.bookable_times
where ($1::text is null or unit_id = $1) and ($2::text is null or profession = $2)
    and ($3 or is_free and starts_at > now())
order by starts_at, unit_id, slot_id
"""  # noqa: S608 - the same
_PROFESSIONS: Final = "select omhand.professions_of($1, $2) as profession"
_LOG_READ: Final = "select omhand.log_read($1, $2, $3, $4, false, $5, $6, null)"


class Lists:
    """Reads the lists. Connects when the first is asked for."""

    def __init__(self, pool: asyncpg.Pool | None) -> None:
        self._pool = pool

    @classmethod
    async def of(cls, url: str | None) -> Self:
        """The lists of this database; without one, every list raises NotConfigured."""
        return cls(await asyncpg.create_pool(url, min_size=0, max_size=CONNECTIONS) if url else None)

    def database(self) -> asyncpg.Pool:
        """The database. Raises NotConfigured where none is named."""
        if self._pool is None:
            msg = f"{DATABASE_URL}: is not set, and this is read from Postgres"
            raise NotConfigured(msg)
        return self._pool

    @property
    def are_there(self) -> bool:
        """Whether there is a database to read from."""
        return self._pool is not None

    async def log_read(self, read: Read) -> None:
        """Add a read to the access log."""
        staff, unit = (read.by.staff, read.by.unit) if read.by else (None, None)
        await self._fetch(_LOG_READ, read.case_id, read.action, staff, unit, read.via, read.about)

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool:
            await self._pool.close()

    async def worklist(self, unit: str) -> list[WorklistRow]:
        """The open cases that a unit may act on, what is due first at the top."""
        return [read_answer(WorklistRow, row) for row in await self._fetch(_WORKLIST, unit)]

    async def log(self, case_id: str) -> list[LogRow]:
        """A case's log in the order of ``seq``; empty where there is no such case."""
        rows = await self._fetch(_LOG, case_id)
        return [read_answer(LogRow, {**row, "detail": json.loads(row["detail"])}) for row in rows]

    async def slots(self, unit: str | None, profession: str | None, *, every: bool) -> list[SlotRow]:
        """Free bookable times ahead, or every published one; the earliest first."""
        return [read_answer(SlotRow, row) for row in await self._fetch(_SLOTS, unit, profession, every)]

    async def professions_of(self, staff: str, unit: str) -> list[str]:
        """The professions that somebody has at a unit, by the newest directory."""
        return [str(row["profession"]) for row in await self._fetch(_PROFESSIONS, staff, unit)]

    async def _fetch(self, query: str, *args: object) -> Sequence[Mapping[str, Any]]:
        pool = self.database()
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return [dict(row) for row in await pool.fetch(query, *args)]
        except ValueError:
            msg = f"{DATABASE_URL}: is not the URL of a Postgres database"
            raise NotConfigured(msg) from None  # the cause quotes it, password and all
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError) as error:
            msg = "Postgres has not the schema that this client reads: run `omhand migrate`"
            raise ServerAway(msg) from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            msg = f"Postgres does not answer, or does not let us in ({type(error).__name__})"
            raise ServerAway(msg) from error
