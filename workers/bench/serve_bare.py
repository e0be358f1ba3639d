"""The worker process of a bare workflow: ``python -m workers.bench.serve_bare bare-usual|bare-floor [cached cases]``.

Without a number of cached cases it keeps as many as the SDK does by default.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from workers.bench.bare import WRITE, BareFloor, BareUsual
from workers.bench.process import told

INSERT: Final = "insert into bench.steps (case_id, step, body) values ($1, $2, $3::jsonb) on conflict do nothing"
MOST_CONNECTIONS: Final = 8


class Steps:
    """The activity that writes."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @activity.defn(name=WRITE)
    async def write(self, case_id: str, step: str, body: Mapping[str, Any]) -> None:
        """One row, once."""
        await self._pool.execute(INSERT, case_id, step, json.dumps(body))


async def serve(name: str, options: Mapping[str, Any]) -> None:
    """Serve the workflow of that name; start the cases that standard input asks for, eagerly."""
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    dsn = os.environ["OMHAND_DATABASE_URL"]
    async with asyncpg.create_pool(dsn, min_size=1, max_size=MOST_CONNECTIONS) as pool:
        steps = Steps(pool)
        usual = name == "bare-usual"
        floor: Mapping[str, Any] = {} if usual else {"workflow_runner": UnsandboxedWorkflowRunner()}
        worker = Worker(
            client,
            task_queue=name,
            workflows=[BareUsual if usual else BareFloor],
            activities=[steps.write],
            **floor,
            **options,
        )
        async with worker, asyncio.TaskGroup() as starting:
            async for opening in told():
                starting.create_task(start_eagerly(client, name, json.loads(opening)))


async def start_eagerly(client: Client, queue: str, opening: Mapping[str, Any]) -> None:
    """Start a case from the process that serves it, as an eager start has to be."""
    workflow_id = f"{queue}-{opening['case_id']}"
    await client.start_workflow(BareFloor.__name__, opening, id=workflow_id, task_queue=queue, request_eager_start=True)


def main(arguments: Sequence[str]) -> None:
    """Serve until standard input ends."""
    name, *cached = arguments
    asyncio.run(serve(name, {"max_cached_workflows": int(cached[0])} if cached else {}))


if __name__ == "__main__":
    main(sys.argv[1:])
