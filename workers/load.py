"""Stores a checked directory and policy as a new version of the rules (contract §7)."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activities.postgres.pool import open_pool, query
from activities.slots import LeftOut, Published, Transaction, leave_out, publish
from decisions.canary import CANARY_UNIT
from decisions.facts import FoundSlot
from omhand.contract.directory import Directory
from omhand.contract.wire import read
from workers.rule_files import read_files

MOVE_FIRST: Final = "move or cancel that visit first"


class LoadError(Exception):
    """The files cannot be used. ``faults`` has every one with its place; as text, one a line."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The version that is in force, and what has become of bookable times."""

    version: int
    slots: Published
    left_out: LeftOut


async def load(dsn: str, directory: Path, policy: Path) -> int:
    """As `store`, for those who only want to know the version."""
    return (await store(dsn, directory, policy)).version


async def store(dsn: str, directory: Path, policy: Path) -> Loaded:
    """Store both files as a new version, where they do not say the same as the newest, and publish their times (P2).

    Raises:
        LoadError: something is wrong in them, or they leave out a unit that has open cases, or change a time that a
            case holds. Nothing has been stored.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    files = await asyncio.to_thread(read_files, directory, policy)
    if files.faults:
        raise LoadError(files.faults)
    async with rules_locked(dsn) as connection:
        told = read(Directory, files.directory)
        slots = await publish(connection, told.slot, by_directory=True)
        faults = [*held_faults(slots.held), *await missing_units(connection, told)]
        if faults:
            raise LoadError([f"{directory.name}: {fault}" for fault in faults])
        left_out = await leave_out_of(connection, told)
        version: int = await connection.fetchval(query("load_rules"), files.directory, files.policy, None)
        return Loaded(version, slots, left_out)


@asynccontextmanager
async def rules_locked(dsn: str) -> AsyncIterator[Transaction]:
    """A transaction in which nobody else makes a new version of the rules."""
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection, connection.transaction():
        await connection.execute(query("lock_rules"))
        yield connection


async def leave_out_of(connection: Transaction, directory: Directory) -> LeftOut:
    """Withdraw the bookable times that this directory, which is to be the newest, does not have."""
    return await leave_out(
        connection,
        slots=[slot.id for slot in directory.slot],
        units=[unit.id for unit in directory.unit],
        professions=[profession.name for profession in directory.profession],
    )


def held_faults(slots: Sequence[FoundSlot]) -> Iterator[str]:
    """Of times that a file changes, and that cases hold: the patient has been told another one."""
    for slot in slots:
        yield f"slot {slot.id}: is changed, and case {slot.held_by} holds it: {MOVE_FIRST}"


async def missing_units(connection: Transaction, directory: Directory) -> list[str]:
    """A unit that open cases need stays: nobody else could accept, close or be called about them (H3).

    The canaries' unit stands in no directory.
    """
    known = {unit.id for unit in directory.unit} | {CANARY_UNIT}
    rows = await connection.fetch(query("units_with_open_cases"))
    return [
        f"unit {row['unit_id']}: is left out, and {row['open_cases']} open cases need it"
        for row in rows
        if row["unit_id"] not in known
    ]


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
