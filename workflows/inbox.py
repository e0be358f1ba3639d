"""What has come to a case and has not been taken up yet, in the order in which it came."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions.effects import Notice, Refusal


@dataclass(slots=True)
class Incoming:
    """An action as it was given, or news of a notification. ``at`` is when the case first saw it."""

    at: datetime
    name: str
    args: Sequence[RawValue] = ()
    undelivered: tuple[Notice, str] | None = None
    done: bool = False
    refusal: Refusal | None = None
    answer: dict[str, Any] = field(default_factory=dict)


class Inbox:
    """A queue that one loop empties: handlers of signals and updates only ever put something in."""

    def __init__(self) -> None:
        self._waiting: deque[Incoming] = deque()
        self._closed: ApplicationError | None = None
        self._last_answer: int | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, name: str, args: Sequence[RawValue] = (), undelivered: tuple[Notice, str] | None = None) -> Incoming:
        """Something has come."""
        incoming = Incoming(workflow.now(), name, args, undelivered)
        self._waiting.append(incoming)
        return incoming

    def first(self) -> Incoming | None:
        """What came first and has not been taken."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> Incoming:
        """The first, which is then out of the queue."""
        return self._waiting.popleft()

    def put_back(self, incoming: Incoming) -> None:
        """It could not be dealt with yet: it is the next to be taken, and counts as having come now, as all after it."""
        self._waiting.appendleft(incoming)
        for waiting in self._waiting:
            waiting.at = workflow.now()

    def close(self, why: ApplicationError) -> None:
        """Nothing more will be taken: whoever waits for an answer gets this one."""
        self._closed = why

    def has_just_answered(self) -> bool:
        """Whether an update is answered by the very task that is running now."""
        return self._last_answer == workflow.info().get_current_history_length()

    async def answered(self, incoming: Incoming) -> dict[str, Any]:
        """The answer, once the loop has dealt with it.

        Raises:
            ApplicationError: a refusal, with its code as type; or the case could not be opened.
        """
        await workflow.wait_condition(lambda: incoming.done or self._closed is not None)
        self._last_answer = workflow.info().get_current_history_length()
        if not incoming.done and self._closed is not None:
            raise self._closed
        if incoming.refusal:
            raise ApplicationError(incoming.refusal.message, type=incoming.refusal.code.value, non_retryable=True)
        return incoming.answer
