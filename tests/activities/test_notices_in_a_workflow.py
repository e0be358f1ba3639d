"""A notification sent by a workflow on a real Temporal server: what the server keeps between attempts."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp import web
from fake_gateway import FakeGateway
from samples import opened
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.notices import Gateway
from activities.postgres.pool import open_pool
from activities.records import Records
from decisions.errands import Delivery, Sending
from omhand.contract.names import Channel
from workers.embedded import TemporalServer


@workflow.defn
class SendsOne:
    """Sends a notification as a case does."""

    @workflow.run
    async def run(self, key: str) -> Delivery:
        """How it went."""
        delivery: Delivery = await workflow.execute_activity(
            "send_notice",
            Sending(key=key),
            result_type=Delivery,
            start_to_close_timeout=timedelta(seconds=25),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1),
        )
        return delivery


async def test_key_is_posted_once_though_postgres_is_away_when_the_answer_comes(
    dsn: str, records: Records, pool: asyncpg.Pool, fake: FakeGateway, temporal_server: TemporalServer
) -> None:
    await records.record(opened("c1"))

    async def lose_the_table(_: web.Request) -> web.Response:
        await pool.execute("alter table omhand.notifications rename to gone")
        return web.Response(status=202)

    fake.answers = [lose_the_table]
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    async with (
        open_pool(dsn) as own,
        Gateway(own, fake.url) as gateway,
        Worker(
            client,
            task_queue="sends-one",
            workflows=[SendsOne],
            activities=[gateway.send_notice],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        sending = await client.start_workflow(SendsOne.run, "c1/2", id=str(uuid4()), task_queue="sends-one")
        await _until_attempt(sending, 3)
        await pool.execute("alter table omhand.gone rename to notifications")
        assert await asyncio.wait_for(sending.result(), 20) == Delivery(delivered=True, channel=Channel.PHONE)
    assert len(fake.calls) == 1
    logged = await pool.fetchrow("select status, attempts, error from omhand.notification_log")
    assert tuple(logged) == ("sent", 1, None)


async def _until_attempt(sending: Any, wanted: int) -> None:
    """Ask the server until so many attempts have been made; it tells nobody by itself."""
    async with asyncio.timeout(20):
        while True:
            description = await sending.describe()
            if any(pending.attempt >= wanted for pending in description.raw_description.pending_activities):
                return
