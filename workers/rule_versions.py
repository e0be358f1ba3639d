"""The versions of directory and policy (contract §7): which there are, what differs, how an earlier one is put back."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from activities.postgres.pool import open_pool, query
from activities.slots import LeftOut, Transaction
from decisions.policy_diff import Change, Rules, compare, in_words
from omhand.contract.directory import Directory
from omhand.contract.policy import Policy
from omhand.contract.wire import Malformed, read
from workers.load import LoadError, leave_out_of, missing_units, rules_locked
from workers.rule_files import check_rules, read_files, toml_of

Json = dict[str, Any]


class NoSuchVersion(Exception):  # noqa: N818 - named for what it is
    """There is no such version of the rules."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules. The newest is in force for new cases; each case keeps the policy it was opened under."""

    version: int
    loaded_at: datetime
    restores: int | None
    """The version that was put back with it; None: it came of files."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a version says, as its files did."""

    version: int
    directory: Json
    policy: Json

    def toml(self, part: str) -> str:
        """The ``directory`` or the ``policy`` as a file that `omhand load` takes."""
        return toml_of(self.directory if part == "directory" else self.policy)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two versions; ``new`` is None where files are compared that have not been loaded."""

    old: int
    new: int | None
    changes: tuple[Change, ...]

    def words(self) -> Iterator[str]:
        """A line or more for each change."""
        return in_words(self.changes)


@dataclass(frozen=True, slots=True)
class Restored:
    """The version that is in force now, and the bookable times that nobody would be there for any more."""

    version: int
    left_out: LeftOut


async def list_versions(dsn: str) -> list[Version]:
    """All versions, the newest first.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with open_pool(dsn, most=1) as pool:
        return [Version(**row) for row in await pool.fetch(query("rule_versions"))]


async def stored_version(dsn: str, version: int | None = None) -> Stored:
    """A version, or that which is in force.

    Raises:
        NoSuchVersion: there is none.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with open_pool(dsn, most=1) as pool:
        return await _stored(pool, version)


async def difference(dsn: str, old: int | None = None, new: int | None = None) -> Difference:
    """What differs between two versions: between the one in force and the one before it, where nothing else is said.

    Raises:
        NoSuchVersion: there is no such version.
        LoadError: this program cannot read one of them.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with open_pool(dsn, most=1) as pool:
        later = await _stored(pool, new)
        if old is None and later.version == 1:
            msg = "version 1 is the first: there is none before it to compare it with"
            raise NoSuchVersion(msg)
        before = await _stored(pool, later.version - 1 if old is None else old)
    return Difference(before.version, later.version, tuple(compare(_rules(before), _rules(later))))


async def difference_to_files(dsn: str, directory: Path, policy: Path) -> Difference:
    """What loading these files would change.

    Raises:
        LoadError: something is wrong in them.
        NoSuchVersion: nothing has been loaded yet.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    files = await asyncio.to_thread(read_files, directory, policy)
    if files.faults:
        raise LoadError(files.faults)
    now = await stored_version(dsn)
    then = Rules(read(Directory, files.directory), read(Policy, files.policy))
    return Difference(now.version, None, tuple(compare(_rules(now), then)))


async def restore(dsn: str, version: int) -> Restored:
    """Put an earlier version back, as a new one; nothing happens where it is in force already.

    Rules are put back, and not bookable times: those are what units have to give today, and the times of an earlier
    directory may have been withdrawn since, or have been booked and moved. The new version has the times of the one
    before it, but for those of units and professions that the earlier directory does not have.

    Raises:
        NoSuchVersion: there is no such version.
        LoadError: this program finds faults in it, or it has not got a unit that open cases need. Nothing has changed.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or has not been migrated.
    """
    async with rules_locked(dsn) as connection:
        then, now = await _stored(connection, version), await _stored(connection)
        if then.version == now.version:
            return Restored(version, LeftOut())
        directory = {**then.directory, "slot": list(_times(now.directory, then.directory))}
        checked = await asyncio.to_thread(check_rules, directory, then.policy)
        if checked.faults:
            raise LoadError(checked.faults)
        told = read(Directory, directory)
        faults = await missing_units(connection, told)
        if faults:
            raise LoadError([f"directory: {fault}" for fault in faults])
        left_out = await leave_out_of(connection, told)
        put_back: int = await connection.fetchval(query("load_rules"), directory, then.policy, version)
        return Restored(put_back, left_out)


def _times(now: Json, then: Json) -> Iterator[Json]:
    units = {unit["id"] for unit in then["unit"]}
    professions = {profession["name"] for profession in then["profession"]}
    for slot in now.get("slot", []):
        if slot["unit"] in units and slot["profession"] in professions:
            yield slot


async def _stored(connection: "asyncpg.Pool | Transaction", version: int | None = None) -> Stored:
    wanted = await connection.fetchval(query("newest_rules")) if version is None else version
    if wanted is None:
        msg = "no directory and policy have been loaded yet: run `omhand load`"
        raise NoSuchVersion(msg)
    row = await connection.fetchrow(query("rules_of_version"), wanted)
    if row is None:
        msg = f"there is no version {wanted} of directory and policy"
        raise NoSuchVersion(msg)
    return Stored(wanted, row["directory"], row["policy"])


def _rules(stored: Stored) -> Rules:
    try:
        return Rules(read(Directory, stored.directory), read(Policy, stored.policy))
    except Malformed as fault:
        raise LoadError([f"version {stored.version}: {each}" for each in fault.faults]) from fault
