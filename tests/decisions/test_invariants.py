"""What must always hold, whatever comes, in whatever order, at whatever time and in several regions.

A case is driven as its workflow drives it, with actions that are right, wrong, late and repeated, with workers that
were away, and with notifications that fail. After each step every property is checked on every event that it brought.
"""

from datetime import timedelta
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_region import (
    ACCEPTED,
    EAST,
    JOUR,
    NORTH,
    NOWHERE,
    PATIENT,
    S_DOCTOR,
    SOUTH,
    STAFF,
    WAITING,
    By,
    Told,
    by,
    ladder,
    local,
    region,
    told,
)  # fmt: skip

from decisions import decide as rules
from decisions.case import Case
from decisions.effects import Notice, Refusal, taken_up
from decisions.file import CaseFile
from decisions.ladders import LONGEST_SILENCE
from decisions.lifecycle import evolve, opened, replay
from omhand.contract.events import Event
from omhand.contract.names import ActionName, EventName, OfferWhy, Reason, Status

OFFER_NOW: Final = {"after": "PT0S", "do": "offer", "to": "every_unit", "any_profession": True}
REGIONS: Final = (
    region(),
    region(WAITING | {"clock": "always"}, ACCEPTED | {"clock": "always"}),
    region(escalation={"off": [{"profession": "doctor"}, {"unit": SOUTH}]}),
    region(ladder("waiting", OFFER_NOW, clock="always", due="PT0S"), ladder("accepted")),
    region(
        WAITING | {"priority": [2, 3]},
        ladder("waiting", due="PT8H", repeat={"every": "PT4H", "do": "notify", "at_most": 20}),
    ),
    region(units={"JOUR": {"opening": {"sat": ["10:00-18:00"]}}, "HC02": {"opening": {"mon": ["08:00-17:00"]}}}),
)
STARTS: Final = tuple(
    map(
        local,
        (
            "2026-11-23 09:00", "2026-11-27 16:45", "2026-11-28 12:00", "2026-11-25 02:00", "2026-12-23 16:30",
            "2026-10-23 16:50", "2026-10-25 02:15", "2027-03-26 16:50", "2027-03-28 01:59",
        ),
    )
)  # fmt: skip
PASSING: Final = st.one_of(
    st.integers(0, 90).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 20).map(lambda hours: timedelta(hours=hours)),
    st.integers(1, 6).map(lambda days: timedelta(days=days)),
    st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(minutes=15), timedelta(minutes=30)]),
)
ACTORS: Final = st.sampled_from([
    *STAFF, *STAFF, PATIENT,
    by("SE2321000198-S999", NORTH, "nurse"), by(S_DOCTOR, NORTH, "doctor"), by(S_DOCTOR, NOWHERE, "doctor"),
])  # fmt: skip
IDS: Final = st.sampled_from([None, None, None, "a", "b", "c"])
JUNK: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["by", "staff", "unit", "action_id", "reason", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip

WORDS: Final = st.sampled_from(["x", "åäö", "lång " * 100])
PAYLOADS: Final[dict[ActionName, st.SearchStrategy[dict[str, Any]]]] = {
    ActionName.REFUSE: st.fixed_dictionaries({"reason": WORDS}),
    ActionName.HAND_OVER: st.just({"to_unit": SOUTH, "ground": "misplaced"}),
    ActionName.RELEASE: st.fixed_dictionaries({"reason": WORDS}),
    ActionName.CONSULT: st.just({"to_unit": EAST, "question": "x"}),
    ActionName.ANSWER: st.just({"advice": "x", "takes_over": True}),
    ActionName.REPLY: st.just({"text": "x"}),
    ActionName.MESSAGE: st.just({"text": "x"}),
    ActionName.BOOK: st.just({"slot": "s-1"}),
    ActionName.REPRIORITISE: st.fixed_dictionaries({"priority": st.integers(1, 13), "reason": WORDS}),
    ActionName.NOTE: st.fixed_dictionaries({"text": WORDS}),
    ActionName.CLOSE: st.fixed_dictionaries({
        "outcome": st.sampled_from(["treated", "referred", "cancelled"]),
        "held_as": st.sampled_from(["video", "chat", "phone"]),
    }),
    ActionName.CANCEL: st.fixed_dictionaries({"reason": WORDS}),
}  # fmt: skip


class ACase(RuleBasedStateMachine):
    """One drop-in, from its opening to whatever becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.story: Told
        self.checked = 0
        self.notices_checked = 0
        self.seen_offers: list[str] = ["0.1", "nonsense"]
        self.case: Case

    @initialize(
        here=st.sampled_from(REGIONS), at=st.sampled_from(STARTS), unit=st.sampled_from([NORTH, SOUTH, EAST, JOUR]),
        profession=st.sampled_from(["doctor", "nurse", "occupational_therapist", "dietitian"]),
        priority=st.sampled_from([2, 3, 4, 5, 12]),
    )  # fmt: skip
    def a_unit_receives_a_case(self, here: Any, at: Any, unit: str, profession: str, priority: int) -> None:
        self.story = told(here, at, unit=unit, profession=profession, priority=priority)
        self.case = opened("c-1", self.story.log[0])
        self.checked = 1

    # What comes ---------------------------------------------------------------------------------------------------

    @rule(duration=PASSING)
    def time_passes(self, duration: timedelta) -> None:
        self.story.until(self.story.now + duration)

    @rule(duration=PASSING)
    def the_workers_were_away(self, duration: timedelta) -> None:
        """Everything that became due meanwhile happens when they are back."""
        self.story.now += duration
        self.story._keep(rules.tick(self.story.case, self.story.now))

    @rule(name=st.sampled_from(ActionName), who=ACTORS, action_id=IDS, data=st.data())
    def somebody_acts(self, name: ActionName, who: By, action_id: str | None, data: st.DataObject) -> None:
        payload = data.draw(PAYLOADS.get(name, st.just({})))
        if name in {ActionName.ACCEPT, ActionName.REFUSE}:
            offer = data.draw(st.sampled_from([None, None, *self.seen_offers]))
            payload = payload | ({"offer": offer} if offer else {})
        self._act(name, who, payload, action_id)

    @precondition(lambda self: self.story.case.status is Status.WAITING)
    @rule(data=st.data())
    def somebody_takes_it(self, data: st.DataObject) -> None:
        case = self.story.case
        who = data.draw(st.sampled_from([member for member in STAFF if case.concerns(member["unit"])] or STAFF))
        offer = case.offer_to(who["unit"])
        self._act(ActionName.ACCEPT, who, {"offer": offer.offer} if offer else {}, None)

    @precondition(lambda self: self.story.case.is_open)
    @rule(steps=st.integers(1, 4))
    def what_is_next_comes(self, steps: int) -> None:
        for _ in range(steps):
            moment = self.story.case.next_moment()
            assert moment
            self.story.until(moment.at)

    @precondition(lambda self: self.story.case.is_open)
    @rule(who=st.sampled_from(STAFF), priority=st.integers(2, 12))
    def somebody_triages_again(self, who: By, priority: int) -> None:
        self._act(ActionName.REPRIORITISE, who, {"priority": priority, "reason": "x"}, None)

    @precondition(lambda self: self.story.case.holder is not None)
    @rule(
        name=st.sampled_from([ActionName.RELEASE, ActionName.CLOSE, ActionName.NOTE, ActionName.REPRIORITISE]),
        data=st.data(),
    )
    def who_has_it_goes_on(self, name: ActionName, data: st.DataObject) -> None:
        holder = self.story.case.holder
        assert holder
        self._act(name, holder.to_json(), data.draw(PAYLOADS[name]), None)

    @rule(name=st.sampled_from([*ActionName, "links", "släng", ""]), payload=JUNK)
    def something_unreadable_comes(self, name: str, payload: Any) -> None:
        if isinstance(payload, dict):
            refusal = self._refusal(lambda: self.story.act(name, None, **payload))
        else:
            refusal = rules.read_action(name, payload)
            assert isinstance(refusal, Refusal)
        assert refusal is None or refusal.message

    @rule(data=st.data())
    def a_notification_fails_for_good(self, data: st.DataObject) -> None:
        if not self.story.notices:
            return
        notice: Notice = data.draw(st.sampled_from(self.story.notices[-6:]))
        decision = rules.undelivered(self.story.case, notice, "gateway answered 410", self.story.now)
        of_no_use = notice.until_taken and self.story.case.status is not Status.WAITING
        if self.story.case.is_open and not of_no_use:
            # Never nobody, and never round and round.
            assert decision.events
            assert all(more.to not in {"unit", notice.to} for more in decision.notices)
        else:
            assert not decision.events
        self.story._keep(decision)

    # Doing it -----------------------------------------------------------------------------------------------------

    def _act(self, name: str, who: By, payload: dict[str, Any], action_id: str | None) -> None:
        more = {"action_id": action_id} if action_id else {}
        self._refusal(lambda: self.story.act(name, who, **payload, **more))
        if action_id:
            # The same again, at once or much later, is the same as once.
            before = self.story.file
            self.story.act(name, who, **payload, **more)
            assert self.story.file == before

    def _refusal(self, act: Any) -> Refusal | None:
        """Do it; where it is refused, nothing but the log may have changed."""
        before, told_ = self.story.file, len(self.story.notices)
        refusal: Refusal | None = act()
        after = self.story.file
        if refusal and after is not before and after.log != before.log:
            (event,) = after.log[len(before.log) :]
            assert event.event is EventName.REJECTED
            assert event.detail["code"] == refusal.code
            assert after.case == before.case.model_copy(update={"seq": before.case.seq + 1})
            assert len(self.story.notices) == told_
        return refusal

    # What must always hold ----------------------------------------------------------------------------------------

    @invariant()
    def each_event_moves_the_case_only_as_it_may(self) -> None:
        for event in self.story.log[self.checked :]:
            after = evolve(self.case, event)
            self._follows(self.case, event, after)
            self.case = after
        self.checked = len(self.story.log)
        # Replaying a case's events gives the case.
        assert self.case == self.story.case
        self.seen_offers += [offer.offer for offer in self.case.offers if offer.offer not in self.seen_offers]

    def _follows(self, before: Case, event: Event, after: Case) -> None:
        earlier = self.story.log[event.seq - 2]
        assert event.seq == before.seq + 1
        assert event.at >= earlier.at, "time never goes backwards"
        assert (before.is_open and event.event is not EventName.OPENED) or event.event is EventName.REJECTED
        if after.responsible_unit != before.responsible_unit:
            # H3: by nothing else than that another unit has accepted.
            assert event.event is EventName.ACCEPTED
            assert after.responsible_unit == event.detail["unit"]
            assert before.offer_to(after.responsible_unit) is not None
        if event.event is not EventName.RELEASED:
            assert after.escalation_level - before.escalation_level in {0, 1}
            assert (after.escalation_level > before.escalation_level) == (event.event is EventName.ESCALATED)
        assert after.highest_level >= before.highest_level
        assert after.was_late >= before.was_late
        assert event.event is not EventName.REFUSED, "a drop-in is never refused"
        assert event.detail.get("held_as") != "phone", "P4"
        if event.event is EventName.CLOSED:
            assert before.status is Status.ACCEPTED
        if event.event is EventName.ACCEPTED:
            assert before.status is Status.WAITING
            assert after.was_late == (before.was_late or before.is_overdue(event.at))
        if event.event is EventName.NOTIFIED and event.detail["escalation_off"]:
            assert after.offers == before.offers

    @invariant()
    def one_unit_that_exists_is_responsible(self) -> None:
        case = self.story.case
        assert case.responsible_unit in self.story.region.units
        assert (case.holder is not None) == (case.status is Status.ACCEPTED) or not case.is_open
        if case.holder:
            assert case.holder.unit == case.responsible_unit
            assert self.story.region.is_clinical(case.holder.profession), "K1d"

    @invariant()
    def an_open_case_is_never_silent_for_long(self) -> None:
        case, now = self.story.case, self.story.now
        instant, moment = case.next_instant(now), case.next_moment()
        if not case.is_open:
            assert (instant, moment) == (None, None)
            return
        assert instant is not None
        assert moment is not None
        assert now < moment.at <= now + LONGEST_SILENCE
        assert now < instant <= moment.at

    @invariant()
    def what_is_due_and_overdue_agree(self) -> None:
        case, view = self.story.case, self.story.view()
        assert view.overdue == (view.due_at is not None and self.story.now >= view.due_at)
        assert (view.due_at is None) == (not case.is_open)
        assert view.log[-1].seq == case.seq == len(view.log)
        if case.status is Status.WAITING:
            assert case.accept_by == case.due_at

    @invariant()
    def offers_are_of_others_and_only_while_it_waits(self) -> None:
        case = self.story.case
        units = [offer.unit for offer in case.offers]
        assert len(units) == len(set(units)) == len({offer.offer for offer in case.offers})
        assert case.responsible_unit not in units
        assert set(units) <= set(case.asked)
        assert case.status is Status.WAITING or not units

    @invariant()
    def deadlines_on_the_opening_hours_clock_fall_in_running_time(self) -> None:
        story, plan = self.story, self.story.case.plan
        used = story.region.policy.ladder_for(
            plan.phase, story.case.kind, story.case.priority, story.case.profession, story.case.responsible_unit,
            story.case.origin,
        )  # fmt: skip
        assert used is not None
        calendars = story.region.calendars
        own = calendars[story.case.responsible_unit]
        for moment in plan.moments:
            # Whoever is offered it runs then (contract §7).
            assert all(calendars[unit].is_running(moment.at) for unit in moment.units)
            if used.clock == "opening_hours" and moment.do != "alert_manager" and moment.why is not OfferWhy.COVERAGE:
                assert own.is_running(moment.at)
        if used.clock == "opening_hours" and plan.due_at:
            assert own.is_running(plan.due_at)
        assert [moment.at for moment in plan.moments] == sorted(moment.at for moment in plan.moments)

    @invariant()
    def nobody_is_told_of_what_has_ended_or_twice(self) -> None:
        new = self.story.notices[self.notices_checked :]
        self.notices_checked = len(self.story.notices)
        keys = [notice.key for notice in self.story.notices]
        assert len(keys) == len(set(keys))
        closing = next(
            (event.seq for event in self.story.log if event.event in {EventName.CLOSED, EventName.CANCELLED}), None
        )
        for notice in new:
            assert closing is None or int(notice.key.split("/")[1].split(".")[0]) < closing
            assert notice.unit in self.story.region.units
            assert notice.reason is not Reason.OFFERED or notice.unit != notice.case_id

    def teardown(self) -> None:
        """At the end: the file goes over the wire, as when a long case continues, and answers can be given again."""
        if not hasattr(self, "case"):
            return
        file = self.story.file
        assert CaseFile.model_validate(file.to_json()) == file
        assert replay("c-1", file.log) == file.case
        # What a lost task has recorded tells the same people when it is found.
        assert taken_up("c-1", None, file.log).notices == tuple(self.story.notices)
        for answered in file.answers.values():
            assert file.as_of(answered.seq).case.seq == answered.seq


ACase.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestWhatMustAlwaysHold(ACase.TestCase):
    """Hypothesis runs it."""
