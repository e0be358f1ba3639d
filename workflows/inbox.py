"""What has come to a case and has not been taken up yet, in the order in which it came."""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from decisions.case import Case
from decisions.effects import Decision, Refusal
from decisions.file import SIGNAL, last_signal

NEWS: Final = "news"
READABLE_NAME: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)

Rule = Callable[[Case, datetime], Decision]


@dataclass(slots=True)
class Incoming:
    """An action as it was given, or news with the rule that says what comes of it.

    ``at`` is when the case first saw it.

    ``cause`` names it in the same way however often its task is lost and done again: a signal by its number, which the
    history keeps, and by what came, as another one has its number where Temporal was put back; an update by its id,
    which the caller has.
    """

    at: datetime
    cause: str
    name: str
    args: Sequence[RawValue] = ()
    rule: Rule | None = None
    is_awaited: bool = False
    """Somebody waits for its answer: it is an update. A view of a long log is not made for nobody."""
    done: bool = False
    refusal: Refusal | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def shown_name(self) -> str:
        """Its name as it may stand in a log: what is no name could be a text about somebody."""
        return self.name if READABLE_NAME.fullmatch(self.name) else "unreadable"


def _storable(update_id: str) -> str:
    """The id as it may stand in a log: its sender chose it, and Postgres takes no NUL."""
    return update_id if update_id.isprintable() else hashlib.sha256(update_id.encode()).hexdigest()


def _what_came(name: str, args: Sequence[RawValue]) -> str:
    came = hashlib.sha256(name.encode(errors="surrogatepass"))
    for arg in args:
        came.update(hashlib.sha256(arg.payload.data).digest())
    return came.hexdigest()[:12]


class Inbox:
    """A queue that one loop empties: handlers of signals and updates only ever put something in."""

    def __init__(self) -> None:
        self._waiting: deque[Incoming] = deque()
        self._closed: ApplicationError | None = None
        self._last_answer: int | None = None
        self.signals = 0
        """How many have come, in this run and those before it."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def signalled(self, name: str, args: Sequence[RawValue] = ()) -> None:
        """A signal has come."""
        self.signals += 1
        cause = f"{SIGNAL}{self.signals}:{_what_came(name, args)}"
        self._waiting.append(Incoming(workflow.now(), cause, name, args))

    def news(self, cause: str, rule: Rule) -> None:
        """Something that the case has set going came to an end that it has to know of."""
        self._waiting.append(Incoming(workflow.now(), cause, NEWS, rule=rule))

    async def updated(self, name: str, args: Sequence[RawValue]) -> dict[str, Any]:
        """An update has come: its answer, once the loop has dealt with it.

        Raises:
            ApplicationError: a refusal, with its code as type; or the case could not be opened.
        """
        info = workflow.current_update_info()
        incoming = Incoming(workflow.now(), f"update:{_storable(info.id) if info else ''}", name, args, is_awaited=True)
        self._waiting.append(incoming)
        return await self._answered(incoming)

    def begin_after(self, number: int) -> None:
        """Signals are numbered after this one, those too that have come already: it was another run's."""
        self.signals += number
        for each in self._waiting:
            if each.cause.startswith(SIGNAL):
                _, came, what = each.cause.split(":")
                each.cause = f"{SIGNAL}{int(came) + number}:{what}"

    def number_after(self, causes: Iterable[str | None]) -> None:
        """Signals that come from now on are not taken for those that caused what stands in the log.

        They have the same numbers only where Temporal has lost what Postgres has.
        """
        self.signals = max(self.signals, last_signal(causes))

    def first(self) -> Incoming | None:
        """What came first and has not been taken."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> Incoming:
        """The first, which is then out of the queue."""
        return self._waiting.popleft()

    def put_first(self, incoming: Incoming) -> None:
        """It is the next to be taken again."""
        self._waiting.appendleft(incoming)

    def put_back(self, incoming: Incoming) -> None:
        """It could not be dealt with yet: it is taken next, and counts as having come now, as do all after it."""
        self._waiting.appendleft(incoming)
        for waiting in self._waiting:
            waiting.at = workflow.now()

    def close(self, why: ApplicationError) -> None:
        """Nothing more will be taken: whoever waits for an answer gets this one."""
        self._closed = why

    def has_just_answered(self) -> bool:
        """Whether an update is answered by the very task that is running now."""
        return self._last_answer == workflow.info().get_current_history_length()

    async def _answered(self, incoming: Incoming) -> dict[str, Any]:
        await workflow.wait_condition(lambda: incoming.done or self._closed is not None)
        self._last_answer = workflow.info().get_current_history_length()
        if not incoming.done and self._closed is not None:
            raise self._closed
        if incoming.refusal:
            raise ApplicationError(incoming.refusal.message, type=incoming.refusal.code.value, non_retryable=True)
        return incoming.answer
