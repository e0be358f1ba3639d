"""The access log: everything that is done or read stands in it, and whatever is done to it shows."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from samples import NORTH, NURSE, PATIENT, acted, opened
from schemas import migrate_to
from stored import rows

from activities.access import AccessLog, Anchor, Verified, verify
from activities.records import Records
from workers.migrate import migrate

ODD = "år, 7:é☂ -,'"
"""A text that looks like the form in which entries are hashed, in letters of one to three bytes."""


async def verified(pool: asyncpg.Pool, *anchors: Anchor) -> Verified:
    """What the chain says now."""
    async with pool.acquire() as connection:
        return await verify(connection, anchors)


async def read_some(pool: asyncpg.Pool, entries: int = 3) -> Anchor:
    """A log of so many reads; where it ends."""
    for number in range(entries):
        await AccessLog(pool).log_read(
            case_id=f"c{number}", action=ODD, staff=None, unit=NORTH, via="client", about=NORTH if number % 2 else None
        )
    return (await verified(pool)).last


async def meddle(pool: asyncpg.Pool, *statements: str) -> None:
    """What the owner of the database can do, and nobody else."""
    async with pool.acquire() as connection, connection.transaction():
        for statement in ("alter table omhand.access disable trigger user", *statements):
            await connection.execute(statement)
        await connection.execute("alter table omhand.access enable always trigger append_only")
        await connection.execute("alter table omhand.access enable always trigger chained")


# What stands in it


async def test_action_and_opening_stand_in_it_with_who_and_where(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    taken = acted(first, "accept", by=NURSE)
    for step in (first, taken, acted(taken, "cancel", by=PATIENT, reason="better")):
        await records.record(step)
    found = await rows(pool, "select entry, action, staff, unit_id, by_patient, via, login from omhand.access_log")
    by_worker = {"via": "case", "login": await pool.fetchval("select session_user")}
    assert found == [
        {"entry": 1, "action": "accept", "staff": NURSE["staff"], "unit_id": NORTH, "by_patient": False, **by_worker},
        {"entry": 2, "action": "cancel", "staff": None, "unit_id": None, "by_patient": True, **by_worker},
    ]


async def test_read_stands_in_it_with_the_patient_of_the_case(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1", patient={"id": "ref:p1", "digital": True}))
    before = datetime.now(UTC)
    await AccessLog(pool).log_read(
        case_id="c1", action="view", staff=NURSE["staff"], unit=NORTH, via="command", about=None
    )
    (found,) = await rows(pool, "select * from omhand.access_log")
    token = await pool.fetchval("select patient from omhand.cases")
    assert (found["patient"], found["case_id"], found["action"]) == (token, "c1", "view")
    assert (found["staff"], found["unit_id"], found["via"]) == (NURSE["staff"], NORTH, "command")
    assert before <= found["at"] <= datetime.now(UTC)


async def test_same_step_again_adds_nothing(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    step = acted(first, "accept", by=NURSE)
    for each in (first, step, step):
        await records.record(each)
    assert (await verified(pool)).last.entry == 1


# The chain


async def test_chain_holds_also_of_odd_texts_and_at_once(pool: asyncpg.Pool) -> None:
    await asyncio.gather(*(read_some(pool, 5) for _ in range(8)))
    found = await verified(pool)
    assert (found.faults, found.last.entry) == ((), 40)


async def test_empty_log_holds(pool: asyncpg.Pool) -> None:
    assert await verified(pool) == Verified(await read_some(pool, 0), ())


TAMPERED = {
    "changed": (("update omhand.access set staff = 'SE2321000198-S9' where entry = 2",), "entry 2 has been changed"),
    "another time": (
        ("update omhand.access set at = at + interval '1 microsecond' where entry = 2",),
        "entry 2 has been changed",
    ),
    "moved between columns": (
        ("update omhand.access set about = unit_id, unit_id = about where entry = 3",),
        "entry 3 has been changed",
    ),
    "removed": (("delete from omhand.access where entry = 2",), "entry 2 is missing"),
    "first removed": (("delete from omhand.access where entry = 1",), "entry 1 is missing"),
    "inserted": (
        ("insert into omhand.access (at, by_patient, action, entry, hash) values (now(), false, 'view', 4, '\\x00')",),
        "entry 4 has been changed",
    ),
    "cut off": (("delete from omhand.access where entry = 3",), "the chain ends at entry 2, and was 3 entries long"),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_whatever_is_done_to_it_shows(pool: asyncpg.Pool, how: str) -> None:
    statements, fault = TAMPERED[how]
    await read_some(pool)
    await meddle(pool, *statements)
    assert fault in " ".join((await verified(pool)).faults)


async def test_cut_and_mended_end_shows_by_an_anchor_that_was_kept(pool: asyncpg.Pool) -> None:
    kept = await read_some(pool)
    cut = "update omhand.access_head set (entry, hash) = (select entry, hash from omhand.access where entry = 2)"
    await meddle(pool, "delete from omhand.access where entry = 3", cut)
    assert (await verified(pool)).faults == ()
    assert (await verified(pool, kept)).faults == ("entry 3 is missing: an anchor of it was kept",)
    await read_some(pool, 2)
    assert (await verified(pool, kept)).faults == ("entry 3 is not the one of the anchor that was kept",)


async def test_log_that_goes_on_goes_through_its_anchors(pool: asyncpg.Pool) -> None:
    anchors = [await read_some(pool) for _ in range(3)]
    assert (await verified(pool, *anchors)) == Verified(anchors[-1], ())


async def test_log_whose_first_entries_are_archived_begins_at_their_anchor(pool: asyncpg.Pool) -> None:
    empty, archived = (await verified(pool)).last, await read_some(pool, 3)
    last = await read_some(pool, 2)
    await meddle(pool, "delete from omhand.access where entry <= 3")
    assert (await verified(pool)).faults == ("entry 1 is missing: 4 follows 0",)
    assert await verified(pool, empty, archived) == Verified(last, ())
    wrong = Anchor(archived.entry, bytes(32))
    assert (await verified(pool, wrong)).faults == ("entry 4 has been changed, or the one before it",)


async def test_two_anchors_of_one_entry_cannot_both_hold(pool: asyncpg.Pool) -> None:
    kept = await read_some(pool)
    for anchors in ((Anchor(kept.entry, bytes(32)), kept), (kept, Anchor(kept.entry, bytes(32)))):
        assert (await verified(pool, *anchors)).faults == ("entry 3 is not the one of the anchor that was kept",)
    assert (await verified(pool, Anchor(0, bytes(32)))).faults


@pytest.mark.parametrize("text", ["", "7", "x:" + 64 * "0", "7:" + 63 * "0", "7:" + 64 * "g", "-1:" + 64 * "0"])
def test_anchor_is_read_as_it_was_written_and_nothing_else_is(text: str) -> None:
    anchor = Anchor(7, os.urandom(32))
    assert Anchor.read(f" {anchor}\n") == anchor
    with pytest.raises(ValueError, match="must be <number>"):
        Anchor.read(text)


@pytest.mark.parametrize("change", ["update omhand.access set action = ''", "delete from omhand.access"])
async def test_nobody_changes_it_by_accident(pool: asyncpg.Pool, change: str) -> None:
    await read_some(pool)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await pool.execute(change)
    assert (await verified(pool)).faults == ()


async def test_log_of_an_earlier_version_begins_the_chain(empty: str) -> None:
    await migrate_to("0005", empty)
    connection: Any = await asyncpg.connect(empty)
    await connection.executemany(
        "insert into omhand.access (at, case_id, seq, nth, staff, unit_id, by_patient, action)"
        " values (now() - make_interval(secs => $1), $2, 1, 1, $3, $4, false, 'accept')",
        [(seconds, f"c{seconds}", NURSE["staff"], NORTH) for seconds in range(50)],
    )
    await asyncio.to_thread(migrate, empty)
    try:
        found = await verify(connection)
        first = await connection.fetchval("select case_id from omhand.access where entry = 1")
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await connection.execute("update omhand.access set action = ''")
    finally:
        await connection.close()
    assert (found.faults, found.last.entry, first) == ((), 50, "c49")
