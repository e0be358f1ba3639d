"""A process of several patients who each want one bookable time: ``python patients.py ADDRESS NAME PATIENTS SLOTS``.

Each has a ticket, and tries times at random until one is had, or all are known to be others'. What is not answered, as
a worker has been killed, is sent again with the same action id. What each was told is printed at the end.
"""

import asyncio
import json
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

NORTH = "SE2321000198-HC01"
AT_ONCE = 8
TRIES = 20


class Patients:
    """Those of one process."""

    def __init__(self, client: Client, name: str, slots: list[str]) -> None:
        self.client = client
        self.slots = slots
        self.chance = random.Random(name)
        self.gone: set[str] = set()
        self.told: dict[str, str] = {}

    async def hunt(self, case_id: str) -> None:
        """One patient: opens a case, and books."""
        case = await self.open(case_id)
        for nth, slot in enumerate(self.chance.sample(self.slots, len(self.slots))):
            if nth and slot in self.gone:
                continue
            self.told[case_id] = await self.book(case, slot, f"try-{nth}")
            if self.told[case_id] != "SlotTaken":
                return
            self.gone.add(slot)

    async def open(self, case_id: str) -> WorkflowHandle[Any, Any]:
        """A case with a ticket."""
        now = datetime.now(UTC)
        ticket = {"valid_from": (now - timedelta(minutes=1)).isoformat(), "valid_until": _later(now)}
        opening: Mapping[str, object] = {
            "case_id": case_id, "origin": "min_vard", "unit": NORTH, "profession": "nurse", "priority": 7,
            "patient": {"id": f"ref:{case_id}", "digital": True}, "ticket": ticket,
        }  # fmt: skip
        return await self.client.start_workflow(
            "ScheduledVisit",
            opening,
            id=f"case-{case_id}",
            task_queue="cases",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    async def book(self, case: WorkflowHandle[Any, Any], slot: str, action_id: str) -> str:
        """The time that is held then, or the code of the refusal."""
        wish = {"by": {"patient": True}, "slot": slot, "action_id": action_id}
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(20):
                    view = await case.execute_update("book", wish)
            except WorkflowUpdateFailedError as refused:
                cause = refused.cause
                return str(cause.type) if isinstance(cause, ApplicationError) else repr(cause)
            except (RPCError, TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
                continue
            return str(view["booking"]["slot"])
        return "never answered"

    async def all(self, case_ids: list[str]) -> None:
        """All of them, some at once."""
        waiting = list(case_ids)

        async def work() -> None:
            while waiting:
                await self.hunt(waiting.pop())

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def _later(now: datetime) -> str:
    return (now + timedelta(days=14)).isoformat()


async def main(address: str, name: str, patients: int, slots: int) -> None:
    """Race when whoever started this says so on standard input."""
    racers = Patients(await Client.connect(address), name, [f"slot-{number}" for number in range(slots)])
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
    await asyncio.to_thread(sys.stdin.readline)
    await racers.all([f"{name}-{number}" for number in range(patients)])
    print(json.dumps(racers.told), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
