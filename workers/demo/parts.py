"""Who does what in the demo, written before it begins: the same seed gives the same morning.

Only intentions stand here. What comes of them is the routine's: who is offered a case, and who was first.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any, Final

from decisions.routing import Route, route
from omhand.contract.directory import Directory
from omhand.contract.names import Kind
from omhand.contract.opening import TriageOutcome
from omhand.contract.policy import Routing
from omhand.contract.wire import Malformed, read
from workers.demo.behaviours import (
    BY_PHONE,
    LONG,
    NEED_ANOTHER_UNIT,
    OPENINGS,
    QUESTIONS,
    SPECIAL,
    TICKETS,
    Behaviour,
)
from workers.demo.crew import Crew
from workers.demo.region import CLOSING_UNIT, Given, Outcome, Script

SEED: Final = 162

SECONDS_OF_ARRIVALS: Final = 30.0
SECONDS_TO_CLOSING: Final = 31.0
"""From the beginning of the morning until one unit closes."""
EARLY: Final = 0.6
"""The part of the arrivals in which what takes long begins."""
SECONDS_OF_BOOKING: Final = 7.0
"""In which all come who book a time that comes while the demo plays: long before the first of these (`times`)."""
ARRIVE_WITHIN: Final[Mapping[Kind, float]] = {
    Kind.SCHEDULED_VISIT: SECONDS_OF_BOOKING,
    Kind.ADMINISTRATIVE_CASE: 24.0,
    Kind.MESSAGE_THREAD: 15.0,
}
"""The seconds in which each kind comes that staff and patients open themselves."""
TICKET_VALID: Final = timedelta(seconds=14)
"""Of the ticket that runs out while the demo plays."""
URGENT: Final = range(2, 6)
SECONDS_ALONE: Final = 5.5
SECONDS_ALONE_BY_PHONE: Final = 9.5
SECONDS_ALONE_WITHOUT_HURRY: Final = 13.5
"""A little less than the demo's ladders take to offer a case to others: what comes later than that before closing time
still waits at the unit alone when it closes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One case, when it comes, and what staff and the patient mean to do about it."""

    given: Mapping[str, Any]
    """A triage outcome, of which intake makes what the routine says; or the opening of a case."""
    at: float
    """Seconds after the demo's beginning."""
    behaviour: Behaviour
    chance: random.Random
    """Of this case alone, so that the order in which cases are played changes nothing."""
    opens: Kind | None = None
    """What is opened; None where triage has led to it."""

    @property
    def case_id(self) -> str:
        """The case's id."""
        case_id: str = self.given["case_id"]
        return case_id

    def opening(self, now: datetime) -> Given:
        """What the case is opened with at that instant: a ticket that is to run out counts from there."""
        if self.behaviour is not Behaviour.TICKET_RUNS_OUT:
            return self.given
        return {
            **self.given,
            "ticket": {"valid_from": now.isoformat(), "valid_until": (now + TICKET_VALID).isoformat()},
        }


def cast_parts(script: Script, directory: Directory, seed: int, seconds: float = SECONDS_OF_ARRIVALS) -> list[Part]:
    """The morning in the order of time: everything that is given, with its moment and its behaviour."""
    chance = random.Random(seed)  # noqa: S311 - a play, not a secret
    arrivals = _arrivals(script.outcomes, seconds, chance)
    behaviours = _Casting(directory, script.outcomes, arrivals, seconds).behaviours(chance)
    parts = [
        Part(given, at, behaviour, _chance_of(given, seed))
        for given, at, behaviour in zip(script.outcomes, arrivals, behaviours, strict=True)
    ]
    return sorted(chain(parts, _written_parts(script, seed, seconds, chance)), key=lambda part: part.at)


def _written_parts(script: Script, seed: int, seconds: float, chance: random.Random) -> Iterator[Part]:
    """What each file beside the outcomes holds: written for its part, but for the questions, which are like another."""
    asked = list(QUESTIONS)
    chance.shuffle(asked)
    of_files: list[tuple[Kind | None, Sequence[Given], Sequence[Behaviour], float]] = [
        (Kind.CONSULTATION, script.openings[Kind.CONSULTATION], asked, EARLY * seconds),
        (None, script.tickets, TICKETS, SECONDS_OF_BOOKING),
        *((kind, script.openings[kind], played, ARRIVE_WITHIN[kind]) for kind, played in OPENINGS.items()),
    ]
    for kind, lines, behaviours, within in of_files:
        times = _arrivals(lines, within, chance)
        for given, at, behaviour in zip(lines, times, behaviours, strict=True):
            yield Part(given, at, behaviour, _chance_of(given, seed), kind)


