"""Figures for people, read from rows that real steps have written."""

import re
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from samples import NORTH, NURSE, SOUTH, SOUTH_NURSE, acted, opened, passed, soon
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.postgres.pool import query
from activities.records import Records
from decisions.canary import CANARY_UNIT
from workers.children import free_ports
from workers.figures import FIGURES, Figures, read_figures

MINUTE = timedelta(minutes=1)


async def figure(pool: asyncpg.Pool, name: str) -> dict[tuple[str, ...], float]:
    """The values of a figure, by the values of its labels in their order."""
    values = (await read_figures(pool))[name]
    return {tuple(value for _, value in labels): value for labels, value in values.items()}


async def test_open_cases_are_counted_by_unit_kind_and_status(pool: asyncpg.Pool, records: Records) -> None:
    first = {case_id: opened(case_id) for case_id in ("c1", "c2", "c3")}
    taken = {case_id: acted(first[case_id], "accept") for case_id in ("c2", "c3")}
    for step in (*first.values(), *taken.values(), acted(taken["c2"], "close", outcome="treated", held_as="video")):
        await records.record(step)
    assert await figure(pool, "omhand_cases_open") == {
        (NORTH, "drop_in_visit", "waiting"): 1,
        (NORTH, "drop_in_visit", "accepted"): 1,
    }


async def test_a_case_is_overdue_as_the_worklist_says_it(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("late", soon() - 31 * MINUTE))
    await records.record(opened("in-time", soon() - 29 * MINUTE))
    await records.record(opened("urgent", priority=2))
    assert await figure(pool, "omhand_cases_overdue") == {(NORTH, "3"): 1, (NORTH, "2"): 0}
    listed = await pool.fetchval("select count(*) from omhand.worklist where overdue")
    assert listed == 1


async def test_time_to_accept_and_whether_in_time_are_of_the_last_day(pool: asyncpg.Pool, records: Records) -> None:
    now = soon()
    for number, minutes in enumerate((10, 20, 40)):
        first = opened(f"c{number}", now - minutes * MINUTE)
        due = passed(first, now) if minutes > 30 else first
        await records.record(first)
        if due is not first:
            await records.record(due)
        await records.record(acted(due, "accept", now))
    old = opened("old", now - timedelta(days=3))
    await records.record(old)
    await records.record(acted(old, "accept", now - timedelta(days=3) + MINUTE))
    assert await figure(pool, "omhand_time_to_accept_seconds") == {("3", "0.5"): 1200, ("3", "0.9"): 2160}
    assert await figure(pool, "omhand_accepted_cases") == {("3", "true"): 2, ("3", "false"): 1}


