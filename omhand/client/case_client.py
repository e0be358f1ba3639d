"""The client itself. Everything has a time limit, and whatever goes wrong is an error with a code (``faults``).

A case is asked of Temporal; lists and logs are read from Postgres, where they stay when Temporal has forgotten a case.
"""

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import QueryRejectCondition, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from omhand.client import environment
from omhand.client.connecting import connect_temporal
from omhand.client.faults import (
    CaseError,
    Ended,
    NoAnswer,
    NoSuchCase,
    NotOpened,
    Refused,
    ServerAway,
    StartRefused,
    read_answer,
    speaking,
)
from omhand.client.lists import Lists, LogRow, SlotRow, WorklistRow
from omhand.client.payloads import (
    checked,
    id_of,
    sendable,
    summary,
    task_order,
    update_id,
    vouched,
    vouched_opening,
)
from omhand.client.reads import ASSERTION, Assertion, Reads, Via
from omhand.contract.actions import Action
from omhand.contract.names import (
    CASES_QUEUE,
    INTAKE_TYPE,
    VIEW_QUERY,
    WORKFLOW_TYPES,
    Code,
    Kind,
    StartFault,
    case_workflow_id,
    intake_workflow_id,
)
from omhand.contract.opening import IntakeAnswer, Opening, TriageOutcome
from omhand.contract.reads import Reader
from omhand.contract.view import View
from omhand.contract.wire import CaseId, HsaId, ProfessionName

RPC_TIMEOUT: Final = timedelta(seconds=10)
"""Of one call to the Temporal server."""
ANSWER_SECONDS: Final = 30.0
"""How long an action or an opening waits for a worker, which may be waiting for Postgres."""
ANSWER_TIMEOUT: Final = timedelta(seconds=ANSWER_SECONDS)
QUERY_SECONDS: Final = 10.0
FIRST_LOOK: Final = 0.05
SLOWEST_LOOK: Final = 1.0
"""Seconds between two looks at whether a case is open."""

MAY_STILL: Final = "; what was sent may still be done"
TOO_LONG: Final = "the server does not take it: most likely it is too long"

Handle = WorkflowHandle[Any, Any]


