"""Bookable times in a real Postgres (K2, P2, P3): whose a time is, who may change it, and what remains of a race."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import bookings
import pytest
from bookings import TOMORROW, a_slot, booking, cancelling, ending, free, published, taken_back, until_waiting, visit
from samples import NORTH, SOUTH, acted, both, looked_again
from stored import everything, rows

from activities.postgres.pool import open_pool, query
from activities.records import Records
from activities.slots import Published, find_slot, publish, withdraw
from decisions.errands import Recorded, Step
from decisions.facts import FoundSlot
from omhand.contract.directory import Slot


@pytest.fixture(autouse=True)
async def _none_of_the_directory(pool: asyncpg.Pool) -> None:
    """The times of a test are its own."""
    await pool.execute("delete from omhand.slots")


async def held(pool: asyncpg.Pool) -> dict[str, str | None]:
    """Whose each time is. Both sides say the same: a time has one case, and a case one time."""
    by_slot = {row["slot_id"]: row["case_id"] for row in await pool.fetch("select * from omhand.slots")}
    by_case = await pool.fetch("select slot, case_id from omhand.cases where slot is not null")
    assert {row["slot"]: row["case_id"] for row in by_case} == {
        slot: case_id for slot, case_id in by_slot.items() if case_id
    }
    assert len(by_case) == len({row["slot"] for row in by_case})
    return by_slot


async def written(records: Records, *steps: Step) -> None:
    """These steps, each of which is taken as it is."""
    for step in steps:
        answer = await records.record(step)
        assert (answer.slot_fault, answer.ahead) == (None, ())


# A step that books


async def test_booked_time_is_the_cases_until_it_moves(pool: asyncpg.Pool, records: Records) -> None:  # K2a
    await published(pool, "s1", "s2")
    first = visit("c1")
    booked = booking(first, "s1")
    await written(records, first, booked)
    assert await held(pool) == {"s1": "c1", "s2": None}
    assert await rows(pool, "select slot_id, is_free from omhand.bookable_times order by 1") == [
        {"slot_id": "s1", "is_free": False},
        {"slot_id": "s2", "is_free": True},
    ]
    moved = booking(booked, "s2")
    await written(records, moved)
    assert await held(pool) == {"s1": None, "s2": "c1"}
    assert await pool.fetchval("select responsible_unit from omhand.cases") == NORTH


async def test_unit_books_with_the_first_step(pool: asyncpg.Pool, records: Records) -> None:  # K2b
    await published(pool, "s1")
    await written(records, visit("c1", slot="s1"))
    assert await held(pool) == {"s1": "c1"}


@pytest.mark.parametrize("end", [cancelling, ending])
async def test_time_of_a_visit_that_is_cancelled_is_free_again(
    pool: asyncpg.Pool, records: Records, end: Any
) -> None:  # K2a
    await published(pool, "s1")
    first = visit("c1")
    booked = booking(first, "s1")
    await written(records, first, booked, end(booked), visit("c2", slot="s1"))
    assert await held(pool) == {"s1": "c2"}


async def test_visit_that_is_closed_holds_no_time(pool: asyncpg.Pool, records: Records) -> None:  # K2a
    # One that was held early leaves it to others; one that has passed is nobody's to book.
    await published(pool, "s1")
    booked = visit("c1", slot="s1")
    taken = acted(booked, "accept")
    await written(records, booked, taken, acted(taken, "close", outcome="treated", held_as="video"))
    assert await held(pool) == {"s1": None}


async def test_taken_time_is_told_and_nothing_of_the_step_is_written(pool: asyncpg.Pool, records: Records) -> None:
    # K2a K2b
    await published(pool, "s1", "s2")
    other = booking(visit("c2"), "s2")
    await written(records, visit("c1", slot="s1"), visit("c2"), other)
    before = await everything(pool)
    # Who wants to move keeps what they have; who opens a case with it has no case.
    for step in (booking(other, "s1"), visit("c3", slot="s1"), visit("c3", slot="s2")):
        assert await records.record(step) == Recorded(slot_fault="taken")
    assert await everything(pool) == before
    assert await held(pool) == {"s1": "c1", "s2": "c2"}


async def test_time_that_is_not_there_or_withdrawn_is_unknown(pool: asyncpg.Pool, records: Records) -> None:  # K2a
    await published(pool, "s1", "s2")
    await taken_back(pool, "s1")
    first = visit("c1", slot="s2")
    await written(records, first)
    before = await everything(pool)
    for step in (booking(first, "s1"), booking(first, "never"), visit("c2", slot="s1"), visit("c2", slot="never")):
        assert await records.record(step) == Recorded(slot_fault="unknown")
    assert await everything(pool) == before


async def test_same_booking_again_changes_nothing(pool: asyncpg.Pool, records: Records) -> None:  # K2a
    await published(pool, "s1", "s2")
    first = visit("c1")
    booked = booking(first, "s1")
    await written(records, first, booked)
    before = await everything(pool)
    await written(records, booked, both(first, booked), looked_again(booked))
    assert await everything(pool) == before
    assert await held(pool) == {"s1": "c1", "s2": None}


async def test_older_booking_that_comes_late_takes_nothing_back(pool: asyncpg.Pool, records: Records) -> None:  # K2a
    await published(pool, "s1", "s2")
    first = visit("c1")
    booked = booking(first, "s1")
    moved = booking(booked, "s2")
    await written(records, first, booked, moved, visit("c2", slot="s1"))
    before = await everything(pool)
    await written(records, booked, first)
    assert await everything(pool) == before
    assert await held(pool) == {"s1": "c2", "s2": "c1"}


async def test_steps_written_as_one_hold_the_last_time_only(pool: asyncpg.Pool, records: Records) -> None:
    await published(pool, "s1", "s2")
    first = visit("c1")
    booked = booking(first, "s1")
    await written(records, both(first, both(booked, booking(booked, "s2"))))
    assert await held(pool) == {"s1": None, "s2": "c1"}


async def test_step_that_was_written_otherwise_books_nothing(pool: asyncpg.Pool, records: Records) -> None:
    await published(pool, "s1", "s2")
    first = visit("c1")
    await written(records, first, booking(first, "s1"))
    assert (await records.record(booking(first, "s2"))).ahead
    assert await held(pool) == {"s1": "c1", "s2": None}


@pytest.mark.parametrize(
    "statement",
    [
        "update omhand.slots set case_id = 'c1' where slot_id = 's2'",
        "update omhand.slots set withdrawn_at = now() where slot_id = 's1'",
    ],
)
async def test_database_keeps_a_case_to_one_time_and_a_held_time_bookable(
    pool: asyncpg.Pool, records: Records, statement: str
) -> None:  # K2a
    await published(pool, "s1", "s2")
    await written(records, visit("c1", slot="s1"))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await pool.execute(statement)


async def test_time_at_another_unit_is_held_the_same(pool: asyncpg.Pool, records: Records) -> None:  # P3
    await published(pool, a_slot("south", unit=SOUTH))
    first = visit("c1")
    await written(records, first, booking(first, "south", await find_slot(pool, "south")))
    assert await held(pool) == {"south": "c1"}


# Publishing and withdrawing


async def publishing(pool: asyncpg.Pool, *slots: Slot) -> Published:
    """What came of publishing these."""
    async with pool.acquire() as connection, connection.transaction():
        return await publish(connection, slots)


async def stored(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    """All that is known of times."""
    return await rows(pool, "select * from omhand.slots order by slot_id")


async def test_published_time_is_found_as_it_was_given(pool: asyncpg.Pool) -> None:  # P2
    given = a_slot("s1", length=timedelta(days=1, hours=2, seconds=3))
    assert await find_slot(pool, "s1") is None
    assert (await publishing(pool, given)).published == ("s1",)
    assert await find_slot(pool, "s1") == FoundSlot.model_validate(given.model_dump())


async def test_held_time_says_whose_it_is(pool: asyncpg.Pool, records: Records) -> None:
    await published(pool, "s1")
    await written(records, visit("c1", slot="s1"))
    found = await find_slot(pool, "s1")
    assert found == free("s1").model_copy(update={"held_by": "c1"})


async def test_same_times_again_change_nothing(pool: asyncpg.Pool, records: Records) -> None:  # P2
    await published(pool, "s1", "s2")
    await written(records, visit("c1", slot="s1"))
    before = await stored(pool)
    assert await publishing(pool, a_slot("s1"), a_slot("s2")) == Published(unchanged=("s1", "s2"))
    assert await stored(pool) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": SOUTH},
        {"profession": "doctor"},
        {"starts_at": TOMORROW + timedelta(minutes=5)},
        {"length": timedelta(minutes=25)},
    ],
)
async def test_free_time_is_moved_and_a_held_one_stays(
    pool: asyncpg.Pool, records: Records, changes: dict[str, Any]
) -> None:  # P2
    await published(pool, "s1", "s2")
    await written(records, visit("c1", slot="s1"))
    came = await publishing(pool, a_slot("s1", **changes), a_slot("s2", **changes))
    assert (came.published, came.unchanged) == (("s2",), ())
    assert [(slot.id, slot.held_by) for slot in came.held] == [("s1", "c1")]
    moved = FoundSlot.model_validate(a_slot("s2", **changes).model_dump())
    assert [await find_slot(pool, "s1"), await find_slot(pool, "s2")] == [
        free("s1").model_copy(update={"held_by": "c1"}),
        moved,
    ]


async def test_withdrawn_time_is_gone_until_it_is_published_again(pool: asyncpg.Pool, records: Records) -> None:  # P2
    await published(pool, "s1", "s2")
    assert await taken_back(pool, "s1") == free("s1")
    assert await find_slot(pool, "s1") is None
    assert [row["slot_id"] for row in await rows(pool, "select * from omhand.bookable_times")] == ["s2"]
    assert await taken_back(pool, "s1") is None
    assert await taken_back(pool, "never") is None
    assert (await publishing(pool, a_slot("s1"))).published == ("s1",)
    await written(records, visit("c1", slot="s1"))


async def test_held_time_is_not_withdrawn(pool: asyncpg.Pool, records: Records) -> None:  # P2
    await published(pool, "s1")
    await written(records, visit("c1", slot="s1"))
    found = await taken_back(pool, "s1")
    assert found
    assert found.held_by == "c1"
    assert await held(pool) == {"s1": "c1"}
    assert await find_slot(pool, "s1") == found


# Two at once, at the very moment


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection on which a transaction goes on as long as the test wants."""
    async with open_pool(dsn, most=1) as one, one.acquire() as connection:
        yield connection