async def test_an_escalation_is_the_unit_s_that_was_responsible(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    escalated = passed(first, soon())
    await records.record(first)
    await records.record(escalated)
    await records.record(acted(escalated, "accept", by=SOUTH_NURSE))
    assert await pool.fetchval("select responsible_unit from omhand.cases") == SOUTH
    assert await figure(pool, "omhand_escalations") == {(NORTH,): 1}


async def test_a_notification_that_was_withdrawn_has_not_failed(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1")
    await records.record(first)
    await records.record(opened("c2"))
    await pool.execute("update omhand.notifications set created_at = now() - interval '7 min' where case_id = 'c2'")
    assert await figure(pool, "omhand_notifications") == {("pending",): 2, ("failed",): 0}
    [age] = (await figure(pool, "omhand_oldest_unsent_notification_age_seconds")).values()
    assert 420 <= age < 480
    # The call to take it is withdrawn; whoever has taken it is told of that.
    await records.record(acted(first, "accept", by=NURSE))
    assert await pool.fetchval("select count(*) from omhand.notifications where withdrawn") == 1
    assert await figure(pool, "omhand_notifications") == {("pending",): 2, ("failed",): 0}
    for key in await pool.fetch(PENDING):
        await pool.execute(query("notice_failed"), key[0], "gateway answered 400")
    assert await figure(pool, "omhand_notifications") == {("pending",): 0, ("failed",): 2}
    assert await figure(pool, "omhand_oldest_unsent_notification_age_seconds") == {(): 0}


PENDING = "select key from omhand.notifications where status = 'pending'"


async def test_a_canary_is_nobody_s_case(pool: asyncpg.Pool, records: Records) -> None:
    first = opened("c1", soon() - 40 * MINUTE)
    escalated = passed(first, soon())
    for step in (first, escalated, acted(escalated, "accept", by=SOUTH_NURSE)):
        await records.record(step)
    await records.record(opened("c2"))
    await pool.execute("update omhand.cases set responsible_unit = $1, received_by = $1", CANARY_UNIT)
    await pool.execute("update omhand.notifications set unit_id = $1", CANARY_UNIT)
    told = await read_figures(pool)
    for name in ("cases_open", "cases_overdue", "accepted_cases", "time_to_accept_seconds", "escalations"):
        assert told[f"omhand_{name}"] == {}
    assert set(told["omhand_notifications"].values()) == {0}


async def test_what_watches_the_program_is_shown_with_its_time(pool: asyncpg.Pool) -> None:
    told = await read_figures(pool)
    assert told["omhand_audit_at_seconds"] == {(): 0}
    assert told["omhand_canary_at_seconds"] == told["omhand_canary_seconds"] == told["omhand_audit_findings"] == {}
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    await pool.execute("insert into omhand.audits values ($1, 5), ($2, 6)", at, at - MINUTE)
    await pool.execute("insert into omhand.findings values ('a', 'lost', now(), now()), ('b', 'lost', now(), now())")
    await pool.execute("insert into omhand.canaries values ('k1', $1)", at)
    told = await read_figures(pool)
    assert told["omhand_audit_at_seconds"] == {(): at.timestamp()}
    assert told["omhand_audit_findings"] == {(("fault", "lost"),): 2}
    # One that has not come back does not count, unless none ever has: then silence counts from the first.
    assert told["omhand_canary_at_seconds"] == {(): at.timestamp()}
    assert told["omhand_canary_seconds"] == {}
    await pool.execute("insert into omhand.canaries values ('k2', $1, $2, '2.5 s')", at, at + MINUTE)
    await pool.execute("insert into omhand.canaries values ('k3', $1)", at + 2 * MINUTE)
    told = await read_figures(pool)
    assert told["omhand_canary_at_seconds"] == {(): (at + MINUTE).timestamp()}
    assert told["omhand_canary_seconds"] == {(): 2.5}


async def test_the_worker_s_role_may_read_them_all(pool: asyncpg.Pool, records: Records) -> None:
    await records.record(opened("c1"))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("set local role omhand_worker")
        told = await read_figures(connection)
    assert sum(told["omhand_cases_open"].values()) == 1


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("figures_cases", {"cases_open_by_(unit|patient)|cases_next"}),
        ("figures_accepted", {"cases_accepted"}),
        ("figures_escalations", {"events_escalated", "notifications_pkey"}),
        ("figures_notifications", {"notifications_pending", "notifications_failed"}),
        ("figures_watch", {"audits_pkey", "canaries_finished", "canaries_started"}),
    ],
)
async def test_no_figure_reads_what_is_closed_and_long_past(pool: asyncpg.Pool, name: str, indexes: set[str]) -> None:
    sql = query(name).replace("$1", f"'{CANARY_UNIT}'")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")  # of tables that are empty, a planner reads all
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain (costs off) {sql}"))
    assert "Seq Scan" not in plan
    assert not [index for index in indexes if not re.search(index, plan)], plan


def test_a_value_whose_labels_are_gone_is_shown_as_nought() -> None:
    [port] = free_ports(0)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=f"127.0.0.1:{port}")))
    figures = Figures(runtime.metric_meter)
    figures.show("omhand_escalations", {(("unit", NORTH),): 3, (("unit", SOUTH),): 1})
    figures.show("omhand_escalations", {(("unit", NORTH),): 2})
    assert shown(port, "omhand_escalations") == {NORTH: 2, SOUTH: 0}
    figures.show("omhand_escalations", {})
    assert shown(port, "omhand_escalations") == {NORTH: 0, SOUTH: 0}


def shown(port: int, name: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    told: Any = families[name]
    assert told.documentation == FIGURES[name]
    return {sample.labels["unit"]: sample.value for sample in told.samples}
