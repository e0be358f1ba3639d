"""Scheduled visits and the times that they book, as steps made by the rules; and a process that races others for times.

The rules are told that a time is free, so that it is the database that settles whose it is.
"""

import asyncio
import json
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).parent))
from samples import NORTH, PATIENT, REGION, soon

from activities.directory import Rules
from activities.postgres.pool import open_pool
from activities.records import Records
from activities.slots import publish, withdraw
from decisions.decide import decide, open_case, read_action
from decisions.effects import Decision, Refusal
from decisions.errands import Step
from decisions.facts import FoundSlot, answer, question
from decisions.receiving import answer_opening
from omhand.contract.actions import Action
from omhand.contract.directory import Slot
from omhand.contract.names import Kind
from omhand.contract.opening import Opening

DAY = timedelta(days=1)
TOMORROW = soon().replace(hour=12, minute=0, second=0, microsecond=0) + DAY  # the same in every process of a race


def a_slot(slot_id: str, **changes: Any) -> Slot:
    """A nurse's time at the northern unit, tomorrow."""
    given = {
        "id": slot_id,
        "unit": NORTH,
        "profession": "nurse",
        "starts_at": TOMORROW,
        "length": timedelta(minutes=20),
    }
    return Slot.model_validate(given | changes)


async def published(pool: asyncpg.Pool, *slots: Slot | str) -> None:
    """Publish times; an id is one like any other."""
    async with pool.acquire() as connection, connection.transaction():
        await publish(connection, [slot if isinstance(slot, Slot) else a_slot(slot) for slot in slots])


async def taken_back(pool: asyncpg.Pool, slot_id: str) -> FoundSlot | None:
    """Withdraw a time."""
    async with pool.acquire() as connection, connection.transaction():
        return await withdraw(connection, slot_id)


def visit(
    case_id: str, at: datetime | None = None, slot: str | None = None, found: FoundSlot | None = None, **changes: Any
) -> Step:
    """The first step of a scheduled visit: with a ticket (K2a), or booked by the unit (K2b), as it is ``found``."""
    at = at or soon()
    given: dict[str, Any] = {
        "case_id": case_id,
        "origin": "min_vard",
        "unit": NORTH,
        "profession": "nurse",
        "priority": 7,
        "patient": {"id": f"ref:of-{case_id}", "digital": True},
    }
    ticket = {"valid_from": at.isoformat(), "valid_until": (at + 14 * DAY).isoformat()}
    how = {"booking": {"slot": slot}} if slot else {"ticket": ticket}
    opening = Opening.model_validate(given | how | changes)
    found = found or (free(slot) if slot else None)
    kind = Kind.SCHEDULED_VISIT
    decision = open_case(kind, opening, answer_opening(kind, opening, at, REGION, found), at)
    return _written(decision, "run-1").model_copy(update={"patient": opening.patient and opening.patient.id})


def free(slot: str) -> FoundSlot:
    """A time as the rules see it before they decide."""
    return FoundSlot.model_validate(a_slot(slot).model_dump())


def booking(before: Step, slot: str, found: FoundSlot | None = None) -> Step:
    """The patient books, or moves to this time, as it is ``found``."""
    return _acted(before, "book", found or free(slot), slot=slot)


def cancelling(before: Step) -> Step:
    """The patient cancels the booking."""
    return _acted(before, "cancel_booking", None)


def ending(before: Step) -> Step:
    """The patient cancels the whole visit."""
    return _acted(before, "cancel", None, reason="mår bra")


def _acted(before: Step, name: str, found: FoundSlot | None, **payload: Any) -> Step:
    at = soon()
    action = read_action(name, {"by": PATIENT} | payload)
    assert isinstance(action, Action), action
    decision = decide(before.case, action, at, answer(question(before.case, action, at), REGION, found))
    assert not isinstance(decision, Refusal), decision
    return _written(decision, before.run_id)


def _written(decision: Decision, run_id: str) -> Step:
    return Step(
        run_id=run_id,
        case=decision.case,
        events=decision.events,
        notices=decision.notices,
        takes=decision.takes,
        settles=decision.settles,
    )


async def until_waiting(connection: asyncpg.Pool | asyncpg.Connection, many: int) -> None:
    """So many wait for a lock. Postgres tells nobody when that is so."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await connection.fetchval(waiting) < many:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Races: a process of several


CASES_AT_ONCE = 6


class Racer:
    """Does to its own cases what the patients of many want at once, and says what came of it."""

    def __init__(self, pool: asyncpg.Pool, name: str, slots: list[str]) -> None:
        self.pool = pool
        self.records = Records(pool, Rules(pool))
        self.name = name
        self.slots = slots
        self.chance = random.Random(name)
        self.gone: set[str] = set()
        self.told: dict[str, str] = {}

    async def hunt(self, case_id: str) -> None:
        """Random times until one is had, or all are known to be others': told ``taken`` each time (K2a)."""
        opened = visit(case_id)
        assert (await self.records.record(opened)).slot_fault is None
        tries = self.chance.sample(self.slots, len(self.slots))
        for nth, slot in enumerate(tries):
            if nth and slot in self.gone:
                continue
            answer = await self.records.record(booking(opened, slot))
            self.told[case_id] = answer.slot_fault or slot
            if answer.slot_fault is None:
                return
            self.gone.add(slot)

    async def wander(self, case_id: str, times: int) -> None:
        """Books, moves and cancels at random. What it is told it holds is what it holds."""
        step = visit(case_id)
        await self.records.record(step)
        for _ in range(times):
            held = step.case.booking.slot if step.case.booking else None
            slot = self.chance.choice(self.slots)
            if slot == held:
                continue
            wish = cancelling(step) if held and self.chance.random() < 0.2 else booking(step, slot)
            if (await self.records.record(wish)).slot_fault is None:
                step = wish
        self.told[case_id] = step.case.booking.slot if step.case.booking else "nothing"

    async def meddle(self, times: int) -> None:
        """Publishes all times anew with another length, and withdraws one, while they are booked (P2)."""
        for nth in range(times):
            length = timedelta(minutes=15 + nth % 2)
            async with self.pool.acquire() as connection, connection.transaction():
                await publish(connection, [a_slot(slot, length=length) for slot in self.slots])
            await taken_back(self.pool, self.chance.choice(self.slots))
        await published(self.pool, *self.slots)

    async def side_by_side(self, cases: list[str], times: int) -> None:
        """All of its cases, a few at once. ``times`` is 0 where each hunts for one time."""
        waiting = list(cases)

        async def work() -> None:
            while waiting:
                case_id = waiting.pop()
                await (self.wander(case_id, times) if times else self.hunt(case_id))

        await asyncio.gather(*(work() for _ in range(CASES_AT_ONCE)))


async def main(dsn: str, name: str, cases: int, slots: int, times: int, meddling: int) -> None:
    """Race, when whoever started this says so on standard input; what came of each case on standard output."""
    async with open_pool(dsn, most=CASES_AT_ONCE) as pool:
        racer = Racer(pool, name, [f"slot-{n}" for n in range(slots)])
        print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
        await asyncio.to_thread(sys.stdin.readline)
        mine = [f"case-{name}-{n}" for n in range(cases)]
        await asyncio.gather(racer.side_by_side(mine, times), racer.meddle(meddling))
        print(json.dumps(racer.told), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
