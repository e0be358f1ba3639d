"""``Intake``: a triage outcome becomes the kind of case that the routine says (K1a-c, K2a, K5)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from decisions.errands import LOOK_UP_ROUTE, RouteAnswer, RouteQuestion
from omhand.contract.names import WORKFLOW_TYPES, Kind, StartFault, case_workflow_id, intake_workflow_id
from omhand.contract.opening import IntakeAnswer, Opening, TriageOutcome
from omhand.contract.wire import Malformed, read
from workflows.errands import run_errand, task_order
from workflows.failures import start_failure
from workflows.no_case import NoCase
from workflows.opened import until_opened
from workflows.reading import one_object

ASK_AGAIN: Final = timedelta(seconds=1)


class Intake(NoCase):
    """Picks the kind, starts the case, and says where it went. Asked again, it answers as before."""

    what = "an intake"

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """Where the outcome went (``IntakeAnswer``)."""
        outcome = self._read(args)
        while True:
            asked = RouteQuestion(outcome=outcome, at=workflow.now())
            found = await run_errand(LOOK_UP_ROUTE, asked, RouteAnswer, "look up where the outcome goes")
            answer = found.before or await self._start(found)
            if answer:
                return answer.to_json()
            # Somebody is opening the same case at this moment: what it becomes will stand in the database.
            await workflow.sleep(ASK_AGAIN, summary="the case is being opened by another start")

    def _read(self, args: Sequence[RawValue]) -> TriageOutcome:
        try:
            outcome = read(TriageOutcome, one_object(args))
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        if workflow.info().workflow_id != intake_workflow_id(outcome.case_id):
            raise start_failure(StartFault.INVALID_CASE, "case_id: the workflow id must be intake-<case_id>")
        return outcome

    async def _start(self, found: RouteAnswer) -> IntakeAnswer | None:
        if found.refused:
            raise start_failure(found.refused.fault, found.refused.message)
        if found.kind is None or found.opening is None:
            msg = "the route has neither a kind nor a refusal"
            raise RuntimeError(msg)
        return await self._start_case(found.kind, found.opening)

    async def _start_case(self, kind: Kind, opening: Opening) -> IntakeAnswer | None:
        workflow_id = case_workflow_id(opening.case_id)
        try:
            case = await workflow.start_child_workflow(
                WORKFLOW_TYPES[kind],
                opening.model_dump(mode="json", exclude_defaults=True),
                id=workflow_id,
                # One that failed to open, or was ended by force, left its id; Postgres still tells a case from none.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"{kind}, priority {opening.priority}, {opening.profession}",
                priority=task_order(opening.priority, opening.unit),
            )
        except WorkflowAlreadyStartedError:
            return None
        await until_opened(opening.case_id, case)
        return IntakeAnswer(
            workflow_id=workflow_id,
            workflow_type=WORKFLOW_TYPES[kind],
            case_id=opening.case_id,
            kind=kind,
            unit=opening.unit,
            profession=opening.profession,
        )
