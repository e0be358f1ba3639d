"""The morning as it is played: outcomes come in, staff act, and somebody watches."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from omhand.client import CaseClient, CaseError, StartRefused
from omhand.contract.directory import Directory
from omhand.contract.names import Kind
from workers.demo.board import Board
from workers.demo.gateway import PhoneGateway
from workers.demo.parts import Crew, Part
from workers.demo.screen import Picture, Screen
from workers.demo.staff import Plot
from workers.demo.tally import fate_of, state_of

MOST_SECONDS: Final = 80.0
SECONDS_BETWEEN_LOOKS: Final = 0.5


class Morning:
    """The whole play: what was meant, what has come of it so far."""

    def __init__(self, client: CaseClient, board: Board, gateway: PhoneGateway, directory: Directory) -> None:
        self._client = client
        self._board = board
        self._gateway = gateway
        self._crew = Crew(directory)
        self._began = time.monotonic()
        self._events: Counter[str] = Counter()
        self._played = 0
        self.opened: list[str] = []
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
            self.faults.append(f"after {MOST_SECONDS:.0f} s {unplayed} outcomes had not been played to their end")
        await self._show(screen, len(parts))

    async def _part(self, part: Part) -> None:
        await asyncio.sleep(part.at)
        case_id = part.outcome["case_id"]
        try:
            answer = await self._client.intake(part.outcome)
        except StartRefused as refused:
            self.turned_away.append((case_id, str(refused)))
        except CaseError as error:
            self.faults.append(f"case {case_id} was not taken in: {error}")
        else:
            self.opened.append(case_id)
            await self._staff_act(part, answer.kind)
        self._played += 1

    async def _staff_act(self, part: Part, kind: Kind) -> None:
        case_id = part.outcome["case_id"]
        try:
            await self._client.opened(case_id)
            await Plot(self._client, self._crew, part, self.faults).play(kind)
        except CaseError as error:
            self.faults.append(f"case {case_id} could not be {part.behaviour}: {error}")

    async def _show(self, screen: Screen, outcomes: int) -> None:
        news = await self._board.news()
        self._events.update(event for event, _ in news)
        picture = Picture(
            seconds=time.monotonic() - self._began,
            played=self._played,
            outcomes=outcomes,
            states=Counter(map(state_of, await self._board.cases())),
            fates=Counter(map(fate_of, await self._board.notices())),
            events=self._events,
            refused=len(self.turned_away),
            calls=tuple(self._gateway.latest),
            busy=self._gateway.busy,
        )
        screen.show(picture, news)
