"""Two versions of the worker side by side: operators say which one takes the cases, and all but pinned ones move.

A case lives for months, so it moves to the current version at its next task (docs/operations.md, "Upgrade").
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from lives import failed_tasks
from programs import Program, settings_of
from stage import Stage, load_rules, new_database, staged, until
from stories import NORTH, NURSE_NORTH
from structlog.testing import capture_logs
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import EventType, RoutingConfigUpdateState
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkerDeploymentVersion as Version
from temporalio.service import RPCError, RPCStatusCode

from omhand.codec import data_converter
from omhand.contract.names import CASES_QUEUE, NOTICES_QUEUE, RECORDS_QUEUE, closing_workflow_id
from workers.doctor import Doctor
from workers.queues import MAKE_CURRENT, NOTHING_GIVEN, warn_where_nothing_is_given
from workers.settings import Settings
from workers.worker import DEPLOYMENT, serving

Handle = WorkflowHandle[Any, Any]
QUEUES = (CASES_QUEUE, RECORDS_QUEUE, NOTICES_QUEUE)


@dataclass
class Operator:
    """Who says which version takes the cases."""

    client: Client

    async def deployment(self) -> WorkerDeploymentInfo:
        """What Temporal knows of the worker deployment."""
        asked = DescribeWorkerDeploymentRequest(namespace=self.client.namespace, deployment_name=DEPLOYMENT)
        return (await self.client.workflow_service.describe_worker_deployment(asked)).worker_deployment_info

    async def make_current(self, build_id: str) -> None:
        """New cases start there, and those that run move there."""
        await self._when_it_polls(
            lambda: self.client.workflow_service.set_worker_deployment_current_version(
                SetWorkerDeploymentCurrentVersionRequest(
                    namespace=self.client.namespace, deployment_name=DEPLOYMENT, build_id=build_id
                )
            )
        )

    async def ramp(self, build_id: str, percentage: float) -> None:
        """So many of a hundred cases go there."""
        await self._when_it_polls(
            lambda: self.client.workflow_service.set_worker_deployment_ramping_version(
                SetWorkerDeploymentRampingVersionRequest(
                    namespace=self.client.namespace,
                    deployment_name=DEPLOYMENT,
                    build_id=build_id,
                    percentage=percentage,
                )
            )
        )

    async def pin(self, case: Handle, build_id: str | None) -> None:
        """The case stays with a version, or with none any more."""
        version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id or "")
        pinned = VersioningOverride.PinnedOverride(
            behavior=VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED, version=version
        )
        options = WorkflowExecutionOptions(versioning_override=VersioningOverride(pinned=pinned) if build_id else None)
        await self.client.workflow_service.update_workflow_execution_options(
            UpdateWorkflowExecutionOptionsRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=case.id),
                workflow_execution_options=options,
                update_mask=FieldMask(paths=["versioning_override"]),
            )
        )

    async def _when_it_polls(self, ask: Callable[[], Awaitable[Any]]) -> None:
        """Temporal refuses a version that does not poll all queues; when it knows, until all queues have been told."""

        async def done() -> bool:
            try:
                await ask()
            except RPCError as fault:
                if fault.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION}:
                    return False
                raise
            return True

        async def told() -> bool:
            state = (await self.deployment()).routing_config_update_state
            return state == RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED

        await until(done)
        await until(told)


async def version_of(case: Handle) -> str:
    """The build that did the workflow's last task."""
    info = (await case.describe()).raw_description.workflow_execution_info.versioning_info
    return str(info.deployment_version.build_id)


async def taken_on(case: Handle) -> str:
    """Something happens to the case; the build that took it on."""
    await case.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    return await version_of(case)


async def who_sent(case: Handle) -> set[str]:
    """The processes that sent the case's notifications, once one has."""
    return set(await until(lambda: _who_sent(case)))


async def _who_sent(case: Handle) -> set[str]:
    events = [event async for event in case.fetch_history_events()]
    sendings = {
        event.event_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        and event.activity_task_scheduled_event_attributes.activity_type.name == "send_notice"
    }
    started = [event.activity_task_started_event_attributes for event in events]
    return {each.identity.partition("@")[0] for each in started if each.scheduled_event_id in sendings}


