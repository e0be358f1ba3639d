"""A case's relatives: its consultations, the case that a consultation is of, the patient's other cases.

A signal between them says nothing but "look": what has happened stands in Postgres (``decisions.consultation``). So
either lives through the other's restarts and continuations, and a signal that comes twice or late does no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from decisions.case import Case
from decisions.decide import consultation_lost, consultations_ended, no_longer_asked
from decisions.effects import Decision
from decisions.errands import (
    CONFIRM_OPENED,
    LOOK_UP_ASKING,
    LOOK_UP_ENDED,
    AllEnded,
    Asking,
    Consulting,
    OpenedCase,
    Questioned,
)
from decisions.file import CaseFile
from omhand.contract.events import ConsultationWithdrawn, Consulted, Event
from omhand.contract.names import (
    WORKFLOW_TYPES,
    ConsultationStatus,
    EventName,
    Kind,
    Origin,
    StartFault,
    asking_case_id,
    case_workflow_id,
)
from omhand.contract.opening import Addressee, Opening, StaffMember
from workflows.errands import OutOfPatience, run_errand, task_order
from workflows.inbox import Inbox
from workflows.opened import until_opened

LINKS_CHANGED: Final = "links_changed"
"""Signal from one case to another of the same patient: look again which others are open."""
CONSULTATIONS_CHANGED: Final = "consultations_changed"
"""Signal from a consultation to the case that asked: look again how it stands."""
ASKING_CHANGED: Final = "asking_changed"
"""Signal from the case that asked to its consultation: look again whether it is still asked."""

RECORDED_WITHIN: Final = timedelta(seconds=30)
"""A case that is there has been recorded by then, unless it could not be opened."""

STANDS: Final = "consultations-that-stand"
"""The patch's name: before it a consultation that could not be opened again was taken to have been ended by force."""

ENDS: Final = frozenset({EventName.CLOSED, EventName.CANCELLED})


def asking_case(case_id: str) -> str | None:
    """The case whose consultation the running workflow is, by who started it; None for a case of its own."""
    parent, asker = workflow.info().parent, asking_case_id(case_id)
    return asker if parent and asker and parent.workflow_id == case_workflow_id(asker) else None


class Relatives:
    """What a case sets going among its relatives."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._busy = 0
        self._being_opened: list[str] = []

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that the case may not end before."""
        return self._busy > 0

    def follow(self, decision: Decision) -> None:
        """What has been recorded is carried to whom it concerns."""
        for event in decision.events:
            told = event.told()
            if isinstance(told, Consulted):
                self._ask(_opening(decision.case, event, told))
            elif isinstance(told, ConsultationWithdrawn):
                self._tell(told.consultation, ASKING_CHANGED)
            elif event.event in ENDS:
                self._tell_of_the_end(decision.case)

    def _ask(self, opening: Opening, reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE) -> None:
        self._busy += 1
        self._being_opened.append(opening.case_id)
        asyncio.create_task(self._consult(opening, reuse))  # noqa: RUF006 - as in `Post`

    def _tell_of_the_end(self, case: Case) -> None:
        if case.asker and case.asker.case_id:
            self._tell(case.asker.case_id, CONSULTATIONS_CHANGED)
        for each in case.consultations:
            if each.status is ConsultationStatus.NOT_NEEDED:
                self._tell(each.case_id, ASKING_CHANGED)

    def ask_again(self, file: CaseFile, consultations: Sequence[str]) -> None:
        """What the case asked for, and what has not been opened, is asked for now: it has been taken over meanwhile."""
        for event in file.log:
            told = event.told()
            if isinstance(told, Consulted) and told.consultation in consultations:
                self._ask(_opening(file.case, event, told), WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY)

    async def tell_linked(self, linked: Sequence[str]) -> None:
        """The patient's other open cases look again, so that their views say so too."""
        for case_id in linked:
            await _signal(case_id, LINKS_CHANGED)

    def _tell(self, case_id: str, what: str) -> None:
        self._busy += 1
        asyncio.create_task(self._signal(case_id, what))  # noqa: RUF006 - as in `Post`

    async def _signal(self, case_id: str, what: str) -> None:
        try:
            if case_id in self._being_opened:
                # Before that there is nobody to tell, and afterwards nobody would.
                await workflow.wait_condition(lambda: case_id not in self._being_opened)
            await _signal(case_id, what)
        finally:
            self._busy -= 1

    async def _consult(self, opening: Opening, reuse: WorkflowIDReusePolicy) -> None:
        try:
            child = await self._opened(opening, reuse)
            # It tells by itself how it ended; only one that is ended by force tells nobody.
            await child
        except WorkflowAlreadyStartedError:
            if not await self._is_ours(opening):
                self._tell_lost(opening.case_id, "it could not be opened: there is a case of its id already")
        except ApplicationError as failure:
            if not await self._stands(opening, failure):
                self._tell_lost(opening.case_id, f"it could not be opened: {failure.message}")
        except ChildWorkflowError as failure:
            if not await self._stands(opening, failure.cause):
                self._tell_lost(opening.case_id, "its workflow was ended by force")

    async def _stands(self, opening: Opening, failure: BaseException | None) -> bool:
        """Whether it stands in Postgres all the same: Temporal was put back to before it, and it is not lost."""
        exists = isinstance(failure, ApplicationError) and failure.type == StartFault.CASE_EXISTS
        return exists and workflow.patched(STANDS) and await self._is_ours(opening)

    async def _opened(self, opening: Opening, reuse: WorkflowIDReusePolicy) -> workflow.ChildWorkflowHandle[Any, Any]:
        try:
            child = await workflow.start_child_workflow(
                WORKFLOW_TYPES[Kind.CONSULTATION],
                opening.model_dump(mode="json", exclude_defaults=True),
                id=case_workflow_id(opening.case_id),
                id_reuse_policy=reuse,
                # It is told of the case's end, and goes on over the case's continuations.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"{Kind.CONSULTATION}, priority {opening.priority}, {opening.profession}",
                priority=task_order(opening.priority, opening.unit),
            )
            await until_opened(opening.case_id, child)
            return child
        finally:
            self._being_opened.remove(opening.case_id)
            self._busy -= 1

    async def _is_ours(self, opening: Opening) -> bool:
        """Whether the case of that id is this consultation: operators may have set this workflow back to before it."""
        asked = OpenedCase(case_id=opening.case_id)
        try:
            found = await run_errand(
                CONFIRM_OPENED, asked, OpenedCase, "see whose consultation it is", patience=RECORDED_WITHIN
            )
        except OutOfPatience:
            return False
        return found.asked_by == asking_case_id(opening.case_id)

    def _tell_lost(self, case_id: str, why: str) -> None:
        def rule(case: Case, at: datetime) -> Decision:
            return consultation_lost(case, case_id, why, at)

        self._inbox.news(f"lost:{case_id}", rule)


