"""What goes along when a run takes a case over: from the run before it, or from Postgres where Temporal has lost it."""

from typing import Final

from temporalio import workflow

from decisions.effects import Notice
from decisions.errands import TAKE_OVER, TakenOver, TakingOver
from decisions.file import CaseFile
from omhand.contract.names import Kind, StartFault, case_workflow_id
from omhand.contract.wire import Malformed, Number, Wire, read
from workflows.errands import run_errand
from workflows.failures import start_failure

REVIVED: Final = {"revived": True}
"""The argument of a run that takes up a case which stands in Postgres as open, and which nothing watches any more."""


class Carried(Wire):
    """What goes along when a long case continues as a new run."""

    file: CaseFile
    linked: tuple[str, ...]
    on_their_way: tuple[Notice, ...]
    signals: Number


async def taken_over(kind: Kind) -> tuple[CaseFile, TakenOver]:
    """The case of the running workflow's id, as Postgres has it; from now on it is this run's.

    That no other run has it is certain: Temporal runs one workflow of an id at a time.

    Raises:
        ApplicationError: ``InvalidCase``: there is no open case of that id and kind.
    """
    info = workflow.info()
    case_id = info.workflow_id.removeprefix(case_workflow_id(""))
    if info.workflow_id != case_workflow_id(case_id):
        raise start_failure(StartFault.INVALID_CASE, "revived: the workflow id must be case-<case_id>")
    try:
        asked = read(TakingOver, {"case_id": case_id, "kind": kind, "run_id": info.first_execution_run_id})
    except Malformed as fault:
        raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
    taken = await run_errand(TAKE_OVER, asked, TakenOver, "take the case over from Postgres")
    if taken.file is None:
        raise start_failure(StartFault.INVALID_CASE, "revived: there is no open case of this id and kind in Postgres")
    return taken.file, taken
