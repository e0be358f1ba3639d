"""Where every workflow, signal, update and query comes in.

One dynamic workflow serves every type, because only a dynamic one takes whatever arguments come: a start or a signal
with none or two of them would otherwise fail its task again and again, for ever. So what is malformed fails at once and
clearly, and a type that does not exist does too.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue

from omhand.contract.names import (
    AUDITOR_TYPE,
    CANARY_TYPE,
    CLOSING_TYPE,
    INTAKE_TYPE,
    READ_TYPE,
    VIEW_QUERY,
    WORKFLOW_TYPES,
    StartFault,
)
from workflows.administrative_case import AdministrativeCase
from workflows.auditor import Auditor
from workflows.canary import Canary
from workflows.case import CaseShell
from workflows.closing_time import ClosingTime
from workflows.consultation import Consultation
from workflows.drop_in_visit import DropInVisit
from workflows.failures import start_failure
from workflows.intake import Intake
from workflows.message_thread import MessageThread
from workflows.no_case import NoCase
from workflows.phone_consultation import PhoneConsultation
from workflows.read import LoggedRead
from workflows.scheduled_visit import ScheduledVisit

KINDS: Final[tuple[type[CaseShell], ...]] = (
    DropInVisit,
    ScheduledVisit,
    AdministrativeCase,
    Consultation,
    PhoneConsultation,
    MessageThread,
)
TYPES: Final[Mapping[str, type[CaseShell] | type[NoCase]]] = MappingProxyType(
    {WORKFLOW_TYPES[shell.kind]: shell for shell in KINDS}
    | {INTAKE_TYPE: Intake, CLOSING_TYPE: ClosingTime, READ_TYPE: LoggedRead}
    | {AUDITOR_TYPE: Auditor, CANARY_TYPE: Canary}
)


class Nothing(NoCase):
    """A type that there is not."""

    what = "a workflow of this type"

    async def run(self, _args: Sequence[RawValue]) -> dict[str, Any]:
        """Fails at once, and says which types there are."""
        message = f"there is no workflow of this type; there are {', '.join(TYPES)}"
        raise start_failure(StartFault.INVALID_CASE, message)


def shell_of(workflow_type: str) -> CaseShell | NoCase:
    """Who answers for workflows of this type."""
    return TYPES.get(workflow_type, Nothing)()


@workflow.defn(dynamic=True)
class Entrance:
    """Lets the workflow's type choose who answers."""

    @workflow.init
    def __init__(self, _args: Sequence[RawValue]) -> None:
        # Signals of the first task come before `run`: whoever keeps them has to be there already.
        self._shell = shell_of(workflow.info().workflow_type)

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """One JSON object in, one JSON object out."""
        return await self._shell.run(args)

    @workflow.signal(dynamic=True, description="A staff action (contract §2), by its name")
    def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        """Kept until the case takes it up, whatever it is called and whatever came with it."""
        self._shell.signalled(name, args)

    @workflow.update(dynamic=True, description="A staff action (contract §2), by its name: answers with the new view")
    async def updated(self, name: str, args: Sequence[RawValue]) -> dict[str, Any]:
        """Answers with the new view, or fails with the refusal's code."""
        return await self._shell.updated(name, args)

    @workflow.query(name=VIEW_QUERY, description="The case as it is now (contract §3)")
    def view(self) -> dict[str, Any]:
        """The view."""
        return self._shell.view()
