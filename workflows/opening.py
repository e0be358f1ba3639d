"""Reads what starts a case: what is malformed, or outside the routine, fails at once and clearly (contract §1)."""

from collections.abc import Mapping
from datetime import datetime

from temporalio import workflow

from decisions.errands import LOOK_UP_OPENING, OpeningQuestion
from decisions.receiving import OpeningFacts
from decisions.routing import outside_the_routine
from omhand.contract.names import Kind, StartFault, case_workflow_id
from omhand.contract.opening import GivenOpening, Opening, read_opening
from omhand.contract.wire import Malformed
from workflows.errands import run_errand
from workflows.failures import start_failure
from workflows.relatives import asking_case


def opening_in(kind: Kind, given: Mapping[str, object]) -> Opening:
    """The opening of the running workflow's case.

    Raises:
        ApplicationError: InvalidCase or NotInRoutine.
    """
    workflow_id = workflow.info().workflow_id
    # Its own id is made of its case's, and may be longer than a caller's.
    is_of_a_case = asking_case(workflow_id.removeprefix(case_workflow_id(""))) is not None
    try:
        opening = read_opening(kind, given, Opening if is_of_a_case else GivenOpening)
    except Malformed as fault:
        raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
    if workflow_id != case_workflow_id(opening.case_id):
        raise start_failure(StartFault.INVALID_CASE, "case_id: the workflow id must be case-<case_id>")
    outside = outside_the_routine(kind, opening)
    if outside:
        raise start_failure(StartFault.NOT_IN_ROUTINE, outside.message)
    return opening


async def facts_for(kind: Kind, opening: Opening, now: datetime, asker: str | None) -> OpeningFacts:
    """What the directory says of the running workflow's case; ``asker`` is the case that opens it, if one does.

    Raises:
        ApplicationError: the case cannot be opened: with the fault of contract §1.
    """
    info = workflow.info()
    asked = OpeningQuestion(
        kind=kind,
        opening=opening,
        at=now,
        sent_at=info.start_time,
        run_id=info.first_execution_run_id,
        vouched_for=asker is not None,
    )
    facts = await run_errand(LOOK_UP_OPENING, asked, OpeningFacts, "look up unit, profession and ladder")
    if facts.refused:
        raise start_failure(facts.refused.fault, facts.refused.message)
    return facts
