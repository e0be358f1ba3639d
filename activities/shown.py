"""A case's workflow as it says itself: Temporal's lists follow a moment later."""

from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes
from temporalio.converter import decode_typed_search_attributes
from temporalio.service import RPCError, RPCStatusCode

from omhand.contract.names import case_workflow_id


@dataclass(frozen=True, slots=True)
class Shown:
    """The workflow of a case: its newest run."""

    status: WorkflowExecutionStatus.ValueType
    attributes: TypedSearchAttributes
    started_at: datetime
    first_run: str
    """Of a case that has continued as new, or was reset."""

    @property
    def is_running(self) -> bool:
        """Whether it runs; operators may have paused it."""
        return self.status in {
            WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
            WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
        }

    @property
    def is_paused(self) -> bool:
        """Whether operators have paused it."""
        return self.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED

    @property
    def has_completed(self) -> bool:
        """Whether it has ended by itself: its result says how."""
        return self.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED


async def shown(client: Client, case_id: str) -> Shown | None:
    """The workflow of a case; None where Temporal has none.

    Raises:
        RPCError: Temporal is away, or refuses.
    """
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=case_workflow_id(case_id))
    )
    try:
        # Not the client's own `describe`, which cannot read a workflow that has been paused.
        described = await client.workflow_service.describe_workflow_execution(request, retry=True)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    info = described.workflow_execution_info
    attributes = decode_typed_search_attributes(info.search_attributes)
    return Shown(info.status, attributes, info.start_time.ToDatetime(UTC), info.first_run_id)
