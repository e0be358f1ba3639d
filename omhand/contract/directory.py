"""The directory file (contract §7): the region's units, professions, staff and slots."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from omhand.contract.wire import (
    Duration,
    Flag,
    HsaId,
    ProfessionName,
    RegionCode,
    ShortText,
    Text,
    Time,
    Wire,
)

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
_SPAN: Final = re.compile(rf"({_CLOCK})-({_CLOCK}|24:00(?::00)?)", re.ASCII)


def seconds_of(clock: str) -> int:
    """``HH:MM`` or ``HH:MM:SS`` as seconds of the day."""
    hours, minutes, *rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + (rest[0] if rest else 0)


def span_of(text: str) -> tuple[int, int]:
    """``08:00-12:00`` as seconds of the day, half-open.

    Raises:
        ValueError: not of that form, or it ends before it starts.
    """
    match = _SPAN.fullmatch(text)
    if not match:
        msg = "must be HH:MM-HH:MM or HH:MM:SS-HH:MM:SS, at most 24:00"
        raise ValueError(msg)
    start, end = seconds_of(match[1]), seconds_of(match[2])
    if start >= end:
        msg = "must start before it ends (over midnight: to 24:00, and from 00:00 the next day)"
        raise ValueError(msg)
    return start, end


def _is_span(text: str) -> str:
    span_of(text)
    return text


def _do_not_overlap(spans: tuple[str, ...]) -> tuple[str, ...]:
    ordered = sorted(map(span_of, spans))
    if any(later[0] < earlier[1] for earlier, later in pairwise(ordered)):
        msg = "two times of the day overlap"
        raise ValueError(msg)
    return spans


Span = Annotated[Text, AfterValidator(_is_span)]
Hours = dict[Weekday, Annotated[tuple[Span, ...], AfterValidator(_do_not_overlap)]]
Phone = Annotated[Text, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Email = Annotated[Text, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]


class Profession(Wire):
    """A profession, and whether it works clinically: only such take visits (K1d)."""

    name: ProfessionName
    code: ShortText | None = None
    clinical: Flag


class Manager(Wire):
    """The operations manager, ultimately responsible (R1). Reached by phone where there is one, else by email."""

    name: ShortText
    phone: Phone | None = None
    email: Email | None = None


class Unit(Wire):
    """A health centre, clinic, dental clinic or on-call unit."""

    id: HsaId
    name: ShortText
    kind: Literal["health_centre", "clinic", "dental", "on_call"]
    opening: Hours
    on_call: Hours = Field(default_factory=dict)
    phone: Phone
    """What the unit states in UniteAssign (K1f)."""
    manager: Manager
    cooperates_with: tuple[HsaId, ...] = ()
    professions: tuple[ProfessionName, ...]
    """Those that it has on site."""


class Work(Wire):
    """Where somebody works, as what."""

    unit: HsaId
    profession: ProfessionName


class Absence(Wire):
    """Days on which somebody is not there, both included, by the region's calendar."""

    first_day: date
    last_day: date

    @model_validator(mode="after")
    def _in_order(self) -> "Absence":
        if self.last_day < self.first_day:
            msg = "last_day must not be before first_day"
            raise ValueError(msg)
        return self


class Staff(Wire):
    """A member of staff. ``phone``, ``absent`` and ``active`` are extensions of version 1."""

    id: HsaId
    name: ShortText
    works_at: tuple[Work, ...]
    phone: Phone | None = None
    """Is told first of what a patient writes to them (K6b); without one it is their unit's."""
    absent: tuple[Absence, ...] = ()
    """When their unit answers for them."""
    active: Flag = True
    """False: may not act any more, though the directory still says who they are."""


class Slot(Wire):
    """A bookable time (P2)."""

    id: ShortText
    unit: HsaId
    profession: ProfessionName
    starts_at: Time
    length: Duration


class Directory(Wire):
    """The region."""

    timezone: ShortText
    holidays: Annotated[str, StringConstraints(strict=True, max_length=10)] = ""
    """Country whose holidays and eves count as Sundays; "" for none."""
    region: RegionCode | None = None
    profession: tuple[Profession, ...]
    unit: tuple[Unit, ...]
    staff: tuple[Staff, ...] = ()
    slot: tuple[Slot, ...] = ()


def faults_between(directory: Directory) -> list[str]:
    """What is wrong between the parts of a directory, each with its place. Empty where all is well."""
    return [*_twice(directory), *_units(directory), *_staff_and_slots(directory)]


def _twice(directory: Directory) -> Iterator[str]:
    named: list[tuple[str, Iterable[str]]] = [
        ("profession", (each.name for each in directory.profession)),
        ("unit", (each.id for each in directory.unit)),
        ("staff", (each.id for each in directory.staff)),
        ("slot", (each.id for each in directory.slot)),
    ]
    for what, ids in named:
        for name, times in Counter(ids).items():
            if times > 1:
                yield f"{what} {name}: stands {times} times"


def _units(directory: Directory) -> Iterator[str]:
    professions = {each.name for each in directory.profession}
    units = {each.id for each in directory.unit}
    for unit in directory.unit:
        place = f"unit {unit.id}"
        if not any(unit.opening.values()) and not any(unit.on_call.values()):
            yield f"{place}.opening: has neither opening hours nor on-call time, so its clock would never run"
        if unit.manager.phone is None and unit.manager.email is None:
            yield f"{place}.manager: needs a phone or an email, or nobody could be alerted"
        yield from (
            f"{place}.professions: there is no profession {name}"
            for name in unit.professions
            if name not in professions
        )
        yield from (
            f"{place}.cooperates_with: there is no unit {other}" for other in unit.cooperates_with if other not in units
        )
        if unit.id in unit.cooperates_with:
            yield f"{place}.cooperates_with: names the unit itself"


def _staff_and_slots(directory: Directory) -> Iterator[str]:
    professions = {each.name for each in directory.profession}
    units = {each.id for each in directory.unit}
    places = [
        (f"staff {member.id}.works_at.{index}", work.unit, work.profession)
        for member in directory.staff
        for index, work in enumerate(member.works_at)
    ] + [(f"slot {slot.id}", slot.unit, slot.profession) for slot in directory.slot]
    for place, unit, profession in places:
        if unit not in units:
            yield f"{place}.unit: there is no unit {unit}"
        if profession not in professions:
            yield f"{place}.profession: there is no profession {profession}"
    for slot in directory.slot:
        if slot.length.total_seconds() <= 0:
            yield f"slot {slot.id}.length: must be longer than nothing"