def _arrivals(all_of_them: Sequence[object], seconds: float, chance: random.Random) -> list[float]:
    step = seconds / len(all_of_them)
    return [(index + chance.uniform(0, 0.9)) * step for index in range(len(all_of_them))]


def _chance_of(given: Mapping[str, Any], seed: int) -> random.Random:
    return random.Random(f"{seed}/{given['case_id']}")  # noqa: S311 - a play, not a secret


def kind_of(outcome: Outcome, directory: Directory) -> Kind | None:
    """What the routine makes of an outcome; None where it is refused.

    By any day's rules: whom it goes to depends on the day (K5c), but not what it becomes.
    """
    clinical = {profession.name for profession in directory.profession if profession.clinical}
    try:
        way = route(read(TriageOutcome, outcome), Routing(), date.min)
    except Malformed:
        return None
    return way.kind if isinstance(way, Route) and way.profession in clinical else None


class _Casting:
    """Which behaviour fits which outcome."""

    def __init__(
        self, directory: Directory, outcomes: Sequence[Outcome], arrivals: Sequence[float], seconds: float
    ) -> None:
        self._crew = Crew(directory)
        self._outcomes = outcomes
        self._arrivals = arrivals
        self._early = EARLY * seconds
        self._closes = SECONDS_TO_CLOSING / SECONDS_OF_ARRIVALS * seconds
        self._kinds = [kind_of(outcome, directory) for outcome in outcomes]

    def behaviours(self, chance: random.Random) -> list[Behaviour]:
        """One for each outcome."""
        of_special_kind = {
            **self._drawn(self._elsewhere(Kind.DROP_IN_VISIT), SPECIAL, chance),
            **self._drawn(self._elsewhere(Kind.PHONE_CONSULTATION), BY_PHONE, chance),
        }
        return [of_special_kind.get(index) or self._usual(index) for index in range(len(self._outcomes))]

    def _elsewhere(self, kind: Kind) -> list[int]:
        """The outcomes of that kind at the units that do not close."""
        return [
            index
            for index, outcome in enumerate(self._outcomes)
            if self._kinds[index] is kind and outcome["unit"] != CLOSING_UNIT
        ]

    def _drawn(
        self, indices: Iterable[int], wanted: Mapping[Behaviour, int], chance: random.Random
    ) -> dict[int, Behaviour]:
        free = list(indices)
        chance.shuffle(free)
        drawn: dict[int, Behaviour] = {}
        for behaviour in chain.from_iterable([each] * times for each, times in wanted.items()):
            fitting = next((index for index in free if self._fits(behaviour, index)), None)
            if fitting is not None:
                free.remove(fitting)
                drawn[fitting] = behaviour
        return drawn

    def _fits(self, behaviour: Behaviour, index: int) -> bool:
        outcome = self._outcomes[index]
        unit, profession = outcome["unit"], outcome["profession"]
        if behaviour in LONG and self._arrivals[index] > self._early:
            return False
        if behaviour is Behaviour.TAKEN_MEANWHILE:
            is_offered_soon = outcome["priority"] in URGENT and self._crew.is_health_centre(unit)
            return is_offered_soon and bool(self._crew.others(unit, profession))
        return behaviour not in NEED_ANOTHER_UNIT or bool(self._crew.others(unit, profession))

    def _usual(self, index: int) -> Behaviour:
        kind, outcome = self._kinds[index], self._outcomes[index]
        if kind is Kind.SCHEDULED_VISIT:
            return Behaviour.BOOKED
        if kind is None:
            return Behaviour.NOT_PLAYED
        is_on_site = self._crew.has(outcome["unit"], outcome["profession"])
        if outcome["unit"] == CLOSING_UNIT and is_on_site and self._waits_until_closing(index):
            return Behaviour.AT_CLOSING
        if kind is Kind.PHONE_CONSULTATION:
            return Behaviour.BY_PHONE
        # A profession that the unit does not have is covered by those that it cooperates with (K1d).
        return Behaviour.IN_TIME if is_on_site else Behaviour.BY_OTHERS

    def _waits_until_closing(self, index: int) -> bool:
        alone = SECONDS_ALONE if self._outcomes[index]["priority"] in URGENT else SECONDS_ALONE_WITHOUT_HURRY
        if self._kinds[index] is Kind.PHONE_CONSULTATION:
            alone = SECONDS_ALONE_BY_PHONE
        return self._arrivals[index] > self._closes - alone
