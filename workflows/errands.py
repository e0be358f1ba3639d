"""How activities are called: quick and local first, then for as long as it takes where operators can see it.

A local activity costs no task of its own, but its attempts show nowhere. So what usually takes
milliseconds is tried locally a few times; when that fails (Postgres is away), the same errand goes on as a regular
activity, which is retried for ever and shows its attempts and last error in the Web UI.
"""

from datetime import timedelta
from typing import Final, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from decisions.closing_check import Alarm
from decisions.effects import Notice
from decisions.errands import RECORD, SEND_NOTICE, Delivery, Sending
from omhand.contract.names import NOTICES_QUEUE, RECORDS_QUEUE
from omhand.contract.urgency import task_priority

Answer = TypeVar("Answer", bound=BaseModel)

QUICKLY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2)
FOR_EVER: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
UNTIL_ANSWERED: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
"""Contract §6: the first retry within 2 s, later ones at most a minute apart."""

LOCAL_ATTEMPT: Final = timedelta(seconds=2)
ATTEMPT: Final = timedelta(seconds=30)
GATEWAY_ATTEMPT: Final = timedelta(seconds=25)
"""The gateway has 10 s to answer; the rest is for the notification's row."""


class OutOfPatience(Exception):  # noqa: N818 - it is no error: something else has to happen first
    """The errand was not done within the time that it was given."""


async def run_errand(
    name: str, argument: BaseModel, answer: type[Answer], summary: str, *, patience: timedelta | None = None
) -> Answer:
    """The activity's answer, however long it takes; or within ``patience``, counted from when it was not quick.

    Raises:
        ApplicationError: one that the activity said not to retry.
        OutOfPatience: it took longer than it may.
    """
    try:
        quick: Answer = await workflow.execute_local_activity(
            name,
            argument,
            result_type=answer,
            start_to_close_timeout=LOCAL_ATTEMPT,
            retry_policy=QUICKLY,
            summary=summary,
        )
    except FailureError as error:
        # A local activity that is given up raises its own failure, not wrapped in an ActivityError as a regular one.
        raise_if_final(error)
    else:
        return quick
    workflow.logger.warning("%s did not succeed at once and goes on as a regular activity", name)
    return await _run_for_long(name, argument, answer, summary, patience)


async def _run_for_long(
    name: str, argument: BaseModel, answer: type[Answer], summary: str, patience: timedelta | None
) -> Answer:
    try:
        slow: Answer = await workflow.execute_activity(
            name,
            argument,
            result_type=answer,
            task_queue=RECORDS_QUEUE if name == RECORD else None,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=patience,
            retry_policy=FOR_EVER,
            summary=summary,
        )
    except ActivityError as error:
        raise_if_final(error)
        if patience is not None:
            raise OutOfPatience from error
        raise
    else:
        return slow


def raise_if_final(error: FailureError) -> None:
    """Pass on that an activity was cancelled, or said not to be tried again; else go on.

    Raises:
        FailureError: it was cancelled.
        ApplicationError: its own, not to be retried.
    """
    if is_cancelled_exception(error):
        raise error
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError) and cause.non_retryable:
        raise ApplicationError(cause.message, type=cause.type, non_retryable=True) from error


def start_sending(notice: Notice | Alarm) -> "workflow.ActivityHandle[Delivery]":
    """The notification on its way, on the gateway's own queue. Cancelling the handle withdraws it."""
    return workflow.start_activity(
        SEND_NOTICE,
        Sending(key=notice.key),
        result_type=Delivery,
        task_queue=NOTICES_QUEUE,
        start_to_close_timeout=GATEWAY_ATTEMPT,
        retry_policy=UNTIL_ANSWERED,
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        summary=f"{notice.reason} to {notice.to} of {notice.unit}",
        priority=task_order(notice.priority, notice.unit),
    )


def task_order(priority: int | None, unit: str) -> Priority:
    """When a task is taken where many wait: by the case's priority, and by turns between units."""
    return Priority(priority_key=task_priority(priority), fairness_key=unit)
