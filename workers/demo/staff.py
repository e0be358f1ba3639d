"""The staff of the demo: what they have in common whatever they mean to do with a case."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Self, TypeVar

from omhand.client import CaseClient, Refused, ServerAway
from omhand.contract.actions import Accept, Action, Close, Message, ThePatient
from omhand.contract.events import Event
from omhand.contract.names import VISITS, Code, EventName, Kind, Outcome, Reason
from omhand.contract.opening import StaffMember
from omhand.contract.view import View
from workers.demo.crew import Crew
from workers.demo.parts import Part

T = TypeVar("T")

SECONDS_BETWEEN_LOOKS: Final = 0.5
MOST_SECONDS_OF_WAITING: Final = 30.0
"""Longer than the demo's longest ladder: what has not happened by then never will."""

MOST_TRIES: Final = 3
"""So often somebody asks who gets no answer."""

PHONES_ONE_IN: Final = 10
"""So often somebody means to close a visit as held by phone, which P4 refuses."""

OUTCOMES: Final = (Outcome.TREATED, Outcome.TREATED, Outcome.ADVICE_GIVEN, Outcome.BOOKED, Outcome.REFERRED)

PATIENT: Final = ThePatient(patient=True)

HeldAs = Literal["video", "chat", "message", "phone"]
HELD_AS: Final[Mapping[Kind, HeldAs]] = {
    Kind.PHONE_CONSULTATION: "phone",
    Kind.ADMINISTRATIVE_CASE: "message",
    Kind.MESSAGE_THREAD: "chat",
}
"""Of what is no visit."""

Stands = Literal["responsible", "offered", "handover", "consulted"]


class Unexpected(Exception):  # noqa: N818 - reads as what it says
    """Something came otherwise than the routine says."""


class Rivals:
    """Two patients who want the same time in the same instant, and wait for each other to do so."""

    def __init__(self) -> None:
        self._both = asyncio.Barrier(2)
        self.refused = 0
        """How many of them were told that it is taken."""

    async def meet(self) -> None:
        """Go on when both are here.

        Raises:
            Unexpected: the other one never came.
        """
        try:
            async with asyncio.timeout(MOST_SECONDS_OF_WAITING):
                await self._both.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            msg = "the other patient who wants this time never came"
            raise Unexpected(msg) from None


@dataclass(frozen=True, slots=True)
class Scene:
    """Where all cases are played."""

    client: CaseClient
    crew: Crew
    closes_at: datetime
    """When the unit that closes does so."""
    opened: list[str]
    """The cases that are known to be open or to have been, the consultations of other cases too."""
    rivals: Rivals = field(default_factory=Rivals)


