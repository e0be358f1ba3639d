"""Who does what in the demo, written before it begins: the same seed gives the same morning.

Only intentions stand here. What comes of them is the routine's: who is offered a case, and who was first.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain
from typing import Any, Final

from decisions.routing import Route, route
from omhand.contract.directory import Directory
from omhand.contract.names import Kind
from omhand.contract.opening import TriageOutcome
from omhand.contract.policy import Routing
from omhand.contract.wire import Malformed, read
from workers.demo.crew import Crew
from workers.demo.region import CLOSING_UNIT, Outcome, Question


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

    HANDED_OVER = "handed over to another unit, which accepts"
    HANDOVER_REFUSED = "handed over, refused with a reason, and handled by the sender"
    HANDOVER_WITHDRAWN = "handed over, taken back by the sender"
    HANDOVER_UNANSWERED = "handed over, and accepted when the receiver's manager has been alerted"
    HANDED_TO_COLLEAGUE = "handed over to a colleague of the unit"
    HANDED_TO_PROFESSION = "handed over to another profession of the unit"
    TAKEN_MEANWHILE = "taken by another unit through its escalation while a handover waits"

    ADVISED = "closed with the advice of another unit"
    AFTER_CONSULTATION = "handed over to the unit that was consulted, as agreed"
    CONSULTATION_REFUSED = "handled by the unit alone, as the consulted one said no"
    CONSULTATION_WITHDRAWN = "handled by the unit, which takes its question back"
    NOT_NEEDED = "closed while a question is open"

    BY_PHONE = "taken and closed by phone"
    MAY_NOT_REFUSE = "taken by somebody who would have refused it"
    MISPLACED = "handed over to the right unit, which accepts"

    AT_CLOSING = "left when its unit closes, and taken by another"

    QUESTION_ANSWERED = "answered by the unit that was asked"
    QUESTION_REFUSED = "refused by the unit that was asked"
    QUESTION_LEFT = "never answered: it stays on a worklist"

    NOT_PLAYED = "refused at intake, or of a kind that the demo's staff do not handle"


SPECIAL: Final[Mapping[Behaviour, int]] = {
    Behaviour.TAKEN_MEANWHILE: 1,
    Behaviour.HANDOVER_UNANSWERED: 2,
    Behaviour.AFTER_MANAGER: 3,
    Behaviour.AFTER_CONSULTATION: 2,
    Behaviour.HANDED_OVER: 2,
    Behaviour.HANDOVER_REFUSED: 2,
    Behaviour.HANDOVER_WITHDRAWN: 1,
    Behaviour.ADVISED: 2,
    Behaviour.CONSULTATION_REFUSED: 1,
    Behaviour.CONSULTATION_WITHDRAWN: 1,
    Behaviour.NOT_NEEDED: 1,
    Behaviour.HANDED_TO_COLLEAGUE: 1,
    Behaviour.HANDED_TO_PROFESSION: 1,
    Behaviour.LATE: 4,
    Behaviour.BY_OTHERS: 3,
    Behaviour.RACE: 2,
    Behaviour.RELEASED: 2,
    Behaviour.REPRIORITISED: 2,
    Behaviour.CANCELLED: 2,
    Behaviour.KEPT: 1,
    Behaviour.LEFT: 2,
}
"""How many drop-in visits meet each of these, the most demanding first; the others are taken in time."""

BY_PHONE: Final[Mapping[Behaviour, int]] = {Behaviour.MISPLACED: 1, Behaviour.MAY_NOT_REFUSE: 2}
"""How many consultations from 1177 meet each of these; the others are taken and closed."""

QUESTIONS: Final = (Behaviour.QUESTION_ANSWERED, Behaviour.QUESTION_REFUSED, Behaviour.QUESTION_LEFT)

NEED_ANOTHER_UNIT: Final = frozenset({
    Behaviour.HANDED_OVER, Behaviour.HANDOVER_REFUSED, Behaviour.HANDOVER_WITHDRAWN, Behaviour.HANDOVER_UNANSWERED,
    Behaviour.TAKEN_MEANWHILE, Behaviour.ADVISED, Behaviour.AFTER_CONSULTATION, Behaviour.CONSULTATION_REFUSED,
    Behaviour.CONSULTATION_WITHDRAWN, Behaviour.NOT_NEEDED, Behaviour.MISPLACED,
})  # fmt: skip
"""Another unit that has the profession is asked."""
LONG: Final = frozenset({
    Behaviour.TAKEN_MEANWHILE, Behaviour.HANDOVER_UNANSWERED, Behaviour.AFTER_MANAGER, Behaviour.AFTER_CONSULTATION,
})  # fmt: skip
"""They take long, and have to begin early."""

SEED: Final = 162

SECONDS_OF_ARRIVALS: Final = 30.0
SECONDS_TO_CLOSING: Final = 31.0
"""From the beginning of the morning until one unit closes."""
EARLY: Final = 0.6
"""The part of the arrivals in which what takes long begins."""
URGENT: Final = range(2, 6)
SECONDS_ALONE: Final = 5.5
SECONDS_ALONE_BY_PHONE: Final = 9.5
SECONDS_ALONE_WITHOUT_HURRY: Final = 13.5
"""A little less than the demo's ladders take to offer a case to others: what comes later than that before closing time
still waits at the unit alone when it closes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One case, when it comes, and what staff mean to do about it."""

    given: Mapping[str, Any]
    """A triage outcome, of which intake makes what the routine says; or, of a question, its opening."""
    at: float
    """Seconds after the demo's beginning."""
    behaviour: Behaviour
    chance: random.Random
    """Of this case alone, so that the order in which cases are played changes nothing."""

    @property
    def case_id(self) -> str:
        """The case's id."""
        case_id: str = self.given["case_id"]
        return case_id

    @property
    def is_question(self) -> bool:
        """Whether it is a consultation of its own, which no triage led to."""
        return self.behaviour in QUESTIONS


def cast_parts(
    outcomes: Sequence[Outcome],
    questions: Sequence[Question],
    directory: Directory,
    seed: int,
    seconds: float = SECONDS_OF_ARRIVALS,
) -> list[Part]:
    """The morning in the order of time: every outcome and every question with its moment, and its behaviour."""
    chance = random.Random(seed)  # noqa: S311 - a play, not a secret
    arrivals = _arrivals(outcomes, seconds, chance)
    behaviours = _Casting(directory, outcomes, arrivals, seconds).behaviours(chance)
    asked = list(QUESTIONS)
    chance.shuffle(asked)
    times = _arrivals(questions, EARLY * seconds, chance)
    played = chain(zip(outcomes, arrivals, behaviours, strict=True), zip(questions, times, asked, strict=True))
    parts = [Part(given, at, behaviour, _chance_of(given, seed)) for given, at, behaviour in played]
    return sorted(parts, key=lambda part: part.at)


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
        if kind not in {Kind.DROP_IN_VISIT, Kind.PHONE_CONSULTATION}:
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
