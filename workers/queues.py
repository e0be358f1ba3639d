"""What waits in a task queue, and who serves it."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client

KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


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


async def backlog_of(client: Client, queue: str) -> Backlog:
    """Both kinds of task that wait in a queue.

    Raises:
        RPCError: Temporal is away, or refuses.
    """
    described = [await _described(client, queue, kind) for kind in KINDS]
    pollers = [poller for each in described for poller in each.pollers]
    currents = {each.versioning_info.current_deployment_version.build_id for each in described} - {""}
    builds = {poller.deployment_options.build_id for poller in pollers}
    return Backlog(
        pollers=len(pollers),
        tasks=sum(each.stats.approximate_backlog_count for each in described),
        age=max(each.stats.approximate_backlog_age.ToTimedelta() for each in described),
        unserved_version=next(iter(sorted(currents - builds)), None),
    )


async def _described(client: Client, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind, report_stats=True
    )
    return await client.workflow_service.describe_task_queue(request)
