"""``Read``: somebody who has no database of their own is going to read, and has it logged first."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions.errands import LOG_READ, ReadLogged, ReadToLog
from omhand.contract.names import Code
from omhand.contract.reads import Read
from omhand.contract.wire import Malformed, read
from workflows.errands import run_errand
from workflows.no_case import NoCase
from workflows.reading import one_object


class LoggedRead(NoCase):
    """Over when the read stands in the access log."""

    what = "a read"

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """An empty object, or the refusal."""
        try:
            wanted = read(Read, one_object(args))
        except Malformed as fault:
            raise ApplicationError(str(fault), type=Code.INVALID_ACTION, non_retryable=True) from None
        asked = ReadToLog(read=wanted, at=workflow.now())
        logged = await run_errand(LOG_READ, asked, ReadLogged, "log it")
        if logged.refused:
            raise ApplicationError(logged.refused.message, type=logged.refused.code, non_retryable=True)
        return {}