class CaseClient:
    """What integrations and the commands speak through. Made by `connect`; `close` it, or use ``async with``."""

    def __init__(self, temporal: Client, lists: Lists, reads: Reads) -> None:
        self.temporal = temporal
        self._lists = lists
        self._reads = reads

    @classmethod
    async def connect(
        cls,
        temporal: Client | None = None,
        *,
        address: str | None = None,
        namespace: str | None = None,
        keys_file: Path | None = None,
        database_url: str | None = None,
        reader: Reader | None = None,
        assertion: Assertion | None = None,
        via: Via = "client",
    ) -> Self:
        """Make a client. It connects to Temporal and to Postgres when it is first asked for what they have.

        What is not given comes of ``TEMPORAL_*`` and Temporal's profile (nothing of them where an address is given),
        ``OMHAND_KEYS_FILE`` and ``OMHAND_DATABASE_URL``; where nobody names an address it is 127.0.0.1:7233. A
        ``temporal`` client that is given is used as it is; its data converter has to be `omhand.codec.data_converter`.

        ``reader`` is who reads, for the access log: whatever is read is logged before it is shown, in the database, or
        by a worker where no database is named. ``assertion`` vouches for who acts and who reads; without one it is
        ``OMHAND_ASSERTION``.

        Raises:
            NotConfigured: the profile cannot be read, or the address is none.
            KeyRingError: the key ring cannot be used.
        """
        lists = await Lists.of(database_url or environment.database_url(os.environ))
        temporal = temporal or await connect_temporal(address, namespace, keys_file)
        assertion = assertion or os.environ.get(ASSERTION, "").strip() or None
        return cls(temporal, lists, Reads(temporal, lists, reader, assertion, via))

    async def __aenter__(self) -> Self:
        """Use it for a while."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Give back the connections to Postgres; Temporal's go with the object."""
        await self._lists.close()

    # Opening ------------------------------------------------------------------------------------------------------

    async def open(self, kind: Kind, opening: Opening | Mapping[str, object]) -> Handle:
        """Start a case (contract §1). The same ``case_id`` again gives the case that runs already.

        The workflow checks the opening; `opened` tells what came of it. A mapping goes as it is.

        Raises:
            StartRefused: a case of this id is closed already (``CaseExists``) or was refused, or no case can have this
                id (``InvalidCase``).
            ServerAway: Temporal does not answer.
        """
        payload = vouched_opening(sendable(opening), self._reads.assertion())
        case_id = id_of(payload)
        try:
            async with speaking(case_id):
                return await self._start(
                    WORKFLOW_TYPES[kind],
                    payload,
                    id=case_workflow_id(case_id),
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=summary(kind, payload),
                )
        except WorkflowAlreadyStartedError:
            end = await self._end_of_earlier_start(case_id)
        msg = f"the case {case_id} was opened before, and is closed ({end.outcome})"
        raise StartRefused(StartFault.CASE_EXISTS, msg)

    async def opened(self, case_id: str) -> View:
        """Show a case that was started, once it is open; that may take 30 s.

        Raises:
            StartRefused: it was not opened: malformed, outside the routine, of an unknown unit or profession.
            NotOpened: no worker has opened it by then; one that comes later will.
            ServerAway, NoSuchCase, UnreadableAnswer, Malformed: as for `view`.
        """
        await self._reads.of_case("view", checked(CaseId, case_id, "case_id"))
        clock = asyncio.get_running_loop().time
        give_up, pause = clock() + ANSWER_SECONDS, FIRST_LOOK
        while True:
            try:
                return await self._view(case_id, MAY_STILL)
            except NotOpened:
                if clock() > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_LOOK)

    async def intake(self, outcome: TriageOutcome | Mapping[str, object]) -> IntakeAnswer:
        """Let the routine pick the kind of case for a triage outcome, and open it (contract §1, ``Intake``).

        Asked again for the same ``case_id`` it answers as before. A mapping goes as it is.

        Raises:
            StartRefused: with the routine's reason (``NotInRoutine``), or with what is wrong with the outcome.
            ServerAway: nobody answered within 30 s. What was sent is taken when somebody does: ask again.
            UnreadableAnswer: see there.
        """
        payload = sendable(outcome)
        case_id = id_of(payload)
        async with speaking(case_id, ANSWER_SECONDS):
            handle = await self._start(
                INTAKE_TYPE,
                payload,
                id=intake_workflow_id(case_id),
                # One that is over may be asked again: it answers from what stands in Postgres.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
            return read_answer(IntakeAnswer, await _result(handle))

    async def _start(self, workflow: str, payload: Mapping[str, object], **how: Any) -> Handle:  # noqa: ANN401 - the SDK's
        try:
            return await self.temporal.start_workflow(
                workflow,
                payload,
                task_queue=CASES_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                priority=task_order(payload),
                rpc_timeout=RPC_TIMEOUT,
                **how,
            )
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise StartRefused(StartFault.INVALID_CASE, TOO_LONG) from error
            raise

    # Acting and reading -------------------------------------------------------------------------------------------

    async def act(
        self, case_id: str, action: Action | str, payload: Mapping[str, object] | None = None, *, wait: bool = True
    ) -> View | None:
        """Act on a case (contract §2): an `Action`, or an action's name with its payload, which goes as it is.

        With ``wait`` it is an update, and the answer is the new view. Without, it is a signal, and the answer None:
        whether it was refused stands in the case's log. With an ``action_id`` it may be sent again without harm.

        Raises:
            Refused: with the code and the reason; ``CaseClosed`` also where the workflow has ended.
            StartRefused: the case was never opened.
            ServerAway: nobody answered within 30 s. It may still be done: look, or send the same ``action_id`` again.
            NoSuchCase, UnreadableAnswer: see there.
            Malformed: the case id is none, or the payload cannot be JSON.
        """
        name = action.name.value if isinstance(action, Action) else action
        given = vouched(sendable(action if isinstance(action, Action) else payload or {}), self._reads.assertion())
        handle = self._handle(case_id)
        try:
            async with speaking(case_id, ANSWER_SECONDS):
                if wait:
                    return read_answer(View, await _update(handle, name, given))
                await handle.signal(name, given, rpc_timeout=RPC_TIMEOUT)
                return None
        except NoSuchCase:
            end = await self._end_of(case_id)
        except NoAnswer as error:
            raise await self._who_is_away(case_id, error, MAY_STILL) from error
        raise Refused(Code.CASE_CLOSED, f"The case is closed ({end.outcome}).")

    async def view(self, case_id: str) -> View:
        """Show a case as it is now (contract §3); a closed one as it was at its end.

        Raises:
            StartRefused: it was never opened.
            ServerAway: Temporal, or every worker, is silent for 10 s; the message says which.
            NoSuchCase, NotOpened, UnreadableAnswer: see there.
            Malformed: the case id is none.
        """
        await self._reads.of_case("view", checked(CaseId, case_id, "case_id"))
        return await self._view(case_id)

    async def _view(self, case_id: str, consequence: str = "") -> View:
        handle = self._handle(case_id)
        # Of a closed case the result tells, and that needs no worker.
        asked = handle.query(VIEW_QUERY, reject_condition=QueryRejectCondition.NOT_OPEN, rpc_timeout=RPC_TIMEOUT)
        try:
            async with speaking(case_id, QUERY_SECONDS):
                return read_answer(View, await asked)
        except WorkflowQueryRejectedError:
            return await self._end_of(case_id)
        except WorkflowQueryFailedError:
            raise NotOpened(case_id) from None
        except NoAnswer as error:
            raise await self._who_is_away(case_id, error, consequence) from error

    async def _end_of(self, case_id: str) -> View:
        """Show how a case that has ended stood at its end."""
        async with speaking(case_id, QUERY_SECONDS):
            return read_answer(View, await _result(self._handle(case_id)))

    async def _end_of_earlier_start(self, case_id: str) -> View:
        try:
            return await self._end_of(case_id)
        except StartRefused as before:
            msg = f"{before.message} (so an earlier start was answered: its case_id is used up)"
            raise StartRefused(before.code, msg) from before

    def _handle(self, case_id: str) -> Handle:
        return self.temporal.get_workflow_handle(case_workflow_id(checked(CaseId, case_id, "case_id")))

    async def _who_is_away(self, case_id: str, silence: NoAnswer, consequence: str) -> CaseError:
        """Tell a server that is away from one that has no workers."""
        try:
            async with speaking(case_id):
                await self._handle(case_id).describe(rpc_timeout=RPC_TIMEOUT)
        except CaseError as fault:
            return fault
        return ServerAway(
            f"Temporal has the case {case_id}, but no worker answered {silence.within} (is one running, with Postgres"
            f" at hand?){consequence}"
        )

    # Lists and logs -----------------------------------------------------------------------------------------------

    async def worklist(self, unit: str) -> list[WorklistRow]:
        """List the open cases that a unit may act on, what is due first at the top.

        Raises:
            ServerAway: Postgres does not answer within 10 s.
            NotConfigured: no database is named, or its URL is none.
            Malformed: the unit's id is none.
        """
        unit = checked(HsaId, unit, "unit")
        self._lists.database()
        await self._reads.of_worklist(unit)
        return await self._lists.worklist(unit)

    async def slots(
        self, unit: str | None = None, profession: str | None = None, *, every: bool = False
    ) -> list[SlotRow]:
        """List the free bookable times ahead, or every published one, the earliest first. Raises as `worklist` does."""
        unit = None if unit is None else checked(HsaId, unit, "unit")
        profession = None if profession is None else checked(ProfessionName, profession, "profession")
        return await self._lists.slots(unit, profession, every=every)

    async def log(self, case_id: str) -> list[LogRow]:
        """Give a case's log from Postgres, also where Temporal has forgotten the case; empty where there is none.

        Raises:
            ServerAway, NotConfigured, Malformed: as for `worklist`.
        """
        case_id = checked(CaseId, case_id, "case_id")
        self._lists.database()
        await self._reads.of_case("log", case_id)
        return await self._lists.log(case_id)

    async def professions_of(self, staff: str, unit: str) -> list[str]:
        """Give somebody's professions at a unit, by the newest directory; none where they do not work there.

        Raises:
            ServerAway, NotConfigured, Malformed: as for `worklist`.
        """
        return await self._lists.professions_of(checked(HsaId, staff, "by.staff"), checked(HsaId, unit, "by.unit"))


async def _update(handle: Handle, name: str, payload: Mapping[str, object]) -> object:
    """Give the answer of an update whose id is the action's, where it has one that can be."""
    try:
        return await handle.execute_update(name, payload, id=update_id(payload), rpc_timeout=ANSWER_TIMEOUT)
    except WorkflowUpdateFailedError as error:
        _raise_as(Refused, error.cause)
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise Refused(Code.INVALID_ACTION, TOO_LONG) from error
        raise


async def _result(handle: Handle) -> object:
    try:
        return await handle.result(rpc_timeout=ANSWER_TIMEOUT)
    except WorkflowFailureError as error:
        _raise_as(StartRefused, error.cause)


def _raise_as(kind: type[Refused | StartRefused], cause: BaseException) -> NoReturn:
    if not isinstance(cause, ApplicationError) or not cause.type:
        raise Ended(type(cause).__name__) from cause
    # So reads a failure whose message is encrypted, to whoever has no keys.
    encrypted = cause.message == "Encoded failure"
    raise kind(cause.type, "the reason is encrypted: see OMHAND_KEYS_FILE" if encrypted else cause.message) from cause
