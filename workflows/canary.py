"""``Canary``: started every few minutes by a schedule. A case is opened, escalates, is accepted and closed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions.canary import (
    AWAIT_CANARY,
    BEGIN_CANARY,
    CANARY_NURSE,
    CANARY_UNIT,
    END_CANARY,
    CanariesLeft,
    CanaryAwaited,
    CanaryBegins,
    CanaryEnds,
    CanaryLived,
    canary_id,
    canary_opening,
)
from omhand.contract.names import (
    WORKFLOW_TYPES,
    ActionName,
    EventName,
    Kind,
    Outcome,
    StartFault,
    case_workflow_id,
)
from omhand.contract.wire import Malformed
from workflows.errands import ATTEMPT, FOR_EVER, Answer, task_order
from workflows.failures import start_failure
from workflows.no_case import NoCase
from workflows.reading import one_object

AWAITING: Final = timedelta(seconds=30)


class Canary(NoCase):
    """Lives a case through everything that cases are made of, but the gateway itself."""

    what = "a canary"

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """That it has lived (``CanaryLived``). One that does not come to its end is timed out by its schedule."""
        try:
            if one_object(args):
                msg = "there is nothing to be told to a canary: {} is its argument"
                raise start_failure(StartFault.INVALID_CASE, msg)
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        at = workflow.now()
        case_id = canary_id(at)
        left = await _do(BEGIN_CANARY, CanaryBegins(case_id=case_id, at=at), CanariesLeft, "a canary is sent")
        for each in left.open:
            await _act(each, ActionName.CANCEL, reason="the canary has been forgotten")
        case = await workflow.start_child_workflow(
            WORKFLOW_TYPES[Kind.DROP_IN_VISIT],
            canary_opening(case_id),
            id=case_workflow_id(case_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary="canary",
            priority=task_order(canary_opening(case_id)["priority"], CANARY_UNIT),
        )
        await _until(case_id, EventName.ESCALATED)
        await _act(case_id, ActionName.ACCEPT)
        await _until(case_id, EventName.ACCEPTED)
        await _act(case_id, ActionName.CLOSE, outcome=Outcome.ADVICE_GIVEN, held_as="video")
        await case
        ended = CanaryEnds(case_id=case_id, at=workflow.now())
        await _do(END_CANARY, ended, CanaryEnds, "the canary has lived")
        return CanaryLived(case_id=case_id, started_at=at, finished_at=ended.at).to_json()


async def _until(case_id: str, event: EventName) -> None:
    await _do(AWAIT_CANARY, CanaryAwaited(case_id=case_id, event=event), CanaryAwaited, f"wait until it is {event}")


async def _do(name: str, argument: BaseModel, answer: type[Answer], summary: str) -> Answer:
    done: Answer = await workflow.execute_activity(
        name,
        argument,
        result_type=answer,
        start_to_close_timeout=ATTEMPT,
        retry_policy=FOR_EVER,
        summary=summary,
    )
    return done


async def _act(case_id: str, action: ActionName, **payload: object) -> None:
    case = workflow.get_external_workflow_handle(case_workflow_id(case_id))
    try:
        await case.signal(action, {"by": CANARY_NURSE, "action_id": f"{action}-{case_id}", **payload})
    except ApplicationError:
        # It has ended in the meantime: what it has not come to, it is not waited for here.
        workflow.logger.warning("the canary %s could not be told: %s", case_id, action)