async def test_two_that_want_each_others_time_are_both_told_so(
    pool: asyncpg.Pool, records: Records, other: asyncpg.Connection
) -> None:  # K2a
    await published(pool, "s1", "s2")
    ones, twos = visit("c1", slot="s1"), visit("c2", slot="s2")
    await written(records, ones, twos)
    # Held up in this order they would stand in each other's way, if each began with the time that it has.
    async with other.transaction():
        await other.execute("select from omhand.slots where slot_id = 's2' for update")
        moves = [asyncio.ensure_future(records.record(booking(twos, "s1")))]
        await until_waiting(pool, 1)
        moves.append(asyncio.ensure_future(records.record(booking(ones, "s2"))))
        await until_waiting(pool, 2)
    assert await asyncio.gather(*moves) == [Recorded(slot_fault="taken")] * 2
    assert await held(pool) == {"s1": "c1", "s2": "c2"}


async def test_time_that_is_booked_at_that_moment_is_neither_moved_nor_withdrawn(
    pool: asyncpg.Pool, records: Records, other: asyncpg.Connection
) -> None:  # P2
    await published(pool, "s1", "s2")
    for slot in ("s1", "s2"):
        step = visit(f"c-{slot}", slot=slot)
        async with other.transaction():
            await other.fetchval(query("record_step"), await records._rows(step))
            change = publishing(pool, a_slot("s1", unit=SOUTH)) if slot == "s1" else taken_back(pool, "s2")
            changing = asyncio.ensure_future(change)
            await until_waiting(pool, 1)
        await changing
        assert await find_slot(pool, slot) == free(slot).model_copy(update={"held_by": f"c-{slot}"})