@pytest.fixture
async def stage(postgres_server: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage on which nobody serves yet."""
    dsn = await new_database(postgres_server, request.node.name)
    await load_rules(dsn)
    async with staged(dsn, served=False) as whole:
        yield whole


@asynccontextmanager
async def worker_a(stage: Stage) -> AsyncIterator[None]:
    """A worker of the build "a", in this process."""
    client = await Client.connect(stage.address, data_converter=data_converter(None))
    async with serving(client, settings_a(stage)):
        yield


def settings_a(stage: Stage) -> Settings:
    """Those of the build "a"."""
    return Settings(database_url=stage.dsn, gateway_url=stage.gateway.url, notices_per_second=1000.0, build_id="a")


async def test_cases_move_to_the_version_that_is_made_current_and_back_and_pinned_ones_stay(
    stage: Stage, root: Path
) -> None:
    operator, ours = Operator(stage.client), str(os.getpid())
    program = Program(root, settings_of(stage) | {"OMHAND_BUILD_ID": "b"})
    async with program.worker(stage.folder / "b.log") as b, worker_a(stage):
        assert NOTHING_GIVEN in (stage.folder / "b.log").read_text()
        await operator.make_current("a")
        moving, pinned, ramped = [await stage.start(f"on-a-{number}") for number in range(3)]
        # b has started, and nothing goes there.
        assert [await taken_on(case) for case in (moving, pinned, ramped)] == ["a", "a", "a"]
        await operator.pin(pinned, "a")

        await operator.ramp("b", 100)
        assert [await taken_on(case) for case in (ramped, pinned)] == ["b", "a"]
        await operator.ramp("b", 0)
        assert await taken_on(ramped) == "a"

        await operator.make_current("b")
        new = await stage.start("on-b")
        assert [await taken_on(case) for case in (moving, new, pinned)] == ["b", "b", "a"]
        assert await version_of(await closing_check(stage)) == "b"
        # What a case asks for is done by the version that the case is on, on every queue.
        assert await who_sent(new) == {str(b.process.pid)}
        await operator.pin(pinned, None)
        assert await taken_on(pinned) == "b"

        await operator.make_current("a")
        assert [await taken_on(case) for case in (moving, new, pinned)] == ["a", "a", "a"]
        for case in (moving, new, pinned, ramped):
            await case.execute_update("accept", {"by": NURSE_NORTH})
            await case.execute_update("close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"})
            await stage.is_whole(case.id.removeprefix("case-"))
        assert await who_sent(moving) == {ours}
    assert await failed_tasks(stage) == []


async def test_where_no_version_is_the_current_one_the_doctor_and_the_workers_log_say_so(stage: Stage) -> None:
    operator = Operator(stage.client)
    assert await warned(stage) == [NOTHING_GIVEN]
    async with worker_a(stage):
        await until(lambda: finds(stage, dict.fromkeys(QUEUES, (NOTHING_GIVEN, MAKE_CURRENT))))
        assert await warned(stage) == [NOTHING_GIVEN]
        # One that ramps is given something; one that does so no more is not.
        await operator.ramp("a", 1)
        await until(lambda: finds(stage, {}))
        await operator.ramp("a", 0)
        assert await warned(stage) == [NOTHING_GIVEN]
        await operator.make_current("a")
        await until(lambda: finds(stage, {}))
        assert await warned(stage) == []


async def finds(stage: Stage, expected: dict[str, tuple[str, str]]) -> bool:
    """Whether the doctor finds this, and no more, not to be well with the queues, and this to be done."""
    found = {each.what: each async for each in Doctor(settings_a(stage), None, stage.client).look()}
    queues = {queue: found[f"task queue {queue}"] for queue in QUEUES}
    return {queue: (each.how, each.to_do) for queue, each in queues.items() if not each.is_well} == expected


async def warned(stage: Stage) -> list[str]:
    """What a worker of the build "a" that starts now is warned of."""
    with capture_logs() as logs:
        await warn_where_nothing_is_given(stage.client, Version(DEPLOYMENT, "a"))
    return [each["event"] for each in logs if "build_id" in each]


async def closing_check(stage: Stage) -> Handle:
    """The workflow of the unit's closing check, which its schedule starts now, when it has done something."""

    async def triggered() -> bool:
        with suppress(RPCError):  # the worker is about to make it
            await stage.client.get_schedule_handle(closing_workflow_id(NORTH)).trigger()
            return True
        return False

    async def found() -> Handle | None:
        async for each in stage.client.list_workflows(f"WorkflowId STARTS_WITH '{closing_workflow_id(NORTH)}'"):
            handle: Handle = stage.client.get_workflow_handle(each.id)
            return handle if await version_of(handle) else None
        return None

    await until(triggered)
    handle: Handle = await until(found)
    return handle
