"""``Auditor``: started every few minutes by a schedule; looks at all cases, and tells outside that it could."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError

from decisions.audit import AUDIT, SEND_HEARTBEAT, Audited, Auditing, Heartbeat
from omhand.contract.names import StartFault
from omhand.contract.wire import Flag, Malformed, Wire, read
from workflows.errands import FOR_EVER, raise_if_final
from workflows.failures import start_failure
from workflows.no_case import NoCase
from workflows.reading import one_object

LOOKING: Final = timedelta(minutes=30)
"""One look at all cases of a region, and at what differs again."""
SIGN_OF_LIFE: Final = timedelta(minutes=1)
HEARTBEAT_ATTEMPT: Final = timedelta(seconds=15)
A_FEW_TIMES: Final = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_attempts=4)


class Asked(Wire):
    """The argument: whether to look at each event of every case, as after a restore."""

    deep: Flag = False


class Auditor(NoCase):
    """Looks at all cases in both stores, and lets whoever waits outside know that it did."""

    what = "an audit"

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """What it came to (``Audited``); what differs stands in Postgres, and in the metrics."""
        try:
            asked = read(Asked, one_object(args))
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        auditing = Auditing(at=workflow.now(), deep=asked.deep)
        try:
            audited: Audited = await workflow.execute_activity(
                AUDIT,
                auditing,
                result_type=Audited,
                start_to_close_timeout=LOOKING,
                heartbeat_timeout=SIGN_OF_LIFE,
                retry_policy=FOR_EVER,
                summary="look at all cases, in Postgres and in Temporal",
            )
        except ActivityError as error:
            raise_if_final(error)
            raise
        await self._tell_outside(auditing)
        return audited.to_json()

    async def _tell_outside(self, auditing: Auditing) -> None:
        try:
            await workflow.execute_activity(
                SEND_HEARTBEAT,
                Heartbeat(at=auditing.at),
                result_type=Heartbeat,
                start_to_close_timeout=HEARTBEAT_ATTEMPT,
                retry_policy=A_FEW_TIMES,
                summary="tell outside that all cases have been looked at",
            )
        except ActivityError as error:
            # Whoever waits for it raises the alarm: that is what it is for.
            raise_if_final(error)
            workflow.logger.warning("the heartbeat could not be sent")
