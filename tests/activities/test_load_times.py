"""What becomes of bookable times, and of the units that visits need, when a directory is loaded (P2, H3)."""

from pathlib import Path

import asyncpg
import pytest
from bookings import TOMORROW, a_slot, booking, published, taken_back, visit
from samples import DIRECTORY, EAST, NORTH, SOUTH

from activities.postgres.pool import query
from activities.records import Records
from activities.slots import LeftOut, Published, find_slot
from workers.load import LoadError, store

Files = tuple[Path, Path]


def changed(path: Path, old: str, new: str) -> None:
    """Put one fault into a file, where the text stands first."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


async def versions(dsn: str) -> list[int]:
    """Those that are stored."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row["version"] for row in await connection.fetch("select version from omhand.rules order by version")]
    finally:
        await connection.close()


NINE = "hc01-20261124-0900"
A_SLOT = DIRECTORY[DIRECTORY.index("[[slot]]") :]


def another(slot_id: str, unit: str = NORTH, profession: str = "nurse") -> str:
    """A second time, as the file has it."""
    return (
        A_SLOT.replace(NINE, slot_id)
        .replace(NORTH, unit)
        .replace('profession = "nurse"', f'profession = "{profession}"')
        .replace("09:00:00+01", "10:00:00+01")
    )


def with_slots(files: Files, *slots: str) -> Files:
    """The files, with these times in the directory and no others."""
    files[0].write_text(DIRECTORY.replace(A_SLOT, "\n".join(slots)), encoding="utf-8")
    return files


async def bookable(pool: asyncpg.Pool) -> dict[str, str]:
    """The hours at which times start, by their ids."""
    rows = await pool.fetch("select slot_id, starts_at from omhand.bookable_times order by 1")
    return {row["slot_id"]: f"{row['starts_at']:%H:%M}" for row in rows}


async def booked(pool: asyncpg.Pool, records: Records, case_id: str, slot: str) -> None:
    """A case holds a time."""
    answer = await records.record(visit(case_id, slot=slot, found=await find_slot(pool, slot)))
    assert answer.slot_fault is None
    assert await pool.fetchval("select case_id from omhand.slots where slot_id = $1", slot) == case_id


async def freed(pool: asyncpg.Pool, slot: str) -> dict[str, str]:
    """The bookable times, when the case that holds this one has left it."""
    await pool.execute(
        "select omhand.hold_slot(case_id, slot_id, null, null, null) from omhand.slots where slot_id = $1", slot
    )
    return await bookable(pool)


async def test_times_of_the_directory_are_published(dsn: str, files: Files, pool: asyncpg.Pool) -> None:  # P2
    assert await bookable(pool) == {NINE: "08:00"}
    loaded = await store(dsn, *with_slots(files, A_SLOT, another("ten")))
    assert (loaded.version, loaded.slots, loaded.left_out) == (
        2,
        Published(published=("ten",), unchanged=(NINE,)),
        LeftOut(),
    )
    assert await bookable(pool) == {NINE: "08:00", "ten": "09:00"}


async def test_free_time_that_the_directory_moves_or_leaves_out_is_moved_or_withdrawn(
    dsn: str, files: Files, pool: asyncpg.Pool
) -> None:  # P2
    await published(pool, "by-hand")
    moved = A_SLOT.replace("09:00:00+01", "09:30:00+01")
    loaded = await store(dsn, *with_slots(files, moved, another("ten")))
    assert loaded.slots.published == (NINE, "ten")
    loaded = await store(dsn, *with_slots(files, another("ten")))
    assert loaded.left_out == LeftOut(withdrawn=(NINE,))
    # Who published a time by hand keeps it, and what the directory has anew is bookable again.
    assert set(await bookable(pool)) == {"by-hand", "ten"}
    assert (await store(dsn, *with_slots(files, moved, another("ten")))).slots.published == (NINE,)
    assert await bookable(pool) == {NINE: "08:30", "by-hand": f"{TOMORROW:%H:%M}", "ten": "09:00"}


