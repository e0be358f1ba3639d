"""The staff of the demo: what they mean to do with a case, and what they do when the routine says no."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from omhand.client import CaseClient, Refused
from omhand.contract.actions import Accept, Action, Cancel, Close, Release, Reprioritise, ThePatient
from omhand.contract.names import Code, EventName, Kind, Outcome
from omhand.contract.opening import StaffMember
from omhand.contract.view import View
from workers.demo.parts import Behaviour, Crew, Part

SECONDS_BETWEEN_LOOKS: Final = 0.5
MOST_SECONDS_OF_WAITING: Final = 30.0
"""Longer than the demo's longest ladder: what has not happened by then never will."""

PHONES_ONE_IN: Final = 10
"""So often somebody means to close a visit as held by phone, which P4 refuses."""

OUTCOMES: Final = (Outcome.TREATED, Outcome.TREATED, Outcome.ADVICE_GIVEN, Outcome.BOOKED, Outcome.REFERRED)


class Plot:
    """One case in the hands of the staff."""

    def __init__(self, client: CaseClient, crew: Crew, part: Part, faults: list[str]) -> None:
        self._client = client
        self._crew = crew
        self._part = part
        self._chance: random.Random = part.chance
        self._faults = faults
        self._case_id: str = part.outcome["case_id"]

    async def play(self, kind: Kind) -> None:
        """Do what was meant. Kinds that the demo's staff do not know stay on the worklists."""
        if kind is not Kind.DROP_IN_VISIT:
            return
        plots: Mapping[Behaviour, Callable[[], Awaitable[None]]] = {
            Behaviour.IN_TIME: self._in_time,
            Behaviour.LATE: self._late,
            Behaviour.BY_OTHERS: self._by_others,
            Behaviour.AFTER_MANAGER: self._after_manager,
            Behaviour.RACE: self._race,
            Behaviour.RELEASED: self._released,
            Behaviour.REPRIORITISED: self._reprioritised,
            Behaviour.CANCELLED: self._cancelled,
            Behaviour.KEPT: self._kept,
        }
        plot = plots.get(self._part.behaviour)
        if plot is not None:
            await plot()

    async def _in_time(self) -> None:
        await self._pause(0.8, 4)
        await self._take(self._own())

    async def _late(self) -> None:
        due = (await self._client.view(self._case_id)).due_at
        assert due is not None, "a case that waits is due at some instant"
        await asyncio.sleep(max(timedelta(0), due - datetime.now(UTC)).total_seconds())
        await self._pause(0.5, 3)
        await self._take(self._own())

    async def _by_others(self) -> None:
        view = await self._look_until(lambda view: bool(view.offers))
        if not view.offers:  # nobody else could be offered it
            await self._take(self._own())
            return
        await self._pause(0.3, 1.5)
        offer = self._chance.choice(view.offers)
        await self._take(self._someone_at(offer.unit), offer.offer, and_then=self._own_unit_is_too_late)

    async def _own_unit_is_too_late(self) -> None:
        if self._chance.random() < 0.5:  # noqa: PLR2004 - every other time
            await self._is_refused(Accept(by=self._own()), Code.ALREADY_ACCEPTED)

    async def _after_manager(self) -> None:
        await self._look_until(lambda view: any(event.event is EventName.MANAGER_ALERTED for event in view.log))
        await self._pause(0.5, 2)
        await self._take(self._own())

    async def _race(self) -> None:
        await self._pause(0.8, 3)
        first, second, *_ = self._crew.at(self._part.outcome["unit"], self._part.outcome["profession"])
        accepting = (self._act(Accept(by=member)) for member in (first, second))
        answers = await asyncio.gather(*accepting, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        views = [answer for answer in answers if isinstance(answer, View)]
        if len(views) != 1 or len(refused) != 1 or refused[0].code != Code.ALREADY_ACCEPTED:
            self._faults.append(f"case {self._case_id}: of two who accepted at once {len(views)} got it, not one")
            return
        await self._handle(first if views[0].assigned_to == first.staff else second)

    async def _released(self) -> None:
        await self._pause(0.8, 2)
        first, second, *_ = self._crew.at(self._part.outcome["unit"], self._part.outcome["profession"])
        await self._act(Accept(by=first))
        await self._pause(1, 2)
        await self._act(Release(by=first, reason="Demo: called away"))
        await self._pause(0.8, 3)
        await self._take(second)

    async def _reprioritised(self) -> None:
        await self._pause(1, 2.5)
        by = self._own()
        priority = 3 if self._part.outcome["priority"] == 2 else 2  # noqa: PLR2004 - any other one
        await self._act(Reprioritise(by=by, priority=priority, reason="Demo: triage was wrong"))
        await self._pause(0.8, 2)
        await self._take(by)

    async def _cancelled(self) -> None:
        await self._pause(1, 4)
        await self._act(Cancel(by=ThePatient(patient=True), reason="Demo: feels well again"))

    async def _kept(self) -> None:
        await self._pause(0.8, 3)
        await self._act(Accept(by=self._own()))

    # What they have in common ---------------------------------------------------------------------------------------

    async def _take(
        self,
        by: StaffMember,
        offer: str | None = None,
        and_then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        await self._act(Accept(by=by, offer=offer))
        if and_then:
            await and_then()
        await self._handle(by)

    async def _handle(self, by: StaffMember) -> None:
        await self._pause(1.5, 5)
        if self._chance.randrange(PHONES_ONE_IN) == 0:
            await self._is_refused(Close(by=by, outcome=Outcome.TREATED, held_as="phone"), Code.MUST_BE_DIGITAL)
        outcome = self._chance.choice(OUTCOMES)
        held_as: Literal["video", "chat"] = "chat" if outcome is Outcome.ADVICE_GIVEN else "video"
        await self._act(Close(by=by, outcome=outcome, held_as=held_as))

    async def _act(self, action: Action) -> View:
        view = await self._client.act(self._case_id, action)
        assert view is not None, "an update answers with the view"
        return view

    async def _is_refused(self, action: Action, code: Code) -> None:
        """Do what the routine does not allow: it has to say so."""
        try:
            await self._act(action)
        except Refused as refused:
            if refused.code == code:
                return
        self._faults.append(f"case {self._case_id}: {action.name} was not refused as {code}")

    async def _look_until(self, seen: Callable[[View], bool]) -> View:
        """Look at the case now and then until it is so, or has been waited for long enough; the last view."""
        looks = round(MOST_SECONDS_OF_WAITING / SECONDS_BETWEEN_LOOKS)
        for _ in range(looks):
            view = await self._client.view(self._case_id)
            if seen(view):
                break
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        return view

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))

    def _own(self) -> StaffMember:
        return self._someone_at(self._part.outcome["unit"])

    def _someone_at(self, unit: str) -> StaffMember:
        return next(self._crew.at(unit, self._part.outcome["profession"]))
