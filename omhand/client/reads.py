"""What is read is logged first (patientdatalagen; HSLF-FS 2016:40): a read that cannot be logged shows nothing.

A client that has the database adds to the access log itself; one that has not asks a worker to. Either way the entry is
there before anything is shown.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal

from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from omhand.client.faults import NoAnswer, Refused, ServerAway, speaking
from omhand.client.lists import Lists
from omhand.contract.names import CASES_QUEUE, READ_TYPE
from omhand.contract.reads import Read, ReadAction, Reader

Assertion = str | Callable[[], str]
"""Who acts and reads, signed by their identity provider: a JWT, or what gives one that is still valid."""
Via = Literal["client", "command"]

ASSERTION: Final = "OMHAND_ASSERTION"

LOG_SECONDS: Final = 10.0
WATCHED_SECONDS: Final = 600.0
"""A list that is looked at again and again is one read; it is logged anew so often."""

NOT_LOGGED: Final = "; nothing is shown that could not be logged"


class Reads:
    """Logs what one client reads."""

    def __init__(
        self, temporal: Client, lists: Lists, reader: Reader | None, assertion: Assertion | None, via: Via
    ) -> None:
        self._temporal = temporal
        self._lists = lists
        self._reader = reader
        self._assertion = assertion
        self._via = via
        self._watched: dict[str, float] = {}

    def assertion(self) -> str | None:
        """The assertion of whoever uses this client."""
        return self._assertion() if callable(self._assertion) else self._assertion

    async def of_case(self, action: ReadAction, case_id: str) -> None:
        """A case is going to be shown.

        Raises:
            ServerAway, NoAnswer: it could not be logged.
            Refused: the workers do not let whoever reads.
        """
        await self._log(Read(action=action, case_id=case_id, via=self._via, by=self._reader))

    async def of_worklist(self, unit: str) -> None:
        """A unit's list is going to be shown; raises as `of_case` does."""
        now = asyncio.get_running_loop().time()
        if now - self._watched.get(unit, -WATCHED_SECONDS) < WATCHED_SECONDS:
            return
        await self._log(Read(action="worklist", about=unit, via=self._via, by=self._reader))
        self._watched[unit] = now

    async def _log(self, read: Read) -> None:
        try:
            if self._lists.are_there:
                await self._lists.log_read(read)
            else:
                await self._by_a_worker(read)
        except NoAnswer as fault:
            raise ServerAway(f"no worker answered {fault.within}{NOT_LOGGED}") from fault
        except ServerAway as fault:
            raise ServerAway(fault.message + NOT_LOGGED) from fault

    async def _by_a_worker(self, read: Read) -> None:
        payload = read.model_copy(update={"assertion": self.assertion()}).model_dump(mode="json", exclude_none=True)
        async with speaking(read.case_id or "", LOG_SECONDS):
            try:
                await self._temporal.execute_workflow(
                    READ_TYPE,
                    payload,
                    id=f"read-{uuid.uuid4()}",
                    task_queue=CASES_QUEUE,
                    # Whoever wanted to read has given up by then.
                    execution_timeout=timedelta(seconds=LOG_SECONDS),
                    rpc_timeout=timedelta(seconds=LOG_SECONDS),
                )
            except WorkflowFailureError as error:
                if isinstance(error.cause, ApplicationError) and error.cause.type:
                    raise Refused(error.cause.type, error.cause.message) from error
                msg = "no worker logged it in time"
                raise ServerAway(msg) from error
