"""The access log: who touched or read what, when and from where (patientdatalagen; HSLF-FS 2016:40).

What is done to a case is logged by the step that does it; what is read is logged here, before it is shown. Each entry
holds the hash of the one before it, so a changed, removed or inserted entry shows. What a chain alone cannot show is
that somebody who owns the database cut its end off, or made all of it anew: for that, keep an *anchor* elsewhere, the
number and hash of the last entry at some time, and have it looked for.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from temporalio import activity

from activities.assertions import Assertions
from activities.postgres.pool import query
from decisions.errands import LOG_READ, ReadLogged, ReadToLog
from omhand.contract.reads import Reader

_BEFORE_THE_FIRST: Final = hashlib.sha256(b"omhand access log").digest()
_AT_A_TIME: Final = 1_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry of the chain: its number, from 1, and its hash; 0 is before the first."""

    entry: int
    hash: bytes

    def __str__(self) -> str:
        """``<entry>:<hash in hex>``."""
        return f"{self.entry}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> "Anchor":
        """What `str` gave. Raises ValueError, without quoting it, for anything else."""
        number, _, digest = text.strip().partition(":")
        if not (number.isascii() and number.isdigit()) or len(digest) != 2 * hashlib.sha256().digest_size:
            msg = "must be <number>:<64 hexadecimal digits>"
            raise ValueError(msg)
        try:
            return cls(int(number), bytes.fromhex(digest))
        except ValueError:
            msg = "must be <number>:<64 hexadecimal digits>"
            raise ValueError(msg) from None


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of checking the chain: how far it holds, and what is wrong; no fault means that all of it holds."""

    last: Anchor
    faults: tuple[str, ...]


class AccessLog:
    """Adds reads to the log."""

    def __init__(self, database: asyncpg.Pool | asyncpg.Connection, assertions: Assertions | None = None) -> None:
        self._database = database
        self._assertions = assertions

    @activity.defn(name=LOG_READ)
    async def log_for_client(self, asked: ReadToLog) -> ReadLogged:
        """Log what a client without a database is going to read, where whoever reads is vouched for.

        Raises:
            OSError, asyncpg.PostgresError: it could not be logged.
        """
        refused = await self._assertions.of_read(asked) if self._assertions else None
        read = asked.read
        # Whoever was refused has tried, and that is logged, too.
        await self.log_read(
            case_id=read.case_id,
            action=f"{read.action} refused" if refused else read.action,
            staff=read.by.staff if read.by else None,
            unit=read.by.unit if read.by else None,
            via=read.via,
            about=read.about,
        )
        return ReadLogged(refused=refused)

    async def log_command(
        self, action: str, by: Reader | None, *, case_id: str | None = None, patient: str | None = None
    ) -> None:
        """Add what somebody does by a command; raises as `log_read`."""
        staff, unit = (by.staff, by.unit) if by else (None, None)
        await self.log_read(case_id=case_id, action=action, staff=staff, unit=unit, via="command", patient=patient)

    async def log_read(
        self,
        *,
        case_id: str | None,
        action: str,
        staff: str | None,
        unit: str | None,
        via: str,
        by_patient: bool = False,
        about: str | None = None,
        patient: str | None = None,
    ) -> None:
        """Add one entry. ``about`` is the unit whose list is read, ``via`` what it is read through.

        ``patient`` is the token of the patient whose log is read; of a case it is known.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: it could not be logged, so nothing
                may be shown.
        """
        await self._database.execute(query("log_read"), case_id, action, staff, unit, by_patient, via, about, patient)


async def verify(connection: asyncpg.Connection, anchors: Sequence[Anchor] = ()) -> Verified:
    """Check the whole chain, from its first entry to its head, and that it goes through each anchor.

    Where the first entries are gone, as they have been archived, it begins at an anchor of the last of them. The first
    entry that does not hold ends the check: what comes after it rests on it.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be read.
    """
    last = Anchor(0, _BEFORE_THE_FIRST)
    kept: dict[int, set[Anchor]] = {}
    for anchor in anchors:
        kept.setdefault(anchor.entry, set()).add(anchor)
    missed = set(kept) - {0}
    if kept.get(0, {last}) != {last}:
        return Verified(last, ("the chain does not begin at the anchor of an empty log that was kept",))
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        head = await connection.fetchrow(query("access_head"))
        async for row in connection.cursor(query("access_entries"), prefetch=_AT_A_TIME):
            if last.entry == 0 and len(kept.get(row["entry"] - 1, ())) == 1:
                (last,) = kept[row["entry"] - 1]
                missed -= {entry for entry in missed if entry <= last.entry}
            following = Anchor(row["entry"], _hash(last, row))
            fault = _fault(last, following, row)
            if fault:
                return Verified(last, (fault,))
            last = following
            missed.discard(last.entry)
            if kept.get(last.entry, {last}) != {last}:
                return Verified(last, (f"entry {last.entry} is not the one of the anchor that was kept",))
    faults = [f"entry {entry} is missing: an anchor of it was kept" for entry in sorted(missed)]
    if Anchor(head["entry"], head["hash"]) != last:
        faults.append(f"the chain ends at entry {last.entry}, and was {head['entry']} entries long")
    return Verified(last, tuple(faults))


def _fault(last: Anchor, following: Anchor, row: asyncpg.Record) -> str | None:
    if following.entry != last.entry + 1:
        return f"entry {last.entry + 1} is missing: {following.entry} follows {last.entry}"
    if following.hash != row["hash"]:
        return f"entry {following.entry} has been changed, or the one before it"
    return None


_HASHED: Final = (
    "case_id",
    "seq",
    "nth",
    "patient",
    "staff",
    "unit_id",
    "by_patient",
    "action",
    "about",
    "via",
    "login",
)


def _hash(before: Anchor, row: asyncpg.Record) -> bytes:
    """As `omhand.chain_access` made it: each column as its length in bytes and itself, "-" for null."""
    fields = [row["entry"], row["at_microseconds"], *(row[name] for name in _HASHED)]
    return hashlib.sha256(before.hash + ",".join(map(_field, fields)).encode()).digest()


def _field(value: Any) -> str:  # noqa: ANN401 - a column's
    if value is None:
        return "-"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{len(text.encode())}:{text}"
