"""The driver: it opens cases, takes them and closes them, as staff would, and waits for each row in between."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from workers.bench.stack import Servers, Serving
from workers.bench.variants import ACCEPT, CLOSE, Step, Variant, opening

IN_FLIGHT: Final = 24
"""Cases that are lived at once: enough that both processors have always something to do."""
PAUSE: Final = 0.05
"""Seconds between seeing a row and acting on it. Staff take longer; without any, an announcement's end and an accept
would share a workflow task, which they hardly ever do."""
QUIET: Final = 0.2
"""The same before the accept of a case that is lived alone. Within about 0.1 s of an activity's end the server takes
40 ms longer to hand out the next task, which is no question of the workflow, and nobody is that quick."""
PATIENCE: Final = 60
"""Seconds to wait for a row; then something is broken, and there is nothing to measure."""


class Rows:
    """Which rows have become visible, as Postgres tells."""

    def __init__(self) -> None:
        self._expected: dict[tuple[str, str], asyncio.Future[None]] = {}

    def expect(self, case_id: str, step: Step) -> asyncio.Future[None]:
        """What is done when the row is visible; to be asked for before it can be."""
        row = asyncio.get_running_loop().create_future()
        self._expected[case_id, step] = row
        return row

    def told(self, *message: Any) -> None:  # noqa: ANN401 - what asyncpg passes on
        """Postgres has told of a row: the last argument is ``<case id> <step>``."""
        case_id, step = message[-1].split()
        row = self._expected.pop((case_id, step), None)
        if row and not row.done():
            row.set_result(None)


class Driver:
    """Lives cases of one variant."""

    def __init__(self, variant: Variant, worker: Serving, client: Client, rows: Rows) -> None:
        self._variant = variant
        self._worker = worker
        self._client = client
        self._rows = rows

    async def live(self, case_id: str, pause: float = PAUSE) -> float:
        """A whole life; the seconds from the accept, which comes after the pause, to its row."""
        handle = await self.open(case_id)
        await asyncio.sleep(pause)
        accepted = self._rows.expect(case_id, "accepted")
        begun = time.perf_counter()
        await handle.signal("accept", ACCEPT)
        await asyncio.wait_for(accepted, PATIENCE)
        took = time.perf_counter() - begun
        await asyncio.sleep(PAUSE)
        await handle.signal("close", CLOSE)
        await asyncio.wait_for(handle.result(), PATIENCE)
        return took

    async def open(self, case_id: str) -> WorkflowHandle[Any, Any]:
        """A case that waits to be taken: opened, and announced where cases are."""
        ready = self._rows.expect(case_id, self._variant.waits_for)
        workflow_id = self._variant.workflow_id(case_id)
        if self._variant.eager:
            self._worker.tell(json.dumps(opening(case_id)))
        else:
            await self._client.start_workflow(
                self._variant.workflow_type,
                opening(case_id),
                id=workflow_id,
                task_queue=self._variant.queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
        await asyncio.wait_for(ready, PATIENCE)
        return self._client.get_workflow_handle(workflow_id)

    async def live_all(self, case_ids: Iterable[str]) -> float:
        """Many lives, so many at once; the seconds that all of them took."""
        return await self._all(case_ids, opened_only=False)

    async def open_all(self, case_ids: Iterable[str]) -> float:
        """Many cases that wait to be taken; the seconds that opening them took."""
        return await self._all(case_ids, opened_only=True)

    async def _all(self, case_ids: Iterable[str], *, opened_only: bool) -> float:
        waiting = iter(case_ids)
        do = self.open if opened_only else self.live

        async def one_after_another() -> None:
            for case_id in waiting:
                await do(case_id)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(one_after_another())
        return time.perf_counter() - begun

    async def history_of(self, case_id: str) -> Mapping[str, int]:
        """What Temporal keeps of a life: events, bytes and workflow tasks."""
        handle = self._client.get_workflow_handle(self._variant.workflow_id(case_id))
        history = await handle.fetch_history()
        described = await handle.describe()
        completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        return {
            "events": len(history.events),
            "bytes": described.raw_description.workflow_execution_info.history_size_bytes,
            "tasks": sum(event.event_type == completed for event in history.events),
        }


@asynccontextmanager
async def driving(on: Servers, variant: Variant, worker: Serving) -> AsyncIterator[Driver]:
    """A driver, listening to Postgres."""
    rows = Rows()
    connection = await asyncpg.connect(on.postgres.dsn)
    try:
        await connection.add_listener("bench", rows.told)
        yield Driver(variant, worker, await on.client(variant), rows)
    finally:
        await connection.close()
