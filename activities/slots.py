"""Bookable times (K2, P2, P3): found for a case that wants one, published and withdrawn by those who have them to give.

Which case holds which time is no business of this module: it is written with the case's step (``activities.records``).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

import asyncpg
from asyncpg import Connection
from asyncpg.pool import PoolConnectionProxy

from activities.postgres.pool import query
from decisions.facts import FoundSlot
from omhand.contract.directory import Slot
from omhand.contract.wire import Flag

Transaction: TypeAlias = "Connection | PoolConnectionProxy"
"""A connection on which a transaction has begun: all that is done with it is done at once, or nothing."""


class StoredSlot(FoundSlot):
    """A time as it stands in the database, withdrawn or not."""

    from_directory: Flag
    is_withdrawn: Flag

    def is_like(self, slot: Slot) -> bool:
        """Whether it is published with this very content."""
        return all(getattr(self, name) == getattr(slot, name) for name in Slot.model_fields)


@dataclass(frozen=True, slots=True)
class Published:
    """What came of times that were to be published; their ids, but of those that are held."""

    published: tuple[str, ...] = ()
    """New, moved, or bookable again."""
    unchanged: tuple[str, ...] = ()
    stay_withdrawn: tuple[str, ...] = ()
    """The directory has them as before, and they were withdrawn by hand."""
    held: tuple[FoundSlot, ...] = ()
    """Should be moved, and a case holds them: they stay as they are."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What came of times that a new directory leaves out; their ids."""

    withdrawn: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """A case holds them: they are withdrawn when they are free."""


async def find_slot(pool: "asyncpg.Pool | Transaction", slot_id: str) -> FoundSlot | None:
    """The bookable time of that id; None where there is none, or not any more."""
    row = await pool.fetchrow(query("find_slot"), slot_id)
    return FoundSlot.model_validate(dict(row)) if row else None


async def publish(transaction: Transaction, slots: Sequence[Slot], *, by_directory: bool = False) -> Published:
    """Publish times (P2), or move free ones that are published otherwise. The same again changes nothing.

    ``by_directory``: one that the newest directory has already, and that was withdrawn by hand, stays withdrawn until
    the directory says otherwise of it: loading anew, for another reason, must not bring it back unseen.
    """
    await transaction.execute(query("lock_slots"))
    rows = await transaction.fetch(query("slots_by_id"), [slot.id for slot in slots])
    there = {row["id"]: StoredSlot.model_validate(dict(row)) for row in rows}
    fates = {slot.id: _fate(slot, there.get(slot.id), by_directory=by_directory) for slot in slots}
    to_be = [slot.to_json() for slot in slots if fates[slot.id] is Fate.PUBLISHED]
    await transaction.execute(query("publish_slots"), to_be)
    return Published(
        published=_ids(fates, Fate.PUBLISHED),
        unchanged=_ids(fates, Fate.UNCHANGED),
        stay_withdrawn=_ids(fates, Fate.STAYS_WITHDRAWN),
        held=tuple(there[slot_id] for slot_id in _ids(fates, Fate.HELD)),
    )


class Fate(Enum):
    """What becomes of a time that is to be published."""

    PUBLISHED = auto()
    UNCHANGED = auto()
    STAYS_WITHDRAWN = auto()
    HELD = auto()


def _fate(slot: Slot, before: StoredSlot | None, *, by_directory: bool) -> Fate:
    if before is None:
        return Fate.PUBLISHED
    if not before.is_like(slot):
        return Fate.HELD if before.held_by else Fate.PUBLISHED
    if not before.is_withdrawn:
        return Fate.UNCHANGED
    return Fate.STAYS_WITHDRAWN if by_directory and before.from_directory else Fate.PUBLISHED


def _ids(fates: Mapping[str, Fate], fate: Fate) -> tuple[str, ...]:
    return tuple(slot_id for slot_id, found in fates.items() if found is fate)


async def leave_out(
    transaction: Transaction, slots: Collection[str], units: Collection[str], professions: Collection[str]
) -> LeftOut:
    """Withdraw what a new directory, which has these, leaves out. What it has has been published before, if at all.

    A time of a unit or a profession that the directory does not have goes, too: nobody would be there (H3).
    """
    await transaction.execute(query("lock_slots"))
    rows = await transaction.fetch(query("slots_left_out"), list(slots), list(units), list(professions))
    free = [row["id"] for row in rows if row["held_by"] is None]
    await transaction.execute(query("withdraw_slots"), free)
    kept = [row["id"] for row in rows if row["held_by"] is not None]
    await transaction.execute(query("slots_leave_when_freed"), kept)
    await transaction.execute(query("slots_of_directory"), list(slots))
    return LeftOut(withdrawn=tuple(free), kept=tuple(kept))


async def withdraw(transaction: Transaction, slot_id: str) -> FoundSlot | None:
    """Withdraw a time, and give it as it was. One that a case holds stays; None where there is none (any more)."""
    await transaction.execute(query("lock_slots"))
    found = await find_slot(transaction, slot_id)
    await transaction.execute(query("withdraw_slots"), [slot_id])
    return found
