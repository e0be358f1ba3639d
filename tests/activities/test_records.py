"""Steps of cases, written to a real Postgres, and what readers find there (contract §5)."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from samples import (
    EAST,
    MOMENT,
    NORTH,
    NOWHERE,
    NURSE,
    PATIENT,
    SOUTH,
    SOUTH_NURSE,
    acted,
    both,
    looked_again,
    opened,
    passed,
    soon,
    with_notice,
    with_offers,
)
from temporalio.exceptions import ApplicationError

from activities.opened import Opened, find_opened
from activities.records import Records, SequenceConflict
from decisions.errands import Access, Step
from omhand.contract.names import Kind, OfferWhy
from omhand.contract.opening import StaffMember

MINUTE = timedelta(minutes=1)
TABLES = ("cases", "offers", "events", "access", "notifications")


async def rows(pool: asyncpg.Pool, query: str, *args: Any) -> list[dict[str, Any]]:
    """What a reader finds."""
    return [dict(row) for row in await pool.fetch(query, *args)]


async def everything(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """All that is stored about cases."""
    return {
        table: [row[0] for row in await pool.fetch(f"select t::text from omhand.{table} t order by 1")]
        for table in TABLES
    }


async def statuses(pool: asyncpg.Pool) -> dict[str, tuple[str, str | None]]:
    """How far each notification has come, and why not further."""
    return {
        row["key"]: (row["status"], row["error"]) for row in await pool.fetch("select * from omhand.notification_log")
    }


async def refused(records: Records, step: Step) -> ApplicationError:
    """Why the step was not written."""
    with pytest.raises(ApplicationError) as caught:
        await records.record(step)
    return caught.value


VIEWS = {
    "worklist": "unit_id stands case_id kind status priority profession responsible_unit assigned_to escalation_level"
    " due_at overdue opened_at linked_cases",
    "case_log": "case_id seq at event by_staff by_unit detail by_patient",
    "notification_log": "key case_id reason unit_id channel recipient status attempts created_at sent_at error",
    "handling_times": "case_id kind priority profession unit_id opened_at due_at accepted_at accepted_by_unit"
    " closed_at outcome in_time escalation_level",
    "access_log": "at case_id patient staff unit_id action by_patient",
}


@pytest.mark.parametrize(("view", "columns"), VIEWS.items())
async def test_view_has_the_columns_of_the_contract(pool: asyncpg.Pool, view: str, columns: str) -> None:
    found = await pool.fetch(
        "select column_name from information_schema.columns"
        " where table_schema = 'omhand' and table_name = $1 order by ordinal_position",
        view,
    )
    assert [row["column_name"] for row in found] == columns.split()


# The first step


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


async def test_notice_is_addressed_and_worded_by_the_directory(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1"))
    row = await pool.fetchrow("select * from omhand.notifications")
    told = {name: row[name] for name in ("key", "reason", "unit_id", "channel", "recipient", "status", "attempts")}
    assert told == {
        "key": "c1/2",
        "reason": "new_case",
        "unit_id": NORTH,
        "channel": "phone",
        "recipient": "+46701740601",
        "status": "pending",
        "attempts": 0,
    }
    assert "Hälsocentral Norr" in row["text"]
    assert "c1" in row["text"]


async def test_unit_that_nobody_knows_has_no_phone(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(with_notice(opened("c1"), unit=NOWHERE))
    assert await statuses(pool) == {"c1/2": ("failed", "no phone")}


async def test_manager_without_an_email_is_not_reached_by_email(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(with_notice(opened("c1"), unit=SOUTH, to="manager_by_email"))
    assert await statuses(pool) == {"c1/2": ("failed", "no email")}


async def test_manager_without_a_phone_is_reached_by_email(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(with_notice(opened("c1"), unit=EAST, to="manager"))
    assert await rows(pool, "select channel, recipient, status from omhand.notification_log") == [
        {"channel": "email", "recipient": "ost@example.org", "status": "pending"}
    ]


async def test_opening_is_remembered_though_the_case_moves_on(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    escalated = passed(first, soon())
    await records.record(first)
    await records.record(escalated)
    await records.record(acted(escalated, "accept", by=SOUTH_NURSE))
    assert await find_opened(pool, "c1") == Opened("run-1", Kind.DROP_IN_VISIT, NORTH, "nurse")
    assert await find_opened(pool, "c2") is None


# Once, in order, by one run


async def test_same_step_again_writes_nothing_and_answers_the_same(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", patient={"id": "ref:one", "digital": True})
    taken = acted(first, "accept")
    await records.record(opened("c2", patient={"id": "ref:one", "digital": True}))
    answers = [await records.record(first), await records.record(taken)]
    before = await everything(pool)
    assert [await records.record(first), await records.record(taken)] == answers
    assert await everything(pool) == before


async def test_same_first_step_from_many_at_once_is_written_once(pool: asyncpg.Pool, records: Records) -> None:
    step = opened("c1")
    await asyncio.gather(*(records.record(step) for _ in range(12)))
    assert await pool.fetchval("select count(*) from omhand.cases") == 1
    assert await pool.fetchval("select count(*) from omhand.events") == len(step.events)


async def test_of_two_runs_that_open_a_case_at_once_one_does(records: Records) -> None:
    steps = [opened("c1", run_id=run) for run in ("run-1", "run-2")]
    answers = await asyncio.gather(*(records.record(step) for step in steps), return_exceptions=True)
    lost = [answer for answer in answers if isinstance(answer, ApplicationError)]
    assert [error.type for error in lost] == ["CaseExists"]


async def test_older_step_that_comes_late_changes_nothing_that_is_newer(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    escalated = passed(first, soon())
    await records.record(first)
    await records.record(escalated)
    before = await everything(pool)
    await records.record(first)
    assert await everything(pool) == before


async def test_accepting_that_comes_late_withdraws_nothing_of_the_next_waiting(
    pool: asyncpg.Pool, records: Records
) -> None:
    first = opened("c1")
    taken = acted(first, "accept")
    released = acted(taken, "release", reason="fel kompetens")
    for step in (first, taken, released, taken):
        await records.record(step)
    asking = released.notices[-1]
    assert asking.until_taken
    assert (await statuses(pool))[asking.key] == ("pending", None)


async def test_steps_that_overlap_are_written_once(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    taken = acted(first, "accept")
    await records.record(first)
    await records.record(both(first, taken))
    assert [row["seq"] for row in await pool.fetch("select seq from omhand.case_log order by seq")] == [1, 2, 3, 4]
    assert await pool.fetchval("select status from omhand.cases") == "accepted"


async def test_event_told_otherwise_is_a_conflict_that_names_no_content(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    noted = acted(first, "note", text="hostar blod")
    await records.record(first)
    await records.record(noted)
    before = await everything(pool)
    error = await refused(records, acted(first, "note", at=noted.events[0].at, text="mår bra"))
    assert isinstance(error, SequenceConflict)
    assert (error.type, error.non_retryable) == ("SequenceConflict", False)
    assert str(error) == "SequenceConflict: case c1: event 3 is in the log already, and another one"
    assert await everything(pool) == before


async def test_gap_is_a_conflict(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    noted = acted(first, "note", text="ett")
    await records.record(first)
    before = await everything(pool)
    error = await refused(records, acted(noted, "note", text="två"))
    assert str(error) == "SequenceConflict: case c1: events are missing between 2 and 4"
    assert await everything(pool) == before


async def test_step_before_the_first_is_a_conflict(pool: asyncpg.Pool, records: Records) -> None:
    error = await refused(records, acted(opened("c1"), "note", text="ett"))
    assert str(error) == "SequenceConflict: case c1: step to 3 came before the first step"
    assert await pool.fetchval("select count(*) from omhand.events") == 0


@pytest.mark.parametrize("later", [False, True])
async def test_case_of_another_run_exists_and_is_left_alone(pool: asyncpg.Pool, records: Records, later: bool) -> None:  # noqa: FBT001
    first = opened("c1")
    await records.record(first)
    before = await everything(pool)
    other = opened("c1", run_id="run-2")
    error = await refused(records, acted(other, "note", text="ett") if later else other)
    assert (error.type, error.non_retryable) == ("CaseExists", True)
    assert await everything(pool) == before


async def test_refusal_of_postgres_is_told_without_what_was_written(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    await pool.execute("alter table omhand.events add constraint silent check (event <> 'noted')")
    error = await refused(records, acted(first, "note", text="hostar blod"))
    assert (error.type, error.non_retryable) == ("RecordFailed", False)
    assert str(error) == "RecordFailed: case c1, step to 3: Postgres refused it (CheckViolationError)"
    assert error.__cause__ is None
    assert error.__suppress_context__


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


# Notifications that are of no use any more


async def test_accepting_withdraws_what_asks_for_somebody(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 70 * MINUTE)
    late = passed(first, soon())
    await records.record(first)
    await records.record(late)
    sent = late.notices[0].key
    await pool.execute("update omhand.notifications set status = 'sent' where key = $1", sent)
    taken = acted(late, "accept")
    await records.record(taken)
    found = await statuses(pool)
    gone = "withdrawn: the case has been taken or has ended"
    assert found.pop(sent) == ("sent", None)
    assert found == {
        notice.key: ("failed", gone) if notice.until_taken else ("pending", None)
        for notice in (*first.notices, *late.notices[1:], *taken.notices)
    }
    assert ("pending", None) in found.values()
    assert ("failed", gone) in found.values()


async def test_step_that_opens_and_takes_notifies_nobody_of_the_waiting(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(both(first, acted(first, "accept")))
    assert (await statuses(pool))["c1/2"] == ("failed", "withdrawn: the case has been taken or has ended")


async def test_step_that_takes_and_gives_back_asks_for_somebody_again(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    taken = acted(first, "accept")
    released = acted(taken, "release", reason="fel kompetens")
    await records.record(first)
    await records.record(both(taken, released))
    found = await statuses(pool)
    assert found["c1/2"][0] == "failed"
    assert found[released.notices[-1].key] == ("pending", None)


async def test_end_of_a_case_withdraws_everything(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    taken = acted(first, "accept")
    for step in (first, taken, acted(taken, "close", outcome="treated", held_as="video")):
        await records.record(step)
    assert {status for status, _ in (await statuses(pool)).values()} == {"failed"}


async def test_other_cases_keep_their_notifications(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(opened("c2"))
    await records.record(acted(first, "accept"))
    assert (await statuses(pool))["c2/2"] == ("pending", None)


# The patient


async def test_other_open_cases_of_the_patient_are_found_in_order(pool: asyncpg.Pool, records: Records) -> None:
    patient = {"id": "19121212-1212", "digital": True}
    ended = opened("c0", patient=patient)
    await records.record(ended)
    await records.record(acted(ended, "cancel", by=PATIENT, reason="mår bra"))
    await records.record(opened("c9", patient={"id": "ref:another", "digital": True}))
    found = [await records.record(opened(name, patient=patient)) for name in ("c2", "C1", "c10")]
    assert [recorded.linked for recorded in found] == [(), ("c2",), ("C1", "c2")]
    # The same number, written without its hyphen.
    last = await records.record(opened("c3", patient={"id": "191212121212", "digital": True}))
    assert last.linked == ("C1", "c10", "c2")
    listed = {row["case_id"]: row["linked_cases"] for row in await pool.fetch("select * from omhand.worklist")}
    assert listed["c2"] == ["C1", "c10", "c3"]
    assert listed["c9"] == []


async def test_step_in_which_nothing_happens_finds_the_linked_cases_of_now(records: Records) -> None:
    patient = {"id": "ref:one", "digital": True}
    first = opened("c1", patient=patient)
    await records.record(first)
    await records.record(opened("c2", patient=patient))
    assert (await records.record(looked_again(first))).linked == ("c2",)


async def test_cases_without_a_patient_are_not_linked(records: Records) -> None:
    for name in ("c1", "c2"):
        step = opened(name).model_copy(update={"patient": None})
        assert (await records.record(step)).linked == ()


async def test_patient_stands_nowhere_in_the_database(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1", patient={"id": "191212121212", "digital": True, "name": "Tolvan Tolvansson"}))
    stored = json.dumps(await everything(pool))
    assert "121212" not in stored
    assert "Tolvan" not in stored
    token = await pool.fetchval("select patient from omhand.cases")
    assert len(token) == 64


async def test_same_patient_has_another_token_in_another_database(unruled: str, pool: asyncpg.Pool) -> None:
    other = await asyncpg.connect(unruled)
    secrets = {await source.fetchval("select secret from omhand.linking_secret") for source in (other, pool)}
    await other.close()
    assert [len(secret) for secret in secrets] == [32, 32]  # one made by each migration would be two
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute("insert into omhand.linking_secret (secret) values ('another')")


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
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            async with connection.transaction():
                await connection.execute(f"set local session_replication_role = {role}")
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
    pool: asyncpg.Pool, records: Records, minutes: int, in_time: bool  # noqa: FBT001
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


ASKED = {
    "select * from omhand.worklist where unit_id = 'x'": ("cases_open_by_unit", "offers_by_unit"),
    "select * from omhand.case_log where case_id = 'x' order by seq": ("events_pkey",),
    "select * from omhand.access_log where case_id = 'x'": ("access_by_case",),
    "select * from omhand.notification_log where case_id = 'x'": ("notifications_by_case",),
    "select * from omhand.notification_log where status = 'pending'": ("notifications_pending",),
    "select case_id from omhand.cases where patient = 'x' and closed_at is null": ("cases_open_by_patient",),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_what_is_asked_has_an_index(pool: asyncpg.Pool, asked: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain {asked}"))
    assert [index for index in ASKED[asked] if index not in plan] == []
