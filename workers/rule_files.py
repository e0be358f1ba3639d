"""Reads the directory and policy files and finds every fault in them, not just the first (contract §7)."""

import copy
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError

from activities.holidays import days_that_count_as_sundays
from decisions.canary import CANARY_NURSE, CANARY_UNIT
from omhand.contract.directory import (
    WEEKDAYS,
    Directory,
    Manager,
    Slot,
    Staff,
    Unit,
    faults_between,
)
from omhand.contract.policy import (
    Closing,
    EscalationOff,
    Ladder,
    Policy,
    Repeat,
    Routing,
    Step,
    faults_with,
)
from omhand.contract.wire import Wire, faults_of, named

M = TypeVar("M", bound=Wire)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """Both files as JSON's own types, and what is wrong in them, each fault as ``file: place: what is wrong``."""

    directory: Json
    policy: Json
    faults: tuple[str, ...]


def read_files(directory: Path, policy: Path) -> RuleFiles:
    """Both files, checked each by itself and one against the other.

    A list's places count from 0, as in ``ladder.3.steps.1.after``.
    """
    region, rules = _read(directory, Directory, _REGION_STAND_INS), _read(policy, Policy, _RULES_STAND_INS)
    return _together(region, rules, directory.name, policy.name)


def check_rules(directory: Json, policy: Json) -> RuleFiles:
    """The same of what a file held once: a later program, or a later list of holidays, may find faults in it."""
    region, rules = _check(directory, Directory, _REGION_STAND_INS), _check(policy, Policy, _RULES_STAND_INS)
    return _together(region, rules, "directory", "policy")


def _together(region: "_Read[Directory]", rules: "_Read[Policy]", directory: str, policy: str) -> RuleFiles:
    if region.model:
        region.faults += [*_places(region.model), *_of_canaries(region.model), *faults_between(region.model)]
    if region.model and rules.model:
        rules.faults += [
            fault
            for fault in faults_with(rules.model, region.model)
            # A ladder that nobody can tell the phase of may be the one that seems to be missing.
            if rules.whole or not fault.startswith("ladder: ")
        ]
    faults = [f"{directory}: {fault}" for fault in region.faults] + [f"{policy}: {fault}" for fault in rules.faults]
    return RuleFiles(region.json, rules.json, tuple(faults))


class SlotFile(Wire):
    """A file of nothing but bookable times, each as the directory's file has them."""

    slot: Annotated[tuple[Slot, ...], Field(min_length=1)]


def read_slots(path: Path) -> tuple[tuple[Slot, ...], list[str]]:
    """The bookable times of a file, and what is wrong in it by itself, each fault as ``place: what is wrong``.

    Where there are faults, the times are those that are left for `slot_faults`.
    """
    file = _read(path, SlotFile, _REGION_STAND_INS)
    return (file.model.slot if file.model else ()), file.faults


def slot_faults(slots: Sequence[Slot], directory: Directory) -> list[str]:
    """What is wrong in bookable times by this directory, or between them."""
    between = faults_between(directory.model_copy(update={"slot": tuple(slots)}))
    return [fault for fault in between if fault.startswith("slot ")]


@dataclass(slots=True)
class _Read(Generic[M]):
    """One file. Where it has faults, ``model`` is of what is left of it, for the checks between its parts."""

    json: Json
    model: M | None
    faults: list[str]
    whole: bool = True
    """No element of a list had to be guessed or left out in the model."""


def _read(path: Path, model: type[M], stand_ins: Mapping[str, Json]) -> _Read[M]:
    found = _parsed(path)
    return _Read({}, None, [found]) if isinstance(found, str) else _check(found, model, stand_ins)


def _check(found: Json, model: type[M], stand_ins: Mapping[str, Json]) -> _Read[M]:
    try:
        return _Read(found, model.model_validate(found), [])
    except ValidationError as error:
        faults = [f"{fault}{_whose(fault, found)}" for fault in faults_of(error)]
        mended, whole = _mended(found, [each["loc"] for each in error.errors()], stand_ins)
    try:
        return _Read(found, model.model_validate(mended), faults, whole)
    except ValidationError:
        # Too much is missing to look further; what is known already has to be put right first.
        return _Read(found, None, faults)


def _parsed(path: Path) -> Json | str:
    """What the file holds, as JSON's own types, or why it cannot be read."""
    try:
        found: Json = _as_json(tomllib.loads(path.read_bytes().decode()))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"line {line}: is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        return f"is not TOML: {error}"
    except RecursionError:
        return "is not TOML: nested too deeply"
    return found


