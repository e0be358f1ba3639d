"""Reads the access log for whoever looks after it, and for the patient (patientdatalagen 8:5; HSLF-FS 2016:40)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from activities.access import AccessLog, Anchor, Verified, verify
from activities.patients import Patients
from activities.postgres.pool import open_pool, query
from omhand.codec import KeyRing
from omhand.contract.reads import Reader


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log, with the unit's name where the directory has it."""

    at: datetime
    action: str
    case_id: str | None
    unit: str | None
    unit_name: str | None
    staff: str | None
    by_patient: bool
    via: str


async def verify_log(dsn: str, anchors: Sequence[Anchor]) -> Verified:
    """Check the chain. Raises as `activities.access.verify`."""
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection:
        return await verify(connection, anchors)


async def of_patient(
    dsn: str, keys_file: Path | None, patient: str, since: datetime | None, until: datetime | None, by: Reader | None
) -> list[Entry]:
    """Everything that was done to or read of the cases of a patient, by their normalised identity; the oldest first.

    Raises:
        KeyRingError: the key ring cannot be used.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be read, or does not let us.
    """
    linking = KeyRing.read(keys_file).linking if keys_file else None
    async with open_pool(dsn, most=1) as pool:
        tokens = await Patients(pool, linking).tokens(patient)
        await AccessLog(pool).log_command("audit patient", by, patient=tokens[0])
        return _entries(await pool.fetch(query("access_of_patient"), tokens, since, until))


async def of_case(
    dsn: str, case_id: str, since: datetime | None, until: datetime | None, by: Reader | None
) -> list[Entry]:
    """Everything that was done to or read of a case; raises as `of_patient`."""
    async with open_pool(dsn, most=1) as pool:
        await AccessLog(pool).log_command("audit case", by, case_id=case_id)
        return _entries(await pool.fetch(query("access_of_case"), case_id, since, until))


def _entries(rows: Sequence[Any]) -> list[Entry]:
    return [Entry(**row) for row in rows]
