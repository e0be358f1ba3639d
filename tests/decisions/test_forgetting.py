"""A case that is forgotten keeps what happened, and nothing that anybody wrote."""

import inspect
from typing import Annotated, Any, get_args, get_origin

import pytest
from small_region import MONDAY_9

from decisions.forgetting import ERASED, WRITTEN, forgotten
from omhand.contract import events
from omhand.contract.events import Detail, Event
from omhand.contract.names import EventName

DETAILS = {
    each.event: each
    for _, each in inspect.getmembers(events, inspect.isclass)
    if issubclass(each, Detail) and each is not Detail
}
SAYS_NOTHING = {
    "key", "offer", "slot", "instead_of", "code",
}  # fmt: skip
"""Texts that the program makes, or that name a time."""


def texts_of(model: type[Detail]) -> set[str]:
    """The keys that may hold any text, or several."""
    return {key for key, field in model.model_fields.items() if holds_any_text(field.annotation, field.metadata)}


def holds_any_text(annotation: Any, metadata: list[Any]) -> bool:
    """Whether it is a plain ``str``, or some of them; ids and codes have a form, or a list of their own."""
    if annotation is str:
        return not metadata
    # What is annotated has a form.
    inner = () if get_origin(annotation) is Annotated else get_args(annotation)
    return any(holds_any_text(each, []) for each in inner)


@pytest.mark.parametrize("name", list(EventName))
def test_every_text_of_every_event_is_erased_or_says_nothing(name: EventName) -> None:
    model = DETAILS[name]
    assert texts_of(model) - SAYS_NOTHING == WRITTEN.get(name, frozenset())


def an_event(name: EventName, **detail: Any) -> Event:
    """A row of a log."""
    return Event(seq=1, at=MONDAY_9, event=name, by=None, detail=detail)


@pytest.mark.parametrize(
    ("name", "detail", "left"),
    [
        (EventName.NOTED, {"text": "secret"}, {"text": ERASED}),
        (EventName.REPLIED, {"unit": "u", "text": "secret", "attachments": ["x:1"]},
            {"unit": "u", "text": ERASED, "attachments": []}),
        (EventName.CLOSED, {"outcome": "treated", "note": None}, {"outcome": "treated", "note": None}),
        (EventName.REJECTED, {"action": "accept", "code": "NotOffered", "message": "secret"},
            {"action": "accept", "code": "NotOffered", "message": ERASED}),
        (EventName.REJECTED, {"action": "secret", "code": "InvalidAction", "message": "no"},
            {"action": ERASED, "code": "InvalidAction", "message": ERASED}),
        (EventName.NOTIFIED, {"reason": "reminder", "unit": "u"}, {"reason": "reminder", "unit": "u"}),
        (EventName.MANAGER_ALERTED, {"reason": "manager_alert", "because": "secret"},
            {"reason": "manager_alert", "because": ERASED}),
    ],
)  # fmt: skip
def test_what_was_written_is_gone_and_the_rest_is_there(
    name: EventName, detail: dict[str, Any], left: dict[str, Any]
) -> None:
    assert forgotten(an_event(name, **detail)) == an_event(name, **left)


def test_forgetting_twice_is_as_good_as_once() -> None:
    once = forgotten(an_event(EventName.REPLIED, text="secret", attachments=["x:1"]))
    assert forgotten(once) == once
