"""How a case was opened, as Postgres remembers it after Temporal has forgotten (contract §1: never a second case)."""

from dataclasses import dataclass

import asyncpg

from activities.postgres.pool import query
from omhand.contract.names import Kind


@dataclass(frozen=True, slots=True)
class Opened:
    """A case's beginning: the first run of its workflow, what it was, and whom it came to."""

    run_id: str
    kind: Kind
    unit: str
    profession: str
    asked_by: str | None


async def find_opened(pool: asyncpg.Pool, case_id: str) -> Opened | None:
    """How the case was opened; None where no such case has been recorded."""
    row = await pool.fetchrow(query("find_opened"), case_id)
    if row is None:
        return None
    return Opened(row["run_id"], Kind(row["kind"]), row["received_by"], row["opened_profession"], row["asker_case"])
