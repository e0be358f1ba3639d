"""What is left of a case that is forgotten: that it was, when, and who did what; nothing that anybody wrote.

Its log stays a log: replayed, it gives the case as it was, with `ERASED` where there were texts.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from omhand.contract.actions import ACTIONS
from omhand.contract.events import Event
from omhand.contract.names import EventName

ERASED: Final = "(erased)"

WRITTEN: Final[Mapping[EventName, frozenset[str]]] = MappingProxyType({
    EventName.OPENED: frozenset({"question"}),
    EventName.MANAGER_ALERTED: frozenset({"because"}),
    EventName.HANDOVER_REQUESTED: frozenset({"reference", "note"}),
    EventName.HANDOVER_REFUSED: frozenset({"reason"}),
    EventName.CONSULTED: frozenset({"question"}),
    EventName.ANSWERED: frozenset({"advice"}),
    EventName.REFUSED: frozenset({"reason"}),
    EventName.CONSULTATION_WITHDRAWN: frozenset({"because"}),
    EventName.BOOKING_CANCELLED: frozenset({"reason"}),
    EventName.REPLIED: frozenset({"text", "attachments"}),
    EventName.MESSAGE: frozenset({"text", "attachments"}),
    EventName.RELEASED: frozenset({"reason"}),
    EventName.REPRIORITISED: frozenset({"reason"}),
    EventName.NOTED: frozenset({"text"}),
    EventName.CLOSED: frozenset({"note"}),
    EventName.CANCELLED: frozenset({"reason"}),
    EventName.REJECTED: frozenset({"action", "message"}),
})  # fmt: skip
"""The keys of each event's detail that hold what somebody wrote, or may quote it."""


def forgotten(event: Event) -> Event:
    """The event without what anybody wrote; itself where there is nothing of the kind."""
    written = WRITTEN.get(event.event, frozenset())
    detail = {key: _erased(value) if key in written else value for key, value in event.detail.items()}
    return event.model_copy(update={"detail": detail})


def _erased(value: Any) -> Any:  # noqa: ANN401 - of JSON's types
    if isinstance(value, list | tuple):
        return []
    # The name of an action says nothing; what was sent in its place may.
    return value if value is None or value in ACTIONS else ERASED
