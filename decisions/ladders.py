"""Which ladder a phase of a case climbs, and at which instants (K1d, K1e, K1f, K4b, K5e, H4, P5, R1)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from decisions.case import WATCH
from decisions.closing import closings
from decisions.offers import coverage, on_call_meanwhile
from decisions.region import Region, Subject
from omhand.contract.names import Kind, OfferWhy, Phase
from omhand.contract.plan import Moment, Plan
from omhand.contract.policy import Ladder
from omhand.contract.wire import HsaId, Time, Wire

LONGEST_SILENCE: Final = timedelta(days=5)
"""A clock may stand still over Easter or Christmas, with the eves four days and a half. Where it stands longer, as at a
unit that is open on Saturdays only, the manager is told meanwhile: an open case is not forgotten for a week (R1)."""

NOT_OFFERED: Final = frozenset({Phase.ACCEPTED, Phase.HANDOVER, Phase.TICKET})
"""The phases of what is one unit's to do: somebody has the case, a handover is to be answered, or a ticket is out."""


class Anchors(Wire):
    """Where a phase is fastened, beside the instant at which it is planned."""

    since: Time | None = None
    """It counts from then, where that is later: a visit's time, or a ticket's first instant (K2)."""
    until: Time | None = None
    """It ends by itself then: a ticket's last instant (K2a)."""
    named: HsaId | None = None
    """Who is to be told first, where they are there (K6b)."""


class NoLadder(LookupError):  # noqa: N818 - reads as what it says
    """The policy leaves such a case without a ladder. A policy that was checked when it was loaded does not."""


def plan(
    region: Region,
    phase: Phase,
    subject: Subject,
    at: datetime,
    anchors: Anchors | None = None,
    *,
    given_back: bool = False,
) -> Plan:
    """The phase's plan from the instant ``at`` (aware) on: its due instant and its moments, in the order of time.

    ``given_back``: the case waits again, as whoever had it does not any more.

    Raises:
        NoLadder: the policy has none for such a case.
    """
    anchors = anchors or Anchors()
    since = max(at, anchors.since or at)
    ladder = _ladder(region, phase, subject)
    due_at = _instant(region, ladder, subject, since, ladder.due)
    steps = _alerts if phase in NOT_OFFERED else _steps
    moments = [*steps(region, ladder, subject, since), *_repeats(region, ladder, subject, since)]
    ladder_ends = moments[-1].at
    moments += _beside_the_ladder(region, phase, subject, since, due_at, given_back=given_back)
    # Python's sort keeps the order of what falls on one instant: the ladder's own order.
    moments.sort(key=lambda moment: moment.at)
    whole = Plan(
        phase=phase,
        since=since,
        due_at=due_at,
        moments=tuple(_without_silence(moments, since, ladder_ends)),
        policy=region.version,
    )
    return _fastened(whole, subject, at, anchors, region)


def _fastened(whole: Plan, subject: Subject, at: datetime, anchors: Anchors, region: Region) -> Plan:
    if anchors.until:
        return _until(whole, anchors.until)
    if subject.kind is Kind.SCHEDULED_VISIT and whole.phase is Phase.WAITING:
        return _visit(whole, at)
    return _to_whom_is_meant(whole, anchors.named, subject.unit, region) if anchors.named else whole


def _until(whole: Plan, until: datetime) -> Plan:
    """Nothing of it happens after that instant, at which it ends; and it is to be done with by then (K2a)."""
    before = tuple(moment for moment in whole.moments if moment.at < until)
    end = Moment(at=until, do="expire")
    return whole.model_copy(update={"due_at": min(whole.due_at or until, until), "moments": (*before, end)})


def _visit(whole: Plan, at: datetime) -> Plan:
    """A visit is due at its time, neither later nor earlier (K2); before that, nobody is called to it.

    Its unit's phone rings then, whatever the ladder's clock says: the patient is there. So it does where the visit
    waits anew after its time. Whether it was taken in time is counted by the ladder (R1).
    """
    first = next((moment for moment in whole.moments if moment.do == "notify"), None)
    rest = tuple(moment for moment in whole.moments if moment is not first or moment.at > whole.since)
    called = Moment(at=whole.since, do="begin_visit" if whole.since > at else "notify")
    return whole.model_copy(update={"due_at": whole.since, "in_time_until": whole.due_at, "moments": (called, *rest)})


def _to_whom_is_meant(whole: Plan, named: str, unit: str, region: Region) -> Plan:
    """The named person, then the unit, then its manager: who is meant is told first, if they are there then (K6b)."""
    first = next((moment for moment in whole.moments if moment.do == "notify"), None)
    if first is None or not region.can_be_called(named, unit, first.at):
        return whole
    moments = tuple(
        moment.model_copy(update={"staff": named}) if moment is first else moment for moment in whole.moments
    )
    return whole.model_copy(update={"moments": moments})


def _ladder(region: Region, phase: Phase, subject: Subject) -> Ladder:
    phases = [phase]
    if subject.kind is Kind.CONSULTATION:
        # It is to be answered, whoever does so in the end: a policy need not have another ladder for handing it over.
        phases.append(Phase.CONSULTATION)
    for each in phases:
        ladder = region.policy.ladder_for(
            each, subject.kind, subject.priority, subject.profession, subject.unit, subject.origin
        )
        if ladder:
            return ladder
    msg = f"the policy has no ladder for {subject.kind} in its phase {phase}"
    raise NoLadder(msg)


def _beside_the_ladder(
    region: Region, phase: Phase, subject: Subject, since: datetime, due_at: datetime, *, given_back: bool
) -> Iterator[Moment]:
    """What the routine asks for whatever the policy's ladder says."""
    if phase in {Phase.WAITING, Phase.CONSULTATION}:
        yield from coverage(region, subject, since)
    if phase is Phase.WAITING:
        yield from on_call_meanwhile(region, subject, since)
        yield from closings(region, subject, since, given_back=given_back)
    if phase is Phase.HANDOVER:
        # The sender is responsible all the while (H3), and is to know that nobody has answered (H4).
        yield Moment(at=due_at, do="tell_sender")


def _instant(region: Region, ladder: Ladder, subject: Subject, since: datetime, after: timedelta) -> datetime:
    """The instant when ``after`` has passed on the ladder's clock."""
    if ladder.clock == "always":
        return since + after
    if ladder.clock == "working_days":
        return region.calendars[subject.unit].after_working_days(since, after)
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
    """The steps of what is one unit's to do: it is offered to nobody else, so the manager is told instead."""
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
