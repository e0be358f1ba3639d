"""Erases what staff and the patient wrote about a closed case, in Postgres and in Temporal (`omhand forget`).

What has to be kept is kept: that there was a case, when what happened, by whom and at which unit, and the whole access
log. Copies elsewhere, backups among them, are not reached. Only the owner of the database can do it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.access import AccessLog
from activities.postgres.pool import open_pool, query
from decisions.forgetting import forgotten
from omhand.client.faults import CaseError, speaking
from omhand.contract.events import Event
from omhand.contract.names import case_workflow_id, intake_workflow_id
from omhand.contract.reads import Reader
from omhand.contract.wire import read

NO_SUCH_CASE: Final = "NoSuchCase"
NOT_CLOSED: Final = "NotClosed"
NOT_OWNER: Final = "NotOwner"
NOT_IN_TEMPORAL: Final = "NotInTemporal"

RPC_TIMEOUT: Final = timedelta(seconds=10)
TEMPORAL_SECONDS: Final = 60.0
"""For the case and all its consultations."""


class ForgetRefused(Exception):  # noqa: N818 - named for what it is
    """The case is not forgotten. ``code`` says why to programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What has been erased: the case and its consultations, rows of their logs, and runs of their workflows.

    Temporal deletes histories in the background, within a minute or so.
    """

    cases: tuple[str, ...]
    events: int
    runs: int


async def forget(dsn: str, client: Client, case_id: str, by: Reader | None) -> Forgotten:
    """Erase what was written about a case and the consultations that came of it. Again, it finishes what was left.

    Raises:
        ForgetRefused: there is no such case (``NoSuchCase``), it or a consultation of it has not ended (``NotClosed``),
            or the login does not own the database (``NotOwner``): nothing is erased. ``NotInTemporal``: Postgres has
            forgotten it, and Temporal, which went away, has not: do it again.
        CaseError: Temporal is away. Nothing is erased.
        OSError, TimeoutError, asyncpg.PostgresError: Postgres is away. Nothing is erased.
    """
    async with open_pool(dsn, most=1) as pool, pool.acquire() as connection:
        try:
            async with connection.transaction():
                cases = await _closed_cases(connection, case_id)
                async with speaking(case_id, TEMPORAL_SECONDS):
                    runs = [run for case in cases for run in await _ended_runs(client, case)]
                events = await _erase(connection, cases, by)
        except asyncpg.InsufficientPrivilegeError as error:
            msg = "only the owner of the database, who migrates it, can erase anything"
            raise ForgetRefused(NOT_OWNER, msg) from error
    try:
        async with speaking(case_id, TEMPORAL_SECONDS):
            for run in runs:
                await _delete(client, run)
    except CaseError as fault:
        msg = f"Postgres has forgotten it, Temporal has not: do it again. {fault.message}"
        raise ForgetRefused(NOT_IN_TEMPORAL, msg) from fault
    return Forgotten(cases, events, len(runs))


async def _closed_cases(connection: asyncpg.Connection, case_id: str) -> tuple[str, ...]:
    rows = await connection.fetch(query("lock_case_and_consultations"), case_id)
    if not any(row["case_id"] == case_id for row in rows):
        msg = f"Postgres has no case {case_id}"
        raise ForgetRefused(NO_SUCH_CASE, msg)
    for row in rows:
        if row["closed_at"] is None:
            msg = f"the case {row['case_id']} is open: it has to be closed first"
            raise ForgetRefused(NOT_CLOSED, msg)
    return tuple(row["case_id"] for row in rows)


async def _erase(connection: asyncpg.Connection, cases: tuple[str, ...], by: Reader | None) -> int:
    # In the order in which a step locks: the case, the events, and the end of the access log last.
    await connection.execute("lock table omhand.events in share row exclusive mode")
    # Before anything is erased: what is logged names the patient whose case it was.
    for case in cases:
        await AccessLog(connection).log_command("forget", by, case_id=case)
    rows = [dict(row) for row in await connection.fetch(query("events_of_cases"), cases)]
    erased = []
    for row in rows:
        case = row.pop("case_id")
        event = read(Event, row)
        if forgotten(event) != event:
            erased.append((case, event.seq, forgotten(event).detail))
    # The log lets nobody change it but here: nobody else sees it open, and the transaction closes it again.
    await connection.execute("alter table omhand.events disable trigger append_only")
    await connection.executemany(query("erase_event"), erased)
    await connection.execute("alter table omhand.events enable always trigger append_only")
    await connection.execute(query("erase_cases"), cases)
    return len(erased)


async def _ended_runs(client: Client, case_id: str) -> list[WorkflowExecution]:
    """All runs of the workflows of a case; raises ForgetRefused where one of them has not ended."""
    runs = []
    for workflow_id in (case_workflow_id(case_id), intake_workflow_id(case_id)):
        found = [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'", rpc_timeout=RPC_TIMEOUT)]
        with _unless_gone():
            # The list is a moment behind: the latest run is asked for by itself.
            found.append(await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT))
            if found[-1].status is WorkflowExecutionStatus.RUNNING:
                msg = f"the workflow {workflow_id} has not ended yet: do it again in a moment"
                raise ForgetRefused(NOT_CLOSED, msg)
        runs += [WorkflowExecution(workflow_id=workflow_id, run_id=run_id) for run_id in {run.run_id for run in found}]
    return runs


async def _delete(client: Client, run: WorkflowExecution) -> None:
    with _unless_gone():
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=run), timeout=RPC_TIMEOUT
        )


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Whatever is gone already need not be deleted."""
    try:
        yield
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
