"""What a case and its consultations know of each other: only what has been recorded (K4a).

They are told to look by a signal that says nothing itself, so nobody can tell a case of an answer that was never given.
"""

from typing import Final

import asyncpg
from temporalio import activity

from activities.postgres.pool import query
from decisions.errands import LOOK_UP_ASKING, LOOK_UP_ENDED, AllEnded, Asking, Consulting, Ended, Questioned
from omhand.contract.names import ConsultationStatus, EventName, Outcome
from omhand.contract.opening import StaffMember
from omhand.contract.wire import read

ENDS: Final = {
    Outcome.REFUSED: ConsultationStatus.REFUSED,
    Outcome.WITHDRAWN: ConsultationStatus.WITHDRAWN,
    Outcome.CANCELLED: ConsultationStatus.WITHDRAWN,
    Outcome.NOT_NEEDED: ConsultationStatus.NOT_NEEDED,
}
"""How the case that asked calls an end. Every other one is an answer: the consulted unit has dealt with it."""


class Consultations:
    """The activities that look."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @activity.defn(name=LOOK_UP_ENDED)
    async def look_up_ended(self, asked: Consulting) -> AllEnded:
        """Those consultations that have ended, and how."""
        rows = await self._pool.fetch(query("ended_consultations"), list(asked.consultations), asked.asked_by)
        return AllEnded(ended=tuple(map(_ended, rows)))

    @activity.defn(name=LOOK_UP_ASKING)
    async def look_up_asking(self, asked: Questioned) -> Asking:
        """Whether the case that asked still does."""
        row = await self._pool.fetchrow(query("asking_case"), asked.asked_by, asked.consultation)
        if row and row["withdrawn"]:
            return Asking(status=ConsultationStatus.WITHDRAWN, by=_staff(row["withdrawn_by"]))
        return Asking(status=ConsultationStatus.NOT_NEEDED if row and row["closed"] else ConsultationStatus.OPEN)


def _ended(row: asyncpg.Record) -> Ended:
    said = row["detail"] or {}
    is_answer = row["event"] == EventName.ANSWERED
    return Ended(
        case_id=row["case_id"],
        status=ENDS.get(row["outcome"], ConsultationStatus.ANSWERED),
        unit=said.get("unit") or row["responsible_unit"],
        by=_staff(row["by"]),
        takes_over=is_answer and said["takes_over"],
        advice=said["advice"] if is_answer else said.get("note"),
        reason=said.get("reason"),
    )


def _staff(by: object) -> StaffMember | None:
    """Who did it, where that was a member of staff."""
    return read(StaffMember, by) if isinstance(by, dict) and "staff" in by else None