def _as_json(value: Any) -> Any:  # noqa: ANN401 - whatever TOML can hold
    match value:
        case dict():
            return {key: _as_json(each) for key, each in value.items()}
        case list():
            return [_as_json(each) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return value


_PLACE: Final = re.compile(r"(\w+)\.(\d+)\b")


def _whose(fault: str, found: Json) -> str:
    """The id of the element that a fault is in, where it has one: easier to find than its number."""
    place = _PLACE.match(fault)
    elements = found.get(place[1]) if place else None
    if not place or not isinstance(elements, list):
        return ""
    element = elements[int(place[2])]
    name = (element.get("id") or element.get("name")) if isinstance(element, dict) else None
    return f" ({place[1]} {named(name)})" if isinstance(name, str) else ""


_REGION_STAND_INS: Final[dict[str, Json]] = {
    "": {"timezone": "UTC"},
    "profession": {"clinical": True},
    "unit": {
        "name": "?",
        "kind": "clinic",
        "opening": {"mon": ["08:00-09:00"]},
        "phone": "+46000000000",
        "manager": {"name": "?", "phone": "+46000000000"},
        "professions": [],
    },
    "staff": {"name": "?", "works_at": []},
    "slot": {"starts_at": "2000-01-01T00:00:00Z", "length": "PT1M"},
}
_RULES_STAND_INS: Final[dict[str, Json]] = {
    "": {},
    "ladder": {"clock": "always", "due": "PT1H", "steps": [{"after": "PT1H", "do": "notify"}]},
}
"""What stands in for a faulty value while the rest is checked. It has no fault of its own."""


def _mended(found: Json, places: Sequence[tuple[int | str, ...]], stand_ins: Mapping[str, Json]) -> tuple[Json, bool]:
    """The file with stand-ins for what is faulty, and whether that was enough for every element of its lists."""
    mended = copy.deepcopy(found)
    broken: set[tuple[str, int]] = set()
    for place in places:
        match place:
            case (str(table), int(index), str(key), *_) if isinstance(mended[table][index], dict):
                if not _stand_in(mended[table][index], key, stand_ins.get(table, {})):
                    broken.add((table, index))
            case ("ladder", int(index)) if isinstance(mended["ladder"][index], dict):
                # The one rule of a ladder as a whole is about its steps.
                mended["ladder"][index]["steps"] = stand_ins["ladder"]["steps"]
            case (str(table), int(index), *_):
                broken.add((table, index))
            case (str(key), *_):
                _stand_in(mended, key, stand_ins[""])
            case _:
                pass
    for table, index in broken:
        # A ladder keeps its number, by which its other faults are told; it is made one of any phase.
        mended[table][index] = {**stand_ins["ladder"], "phase": "waiting"} if table == "ladder" else None
    for table in {table for table, _ in broken}:
        mended[table] = [each for each in mended[table] if each is not None]
    return mended, not broken


_MUST_BE_RIGHT: Final = frozenset({"id", "name", "unit", "profession", "phase"})


def _stand_in(element: Json, key: str, stand_ins: Json) -> bool:
    """Replace a faulty value, or leave it out; False where the element is nothing without it."""
    element.pop(key, None)
    if key in stand_ins:
        element[key] = copy.deepcopy(stand_ins[key])
    return key in stand_ins or key not in _MUST_BE_RIGHT


def _places(directory: Directory) -> Iterator[str]:
    """The time zone and the country of the holidays, which only this machine's lists can tell."""
    try:
        ZoneInfo(directory.timezone)
    except (LookupError, ValueError, OSError):
        yield "timezone: there is no such time zone (like Europe/Stockholm)"
    try:
        year = datetime.now(UTC).year
        days_that_count_as_sundays(directory.holidays, year, year)
    except ValueError:
        yield 'holidays: no holidays are known of such a country (like "SE", or "" for none)'


def _of_canaries(directory: Directory) -> Iterator[str]:
    """What takes the ids of the canaries' unit and nurse: its cases would be taken for canaries, and nobody called."""
    theirs = (("unit", CANARY_UNIT, directory.unit), ("staff", CANARY_NURSE["staff"], directory.staff))
    for what, reserved, elements in theirs:
        if any(each.id == reserved for each in elements):
            yield f"{what} {reserved}.id: is the canaries' own: take another one"


# Writing them ------------------------------------------------------------------------------------------------------

_WRITTEN: Final = (Unit, Manager, Ladder, Step, Repeat, Directory, Staff, Slot, Policy, EscalationOff, Closing, Routing)
_FIRST: Final = ("after", "every")
_ORDER: Final = list(dict.fromkeys([*_FIRST, *(key for model in _WRITTEN for key in model.model_fields), *WEEKDAYS]))
"""Of keys, as people write them; Postgres keeps them by their length."""


def toml_of(rules: Json) -> str:
    """A directory or a policy as a file that says the same: its own keys first, then its tables, then its lists."""
    keys, tables, lists = [], [], []
    for key, value in _in_order(rules):
        match value:
            case dict():
                tables.append([f"[{key}]", *_pairs(value)])
            case list():
                lists += [[f"[[{key}]]", *_pairs(each)] for each in value]
            case _:
                keys.append(f"{key} = {_value(value)}")
    return "\n\n".join("\n".join(lines) for lines in (keys, *tables, *lists) if lines) + "\n"


def _in_order(table: Json) -> list[tuple[str, Any]]:
    return sorted(table.items(), key=lambda pair: _ORDER.index(pair[0]) if pair[0] in _ORDER else len(_ORDER))


def _pairs(table: Json) -> list[str]:
    return [f"{key} = {_value(each)}" for key, each in _in_order(table)]


def _value(value: Any) -> str:  # noqa: ANN401 - JSON
    match value:
        case dict():
            return f"{{ {', '.join(_pairs(value))} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            # What JSON writes of a text, a number or a flag TOML reads, but for one letter that it wants escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
