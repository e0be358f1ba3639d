"""Stores a checked directory and policy as a new version of the rules (contract §7)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from asyncpg import Connection
from asyncpg.pool import PoolConnectionProxy

from activities.postgres.pool import open_pool, query
from workers.rule_files import RuleFiles, read_files


class LoadError(Exception):
    """The files cannot be used. ``faults`` has every one with its place; as text, one a line."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


async def load(dsn: str, directory: Path, policy: Path) -> int:
    """Store both files as a new version, and give its number; the newest's, where that says the same already.

    Raises:
        LoadError: something is wrong in them, or they leave out a unit that has open cases. Nothing has been stored.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    files = await asyncio.to_thread(read_files, directory, policy)
    if files.faults:
        raise LoadError(files.faults)
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection, connection.transaction():
        await connection.execute(query("lock_rules"))
        await _keeps_responsible_units(connection, files, directory)
        version: int = await connection.fetchval(query("load_rules"), files.directory, files.policy)
        return version


async def _keeps_responsible_units(
    connection: "Connection | PoolConnectionProxy", files: RuleFiles, directory: Path
) -> None:
    """A unit that is responsible for open cases stays: nobody else could accept, close or be called about them (H3)."""
    known = {unit["id"] for unit in files.directory["unit"]}
    rows = await connection.fetch(query("units_with_open_cases"))
    faults = [
        f"{directory.name}: unit {row['unit_id']}: is left out, and is responsible for {row['open_cases']} open cases"
        for row in rows
        if row["unit_id"] not in known
    ]
    if faults:
        raise LoadError(faults)


def check_files(directory: Path, policy: Path) -> list[str]:
    """Every fault of both files, each as ``file: place: what is wrong``. Empty where all is well."""
    return list(read_files(directory, policy).faults)


async def has_rules(dsn: str) -> bool:
    """Whether a directory and a policy have been loaded.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with open_pool(dsn, most=1) as pool:
        return await pool.fetchval(query("newest_rules")) is not None
