"""The shell that all kinds of case share. It waits, asks ``decisions``, and carries out what it says.

Everything goes one way, one thing at a time: what comes from outside waits in the inbox until the loop takes it, so
that events have one order whatever arrives while something else is being written down. Before the loop takes something,
it lets pass what had become due by when it came: **time decides, not the order of arrival**.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions import decide as rules
from decisions.assertions import who_opens
from decisions.booking import TAKEN, UNKNOWN
from decisions.case import WATCH, Case, view
from decisions.effects import Decision, Refusal, taken_up
from decisions.errands import RECORD, Access, Recorded, Step
from decisions.file import CaseFile
from omhand.contract.actions import By
from omhand.contract.names import Code, Kind, StartFault
from omhand.contract.opening import Opening
from omhand.contract.wire import Malformed, read
from workflows import acting
from workflows.acting import TimeGone
from workflows.errands import OutOfPatience, run_errand
from workflows.failures import start_failure
from workflows.inbox import Inbox, Incoming
from workflows.opening import facts_for, opening_in
from workflows.operators import Listing, details, next_up
from workflows.post import Post
from workflows.reading import one_object
from workflows.relatives import LINKS_CHANGED, LOOKS, Relatives, asking_case
from workflows.succession import REVIVED, Carried, taken_over

OPENED: Final = "open"
"""How the access log names that somebody opened a case; a backend that has a triage outcome is nobody."""

STOPPED_FROM_OUTSIDE: Final = "stop_workflow"
"""How the log names a request to cancel the workflow itself."""

SHORTEST_PATIENCE: Final = timedelta(seconds=10)
"""An action is given at least so long before what is due goes first."""

LINGER: Final = timedelta(milliseconds=10)


class CaseShell:
    """A case from its opening to its end."""

    kind: ClassVar[Kind]

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._post = Post(self._inbox)
        self._relatives = Relatives(self._inbox)
        self._listing = Listing()
        self._file: CaseFile | None = None
        self._linked: tuple[str, ...] = ()
        self._linger: asyncio.Task[None] | None = None

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
                self._inbox.signalled(STOPPED_FROM_OUTSIDE)

    def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        """A signal has come, of whatever name."""
        self._inbox.signalled(name, args)

    async def updated(self, name: str, args: Sequence[RawValue]) -> dict[str, Any]:
        """An update has come: its answer is the new view, or its refusal."""
        return await self._inbox.updated(name, args)

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
        await workflow.wait_condition(lambda: bool(self._inbox) or self._is_done())
        if self._inbox.has_just_answered():
            await workflow.sleep(LINGER, summary="closed: the answer goes out before the end")
        return not self._inbox and self._is_done()

    def _is_done(self) -> bool:
        """Whether everybody who came has been answered, and everybody told whom the end concerns."""
        return workflow.all_handlers_finished() and not self._post.has_parting_words and not self._relatives.is_busy

    async def _begin(self, args: Sequence[RawValue]) -> None:
        try:
            given = one_object(args, is_own=workflow.info().continued_run_id is not None)
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        if workflow.info().continued_run_id and "carried" in given:
            self._carry_on(read(Carried, given["carried"]))
        elif given == REVIVED:
            await self._revive()
        else:
            await self._open(given)

    async def _open(self, given: Mapping[str, object]) -> None:
        opening = opening_in(self.kind, given)
        now, asker = workflow.now(), asking_case(opening.case_id)
        facts = await facts_for(self.kind, opening, now, asker)
        decision = rules.open_case(self.kind, opening, facts, now, asker)
        self._file = CaseFile.begin(decision)
        who = who_opens(opening)
        access = Access(at=now, by=who, action=OPENED) if who else None
        try:
            await self._carry_out(None, self._step(decision, access=access, opening=opening))
        except TimeGone as gone:
            self._file = None
            raise start_failure(StartFault.INVALID_CASE, f"booking.{gone.refusal.message}") from None
        await self._relatives.tell_linked(self._linked)

    def _carry_on(self, carried: Carried) -> None:
        self._file, self._linked, self._inbox.signals = carried.file, carried.linked, carried.signals
        for notice in carried.on_their_way:
            self._post.send(notice)

    async def _revive(self) -> None:
        """Temporal has lost the case, and Postgres has it: it goes on from there, and looks how its relatives stand."""
        self._file, taken = await taken_over(self.kind)
        self._inbox.begin_after(taken.signals)
        for notice in taken.on_their_way:
            self._post.send(notice)
        self._relatives.ask_again(self._file, taken.not_asked)
        for look in (LINKS_CHANGED, *LOOKS):
            self._inbox.signalled(look)

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
            if workflow.info().is_continue_as_new_suggested():
                self._continue_as_new_when_quiet()
            await self._wait()

    async def _wait(self) -> None:
        now = workflow.now()
        instant = self._case.next_instant(now)
        is_held_up = self._is_held_up()
        # Nothing has come by then: the loop finds what has become due.
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._inbox) or self._has_lingered() or (is_held_up and not self._is_held_up()),
                timeout=instant - now if instant else None,
                timeout_summary=next_up(self._case),
            )
        if self._has_lingered():
            self._linger = None

    def _continue_as_new_when_quiet(self) -> None:
        """The history is long: go on in a new run. An answer and the end of a run never share a task (`_is_quiet`)."""
        if self._relatives.is_busy:
            return
        if self._inbox.has_just_answered() or not workflow.all_handlers_finished():
            if self._linger is None:
                pause = workflow.sleep(LINGER, summary="the history is long: before the case goes on in a new run")
                self._linger = asyncio.create_task(pause)
            return
        carried = Carried(
            file=self._open_file,
            linked=self._linked,
            on_their_way=self._post.on_their_way(),
            signals=self._inbox.signals,
        )
        workflow.continue_as_new({"carried": carried.to_json()})

    def _is_held_up(self) -> bool:
        """Whether only its relatives, who are being told something, keep a long case from going on as new."""
        return workflow.info().is_continue_as_new_suggested() and self._relatives.is_busy

    def _has_lingered(self) -> bool:
        return self._linger is not None and self._linger.done()

    # What comes ---------------------------------------------------------------------------------------------------

    async def _take(self, incoming: Incoming) -> None:
        try:
            incoming.done = await self._deal_with(incoming)
        except OutOfPatience:
            # What has become due meanwhile does not wait for somebody's action.
            self._inbox.put_back(incoming)
            return
        if not incoming.done:
            self._inbox.put_first(incoming)

    async def _deal_with(self, incoming: Incoming) -> bool:
        """Whether it is done with; else the log went on otherwise, and it has to be looked at again."""
        if incoming.rule:
            if incoming.cause in self._open_file.answers:
                return True
            return await self._happen(incoming.rule(self._case, incoming.at), incoming.cause)
        if incoming.name == LINKS_CHANGED and not incoming.is_awaited:
            await self._look_again()
            return True
        if incoming.name in LOOKS and not incoming.is_awaited:
            decision = await LOOKS[incoming.name](self._case, incoming.at, self._until_next())
            incoming.answer = self._answer_to(incoming)
            is_known = not decision.events or incoming.cause in self._open_file.answers
            return is_known or await self._happen(decision, incoming.cause)
        return await self._act(incoming)

    async def _act(self, incoming: Incoming) -> bool:
        payload: Mapping[str, object] = {}
        fault: Refusal | None = None
        try:
            payload = one_object(incoming.args)
        except Malformed as malformed:
            fault = Refusal(code=Code.INVALID_ACTION, message=str(malformed))
        action_id = rules.action_id_of(payload)
        cause = acting.cause_of(action_id) if action_id else incoming.cause
        if await self._answer_as_before(incoming, cause) or await self._answer_as_before(incoming, incoming.cause):
            return True
        result = fault or await acting.decided(self._open_file, incoming.name, payload, incoming.at, self._until_next())
        by = rules.actor_of(payload)
        if acting.not_asserted(result):
            # Nobody knows who it was, and whoever it is may try again: it is not taken for the action of that id.
            cause = incoming.cause
        try:
            return await self._settle(incoming, result, by, cause)
        except TimeGone as gone:
            return await self._settle(incoming, gone.refusal, by, cause)

    async def _settle(self, incoming: Incoming, result: Decision | Refusal, by: By | None, cause: str) -> bool:
        """Write down what has been decided, or that it was refused; False where the log went on otherwise.

        Raises:
            TimeGone: it books a time that another case was quicker to get.
        """
        before = self._open_file
        incoming.refusal = result if isinstance(result, Refusal) else None
        decision = acting.refused(before, incoming, by, result) if isinstance(result, Refusal) else result
        after = before.after(decision).answered(cause if acting.is_of_action(cause) else None, incoming.refusal)
        if decision.case.booking == before.case.booking:
            self._file = after
        access = acting.access_of(incoming, by, result)
        if not await self._carry_out(before, self._step(decision, cause, access), after):
            incoming.refusal = None
            return False
        incoming.answer = self._answer_to(incoming)
        if not self._case.is_open and decision.events:
            await self._relatives.tell_linked(self._linked)
        return True

    async def _answer_as_before(self, incoming: Incoming, cause: str) -> bool:
        earlier = await acting.answered_before(self._open_file, cause, self._until_next())
        if earlier is None:
            return False
        incoming.refusal = earlier.refusal
        if incoming.is_awaited:
            then = self._open_file.as_of(earlier.seq)
            incoming.answer = self._shown(then, then.log[-1].at)
        return True

    def _answer_to(self, incoming: Incoming) -> dict[str, Any]:
        return self.view() if incoming.is_awaited else {}

    def _until_next(self) -> timedelta:
        now = workflow.now()
        instant = self._case.next_instant(now)
        return max(instant - now, SHORTEST_PATIENCE) if instant else WATCH

    # What is done about it ----------------------------------------------------------------------------------------

    async def _happen(self, decision: Decision, cause: str | None = None) -> bool:
        before = self._open_file
        self._file = before.after(decision)
        return await self._carry_out(before, self._step(decision, cause))

    async def _carry_out(self, before: CaseFile | None, step: Step, after: CaseFile | None = None) -> bool:
        """Write everything down in one transaction; only then is anybody told, and shown ``after`` where it is given.

        False where a task that was lost had written something else: that has happened, and the step has not.

        Raises:
            TimeGone: it books a time that is not free any more: nothing has happened.
        """
        what = ", ".join(event.event for event in step.events)
        recorded = await self._write(step, f"record {what}" if what else "look for other open cases of the patient")
        if recorded.slot_fault:
            raise TimeGone(UNKNOWN if recorded.slot_fault == "unknown" else TAKEN)
        self._file = after or self._file
        decision = Decision(step.case, step.events, step.notices)
        if recorded.ahead:
            decision = taken_up(step.case.case_id, before.case if before else None, [e.event for e in recorded.ahead])
            file = before or CaseFile(case=decision.case, log=())
            causes = [earlier.cause for earlier in recorded.ahead]
            self._file = file.found(decision, causes)
            self._inbox.number_after(causes)
        if decision.takes or decision.settles:
            self._post.withdraw(decision.case, taken=decision.takes, settled=decision.settles)
        for notice in decision.notices:
            if decision.case.is_open or notice.scope == "always":
                self._post.send(notice)
        self._relatives.follow(decision)
        self._show()
        return not recorded.ahead

    def _step(
        self,
        decision: Decision,
        cause: str | None = None,
        access: Access | None = None,
        opening: Opening | None = None,
    ) -> Step:
        return Step(
            run_id=workflow.info().first_execution_run_id,
            case=decision.case,
            events=decision.events,
            notices=decision.notices,
            takes=decision.takes,
            settles=decision.settles,
            cause=cause,
            access=(access,) if access else (),
            patient=opening.patient.id if opening and opening.patient else None,
        )

    async def _look_again(self) -> None:
        """Which other cases of the patient are open now? What stands in the log and is not known here is taken up."""
        while not await self._carry_out(self._open_file, self._step(Decision(self._case))):
            continue

    async def _write(self, step: Step, summary: str) -> Recorded:
        recorded = await run_errand(RECORD, step, Recorded, summary)
        self._linked = self._linked if recorded.slot_fault else recorded.linked
        return recorded

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

    def _shown(self, file: CaseFile, at: datetime) -> dict[str, Any]:
        return view(file.case, file.log, at, self._linked).to_json()
