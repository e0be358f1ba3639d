"""Publishes and withdraws bookable times (P2), for the command ``omhand slots`` (contract §8)."""

import asyncio
from pathlib import Path

from activities.postgres.pool import open_pool, query
from activities.slots import Published, Transaction, publish, withdraw
from omhand.contract.directory import Directory
from omhand.contract.names import Code
from omhand.contract.wire import read
from workers.load import MOVE_FIRST, LoadError, held_faults
from workers.rule_files import read_slots, slot_faults


class SlotRefused(Exception):  # noqa: N818 - as the client's errors of that kind
    """A time stays as it is: the contract's code, and why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


async def publish_file(dsn: str, path: Path) -> Published:
    """Publish the times of a file, checked against the newest directory.

    Raises:
        LoadError: something is wrong in it, or it changes a time that a case holds. Nothing has been published.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    slots, faults = await asyncio.to_thread(read_slots, path)
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection, connection.transaction():
        # A directory that is loaded meanwhile must not leave out a unit for which times are published.
        await connection.execute(query("lock_rules"))
        faults += slot_faults(slots, await _newest_directory(connection))
        published = Published() if faults else await publish(connection, slots)
        faults += held_faults(published.held)
        if faults:
            raise LoadError([f"{path.name}: {fault}" for fault in faults])
        return published


async def withdraw_slot(dsn: str, slot_id: str) -> None:
    """Withdraw a time that nobody holds.

    Raises:
        SlotRefused: ``UnknownSlot``, there is no such time or not any more; ``SlotTaken``, a case holds it.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection, connection.transaction():
        found = await withdraw(connection, slot_id)
    if found is None:
        raise SlotRefused(Code.UNKNOWN_SLOT, "there is no such bookable time, or not any more")
    if found.held_by:
        raise SlotRefused(Code.SLOT_TAKEN, f"case {found.held_by} holds it: {MOVE_FIRST}")


async def _newest_directory(connection: Transaction) -> Directory:
    version = await connection.fetchval(query("newest_rules"))
    if version is None:
        raise LoadError(["no directory has been loaded yet: run `omhand load`"])
    row = await connection.fetchrow(query("rules_of_version"), version)
    return read(Directory, row["directory"])
