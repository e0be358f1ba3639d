"""Who does what in the demo, written before it begins: the same seed gives the same morning.

Only intentions stand here. What comes of them is the routine's: who is offered a case, and who was first.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, cycle, islice
from typing import Final

from omhand.contract.directory import Directory
from omhand.contract.opening import StaffMember
from workers.demo.region import Outcome


class Behaviour(StrEnum):
    """What becomes of a case."""

    IN_TIME = "taken in time by the unit that received it"
    LATE = "taken late by that unit"
    BY_OTHERS = "taken by another unit that is offered it"
    AFTER_MANAGER = "taken when the manager has been alerted"
    RACE = "accepted by two in the same instant"
    RELEASED = "accepted, given back, and taken by another"
    REPRIORITISED = "given another priority, then taken"
    CANCELLED = "cancelled by the patient"
    KEPT = "accepted, and open when the demo ends"
    LEFT = "nobody takes it: it stays on the worklists"


SPECIAL: Final[Mapping[Behaviour, int]] = {
    Behaviour.LATE: 7,
    Behaviour.BY_OTHERS: 7,
    Behaviour.AFTER_MANAGER: 5,
    Behaviour.RACE: 3,
    Behaviour.RELEASED: 3,
    Behaviour.REPRIORITISED: 3,
    Behaviour.CANCELLED: 3,
    Behaviour.KEPT: 1,
    Behaviour.LEFT: 2,
}
"""How many cases meet each of these; the others are taken in time."""


SEED: Final = 162
"""Of a morning in which no special behaviour falls on an outcome that the routine refuses."""


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome, when it comes, and what staff mean to do about it."""

    outcome: Outcome
    at: float
    """Seconds after the demo's beginning."""
    behaviour: Behaviour
    chance: random.Random
    """Of this case alone, so that the order in which cases are played changes nothing."""


def cast_parts(outcomes: Sequence[Outcome], directory: Directory, seed: int, seconds: float) -> list[Part]:
    """The morning: every outcome with its moment, spread over ``seconds``, and its behaviour."""
    chance = random.Random(seed)  # noqa: S311 - a play, not a secret
    special = list(chain.from_iterable([behaviour] * times for behaviour, times in SPECIAL.items()))
    behaviours = list(islice(chain(special, cycle([Behaviour.IN_TIME])), len(outcomes)))
    chance.shuffle(behaviours)
    on_site = {unit.id: unit.professions for unit in directory.unit}
    step = seconds / len(outcomes)
    return [
        Part(
            outcome=outcome,
            at=(index + chance.uniform(0, 0.9)) * step,
            behaviour=_covered(outcome, behaviour, on_site),
            chance=random.Random(f"{seed}/{outcome['case_id']}"),  # noqa: S311 - the same
        )
        for index, (outcome, behaviour) in enumerate(zip(outcomes, behaviours, strict=True))
    ]


def _covered(outcome: Outcome, behaviour: Behaviour, on_site: Mapping[str, Sequence[str]]) -> Behaviour:
    """A profession that the unit does not have is covered by those that it cooperates with (K1d)."""
    lacking = outcome["profession"] not in on_site.get(outcome["unit"], ())
    return Behaviour.BY_OTHERS if lacking and behaviour is Behaviour.IN_TIME else behaviour


class Crew:
    """Who works where, of those who may take visits."""

    def __init__(self, directory: Directory) -> None:
        clinical = {profession.name for profession in directory.profession if profession.clinical}
        self._at: dict[str, list[StaffMember]] = defaultdict(list)
        for member in directory.staff:
            for work in member.works_at:
                if work.profession in clinical:
                    found = StaffMember(staff=member.id, unit=work.unit, profession=work.profession)
                    self._at[work.unit].append(found)

    def at(self, unit: str, profession: str) -> Iterator[StaffMember]:
        """The unit's staff, those of that profession first; another one takes it where there is nobody (K1d)."""
        return iter(sorted(self._at[unit], key=lambda member: member.profession != profession))
