"""The rules that have been loaded, and what they say when a case asks (contract §7).

A newly loaded directory counts from the next question on; a running case keeps the policy that it was opened under.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import asyncpg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.assertions import Assertions
from activities.holidays import days_that_count_as_sundays
from activities.opened import Opened, find_opened
from activities.postgres.pool import query
from activities.slots import find_slot
from decisions.canary import CANARY_POLICY, CANARY_UNIT, canary_region, is_canary
from decisions.errands import (
    CONFIRM_OPENED,
    LOOK_UP,
    LOOK_UP_OPENING,
    LOOK_UP_ROUTE,
    OpenedCase,
    OpeningQuestion,
    RouteAnswer,
    RouteQuestion,
)
from decisions.facts import Facts, NextPhase, Question, answer, next_of_slot
from decisions.ladders import NoLadder
from decisions.receiving import OpeningFacts, StartRefused, answer_opening, slot_fault
from decisions.region import Region
from decisions.routing import NotInRoutine, opening_of, route
from omhand.contract.directory import Directory
from omhand.contract.names import WORKFLOW_TYPES, StartFault, case_workflow_id
from omhand.contract.opening import IntakeAnswer
from omhand.contract.plan import Plan
from omhand.contract.policy import Policy
from omhand.contract.wire import read

YEARS_AHEAD: Final = 5
"""Calendars look little more than a year ahead; the rest is for a worker that runs for years."""

LOOKS: Final = 50
BETWEEN_LOOKS: Final = 0.02

log = structlog.get_logger(__name__)


class Rules:
    """The loaded versions of directory and policy, and the activities that answer questions by them."""

    def __init__(self, pool: asyncpg.Pool, assertions: Assertions | None = None) -> None:
        self._pool = pool
        self._assertions = assertions
        self._regions: dict[int, Region] = {}
        self._making = asyncio.Lock()
        self._of_canaries = canary_region()

    async def for_case(self, case_id: str | None) -> Region:
        """The region that a case lives in: the newest one, or the canaries' own.

        Raises:
            ApplicationError: as `current`.
        """
        return self._of_canaries if is_canary(case_id) else await self.current()

    async def current(self) -> Region:
        """The region of the newest version. Asks the database each time, so that a load takes effect at once.

        Raises:
            ApplicationError: ``NoRules``, to be retried: nothing has been loaded yet.
        """
        newest = await self._pool.fetchval(query("newest_rules"))
        if newest is None:
            msg = "no directory and policy have been loaded yet: run `omhand load`"
            raise ApplicationError(msg, type="NoRules")
        return await self.of_version(newest)

    async def of_version(self, version: int) -> Region:
        """The region of that version.

        Raises:
            ApplicationError: ``NoRules``, to be retried: there is no such version.
        """
        if version == CANARY_POLICY:
            return self._of_canaries
        if version not in self._regions:
            async with self._making:
                if version not in self._regions:
                    self._regions[version] = await self._make(version)
        return self._regions[version]

    @activity.defn(name=LOOK_UP)
    async def look_up(self, question: Question) -> Facts:
        """What the directory says of an action: who acts by the newest one, the next phase by the case's policy.

        Raises:
            ApplicationError: ``NoRules`` or ``LinkingKeyMissing``, to be retried.
        """
        unvouched = await self._assertions.of_action(question) if self._assertions else None
        if unvouched:
            return Facts(fault=unvouched)
        now = await self.for_case(question.case_id)
        slot = await find_slot(self._pool, question.slot) if question.slot else None
        who = answer(question.model_copy(update={"next": None, "answer": None}), now, slot)
        if who.fault:
            return who
        plans = {
            "plan": await self._planned(question, next_of_slot(question, slot), now),
            "answer_plan": await self._planned(question, question.answer, now),
        }
        return who.model_copy(update=plans)

    async def _planned(self, question: Question, phase: NextPhase | None, now: Region) -> Plan | None:
        """The plan of a phase by the case's policy, also of a unit that the directory has dropped since."""
        if phase is None:
            return None
        then = await self.of_version(question.policy)
        region = await self.that_has(phase.subject.unit, now)
        return _planned(question, phase, region.under(then), now)

    @activity.defn(name=LOOK_UP_OPENING)
    async def look_up_opening(self, question: OpeningQuestion) -> OpeningFacts:
        """Whether a case may be opened, and the plan of its first phase."""
        opening = question.opening
        before = await find_opened(self._pool, opening.case_id)
        if before and before.run_id != question.run_id:
            message = f"case_id: case {opening.case_id} exists already"
            return OpeningFacts(refused=StartRefused(fault=StartFault.CASE_EXISTS, message=message))
        unvouched = await self._assertions.of_opening(question) if self._assertions else None
        if unvouched:
            return OpeningFacts(refused=unvouched)
        slot = await find_slot(self._pool, opening.booking.slot) if opening.booking else None
        fault = slot_fault(opening, slot, question.sent_at or question.at)
        if fault:
            return OpeningFacts(refused=fault)
        return answer_opening(question.kind, opening, question.at, await self.for_case(opening.case_id), slot)

    @activity.defn(name=LOOK_UP_ROUTE)
    async def look_up_route(self, question: RouteQuestion) -> RouteAnswer:
        """Where a triage outcome goes: where it went before, else where the routine says."""
        before = await find_opened(self._pool, question.outcome.case_id)
        if before:
            return RouteAnswer(before=_as_before(question.outcome.case_id, before))
        region = await self.current()
        today = region.day_of(question.at)
        to = route(question.outcome, region.policy.routing, today)
        if isinstance(to, NotInRoutine):
            return RouteAnswer(refused=StartRefused(fault=StartFault.NOT_IN_ROUTINE, message=to.message))
        opening = opening_of(question.outcome, to, question.at, region.policy.routing.ticket_valid)
        refused = answer_opening(to.kind, opening, question.at, region).refused
        return RouteAnswer(refused=refused) if refused else RouteAnswer(kind=to.kind, opening=opening)

    @activity.defn(name=CONFIRM_OPENED)
    async def confirm_opened(self, case: OpenedCase) -> OpenedCase:
        """The case, once it has been recorded: an intake answers for a case that is there, not for one that may come.

        Raises:
            ApplicationError: ``NotOpened``, to be retried: it has not been recorded within a second.
        """
        for _ in range(LOOKS):
            found = await find_opened(self._pool, case.case_id)
            if found:
                return OpenedCase(case_id=case.case_id, asked_by=found.asked_by)
            await asyncio.sleep(BETWEEN_LOOKS)
        raise ApplicationError(f"case {case.case_id} has not been recorded yet", type="NotOpened")

    async def _make(self, version: int) -> Region:
        row = await self._pool.fetchrow(query("rules_of_version"), version)
        if row is None:
            msg = f"there is no version {version} of directory and policy: is this the right database?"
            raise ApplicationError(msg, type="NoRules")
        directory, policy = read(Directory, row["directory"]), read(Policy, row["policy"])
        year = datetime.now(UTC).year
        holidays = days_that_count_as_sundays(directory.holidays, year - 1, year + YEARS_AHEAD)
        return Region.of(version, directory, policy, ZoneInfo(directory.timezone), holidays)

    async def that_has(self, unit: str, now: Region) -> Region:
        """The newest region that has the unit: a case stays with its unit though the directory has dropped it."""
        if unit == CANARY_UNIT:
            return self._of_canaries
        region = now
        while unit not in region.units and region.version > 1:
            region = await self.of_version(region.version - 1)
        return region if unit in region.units else now


def _planned(question: Question, phase: NextPhase, region: Region, now: Region) -> Plan | None:
    """The phase by the case's policy; by the newest where that one has no ladder for a unit that came later."""
    planning = Question(at=question.at, by=None, next=phase, policy=question.policy)
    try:
        return answer(planning, region).plan
    except NoLadder:
        log.warning(
            "the case's policy has no ladder for its next phase, the newest policy is used",
            policy=region.version, newest=now.version, kind=phase.subject.kind, phase=phase.phase,
        )  # fmt: skip
        return answer(planning, region.under(now)).plan


def _as_before(case_id: str, before: Opened) -> IntakeAnswer:
    return IntakeAnswer(
        workflow_id=case_workflow_id(case_id),
        workflow_type=WORKFLOW_TYPES[before.kind],
        case_id=case_id,
        kind=before.kind,
        unit=before.unit,
        profession=before.profession,
    )
