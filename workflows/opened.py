"""Waiting until a case that a workflow has started is there, or is known not to come."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from decisions.errands import CONFIRM_OPENED, OpenedCase
from workflows.errands import run_errand


async def until_opened(case_id: str, case: workflow.ChildWorkflowHandle[Any, Any]) -> None:
    """Wait until the case has been recorded or has failed to open: nobody is to believe in one that is not there.

    Raises:
        ApplicationError: the case's own failure.
    """
    asked = OpenedCase(case_id=case_id)
    recorded = asyncio.create_task(run_errand(CONFIRM_OPENED, asked, OpenedCase, "wait until the case is recorded"))
    await workflow.wait([case, recorded], return_when=asyncio.FIRST_COMPLETED)
    if recorded.done():
        await recorded
        return
    recorded.cancel()
    try:
        await case
    except ChildWorkflowError as error:
        if isinstance(error.cause, ApplicationError):
            raise ApplicationError(error.cause.message, type=error.cause.type, non_retryable=True) from error
        raise