async def test_time_that_is_moved_or_withdrawn_at_that_moment_is_not_there_any_more(
    pool: asyncpg.Pool, records: Records, other: asyncpg.Connection
) -> None:  # P2
    await published(pool, "s1", "s2")
    async with other.transaction():
        await publish(other, [a_slot("s1", unit=SOUTH)])
        await withdraw(other, "s2")
        steps = [asyncio.ensure_future(records.record(visit(f"c-{slot}", slot=slot))) for slot in ("s1", "s2")]
        await until_waiting(pool, 2)
    assert [answer.slot_fault for answer in await asyncio.gather(*steps)] == ["unknown", "unknown"]


# Many at once


async def race(dsn: str, root: Path, *racers: tuple[int, int, int, int]) -> dict[str, str]:
    """What came of every case, when processes have begun at the same moment: cases, slots, steps, meddling of each."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, bookings.__file__, dsn, f"p{nth}", *map(str, racer),
            stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ, "PYTHONPATH": str(root)},
        )
        for nth, racer in enumerate(racers)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    told: dict[str, str] = {}
    for process, (output, error) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, error.decode()
        told |= json.loads(output)
    return told


async def test_a_thousand_cases_want_two_hundred_times_and_each_time_is_ones(
    pool: asyncpg.Pool, dsn: str, root: Path
) -> None:  # K2a P3
    slots = [f"slot-{n}" for n in range(200)]
    await published(pool, *slots)
    told = await race(dsn, root, *[(cases, 200, 0, 0) for cases in (334, 333, 333)])
    assert len(told) == 1000
    whose = await held(pool)
    assert sorted(whose) == sorted(slots)
    assert {case_id: slot for slot, case_id in whose.items()} == {
        case_id: slot for case_id, slot in told.items() if slot != "taken"
    }
    assert Counter(slot == "taken" for slot in told.values()) == {False: 200, True: 800}
    # What the log says and what is held are the same.
    said = await pool.fetch("select case_id, detail ->> 'slot' as slot from omhand.case_log where event = 'booked'")
    assert {row["slot"]: row["case_id"] for row in said} == whose
    assert len(said) == 200


async def test_cases_that_move_and_cancel_at_once_lose_no_time_and_never_wait_for_ever(
    pool: asyncpg.Pool, dsn: str, root: Path
) -> None:  # K2a P2
    slots = [f"slot-{n}" for n in range(10)]
    await published(pool, *slots)
    told = await race(dsn, root, (12, 10, 20, 0), (12, 10, 20, 0), (12, 10, 20, 12))
    whose = await held(pool)
    assert sorted(whose) == sorted(slots)
    assert {slot: case_id for case_id, slot in told.items() if slot != "nothing"} == {
        slot: case_id for slot, case_id in whose.items() if case_id
    }
    assert await pool.fetchval("select deadlocks from pg_stat_database where datname = current_database()") == 0
    assert await pool.fetchval("select count(*) from omhand.case_log where event = 'booked'") > 20
    assert await pool.fetchval("select count(*) from omhand.bookable_times") == 10
