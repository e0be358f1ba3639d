"""The audit: whether all cases stand the same in Postgres and in Temporal, and whether all of them are awake.

The timers in each case see to it that none is forgotten. This is for the day on which a timer is not there, or one of
the two stores has been put back to an earlier hour. It names each case that differs, region-wide and every few minutes;
the check at closing (``closing_check.py``) tells the unit's manager.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zlib import crc32

from decisions.closing_check import GRACE
from decisions.lifecycle import replay
from omhand.contract.events import Event
from omhand.contract.wire import Flag, Number, ShortText, Time, Wire, read

AUDIT: Final = "audit"
"""``Auditing -> Audited``: looks, looks again at what differs, and writes down what still does."""
SEND_HEARTBEAT: Final = "send_heartbeat"
"""``Heartbeat -> Heartbeat``: whoever waits for it outside is told that the audit was made."""

EVERY: Final = timedelta(minutes=5)
SLICES: Final = 12
"""So many audits look at each event of every case once; every audit looks at everything else of all of them."""
LOOKS_BACK: Final = timedelta(days=1)
"""So old are the closed cases of which every audit sees to it that Postgres knows them."""
LOOKS_FAR_BACK: Final = timedelta(days=90)
"""The same of one that looks at everything; Temporal has forgotten most of them by then."""
TOLD_WITHIN: Final = timedelta(minutes=10)
"""A notification that has not gone out by then is stuck."""


class Fault(StrEnum):
    """What is wrong with a case, or with its notifications."""

    NOT_RUNNING = "not_running"
    """Open in Postgres, and nothing runs that watches it."""
    NOT_BEGUN = "not_begun"
    """It has been started, by a backend, an intake or a repair, and does not come to its beginning."""
    OF_ANOTHER_RUN = "of_another_run"
    """Its rows are those of another run than the one that is the case now: nothing that it does can be recorded."""
    PAUSED = "paused"
    """Operators have paused it in Temporal: nothing happens by itself, and nobody's action is taken up."""
    NOT_RECORDED = "not_recorded"
    """It runs, or has been closed, and Postgres does not know it: it is on no worklist, and in no report."""
    NOT_CLOSED = "not_closed"
    """Closed in Temporal, and still open in Postgres."""
    NOT_OPEN = "not_open"
    """Closed in Postgres, and still running as open."""
    BEHIND = "behind"
    """Postgres lacks its last events."""
    AHEAD = "ahead"
    """Postgres has events that the case does not know of."""
    OVERSLEPT = "overslept"
    """Something was due by itself, and has not happened."""
    UNREADABLE = "unreadable"
    """Its log does not give a case."""
    UNTOLD = "untold"
    """A notification has been waiting for too long."""
    STUCK = "stuck"
    """Its workflow's tasks fail again and again, or it does not answer."""


class Auditing(Wire):
    """An audit is to be made."""

    at: Time
    deep: Flag = False
    """Look at each event of every case, not only of this audit's slice of them."""


class Audited(Wire):
    """What it came to."""

    compared: Number
    found: Number
    cases: tuple[ShortText, ...] = ()
    """The first of those that differ, with what is wrong, as ``<case id>: <fault>``."""


class Heartbeat(Wire):
    """A sign of life that is sent outward."""

    at: Time
    sent: Flag = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """A case as Postgres has it."""

    is_open: bool
    seq: int
    next_at: datetime | None
    run_id: str | None = None
    """Whose rows they are; None where that has not been looked at."""


@dataclass(frozen=True, slots=True)
class Running:
    """A case's workflow as Temporal shows it. A case that has ended may still be sending its last words."""

    is_running: bool
    """Else it has been completed, and its result says how."""
    is_open: bool
    began_at: datetime | None = None
    """Of one that has not come to its beginning: when it was started."""
    is_paused: bool = False
    is_silent: bool = False
    """It was asked how it stands, and did not answer."""
    seq: int | None = None
    """Of its last event; None where that has not been looked at."""
    run_id: str | None = None
    """Of its first run; None where that has not been looked at."""


def faults_of(recorded: Recorded | None, running: Running | None, at: datetime) -> Sequence[Fault]:
    """What is wrong with a case, as it stands on both sides; None where a side does not have it."""
    hindrance = _hindrance(running, at)
    if hindrance is Fault.NOT_BEGUN and recorded is None:
        return [Fault.NOT_RECORDED]
    if hindrance:
        return [hindrance]
    if recorded is None:
        is_case = running is not None and (running.is_open or not running.is_running)
        return [Fault.NOT_RECORDED] if is_case else []
    if recorded.is_open:
        return _of_open(recorded, running, at)
    return [Fault.NOT_OPEN] if running and running.is_running and running.is_open else []


def _hindrance(running: Running | None, at: datetime) -> Fault | None:
    """What keeps the workflow from doing anything."""
    if running is None:
        return None
    if running.is_paused:
        return Fault.PAUSED
    if running.is_silent:
        return Fault.STUCK
    return Fault.NOT_BEGUN if running.began_at is not None and running.began_at < at - GRACE else None


def _of_open(recorded: Recorded, running: Running | None, at: datetime) -> Sequence[Fault]:
    if running is None:
        return [Fault.NOT_RUNNING]
    if not running.is_running:
        return [Fault.NOT_CLOSED]
    faults = []
    if recorded.run_id and running.run_id and recorded.run_id != running.run_id:
        faults.append(Fault.OF_ANOTHER_RUN)
    if running.seq is not None and running.seq != recorded.seq:
        faults.append(Fault.BEHIND if recorded.seq < running.seq else Fault.AHEAD)
    if recorded.next_at is not None and recorded.next_at < at - GRACE:
        faults.append(Fault.OVERSLEPT)
    return faults


def next_in(case_id: str, log: Sequence[Mapping[str, Any]], seq: int) -> datetime | None:
    """When something happens by itself next, by the rows of a case's events; ``seq`` is the number of its last one.

    Raises:
        ValueError: the rows are missing, malformed or out of order, and do not give the case.
    """
    try:
        case = replay(case_id, (read(Event, row) for row in log))
    except AttributeError as error:
        msg = "the log does not begin with the opening"
        raise ValueError(msg) from error
    if case.seq != seq:
        msg = "the log does not end where the case's row says"
        raise ValueError(msg)
    moment = case.next_moment()
    return moment.at if moment else None


def is_of_slice(case_id: str, at: datetime) -> bool:
    """Whether this audit looks at each event of the case: its turn comes once in so many audits."""
    turn = int(at.timestamp() / EVERY.total_seconds())
    return (crc32(case_id.encode()) + turn) % SLICES == 0