async def _signal(case_id: str, what: str) -> None:
    try:
        await workflow.get_external_workflow_handle(case_workflow_id(case_id)).signal(what)
    except ApplicationError:
        # It has ended in the meantime, and has nothing to look for any more.
        workflow.logger.info("%s could not be told to look again: it has ended", case_id)


async def _how_consultations_ended(case: Case, at: datetime, patience: timedelta) -> Decision:
    unknown = {ConsultationStatus.OPEN, ConsultationStatus.WITHDRAWN}
    asked = tuple(each.case_id for each in case.consultations if each.status in unknown)
    if not asked:
        return Decision(case)
    look_up = Consulting(asked_by=case.case_id, consultations=asked)
    found = await run_errand(LOOK_UP_ENDED, look_up, AllEnded, "look how consultations ended", patience=patience)
    return consultations_ended(case, found.ended, at)


async def _whether_still_asked(case: Case, at: datetime, patience: timedelta) -> Decision:
    if case.asker is None or case.asker.case_id is None or not case.is_open:
        return Decision(case)
    look_up = Questioned(consultation=case.case_id, asked_by=case.asker.case_id)
    found = await run_errand(LOOK_UP_ASKING, look_up, Asking, "look whether it is still asked", patience=patience)
    return no_longer_asked(case, found, at)


LOOKS: Final[Mapping[str, Callable[[Case, datetime, timedelta], Awaitable[Decision]]]] = MappingProxyType({
    CONSULTATIONS_CHANGED: _how_consultations_ended,
    ASKING_CHANGED: _whether_still_asked,
})  # fmt: skip
"""What a case does when a relative tells it to look: it asks what has been recorded, as long as patience lasts."""


def _opening(case: Case, event: Event, told: Consulted) -> Opening:
    """Of the consultation. The patient is not named: the database knows whose the case is that asks."""
    return Opening(
        case_id=told.consultation,
        origin=Origin.STAFF,
        unit=told.to_unit,
        profession=told.to_profession,
        priority=case.priority,
        to=Addressee(staff=told.to_staff) if told.to_staff else None,
        asked_by=cast("StaffMember", event.by),
        question=told.question,
        wants_handover=told.wants_handover,
    )
