"""The shell that all kinds of case share. It waits, asks ``decisions``, and carries out what it says.

Everything goes one way, one thing at a time: what comes from outside waits in the inbox until the loop takes it, so
that events have one order whatever arrives while something else is being written down. Before the loop takes something,
it lets pass what had become due by when it came: **time decides, not the order of arrival**.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions import decide as rules
from decisions.case import WATCH, Case, view
from decisions.effects import Decision, Notice, Refusal
from decisions.errands import LOOK_UP, LOOK_UP_OPENING, RECORD, Access, OpeningQuestion, Recorded, Step
from decisions.facts import Facts, OpeningFacts, question
from decisions.file import CaseFile
from decisions.routing import outside_the_routine
from omhand.contract.names import Code, EventName, Kind, StartFault, case_workflow_id
from omhand.contract.opening import Opening, read_opening
from omhand.contract.wire import Malformed, Wire, read
from workflows.errands import OutOfPatience, run_errand
from workflows.failures import start_failure
from workflows.inbox import Inbox, Incoming
from workflows.operators import Listing, details, next_up
from workflows.post import Post
from workflows.reading import one_object

LINKS_CHANGED: Final = "links_changed"
"""Signal from one case to another of the same patient: look again which others are open."""

STOPPED_FROM_OUTSIDE: Final = "stop_workflow"
"""How the log names a request to cancel the workflow itself."""

SHORTEST_PATIENCE: Final = timedelta(seconds=10)
"""An action is given at least so long before what is due goes first."""

LINGER: Final = timedelta(milliseconds=10)

TAKING: Final = frozenset({EventName.ACCEPTED, EventName.CLOSED, EventName.CANCELLED})
READABLE_NAME: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)


class Carried(Wire):
    """What goes along when a long case continues as a new run."""

    file: CaseFile
    linked: tuple[str, ...]
    on_their_way: tuple[Notice, ...]


class CaseShell:
    """A case from its opening to its end."""

    kind: ClassVar[Kind]

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._post = Post(self._inbox)
        self._listing = Listing()
        self._file: CaseFile | None = None
        self._linked: tuple[str, ...] = ()

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """The case's whole life; its final view."""
        life = asyncio.create_task(self._live(args))
        while True:
            try:
                return await asyncio.shield(life)
            except asyncio.CancelledError:
                if life.done():
                    raise
                # Cancelling the workflow would lose the case without anybody being told: it is refused and logged.
                self._inbox.put(STOPPED_FROM_OUTSIDE)

    def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        """A signal has come, of whatever name."""
        self._inbox.put(name, args)

    async def updated(self, name: str, args: Sequence[RawValue]) -> dict[str, Any]:
        """An update has come: its answer is the new view, or its refusal."""
        return await self._inbox.answered(self._inbox.put(name, args))

    def view(self) -> dict[str, Any]:
        """The case as it is now (contract §3).

        Raises:
            ApplicationError: it has not been opened yet.
        """
        if self._file is None:
            msg = "the case has not been opened yet"
            raise ApplicationError(msg, type="NotOpened", non_retryable=True)
        return self._shown(self._file, workflow.now())

    # Its life -----------------------------------------------------------------------------------------------------

    async def _live(self, args: Sequence[RawValue]) -> dict[str, Any]:
        try:
            await self._begin(args)
        except ApplicationError as failure:
            self._inbox.close(failure)
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        while self._case.is_open or not await self._is_quiet():
            if self._case.is_open or self._inbox:
                await self._go_on()
        return self.view()

    async def _is_quiet(self) -> bool:
        """Whether a closed case has answered everybody who came meanwhile.

        A task that ends the workflow is turned down by the server if a signal or an activity's end comes at the same
        moment, and the answer of an update in it would be lost. So an answer and the end never share a task.
        """
        await workflow.wait_condition(lambda: bool(self._inbox) or workflow.all_handlers_finished())
        if self._inbox.has_just_answered():
            await workflow.sleep(LINGER, summary="closed: the answer goes out before the end")
        return not self._inbox and workflow.all_handlers_finished()

    async def _begin(self, args: Sequence[RawValue]) -> None:
        try:
            given = one_object(args)
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        if workflow.info().continued_run_id and "carried" in given:
            self._carry_on(read(Carried, given["carried"]))
        else:
            await self._open(given)

    async def _open(self, given: Mapping[str, object]) -> None:
        try:
            opening = read_opening(self.kind, given)
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        if workflow.info().workflow_id != case_workflow_id(opening.case_id):
            raise start_failure(StartFault.INVALID_CASE, "case_id: the workflow id must be case-<case_id>")
        outside = outside_the_routine(self.kind, opening)
        if outside:
            raise start_failure(StartFault.NOT_IN_ROUTINE, outside.message)
        now = workflow.now()
        asked = OpeningQuestion(kind=self.kind, opening=opening, at=now, run_id=self._first_run)
        facts = await run_errand(LOOK_UP_OPENING, asked, OpeningFacts, "look up unit, profession and ladder")
        if facts.refused:
            raise start_failure(facts.refused.fault, facts.refused.message)
        decision = rules.open_case(self.kind, opening, facts.first_phase(), now)
        self._file = CaseFile.begin(decision)
        await self._carry_out(decision, opening=opening)
        await self._tell_linked()

    def _carry_on(self, carried: Carried) -> None:
        self._file, self._linked = carried.file, carried.linked
        for notice in carried.on_their_way:
            self._post.send(notice)

    async def _go_on(self) -> None:
        """The next thing that happens: a moment that is due, something that came, or waiting for either."""
        first = self._inbox.first()
        by_then = first.at if first else workflow.now()
        moment = self._case.next_moment()
        if moment is not None and moment.at <= by_then:
            await self._happen(rules.tick(self._case, by_then))
        elif first:
            await self._take(self._inbox.take())
        else:
            self._show()
            self._continue_as_new_if_long()
            await self._wait()

    async def _wait(self) -> None:
        now = workflow.now()
        instant = self._case.next_instant(now)
        # Nothing has come by then: the loop finds what has become due.
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._inbox),
                timeout=instant - now if instant else None,
                timeout_summary=next_up(self._case),
            )

    def _continue_as_new_if_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished():
            carried = Carried(file=self._open_file, linked=self._linked, on_their_way=self._post.on_their_way())
            workflow.continue_as_new({"carried": carried.to_json()})

    # What comes ---------------------------------------------------------------------------------------------------

    async def _take(self, incoming: Incoming) -> None:
        if incoming.undelivered:
            await self._happen(rules.undelivered(self._case, *incoming.undelivered, incoming.at))
        elif incoming.name == LINKS_CHANGED:
            await self._look_again()
        else:
            try:
                await self._act(incoming)
            except OutOfPatience:
                # What has become due meanwhile does not wait for somebody's action.
                self._inbox.put_back(incoming)
                return
        incoming.done = True

    async def _act(self, incoming: Incoming) -> None:
        payload: Mapping[str, object] = {}
        try:
            payload = one_object(incoming.args)
            result = await self._decide(incoming, payload)
        except Malformed as fault:
            result = Refusal(code=Code.INVALID_ACTION, message=str(fault))
        if result is None:
            return
        name = incoming.name if READABLE_NAME.fullmatch(incoming.name) else "unreadable"
        by = rules.actor_of(payload)
        if isinstance(result, Refusal):
            incoming.refusal = result
            result = rules.rejected(self._case, name, by, result, incoming.at)
        self._file = self._open_file.after(result).answered(rules.action_id_of(payload), incoming.refusal)
        await self._carry_out(result, access=Access(at=incoming.at, by=by, action=name))
        incoming.answer = self.view()
        if not self._case.is_open and result.events:
            await self._tell_linked()

    async def _decide(self, incoming: Incoming, payload: Mapping[str, object]) -> Decision | Refusal | None:
        """What comes of it; None where it was answered before, and is answered the same again."""
        earlier = self._open_file.answers.get(rules.action_id_of(payload) or "")
        if earlier:
            incoming.refusal = earlier.refusal
            then = self._open_file.as_of(earlier.seq)
            incoming.answer = self._shown(then, then.log[-1].at)
            return None
        action = rules.read_action(incoming.name, payload)
        if isinstance(action, Refusal):
            return action
        hindrance = rules.hindrance(self._case, action)
        if hindrance:
            return hindrance
        asked = question(self._case, action, incoming.at)
        summary = f"look up who may {action.name}"
        facts = await run_errand(LOOK_UP, asked, Facts, summary, patience=self._until_next())
        return rules.decide(self._case, action, incoming.at, facts)

    def _until_next(self) -> timedelta:
        now = workflow.now()
        instant = self._case.next_instant(now)
        return max(instant - now, SHORTEST_PATIENCE) if instant else WATCH

    # What is done about it ----------------------------------------------------------------------------------------

    async def _happen(self, decision: Decision) -> None:
        self._file = self._open_file.after(decision)
        await self._carry_out(decision)

    async def _carry_out(
        self, decision: Decision, access: Access | None = None, opening: Opening | None = None
    ) -> None:
        """Write everything down in one transaction; only then is anybody told."""
        takes = any(event.event in TAKING for event in decision.events)
        step = Step(
            run_id=self._first_run,
            case=decision.case,
            events=decision.events,
            notices=decision.notices,
            takes=takes,
            access=(access,) if access else (),
            patient=opening.patient.id if opening and opening.patient else None,
        )
        await self._write(step, "record " + ", ".join(event.event for event in decision.events))
        if takes:
            self._post.withdraw(everything=not decision.case.is_open)
        for notice in decision.notices:
            self._post.send(notice)
        self._show()

    async def _look_again(self) -> None:
        """Another case of the same patient was opened or closed: which ones are open now?"""
        step = Step(run_id=self._first_run, case=self._case, events=(), notices=(), takes=False)
        await self._write(step, "look for other open cases of the same patient")
        self._show()

    async def _write(self, step: Step, summary: str) -> None:
        recorded = await run_errand(RECORD, step, Recorded, summary)
        self._linked = recorded.linked

    async def _tell_linked(self) -> None:
        """The patient's other open cases look again, so that their views say so too."""
        for case_id in self._linked:
            other = workflow.get_external_workflow_handle(case_workflow_id(case_id))
            try:
                await other.signal(LINKS_CHANGED)
            except ApplicationError:
                # It has closed in the meantime, which is as good.
                workflow.logger.info("%s could not be told that a linked case has changed", case_id)

    def _show(self) -> None:
        """Let operators see the case as it is: search attributes and current details."""
        now = workflow.now()
        changes = self._listing.changes(self._case, now)
        if changes:
            workflow.upsert_search_attributes(changes)
        workflow.set_current_details(details(self._case, self._linked, now))

    # What it knows ------------------------------------------------------------------------------------------------

    @property
    def _open_file(self) -> CaseFile:
        if self._file is None:
            msg = "the case has not been opened"
            raise RuntimeError(msg)
        return self._file

    @property
    def _case(self) -> Case:
        return self._open_file.case

    @property
    def _first_run(self) -> str:
        return workflow.info().first_execution_run_id

    def _shown(self, file: CaseFile, at: datetime) -> dict[str, Any]:
        return view(file.case, file.log, at, self._linked).to_json()
