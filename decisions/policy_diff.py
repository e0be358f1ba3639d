"""What differs between two versions of the rules, for whoever answers for care and decides whether they are right.

What has an id is followed by it. A ladder is known by what it applies to: one that applies to something else is another
one. Two files that mean the same are the same, however they are written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from omhand.contract.directory import Directory
from omhand.contract.policy import Ladder, Policy

Json = dict[str, Any]

APPLIES_TO: Final = ("phase", "kind", "priority", "profession", "unit", "origin")
NAMED: Final = {"profession": "name", "unit": "id", "staff": "id", "slot": "id"}
"""The lists of a directory, and what their elements are known by."""
USUAL: Final = ("any_profession", False)
"""Of a step, and not worth a word."""
IN_LINES: Final = frozenset({"unit", "ladder"})
"""What is told key by key where it is added or removed; the rest fits a line."""


class Rules(NamedTuple):
    """A directory and the policy that goes with it."""

    directory: Directory
    policy: Policy


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, of JSON's own types."""

    what: str
    """``unit``, ``staff``, ``profession``, ``slot``, ``ladder``; else the file: ``directory`` or ``policy``."""
    name: str
    """Its id, or what the ladder applies to; "" for what stands once in a file."""
    key: str
    """What of it differs, with dots; "" where all of it has been added or removed."""
    before: Any
    """None: there was none."""
    after: Any
    """None: there is none any more."""
    title: str = ""
    """What people call it."""


def compare(old: Rules, new: Rules) -> list[Change]:
    """Everything that differs, in the order of the files."""
    return [*_directories(old.directory, new.directory), *_policies(old.policy, new.policy)]


def _directories(old: Directory, new: Directory) -> Iterator[Change]:
    sides = _plain(old.model_dump()), _plain(new.model_dump())
    before, after = ({key: each for key, each in side.items() if key not in NAMED} for side in sides)
    yield from _keys("directory", "", before, after)
    for what, key in NAMED.items():
        olds, news = ({each[key]: each for each in side[what]} for side in sides)
        yield from _elements(what, olds, news)


def _policies(old: Policy, new: Policy) -> Iterator[Change]:
    olds, news = _ladders(old.ladder), _ladders(new.ladder)
    yield from _elements("ladder", olds, news)
    orders = [[name for name in side if name in olds and name in news] for side in (olds, news)]
    if orders[0] != orders[1]:
        yield Change("policy", "", "order of ladders", *_what_moved(*orders))
    before, after = (_plain(policy.model_dump(exclude={"ladder"})) for policy in (old, new))
    yield from _keys("policy", "", before, after)


def _ladders(ladders: Sequence[Ladder]) -> dict[str, Json]:
    """By what they apply to, each with its place from 1. Of several alike only the first is ever used."""
    found: dict[str, Json] = {}
    times: Counter[str] = Counter()
    for place, ladder in enumerate(ladders, start=1):
        told = _plain(ladder.model_dump())
        applies = {key: told.pop(key) for key in APPLIES_TO}
        name = "; ".join(f"{key} {_text(each)}" for key, each in applies.items() if each is not None)
        times[name] += 1
        found[name if times[name] == 1 else f"{name} (number {times[name]} of the same)"] = {"place": place, **told}
    return found


def _what_moved(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both orders, without what stands alike at either end."""
    pairs = [old == new for old, new in zip(before, after, strict=True)]
    first, last = pairs.index(False), len(pairs) - pairs[::-1].index(False)
    return list(before[first:last]), list(after[first:last])


def _elements(what: str, olds: Mapping[str, Json], news: Mapping[str, Json]) -> Iterator[Change]:
    for name, old in olds.items():
        if name in news:
            yield from _keys(what, name, old, news[name])
        else:
            yield Change(what, name, "", old, None, _title(name, old))
    for name, new in news.items():
        if name not in olds:
            yield Change(what, name, "", None, new, _title(name, new))


def _title(name: str, element: Json) -> str:
    called = str(element.get("name", ""))
    return called if called != name else ""


def _keys(what: str, name: str, old: Json, new: Json) -> Iterator[Change]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for key in dict.fromkeys([*before, *after]):
        # Where a ladder stands changes with every one before it: what counts is their order.
        if before.get(key) != after.get(key) and key != "place":
            yield Change(what, name, key, before.get(key), after.get(key), _title(name, new))


def _flat(value: Json, place: str = "") -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _flat(each, f"{place}{key}.")
        elif each != []:  # a day without hours, and one that is left out, are alike
            yield f"{place}{key}", each


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a model holds
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case tuple():
            return [_plain(each) for each in value]
        case timedelta():
            return duration(value)
        case date():
            return value.isoformat()
        case str():
            return str(value)
        case _:
            return value


def duration(value: timedelta) -> str:
    """As the files write it: ``PT30M``, ``P1DT12H``."""
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{value.days}D" if value.days else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if number)
    return f"P{days}T{time}" if time else f"P{days}" if days else "PT0S"


# In words ---------------------------------------------------------------------------------------------------------


def in_words(changes: Iterable[Change]) -> Iterator[str]:
    """A line for each: ``+`` has been added, ``-`` removed, ``~`` changed."""
    for change in changes:
        yield from _lines(change)


def _lines(change: Change) -> Iterator[str]:
    title = f" ({change.title})" if change.title else ""
    subject = f"{change.what} {change.name}".rstrip() + title
    if change.key:
        yield f"~ {subject}: {change.key}: {_difference(change.before, change.after)}"
        return
    sign, content = ("+", change.after) if change.before is None else ("-", change.before)
    told = [f"{key} {_text(each)}" for key, each in _flat(content) if each is not None and key not in {"id", "name"}]
    if change.what in IN_LINES:
        yield f"{sign} {subject}"
        yield from (f"    {each}" for each in told)
    else:
        yield f"{sign} {subject}: {'; '.join(told)}"


def _difference(before: Any, after: Any) -> str:  # noqa: ANN401 - JSON
    if not isinstance(before, list) or not isinstance(after, list):
        return f"{_text(before)} -> {_text(after)}"
    olds, news = (Counter(map(_text, side)) for side in (before, after))
    parts = [f"without {each}" for each in (olds - news).elements()] + [
        f"now {each}" for each in (news - olds).elements()
    ]
    return "; ".join(parts) or f"in another order: {' | '.join(map(_text, after))}"


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_text, value))
        case dict():
            told = {key: each for key, each in value.items() if each is not None and (key, each) != USUAL}
            return " ".join(f"{key} {_text(each)}" for key, each in told.items())
        case _:
            return str(value)
