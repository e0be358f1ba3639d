"""The policy file (contract §7): ladders, the switch of escalation, closing time, routing. No minute stands in code."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise, product
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from omhand.contract.directory import Directory
from omhand.contract.names import PRIORITIES, Kind, Origin, Phase
from omhand.contract.wire import Duration, Flag, HsaId, Number, ProfessionName, Wire

OfferTo = Literal["cooperating", "same_kind", "every_unit", "on_call"]

PHASES: Final[dict[Kind, tuple[Phase, ...]]] = {
    Kind.DROP_IN_VISIT: (Phase.WAITING, Phase.HANDOVER, Phase.ACCEPTED),
    Kind.SCHEDULED_VISIT: (Phase.TICKET, Phase.WAITING, Phase.HANDOVER, Phase.ACCEPTED),
    Kind.ADMINISTRATIVE_CASE: (Phase.WAITING, Phase.HANDOVER, Phase.ACCEPTED),
    Kind.CONSULTATION: (Phase.CONSULTATION,),
    Kind.PHONE_CONSULTATION: (Phase.WAITING, Phase.HANDOVER, Phase.ACCEPTED),
    Kind.MESSAGE_THREAD: (Phase.MESSAGE, Phase.HANDOVER),
}
"""The phases that each kind has: a policy must have a ladder for every one."""


class Step(Wire):
    """One step of a ladder: ``after`` so much of the ladder's clock, do this."""

    after: Duration
    do: Literal["notify", "offer", "alert_manager"]
    to: OfferTo | None = None
    any_profession: Flag = False

    @model_validator(mode="after")
    def _belongs_together(self) -> "Step":
        if self.do == "offer" and self.to is None:
            msg = "an offer needs `to`"
            raise ValueError(msg)
        if self.do != "offer" and (self.to is not None or self.any_profession):
            msg = "`to` and `any_profession` belong to an offer"
            raise ValueError(msg)
        return self


class Repeat(Wire):
    """What goes on after the last step, at most so many times."""

    every: Annotated[Duration, Field(gt=timedelta(0))]
    do: Literal["notify", "alert_manager"]
    at_most: Annotated[Number, Field(ge=1, le=200)]


class Ladder(Wire):
    """What happens while a phase of a case lasts. The first that fits is used."""

    kind: Annotated[tuple[Kind, ...], Field(min_length=1)] | None = None
    priority: Annotated[tuple[Annotated[Number, Field(ge=2, le=12)], ...], Field(min_length=1)] | None = None
    profession: Annotated[tuple[ProfessionName, ...], Field(min_length=1)] | None = None
    unit: Annotated[tuple[HsaId, ...], Field(min_length=1)] | None = None
    origin: Annotated[tuple[Origin, ...], Field(min_length=1)] | None = None
    phase: Phase
    clock: Literal["opening_hours", "always", "working_days"]
    """``working_days`` is an extension of version 1: a day is a weekday that is no holiday, and what falls outside the
    unit's hours waits for them (K3)."""
    due: Duration
    """The recommended handling time."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    repeat: Repeat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Ladder":
        if any(later.after < earlier.after for earlier, later in pairwise(self.steps)):
            msg = "steps must stand in the order of `after`"
            raise ValueError(msg)
        return self

    def fits(self, phase: Phase, kind: Kind, priority: int | None, profession: str, unit: str, origin: Origin) -> bool:
        """Whether the ladder is for such a case."""
        asked: tuple[tuple[Sequence[Any] | None, Any], ...] = (
            (self.kind, kind),
            (self.priority, priority),
            (self.profession, profession),
            (self.unit, unit),
            (self.origin, origin),
        )
        return self.phase == phase and all(allowed is None or value in allowed for allowed, value in asked)


class EscalationOff(Wire):
    """Where escalation is switched off. What is left out means any."""

    kind: Kind | None = None
    profession: ProfessionName | None = None
    unit: HsaId | None = None
    on_call_time: Flag | None = None


class Escalation(Wire):
    """The switch of escalation (K1e)."""

    off: tuple[EscalationOff, ...] = ()


class Closing(Wire):
    """What happens at closing time (P6)."""

    warn_before: Duration = timedelta(minutes=30)
    kinds: tuple[Kind, ...] = (Kind.DROP_IN_VISIT, Kind.PHONE_CONSULTATION)
    offer_to: tuple[OfferTo, ...] = ("cooperating", "on_call")
    any_profession: Flag = False
    """Offered also to units that do not have the profession on site: rather another skill than none till tomorrow."""


class Routing(Wire):
    """What routing takes from policy."""

    physical_doctor_6_11_to_nurse_from: date | None = date(2026, 4, 1)
    """K5c's date; null: never."""
    ticket_valid: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=14)


class Policy(Wire):
    """The region's policy."""

    ladder: tuple[Ladder, ...]
    escalation: Escalation = Escalation()
    closing: Closing = Closing()
    routing: Routing = Routing()

    def ladder_for(
        self, phase: Phase, kind: Kind, priority: int | None, profession: str, unit: str, origin: Origin
    ) -> Ladder | None:
        """The first ladder that fits, or None where the policy leaves such a case without one."""
        fitting = (each for each in self.ladder if each.fits(phase, kind, priority, profession, unit, origin))
        return next(fitting, None)


def faults_with(policy: Policy, directory: Directory) -> list[str]:
    """What is wrong in a policy for this directory, each fault with its place. Empty where all is well."""
    return [*_unknown_names(policy, directory), *_left_without(policy, directory)]


def _unknown_names(policy: Policy, directory: Directory) -> Iterator[str]:
    professions = {each.name for each in directory.profession}
    units = {each.id for each in directory.unit}
    places = [
        (f"ladder.{index}", each.profession or (), each.unit or ()) for index, each in enumerate(policy.ladder)
    ] + [
        (f"escalation.off.{index}", (each.profession,) if each.profession else (), (each.unit,) if each.unit else ())
        for index, each in enumerate(policy.escalation.off)
    ]
    for place, named_professions, named_units in places:
        yield from (
            f"{place}.profession: there is no profession {name}"
            for name in named_professions
            if name not in professions
        )
        yield from (f"{place}.unit: there is no unit {name}" for name in named_units if name not in units)


def _left_without(policy: Policy, directory: Directory) -> Iterator[str]:
    """Every phase of every kind must have a ladder, whatever the case's priority, profession, unit and origin."""
    professions = _worth_trying(
        [each.profession for each in policy.ladder], [each.name for each in directory.profession]
    )
    units = _worth_trying([each.unit for each in policy.ladder], [each.id for each in directory.unit])
    for kind, phases in PHASES.items():
        for phase in phases:
            missing = next(
                (
                    (priority, profession, unit, origin)
                    for priority, profession, unit, origin in product((*PRIORITIES, None), professions, units, Origin)
                    if policy.ladder_for(phase, kind, priority, profession, unit, origin) is None
                ),
                None,
            )
            if missing:
                priority, profession, unit, origin = missing
                yield (
                    f"ladder: {kind} has none for its phase {phase}"
                    f" (priority {priority}, {profession}, {unit}, {origin})"
                )


def _worth_trying(named: Sequence[Sequence[str] | None], known: Sequence[str]) -> list[str]:
    """The names that some ladder singles out, and one that none does: the others fare as that one."""
    singled = {name for names in named for name in names or ()}
    return sorted(singled) + [name for name in known if name not in singled][:1]