class Staff:
    """Whoever deals with one case."""

    def __init__(self, scene: Scene, part: Part, case_id: str, kind: Kind, profession: str) -> None:
        self.scene = scene
        self.crew = scene.crew
        self.chance: random.Random = part.chance
        self.part = part
        self.case_id = case_id
        self.kind = kind
        self.profession = profession
        """Whom the case is directed to."""
        self.unit: str = part.given["unit"]
        """That received the case."""
        self._acts = 0

    def asked(self, consultation: str) -> Self:
        """Who deals with a consultation of this case."""
        self.scene.opened.append(consultation)
        return type(self)(self.scene, self.part, consultation, Kind.CONSULTATION, self.profession)

    # Who it is ------------------------------------------------------------------------------------------------------

    def own(self) -> StaffMember:
        """Somebody of the unit that received the case."""
        return self.someone_at(self.unit)

    def someone_at(self, unit: str) -> StaffMember:
        """Somebody of that unit, of the right profession where there is one."""
        return next(self.crew.at(unit, self.profession))

    def other_unit(self) -> str:
        """The unit that is asked to help, or to take over."""
        return self.crew.others(self.unit, self.profession)[0]

    # What they do ---------------------------------------------------------------------------------------------------

    async def act(self, action: Action) -> View:
        """Act on the case; what it looks like then.

        Where nobody answers it is sent again: by its id it is done once (contract §2).
        """
        self._acts += 1
        known = action.model_copy(update={"action_id": f"{self.case_id}/{self._acts}"})
        view = await patiently(lambda: self.scene.client.act(self.case_id, known))
        assert view is not None, "an update answers with the view"
        return view

    async def take(self, by: StaffMember, offer: str | None = None) -> View:
        """Accept the case: from here on their unit is responsible (H3)."""
        view = await self.act(Accept(by=by, offer=offer))
        self.expect(view.responsible_unit == by.unit, "whoever accepted it is not responsible")
        return view

    async def take_and_close(self, by: StaffMember, offer: str | None = None) -> None:
        """Accept the case and deal with it."""
        await self.take(by, offer)
        await self.close(by)

    async def close(self, by: StaffMember, most_seconds: float = 5, outcome: Outcome | None = None) -> View:
        """Deal with the case; what it looked like at its end."""
        await self.pause(1.5, most_seconds)
        if self.kind in VISITS and self.chance.randrange(PHONES_ONE_IN) == 0:
            await self.is_refused(Close(by=by, outcome=Outcome.TREATED, held_as="phone"), Code.MUST_BE_DIGITAL)
        outcome = outcome or self.chance.choice(OUTCOMES)
        held_as: HeldAs = "chat" if outcome is Outcome.ADVICE_GIVEN else "video"
        return await self.act(Close(by=by, outcome=outcome, held_as=HELD_AS.get(self.kind, held_as)))

    async def patient_writes(self, text: str) -> View:
        """The patient writes in the case; what it looks like then."""
        return await self.act(Message(by=PATIENT, text=text))

    async def is_refused(self, action: Action, code: Code) -> None:
        """Do what the routine does not allow: it has to say so, and to log who tried.

        Raises:
            Unexpected: it let them.
        """
        try:
            await self.act(action)
        except Refused as refused:
            self.expect(refused.code == code, f"{action.name} was refused as {refused.code}, not as {code}")
        else:
            self.expect(False, f"{action.name} was not refused as {code}")  # noqa: FBT003 - what is expected
        tried = [event for event in (await self.view()).log if event.event is EventName.REJECTED]
        self.expect(
            any(event.detail["code"] == code and event.by == action.by for event in tried),
            f"the log does not say who was refused as {code}",
        )

    # What they see --------------------------------------------------------------------------------------------------

    async def view(self) -> View:
        """Look at the case."""
        return await patiently(lambda: self.scene.client.view(self.case_id))

    async def look_until(self, seen: Callable[[View], bool], what: str) -> View:
        """Look at the case now and then until it is so.

        Raises:
            Unexpected: ``what`` was waited for in vain.
        """
        for _ in range(round(MOST_SECONDS_OF_WAITING / SECONDS_BETWEEN_LOOKS)):
            view = await self.view()
            if seen(view):
                return view
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        raise Unexpected(f"{what}: that was waited for in vain")

    async def finds_it_on_the_worklist(self, unit: str, stands: Stands) -> None:
        """The unit looks at its worklist until it finds the case there, standing so.

        Raises:
            Unexpected: it never does.
        """
        for _ in range(round(MOST_SECONDS_OF_WAITING / SECONDS_BETWEEN_LOOKS)):
            rows = await self.scene.client.worklist(unit)
            if any(row.case_id == self.case_id and row.stands == stands for row in rows):
                return
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        raise Unexpected(f"it never stood on the worklist of {unit} as {stands}")

    async def pause(self, least: float, most: float) -> None:
        """Do something else for so many seconds."""
        await asyncio.sleep(self.chance.uniform(least, most))

    @staticmethod
    def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - what is expected is true or not
        """Go on if it is as the routine says.

        Raises:
            Unexpected: it is not.
        """
        if not holds:
            raise Unexpected(otherwise)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What was asked for; asked for again where nobody answered, as on a machine that is busy.

    Raises:
        CaseError: it was refused, or nobody answered the last time either.
    """
    for _ in range(MOST_TRIES - 1):
        try:
            return await ask()
        except ServerAway:
            continue
    return await ask()


def has(view: View, name: EventName) -> bool:
    """Whether the case's log tells of such an event."""
    return bool(events(view, name))


def events(view: View, name: EventName) -> list[Event]:
    """Those of the case's log."""
    return [event for event in view.log if event.event is name]


def told(view: View, reason: Reason) -> bool:
    """Whether the unit has been called for that reason."""
    return any(event.detail["reason"] == reason for event in events(view, EventName.NOTIFIED))
