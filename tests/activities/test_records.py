"""Steps of cases, written to a real Postgres, and what readers find there (contract §5)."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import pytest
from samples import (
    EAST,
    NORTH,
    NOWHERE,
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
)
from stored import everything, rows, statuses
from temporalio.exceptions import ApplicationError

from activities.opened import Opened, find_opened
from activities.records import Records
from decisions.errands import Step
from omhand.contract.names import Kind

MINUTE = timedelta(minutes=1)


async def refused(records: Records, step: Step) -> ApplicationError:
    """Why the step was not written."""
    with pytest.raises(ApplicationError) as caught:
        await records.record(step)
    return caught.value


# The first step


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
    assert await find_opened(pool, "c1") == Opened("run-1", Kind.DROP_IN_VISIT, NORTH, "nurse", None)
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


async def test_what_stands_in_the_log_is_given_back_and_not_written_over(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    noted = acted(first, "note", text="hostar blod").model_copy(update={"cause": "signal:1"})
    await records.record(first)
    await records.record(noted)
    before = await everything(pool)
    answer = await records.record(acted(first, "note", at=noted.events[0].at, text="mår bra"))
    assert [(earlier.event, earlier.cause) for earlier in answer.ahead] == [(noted.events[0], "signal:1")]
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
    # An open case is not ended by what stands in the database: then it waits for an operator.
    assert (error.type, error.non_retryable) == (("SequenceConflict", False) if later else ("CaseExists", True))
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
