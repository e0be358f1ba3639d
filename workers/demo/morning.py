"""The morning as it is played: cases come in, staff and patients act, and somebody watches."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from omhand.client import CaseClient, CaseError, StartRefused
from omhand.contract.directory import Directory
from omhand.contract.names import Kind
from workers.demo.board import Board
from workers.demo.crew import Crew
from workers.demo.gateway import PhoneGateway
from workers.demo.parts import Part
from workers.demo.plots import PLOTS
from workers.demo.screen import Picture, Screen
from workers.demo.staff import Scene, Staff, Unexpected, patiently
from workers.demo.tally import fate_of, state_of

MOST_SECONDS: Final = 70.0
SECONDS_BETWEEN_LOOKS: Final = 0.5


class Morning:
    """The whole play: what was meant, what has come of it so far."""

    def __init__(
        self, client: CaseClient, board: Board, gateway: PhoneGateway, directory: Directory, closes_at: datetime
    ) -> None:
        self._client = client
        self._board = board
        self._gateway = gateway
        self.opened: list[str] = []
        self._scene = Scene(client, Crew(directory), closes_at, self.opened)
        self._began = time.monotonic()
        self._events: Counter[str] = Counter()
        self._played = 0
        self.turned_away: list[tuple[str, str]] = []
        self.faults: list[str] = []

    async def play(self, parts: Sequence[Part], screen: Screen) -> None:
        """Every part at its time, shown as it goes; returns when the last is over."""
        try:
            async with asyncio.timeout(MOST_SECONDS), asyncio.TaskGroup() as players:
                for part in parts:
                    players.create_task(self._part(part))
                while self._played < len(parts):
                    await self._show(screen, len(parts))
                    await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            unplayed = len(parts) - self._played
            self.faults.append(f"after {MOST_SECONDS:.0f} s {unplayed} cases had not been played to their end")
        await self._show(screen, len(parts))

    async def _part(self, part: Part) -> None:
        await asyncio.sleep(part.at)
        try:
            if part.opens:
                await self._opening(part, part.opens)
            else:
                await self._outcome(part)
        except (CaseError, Unexpected) as error:
            self.faults.append(f"case {part.case_id} was not played as meant ({part.behaviour}): {error}")
        self._played += 1

    async def _outcome(self, part: Part) -> None:
        try:
            answer = await patiently(lambda: self._client.intake(part.given))
        except StartRefused as refused:
            self.turned_away.append((part.case_id, str(refused)))
            return
        await self._staff_act(part, answer.kind, answer.profession)

    async def _opening(self, part: Part, kind: Kind) -> None:
        opening = part.opening(datetime.now(UTC))
        await patiently(lambda: self._client.open(kind, opening))
        await self._staff_act(part, kind, part.given["profession"])

    async def _staff_act(self, part: Part, kind: Kind, profession: str) -> None:
        await patiently(lambda: self._client.opened(part.case_id))
        self.opened.append(part.case_id)
        plot = PLOTS.get(part.behaviour)
        if plot:
            await plot(Staff(self._scene, part, part.case_id, kind, profession))

    async def _show(self, screen: Screen, parts: int) -> None:
        news = await self._board.news()
        self._events.update(each.event for each in news)
        picture = Picture(
            seconds=time.monotonic() - self._began,
            played=self._played,
            parts=parts,
            states=Counter(map(state_of, await self._board.cases())),
            fates=Counter(map(fate_of, await self._board.notices())),
            events=self._events,
            refused=len(self.turned_away),
            calls=tuple(self._gateway.latest),
            busy=self._gateway.busy,
        )
        screen.show(picture, news)