async def test_held_time_that_the_directory_leaves_out_stays_and_is_told_once(
    dsn: str, files: Files, pool: asyncpg.Pool, records: Records
) -> None:  # P2
    await booked(pool, records, "c1", NINE)
    assert (await store(dsn, *with_slots(files))).left_out == LeftOut(kept=(NINE,))
    assert NINE in await bookable(pool)
    changed(files[1], '"PT30M"', '"PT20M"')
    assert (await store(dsn, *files)).left_out == LeftOut()
    # Freed, it is gone: nobody would be there.
    assert NINE not in await freed(pool, NINE)


async def test_a_time_that_the_directory_has_again_stays_though_it_is_freed(
    dsn: str, files: Files, pool: asyncpg.Pool, records: Records
) -> None:  # P2
    await booked(pool, records, "c1", NINE)
    await store(dsn, *with_slots(files))
    await store(dsn, *with_slots(files, A_SLOT))
    assert NINE in await freed(pool, NINE)


async def test_a_unit_whose_ticket_or_time_an_open_visit_has_stays(pool: asyncpg.Pool, records: Records) -> None:  # H3
    # Given by the northern unit, booked at the southern: when the booking is cancelled, the northern one has it again.
    await published(pool, a_slot("south", unit=SOUTH))
    first = visit("c1")
    assert (await records.record(first)).slot_fault is None
    assert (await records.record(booking(first, "south", await find_slot(pool, "south")))).slot_fault is None
    rows = await pool.fetch(query("units_with_open_cases"))
    assert {row["unit_id"]: row["open_cases"] for row in rows} == {NORTH: 1, SOUTH: 1}


async def test_held_time_that_the_directory_changes_is_a_fault_and_nothing_is_stored(
    dsn: str, files: Files, pool: asyncpg.Pool, records: Records
) -> None:  # P2
    await store(dsn, *with_slots(files, A_SLOT, another("ten")))
    await booked(pool, records, "c1", NINE)
    before = await pool.fetch("select * from omhand.slots order by 1")
    moved = A_SLOT.replace('"PT20M"', '"PT40M"')
    with pytest.raises(LoadError) as caught:
        await store(dsn, *with_slots(files, moved, another("eleven")))
    assert caught.value.faults == (
        f"directory.toml: slot {NINE}: is changed, and case c1 holds it: move or cancel that visit first",
    )
    assert await pool.fetch("select * from omhand.slots order by 1") == before
    assert await versions(dsn) == [1, 2]


async def test_time_that_was_withdrawn_by_hand_stays_so_until_the_directory_says_otherwise_of_it(
    dsn: str, files: Files, pool: asyncpg.Pool
) -> None:  # P2
    await taken_back(pool, NINE)
    changed(files[1], '"PT30M"', '"PT20M"')
    assert (await store(dsn, *files)).slots == Published(stay_withdrawn=(NINE,))
    assert await bookable(pool) == {}
    changed(files[0], "09:00:00+01", "09:30:00+01")
    assert (await store(dsn, *files)).slots == Published(published=(NINE,))
    await taken_back(pool, NINE)
    await store(dsn, *with_slots(files))
    assert (await store(dsn, *with_slots(files, A_SLOT))).slots == Published(published=(NINE,))


async def test_times_that_nobody_would_be_there_for_are_withdrawn_whoever_published_them(
    dsn: str, files: Files, pool: asyncpg.Pool
) -> None:  # P2 H3
    await published(pool, a_slot("east", unit=EAST), a_slot("clerk", profession="medical_secretary"), "north")
    await store(dsn, *files)
    assert set(await bookable(pool)) == {NINE, "clerk", "east", "north"}
    text = files[0].read_text(encoding="utf-8")
    east = text[text.index(f'[[unit]]\nid = "{EAST}"') : text.index("[[staff]]")]
    clerks = text[text.index('[[profession]]\nname = "medical_secretary"') : text.index("[[unit]]")]
    clerk = text[text.index('[[staff]]\nid = "SE2321000198-S3"') : text.index("[[slot]]")]
    for gone in (east, clerks, clerk, f', "{EAST}"', ', "medical_secretary"'):
        text = text.replace(gone, "")
    files[0].write_text(text, encoding="utf-8")
    assert (await store(dsn, *files)).left_out == LeftOut(withdrawn=("clerk", "east"))
    assert set(await bookable(pool)) == {NINE, "north"}
