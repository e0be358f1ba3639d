"""The two workflows that the product is measured beside: a case without rules.

Each has a case's two messages and one timer and writes three rows. ``BareUsual`` is written and served as the samples
teach: regular activities, default sandbox. ``BareFloor`` is the least that such a life can cost here: local
activities, no sandbox, started eagerly. Nothing else of the project is imported, so that nothing else is paid for.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow

WRITE: Final = "write"
"""The activity: case id, step and body become a row."""

WAITS: Final = timedelta(hours=1)
ATTEMPT: Final = timedelta(seconds=10)

Write = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


class Bare:
    """What both do; how a row is written is each one's own."""

    def __init__(self) -> None:
        self._accepted: dict[str, Any] | None = None
        self._closed: dict[str, Any] | None = None

    @workflow.signal
    def accept(self, message: dict[str, Any]) -> None:
        """Somebody takes the case."""
        self._accepted = message

    @workflow.signal
    def close(self, message: dict[str, Any]) -> None:
        """It is done."""
        self._closed = message

    async def live(self, opening: Mapping[str, Any], write: Write) -> dict[str, Any]:
        """Opened, accepted, closed."""
        case_id = str(opening["case_id"])
        await write(case_id, "opened", opening)
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._accepted is not None, timeout=WAITS)
        await workflow.wait_condition(lambda: self._accepted is not None)
        await write(case_id, "accepted", self._accepted or {})
        await workflow.wait_condition(lambda: self._closed is not None)
        await write(case_id, "closed", self._closed or {})
        return {"case_id": case_id, "accepted": self._accepted, "closed": self._closed}


@workflow.defn
class BareUsual(Bare):
    """Regular activities."""

    @workflow.run
    async def run(self, opening: dict[str, Any]) -> dict[str, Any]:
        """The whole life."""
        return await self.live(opening, _write_regularly)


@workflow.defn
class BareFloor(Bare):
    """Local activities."""

    @workflow.run
    async def run(self, opening: dict[str, Any]) -> dict[str, Any]:
        """The whole life."""
        return await self.live(opening, _write_locally)


async def _write_regularly(case_id: str, step: str, body: Mapping[str, Any]) -> None:
    await workflow.execute_activity(WRITE, args=[case_id, step, body], start_to_close_timeout=ATTEMPT)


async def _write_locally(case_id: str, step: str, body: Mapping[str, Any]) -> None:
    await workflow.execute_local_activity(WRITE, args=[case_id, step, body], start_to_close_timeout=ATTEMPT)
