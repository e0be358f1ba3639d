"""What readers of Postgres rely on: the views of contract §5, filled by real steps."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from samples import (
    EAST,
    MOMENT,
    NORTH,
    NURSE,
    PATIENT,
    REGION,
    SOUTH,
    SOUTH_NURSE,
    acted,
    looked_again,
    opened,
    opening,
    passed,
    soon,
    step_of,
    with_offers,
)
from stored import everything, rows

from activities.records import Records
from decisions.decide import open_case
from decisions.errands import Access, Step
from decisions.receiving import answer_opening
from omhand.contract.names import Kind, OfferWhy
from omhand.contract.opening import StaffMember

MINUTE = timedelta(minutes=1)

VIEWS = {
    "worklist": "unit_id stands case_id kind status priority profession responsible_unit assigned_to escalation_level"
    " due_at overdue opened_at linked_cases patient_region out_of_region",
    "case_log": "case_id seq at event by_staff by_unit detail by_patient",
    "notification_log": "key case_id reason unit_id channel recipient status attempts created_at sent_at error",
    "handling_times": "case_id kind priority profession unit_id opened_at due_at accepted_at accepted_by_unit"
    " closed_at outcome in_time escalation_level patient_region out_of_region",
    "access_log": "at case_id patient staff unit_id action by_patient about via login entry",
    "bookable_times": "slot_id unit_id profession starts_at length is_free",
}


def first_of(kind: Kind, case_id: str, about: str | None = None, **changes: Any) -> Step:
    """The first step of a case of another kind than a drop-in."""
    at, given = soon(), opening(case_id, **changes)
    decision = open_case(kind, given, answer_opening(kind, given, at, REGION), at, about)
    return step_of(decision, patient=given.patient.id if given.patient else None)


def question_of(case_id: str) -> Step:
    """The first step of a consultation of that case: it does not say who the patient is."""
    asks = {"origin": "staff", "patient": None, "asked_by": NURSE, "question": "vad tror du?"}
    return first_of(Kind.CONSULTATION, f"{case_id}.consultation-1", case_id, **asks)


@pytest.mark.parametrize(("view", "columns"), VIEWS.items())
async def test_view_has_the_columns_of_the_contract(pool: asyncpg.Pool, view: str, columns: str) -> None:
    found = await pool.fetch(
        "select column_name from information_schema.columns"
        " where table_schema = 'omhand' and table_name = $1 order by ordinal_position",
        view,
    )
    assert [row["column_name"] for row in found] == columns.split()


async def test_opening_is_found_in_every_view(pool: asyncpg.Pool, records: Records) -> None:
    at = soon()
    step = opened("c1", at)
    await records.record(step)
    assert await rows(pool, "select * from omhand.worklist") == [
        {
            "unit_id": NORTH,
            "stands": "responsible",
            "case_id": "c1",
            "kind": "drop_in_visit",
            "status": "waiting",
            "priority": 3,
            "profession": "nurse",
            "responsible_unit": NORTH,
            "assigned_to": None,
            "escalation_level": 0,
            "due_at": at + 30 * MINUTE,
            "overdue": False,
            "opened_at": at,
            "linked_cases": [],
            "patient_region": None,
            "out_of_region": False,
        }
    ]
    log = await rows(pool, "select seq, at, event, by_staff, by_unit, detail, by_patient from omhand.case_log")
    assert log == [
        {
            "seq": event.seq,
            "at": at,
            "event": event.event,
            "by_staff": None,
            "by_unit": None,
            "detail": event.detail,
            "by_patient": False,
        }
        for event in step.events
    ]
    assert [event["event"] for event in log] == ["opened", "notified"]


# Offers and the worklist


async def test_offered_units_see_the_case_until_somebody_takes_it(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    escalated = passed(first, soon())
    await records.record(first)
    await records.record(escalated)
    stands = "select unit_id, stands, escalation_level from omhand.worklist order by unit_id"
    assert [tuple(row) for row in await pool.fetch(stands)] == [
        (NORTH, "responsible", 1),
        (SOUTH, "offered", 1),
        (EAST, "offered", 1),
    ]
    await records.record(acted(escalated, "accept", by=SOUTH_NURSE))
    assert [tuple(row) for row in await pool.fetch(stands)] == [(SOUTH, "responsible", 1)]


async def test_unit_has_one_row_a_case_however_it_was_asked(pool: asyncpg.Pool, records: Records) -> None:
    offers = [
        {"unit": NORTH, "why": OfferWhy.ESCALATION},
        {"unit": SOUTH, "why": OfferWhy.ESCALATION},
        {"unit": SOUTH, "why": OfferWhy.HANDOVER},
        {"unit": EAST, "why": OfferWhy.CONSULTATION},
        {"unit": EAST, "why": OfferWhy.CLOSING},
    ]
    await records.record(with_offers(opened("c1"), *offers))
    assert [tuple(row) for row in await pool.fetch("select unit_id, stands from omhand.worklist order by 1")] == [
        (NORTH, "responsible"),
        (SOUTH, "handover"),
        (EAST, "consulted"),
    ]


async def test_case_becomes_overdue_without_anybody_writing_it(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("early"))
    await records.record(opened("late", soon() - 30 * MINUTE))
    assert {row["case_id"]: row["overdue"] for row in await pool.fetch("select * from omhand.worklist")} == {
        "early": False,
        "late": True,
    }


async def test_closed_case_is_on_no_worklist(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(acted(first, "cancel", by=PATIENT, reason="mår bra"))
    assert await pool.fetchval("select count(*) from omhand.worklist") == 0


# Who touched it


async def test_access_log_tells_staff_patient_and_unknown_apart(pool: asyncpg.Pool, records: Records) -> None:
    at = soon()
    first = opened("c1", at)
    await records.record(first)
    await records.record(acted(first, "accept", at))
    tried = tuple(
        Access(at=at, by=by, action=action)
        for by, action in ((StaffMember(**SOUTH_NURSE), "accept"), (None, "unreadable"))
    )
    await records.record(looked_again(acted(first, "accept", at), access=tried))
    cancelled = acted(acted(first, "accept", at), "cancel", at, by=PATIENT, reason="mår bra")
    await records.record(cancelled)
    found = await rows(pool, "select staff, unit_id, by_patient, action from omhand.access_log")
    assert [tuple(row.values()) for row in found] == [
        (NURSE["staff"], NORTH, False, "accept"),
        (SOUTH_NURSE["staff"], SOUTH, False, "accept"),
        (None, None, False, "unreadable"),
        (None, None, True, "cancel"),
    ]
    assert await pool.fetchval("select count(distinct patient) from omhand.access_log") == 1
    log = "select by_staff, by_unit, by_patient from omhand.case_log where event in ('accepted', 'cancelled')"
    assert [tuple(row) for row in await pool.fetch(log + " order by seq")] == [
        (NURSE["staff"], NORTH, False),
        (None, None, True),
    ]


async def test_access_without_an_event_is_written_once_too(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    access = Access(at=soon(), by=StaffMember(**NURSE), action="accept")
    again = looked_again(first, access=(access, access))
    later = looked_again(first, access=(access.model_copy(update={"at": access.at + MOMENT}),))
    for step in (again, again, later, again):
        await records.record(step)
    assert await pool.fetchval("select count(*) from omhand.access_log") == 3


@pytest.mark.parametrize("table", ["events", "access"])
@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    "statement", ["update omhand.{} set case_id = 'x'", "delete from omhand.{}", "truncate omhand.{}"]
)
async def test_logs_are_only_added_to_even_by_a_superuser(
    pool: asyncpg.Pool, records: Records, statement: str, role: str, table: str
) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(acted(first, "accept"))
    before = await everything(pool)
    async with pool.acquire() as connection:
        assert await connection.fetchval("select rolsuper from pg_roles where rolname = current_user")
        await connection.execute(f"set session_replication_role = {role}")
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await connection.execute(statement.format(table))
    assert await everything(pool) == before


@pytest.mark.parametrize("view", ["case_log", "access_log"])
@pytest.mark.parametrize("statement", ["update omhand.{} set case_id = 'x'", "delete from omhand.{}"])
async def test_logs_are_only_added_to_through_their_views_too(pool: asyncpg.Pool, statement: str, view: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await pool.execute(statement.format(view))


# Handling times


async def times(pool: asyncpg.Pool) -> dict[str, Any]:
    """The only row of the view."""
    return dict(await pool.fetchrow("select * from omhand.handling_times"))


async def test_waiting_case_is_neither_in_time_nor_late(pool: asyncpg.Pool, records: Records) -> None:
    at = soon()
    await records.record(opened("c1", at))
    found = await times(pool)
    assert (found["in_time"], found["due_at"], found["unit_id"]) == (None, at + 30 * MINUTE, NORTH)


async def test_case_that_waits_past_its_time_is_late(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1", soon() - 31 * MINUTE))
    assert (await times(pool))["in_time"] is False


@pytest.mark.parametrize(("minutes", "in_time"), [(29, True), (31, False)])
async def test_accepted_case_was_in_time_or_not(
    pool: asyncpg.Pool,
    records: Records,
    minutes: int,
    in_time: bool,  # noqa: FBT001
) -> None:
    at = soon() - 60 * MINUTE
    first = opened("c1", at)
    passing = passed(first, at + minutes * MINUTE)
    taken = acted(passing, "accept", at + minutes * MINUTE)
    for step in (first, passing, taken):
        await records.record(step)
    found = await times(pool)
    assert (found["in_time"], found["accepted_by_unit"], found["due_at"]) == (in_time, NORTH, at + 30 * MINUTE)
    assert found["accepted_at"] == at + minutes * MINUTE


async def test_case_that_was_late_once_stays_late(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    late = passed(first, soon())
    taken = acted(late, "accept")
    for step in (first, late, taken, acted(taken, "release", reason="fel kompetens")):
        await records.record(step)
    found = await times(pool)
    assert (found["in_time"], found["accepted_at"], found["escalation_level"]) == (False, None, 1)


async def test_case_cancelled_before_its_time_was_in_time(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(acted(first, "cancel", by=PATIENT, reason="mår bra"))
    found = await times(pool)
    assert (found["in_time"], found["outcome"], found["accepted_at"]) == (True, "cancelled", None)


async def test_thread_is_in_time_or_late_by_its_answers_not_by_who_has_it(
    pool: asyncpg.Pool, records: Records
) -> None:  # K6
    idle = first_of(Kind.MESSAGE_THREAD, "c1", origin="unit", priority=None, asked_by=NURSE, message="hur mår du?")
    written = acted(idle, "message", by=PATIENT, text="sämre")
    taken = acted(written, "accept")
    found = []
    for step in (idle, written, taken):
        await records.record(step)
        found.append((await times(pool))["in_time"])
    # Nothing waits; then an answer does, whoever has the thread, until it comes or its time has passed.
    assert found == [None, None, None]
    await pool.execute("update omhand.cases set accept_by = now() - interval '1 second'")
    assert (await times(pool))["in_time"] is False
    await records.record(acted(taken, "reply", text="kom in"))
    answered = await times(pool)
    assert (answered["in_time"], answered["due_at"]) == (None, None)


# Out-of-region patients


@pytest.mark.parametrize(("region", "out"), [("01", True), ("21", False), (None, False)])
async def test_patient_of_another_county_is_recognised_in_lists_and_reports(
    pool: asyncpg.Pool,
    records: Records,
    region: str | None,
    out: bool,  # noqa: FBT001
) -> None:  # P7
    first = opened("c1", patient={"id": "ref:one", "digital": True, "region": region})
    for step in (first, acted(first, "note", text="x"), question_of("c1")):
        await records.record(step)
    for view in ("worklist", "handling_times"):
        found = await pool.fetch(f"select case_id, patient_region, out_of_region from omhand.{view} order by 1")
        # A consultation of the case is about the same patient, though nobody tells it who that is.
        assert [tuple(row) for row in found] == [("c1", region, out), ("c1.consultation-1", region, out)], view


async def test_consultation_of_a_case_that_is_not_there_is_of_a_patient_of_the_region(
    pool: asyncpg.Pool, records: Records
) -> None:  # P7
    await records.record(question_of("c1"))
    assert [tuple(row) for row in await pool.fetch("select patient_region, out_of_region from omhand.worklist")] == [
        (None, False)
    ]


MANY_CASES = """
    insert into omhand.cases
    select 'c' || n, 'r', 'drop_in_visit', 'waiting', 3, 'nurse', 'nurse', 'min_vard', 'u' || n % 200, 'u' || n % 200,
        null, 0, 0, now(), now(), false, now(), null, null, case when n % 10 > 0 then now() end, null, 1, 'p' || n / 3
    from generate_series(1, 6000) as n;
    insert into omhand.offers
    select case_id, '9.1', 'u' || hashtext(case_id) % 200, null, null, 'escalation', now(), null
    from omhand.cases where closed_at is null;
    insert into omhand.events
    select case_id, n, now(), 'noted', null, '{}' from omhand.cases, generate_series(1, 3) as n;
    insert into omhand.access select now(), case_id, 1, 1, patient, null, null, false, 'note' from omhand.cases;
    insert into omhand.notifications
    select case_id || '/2', case_id, 'new_case', 'u', 'phone', '', 'drop_in_visit', 3, null, '', true,
        case when closed_at is null and n < 300 then 'pending' else 'sent' end
    from omhand.cases cross join lateral (select substr(case_id, 2)::integer as n) as numbered;
    insert into omhand.slots (slot_id, unit_id, profession, starts_at, length, case_id, withdrawn_at)
    select 's' || n, 'u' || n % 200, 'nurse', now() + (n - 5000) * interval '10 minutes', interval '20 minutes',
        case when n % 10 < 8 then 'c' || n end, case when n % 10 = 9 then now() end
    from generate_series(1, 20000) as n;
    analyze;
"""
ASKED = {
    "select * from omhand.worklist where unit_id = 'u7'": ("cases_open_by_unit", "offers_by_unit"),
    "select * from omhand.case_log where case_id = 'c7' order by seq": ("events_pkey",),
    "select * from omhand.access_log where case_id = 'c7'": ("access_by_case",),
    "select * from omhand.notification_log where case_id = 'c7'": ("notifications_by_case",),
    "select * from omhand.notification_log where status = 'pending'": ("notifications_pending",),
    "select case_id from omhand.cases where patient = 'p7' and closed_at is null": ("cases_open_by_patient",),
    "select * from omhand.bookable_times where unit_id = 'u7' order by starts_at": ("slots_by_unit",),
    "select * from omhand.bookable_times where is_free and starts_at > now()": ("slots_free",),
}


async def test_what_is_asked_has_an_index_where_there_are_many_cases(pool: asyncpg.Pool) -> None:
    await pool.execute(MANY_CASES)
    for asked, indexes in ASKED.items():
        plan = "\n".join(row[0] for row in await pool.fetch(f"explain {asked}"))
        assert [index for index in indexes if index not in plan] == [], asked
        assert "Seq Scan" not in plan, asked
