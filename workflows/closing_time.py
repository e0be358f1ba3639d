"""``ClosingTime``: a unit has closed; are the cases that Postgres has those that run, and can patients book? (P6, P2).

A schedule a unit starts it (``workers.schedules``). What differs is looked at again before it counts: cases are opened,
taken and closed while they are compared. Then managers are told first, and the run fails last.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

from decisions.closing_check import (
    COMPARE,
    RECORD_ALARMS,
    Alarm,
    Alarms,
    Checked,
    ClosingUnit,
    Comparing,
    Comparison,
    alarm_of,
    alarm_of_missing_times,
    by_email,
    report,
)
from decisions.free_times import LOOK_FOR_FREE_TIMES, FreeTimes
from omhand.contract.names import CASES_DIFFER, StartFault
from omhand.contract.wire import Malformed, read
from workflows.errands import FOR_EVER, raise_if_final, run_errand, start_sending
from workflows.failures import start_failure
from workflows.no_case import NoCase
from workflows.reading import one_object

LOOKED_AT_AGAIN_AFTER: Final = (timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=48))
"""What differs for a minute differs: Temporal's lists follow a moment later, and who comes back needs time."""

COMPARING: Final = timedelta(minutes=10)
"""One look at all cases of a unit: a few milliseconds each."""
SIGN_OF_LIFE: Final = timedelta(seconds=30)

FREE_TIMES: Final = "free-times"
"""The patch's name: a check that has gone past it, before there was such a look, ends without one."""

AT_ONCE: Final = 100
"""So many alarms are on their way together: a run may not have 2,000 activities pending."""


class ClosingTime(NoCase):
    """Compares a unit's cases in Postgres with those that run, and lets nothing that differs pass in silence."""

    what = "a closing check"

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """That nothing differs (``Checked``).

        Raises:
            ApplicationError: ``CasesDiffer``, when everybody has been told; or the argument is malformed.
        """
        comparing = self._read(args)
        comparison = await self._compare(comparing)
        untold = await self._tell_of(comparing, comparison)
        no_free_times = workflow.patched(FREE_TIMES) and await self._are_times_missing(comparing)
        if comparison.differences:
            raise ApplicationError(report(comparing, comparison, untold), type=CASES_DIFFER, non_retryable=True)
        checked = Checked(unit=comparing.unit, at=comparing.at, compared=comparison.compared)
        return checked.model_copy(update={"no_free_times": no_free_times}).to_json()

    def _read(self, args: Sequence[RawValue]) -> Comparing:
        try:
            closing = read(ClosingUnit, one_object(args))
        except Malformed as fault:
            raise start_failure(StartFault.INVALID_CASE, str(fault)) from None
        return Comparing(unit=closing.unit, at=workflow.now())

    async def _compare(self, comparing: Comparing) -> Comparison:
        """What differs, and still did when it was looked at again."""
        found = await self._look(comparing, "compare Postgres with what runs")
        for pause in LOOKED_AT_AGAIN_AFTER:
            if found.differences:
                await workflow.sleep(pause, summary=f"before {len(found.differences)} cases are looked at again")
                found = found.still(await self._look(comparing, "look again"))
        return found

    async def _look(self, comparing: Comparing, summary: str) -> Comparison:
        # Not an errand: it takes longer than those may, and operators are to see how far it is.
        try:
            found: Comparison = await workflow.execute_activity(
                COMPARE,
                comparing,
                result_type=Comparison,
                start_to_close_timeout=COMPARING,
                heartbeat_timeout=SIGN_OF_LIFE,
                retry_policy=FOR_EVER,
                summary=summary,
            )
        except ActivityError as error:
            raise_if_final(error)
            raise
        else:
            return found

    async def _tell_of(self, comparing: Comparing, comparison: Comparison) -> dict[str, str]:
        if comparison.differences:
            workflow.set_current_details(report(comparing, comparison, {}))
        return await self._tell([alarm_of(each, comparing) for each in comparison.differences])

    async def _are_times_missing(self, comparing: Comparing) -> bool:
        """Whether the unit has nothing to book, which its manager is told. That is no difference of any case (P2)."""
        times = await run_errand(LOOK_FOR_FREE_TIMES, comparing, FreeTimes, "look for free times to book")
        if times.are_missing:
            untold = await self._tell([alarm_of_missing_times(comparing, times.day)])
            for why in untold.values():
                workflow.logger.warning("nobody could be told that %s has no free times: %s", comparing.unit, why)
        return times.are_missing

    async def _tell(self, alarms: Sequence[Alarm]) -> dict[str, str]:
        """Tell the manager, and again by email where that failed; the cases of which nobody could be told, and why."""
        failed = await self._send(alarms)
        if failed:
            failed = await self._send([by_email(alarm) for alarm in alarms if alarm.case_id in failed])
        return failed

    async def _send(self, alarms: Sequence[Alarm]) -> dict[str, str]:
        """The cases whose alarm failed for good, and why."""
        failed: dict[str, str] = {}
        for first in range(0, len(alarms), AT_ONCE):
            batch = tuple(alarms[first : first + AT_ONCE])
            await run_errand(RECORD_ALARMS, Alarms(alarms=batch), Alarms, f"record {len(batch)} alarms")
            deliveries = await asyncio.gather(*map(start_sending, batch))
            for alarm, delivery in zip(batch, deliveries, strict=True):
                if not delivery.delivered:
                    failed[alarm.case_id] = delivery.error or "no reason given"
        return failed
