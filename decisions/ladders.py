"""Which ladder a phase of a case climbs, and at which instants (K1d, K1e, K1f, P5, R1)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from decisions.case import WATCH
from decisions.region import Region
from omhand.contract.names import VISITS, Kind, OfferWhy, Origin, Phase
from omhand.contract.plan import Moment, Plan
from omhand.contract.policy import Ladder
from omhand.contract.wire import HsaId, Number, ProfessionName, Wire

LONGEST_SILENCE: Final = timedelta(days=5)
"""A clock may stand still over Easter or Christmas, with the eves four days and a half. Where it stands longer, as at a
unit that is open on Saturdays only, the manager is told meanwhile: an open case is not forgotten for a week (R1)."""

COVERING_WITHIN: Final = timedelta(days=7)
"""A cooperating unit that opens later than this covers nobody today."""


class Subject(Wire):
    """What the rules have to know of a case to plan a phase of it."""

    kind: Kind
    priority: Number | None
    profession: ProfessionName
    unit: HsaId
    """Whose clock it is: the responsible unit's."""
    origin: Origin


class NoLadder(LookupError):  # noqa: N818 - reads as what it says
    """The policy leaves such a case without a ladder. A policy that was checked when it was loaded does not."""


def plan(region: Region, phase: Phase, subject: Subject, since: datetime) -> Plan:
    """The phase's plan from ``since`` (aware) on: its due instant and its moments, in the order of time.

    Raises:
        NoLadder: the policy has none for such a case.
    """
    ladder = region.policy.ladder_for(
        phase, subject.kind, subject.priority, subject.profession, subject.unit, subject.origin
    )
    if ladder is None:
        msg = f"the policy has no ladder for {subject.kind} in its phase {phase}"
        raise NoLadder(msg)
    steps = _alerts if phase is Phase.ACCEPTED else _steps
    moments = [*steps(region, ladder, subject, since), *_repeats(region, ladder, subject, since)]
    ladder_ends = moments[-1].at
    if phase is Phase.WAITING:
        moments += _coverage(region, subject, since)
    # Python's sort keeps the order of what falls on one instant: the ladder's own order.
    moments.sort(key=lambda moment: moment.at)
    return Plan(
        phase=phase,
        since=since,
        due_at=_instant(region, ladder, subject, since, ladder.due),
        moments=tuple(_without_silence(moments, since, ladder_ends)),
        policy=region.version,
    )


def _instant(region: Region, ladder: Ladder, subject: Subject, since: datetime, after: timedelta) -> datetime:
    """The instant when ``after`` has passed on the ladder's clock."""
    if ladder.clock == "always":
        return since + after
    # A clock that never runs again would leave the case without an instant: rather too early than never.
    return region.calendars[subject.unit].after(since, after) or since + after


def _steps(region: Region, ladder: Ladder, subject: Subject, since: datetime) -> Iterator[Moment]:
    for step in ladder.steps:
        at = _instant(region, ladder, subject, since, step.after)
        if step.to is None:
            yield Moment(at=at, do=step.do)
        elif _is_off(region, subject, at):
            yield Moment(at=at, do="offer", why=OfferWhy.ESCALATION, off=True)
        else:
            yield Moment(
                at=at,
                do="offer",
                why=OfferWhy.ESCALATION,
                raises=True,
                units=tuple(
                    unit.id
                    for unit in region.candidates(step.to, subject.unit, at)
                    if region.may_be_offered(unit, subject.profession, at, any_profession=step.any_profession)
                ),
            )


def _alerts(region: Region, ladder: Ladder, subject: Subject, since: datetime) -> Iterator[Moment]:
    """The steps of a case that somebody has: it cannot be offered to others, so the manager is told instead."""
    for step in ladder.steps:
        do = "notify" if step.do == "notify" else "alert_manager"
        yield Moment(at=_instant(region, ladder, subject, since, step.after), do=do)


def _repeats(region: Region, ladder: Ladder, subject: Subject, since: datetime) -> Iterator[Moment]:
    if ladder.repeat is None:
        return
    last = ladder.steps[-1].after
    for times in range(1, ladder.repeat.at_most + 1):
        at = _instant(region, ladder, subject, since, last + times * ladder.repeat.every)
        yield Moment(at=at, do=ladder.repeat.do)


def _is_off(region: Region, subject: Subject, at: datetime) -> bool:
    """Whether policy has switched escalation off for this case at this instant."""
    on_call = region.calendars[subject.unit].is_on_call(at)
    return any(
        (off.kind is None or off.kind == subject.kind)
        and (off.profession is None or off.profession == subject.profession)
        and (off.unit is None or off.unit == subject.unit)
        and (off.on_call_time is None or off.on_call_time == on_call)
        for off in region.policy.escalation.off
    )


def _coverage(region: Region, subject: Subject, since: datetime) -> Iterator[Moment]:
    """K1d: a profession that the unit does not have on site is covered from the start by units that cooperate.

    One that is closed then is offered the case when it next opens, so that nobody is left out in silence.
    """
    if subject.kind not in VISITS or subject.profession in region.units[subject.unit].professions:
        return
    covering: dict[datetime, list[str]] = {}
    for unit in region.candidates("cooperating", subject.unit, since):
        opens = region.calendars[unit.id].next_running(since)
        if opens is not None and opens - since <= COVERING_WITHIN and subject.profession in unit.professions:
            covering.setdefault(opens, []).append(unit.id)
    for at, units in covering.items():
        yield Moment(at=at, do="offer", why=OfferWhy.COVERAGE, units=tuple(units))


def _without_silence(moments: Sequence[Moment], since: datetime, ladder_ends: datetime) -> Iterator[Moment]:
    """The moments, and between those that lie too far apart the manager is told."""
    before = since
    for moment in moments:
        longest = WATCH if before >= ladder_ends else LONGEST_SILENCE
        while moment.at - before > longest:
            before += longest
            yield Moment(at=before, do="alert_manager")
        yield moment
        before = moment.at
