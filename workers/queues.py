"""What waits in a task queue, and who serves it: workers with a build id only where theirs is a current version."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from temporalio.api.deployment.v1 import RoutingConfig
from temporalio.api.enums.v1 import TaskQueueType, WorkerVersioningMode
from temporalio.api.taskqueue.v1 import TaskQueue, TaskQueueVersioningInfo
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentRequest,
)
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode

KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)

NOTHING_GIVEN: Final = "no version is the current one: nothing is given to these workers"
MAKE_CURRENT: Final = (
    "make one the current one: `temporal worker deployment set-current-version …` (docs/operations.md, Upgrade)"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Backlog:
    """A task queue, as the server estimates it."""

    pollers: int
    """Workers that have asked within the last minutes."""
    tasks: int
    age: timedelta
    """Of the oldest that waits."""
    unserved_version: str | None = None
    """The build that new tasks go to, where none of the workers is of it."""
    nothing_given: bool = False
    """All workers are of versions, and tasks go to none."""


async def backlog_of(client: Client, queue: str) -> Backlog:
    """Both kinds of task that wait in a queue.

    Raises:
        RPCError: Temporal is away, or refuses.
    """
    described = [await _described(client, queue, kind) for kind in KINDS]
    pollers = [poller for each in described for poller in each.pollers]
    currents = {each.versioning_info.current_deployment_version.build_id for each in described} - {""}
    builds = {poller.deployment_options.build_id for poller in pollers}
    modes = {poller.deployment_options.worker_versioning_mode for poller in pollers}
    return Backlog(
        pollers=len(pollers),
        tasks=sum(each.stats.approximate_backlog_count for each in described),
        age=max(each.stats.approximate_backlog_age.ToTimedelta() for each in described),
        unserved_version=next(iter(sorted(currents - builds)), None),
        nothing_given=modes == {WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED}
        and not any(_goes_to_a_version(each.versioning_info) for each in described),
    )


async def warn_where_nothing_is_given(client: Client, version: WorkerDeploymentVersion) -> None:
    """Say in the log that a worker of this version will have nothing to do, as its deployment has no current one."""
    asked = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=version.deployment_name)
    told = {"deployment": version.deployment_name, "build_id": version.build_id}
    try:
        described = await client.workflow_service.describe_worker_deployment(asked, timeout=timedelta(seconds=10))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it serves, whatever keeps us from looking
            log.warning("whether a version is the current one cannot be told", error=error.status.name, **told)
            return
        routing = RoutingConfig()  # this is its first worker
    else:
        routing = described.worker_deployment_info.routing_config
    if not _goes_to_a_version(routing):
        log.warning(NOTHING_GIVEN, to_do=MAKE_CURRENT, **told)


def _goes_to_a_version(routing: RoutingConfig | TaskQueueVersioningInfo) -> bool:
    """Whether any task goes to a version: to the current one, or to one that ramps."""
    return bool(routing.current_deployment_version.build_id) or routing.ramping_version_percentage > 0


async def _described(client: Client, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind, report_stats=True
    )
    return await client.workflow_service.describe_task_queue(request)
