"""What must always hold, whatever comes, in whatever order, at whatever time and in several regions.

A case of any kind is driven as its workflow drives it, with actions that are right, wrong, late and repeated, with
consultations that end, with workers that were away, and with notifications that fail. After each step every property
(``what_must_hold``) is checked on every event that it brought.
"""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_region import DOCTOR_NORTH, NURSE_SOUTH, PATIENT, STAFF, By, Told, answered, told
from what_may_come import (
    ACTORS,
    IDS,
    JUNK,
    OPENINGS_OF,
    PASSING,
    PAYLOADS,
    PROFESSIONS,
    REGIONS,
    SLOT_IDS,
    STARTS,
    UNITS,
    slots_of,
)
from what_must_hold import ENDS, follows, holds, is_of_use, is_told_in_time, plans_are_sound

from decisions import decide as rules
from decisions.case import Case
from decisions.effects import OUTLIVING, Notice, Refusal, taken_up
from decisions.file import CaseFile
from decisions.lifecycle import TABLE, evolve, opened, replay
from omhand.contract.names import ActionName, ConsultationStatus, EventName, Kind, Outcome, Reason, Status


class ACase(RuleBasedStateMachine):
    """One case, from its opening to whatever becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.story: Told
        self.checked = 0
        self.notices_checked = 0
        self.seen_offers: list[str] = ["0.1", "nonsense"]
        self.case: Case

    @initialize(
        here=st.sampled_from(REGIONS), at=st.sampled_from(STARTS), unit=st.sampled_from(UNITS),
        profession=st.sampled_from(PROFESSIONS), kind=st.sampled_from([*OPENINGS_OF]), data=st.data(),
    )  # fmt: skip
    def a_unit_receives_a_case(
        self, here: Any, at: Any, unit: str, profession: str, kind: Kind, data: st.DataObject
    ) -> None:
        opening = {"unit": unit, "profession": profession} | data.draw(OPENINGS_OF[kind](at, unit))
        self.story = told(here, at, kind, slots=slots_of(at, profession), **opening)
        self.case = opened("c-1", self.story.log[0])
        plans_are_sound(None, self.case, here)
        self.checked = 1

    # What comes -------------------------------------------------------------------------------------------------------

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

    @precondition(lambda self: self.story.case.is_open and self.story.case.holder is None)
    @rule(data=st.data())
    def somebody_takes_it(self, data: st.DataObject) -> None:
        case = self.story.case
        who = data.draw(st.sampled_from([member for member in STAFF if case.concerns(member["unit"])] or STAFF))
        offer = case.offer_to(who["unit"])
        self._act(ActionName.ACCEPT, who, {"offer": offer.offer} if offer else {}, None)

    # Handovers and consultations --------------------------------------------------------------------------------------

    @precondition(lambda self: self.story.case.is_open and self.story.case.handover is None)
    @rule(data=st.data())
    def it_is_handed_over(self, data: st.DataObject) -> None:
        """Rightly so: on a ground that is met, to somebody there is."""
        case = self.story.case
        to = data.draw(st.sampled_from([member for member in STAFF if member["unit"] != case.responsible_unit]))
        agreed = [
            {"ground": "after_consultation", "reference": each.case_id, "to_unit": each.answered_by}
            for each in case.consultations
            if each.takes_over and each.answered_by != case.responsible_unit
        ]
        ground = data.draw(st.sampled_from([{"ground": "misplaced"}, *agreed]))
        whom = {"to_unit": to["unit"], "to_staff": to["staff"], "to_profession": to["profession"]}
        named = data.draw(st.sampled_from([("to_unit",), ("to_unit", "to_profession"), tuple(whom)]))
        payload = {key: whom[key] for key in named} if "to_unit" not in ground else {}
        self._act(ActionName.HAND_OVER, self._of(case.responsible_unit, data), payload | ground, None)

    @precondition(lambda self: self.story.case.handover is not None)
    @rule(name=st.sampled_from([ActionName.ACCEPT, ActionName.REFUSE, ActionName.WITHDRAW]), data=st.data())
    def the_handover_is_settled(self, name: ActionName, data: st.DataObject) -> None:
        pending = self.story.case.handover
        assert pending
        if name is ActionName.WITHDRAW:
            self._act(name, self._of(pending.by.unit, data), {}, None)
            assert self.story.case.handover is None
            return
        payload = data.draw(PAYLOADS.get(name, st.just({})))
        by_name = data.draw(st.booleans())
        who = self._of(pending.to_unit, data)
        self._act(name, who, payload | ({"offer": pending.offer} if by_name else {}), None)
        is_taken = name is ActionName.REFUSE or self.story.region.is_clinical(who["profession"])
        assert self.story.case.handover is None or not is_taken or who == self.story.case.holder.to_json()

    @precondition(lambda self: self.story.case.is_open)
    @rule(data=st.data())
    def somebody_is_consulted(self, data: st.DataObject) -> None:
        payload = {"to_unit": data.draw(st.sampled_from(UNITS)), "question": "x"}
        self._act(ActionName.CONSULT, self._of(self.story.case.responsible_unit, data), payload, None)

    @precondition(lambda self: self.story.case.consultations)
    @rule(status=st.sampled_from(ConsultationStatus), takes_over=st.booleans(), data=st.data())
    def consultations_end(self, status: ConsultationStatus, *, takes_over: bool, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.story.case.consultations))
        who = data.draw(st.sampled_from([self._of(which.to_unit, data), NURSE_SOUTH]))
        takes_over = takes_over and status is ConsultationStatus.ANSWERED
        news = answered(which.case_id, who, status=status, takes_over=takes_over)
        self.story.learns(news)
        after = self.story.file
        assert self.story.learns(news).file == after, "news that comes twice changes nothing"

    @precondition(lambda self: self.story.case.consultations)
    @rule(data=st.data())
    def a_consultation_is_lost(self, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.story.case.consultations))
        self.story._keep(rules.consultation_lost(self.story.case, which.case_id, "ended by force", self.story.now))

    @precondition(lambda self: self.story.case.kind is Kind.CONSULTATION)
    @rule(status=st.sampled_from(["open", "open", "withdrawn", "not_needed"]))
    def the_case_that_asked_says_how_it_looks_at_it(self, status: str) -> None:
        self.story.hears(status, DOCTOR_NORTH)
        assert self.story.case.is_open <= (status == "open")

    @precondition(lambda self: self.story.case.kind is Kind.CONSULTATION and self.story.case.is_open)
    @rule(name=st.sampled_from([ActionName.ANSWER, ActionName.REFUSE, ActionName.WITHDRAW]), data=st.data())
    def the_question_is_settled(self, name: ActionName, data: st.DataObject) -> None:
        case = self.story.case
        assert case.asker
        who = case.asker.by.to_json() if name is ActionName.WITHDRAW else self._of(case.responsible_unit, data)
        self._act(name, who, data.draw(PAYLOADS[name]), None)

    def _of(self, unit: str, data: st.DataObject) -> By:
        """Somebody who works there."""
        who: By = data.draw(st.sampled_from([member for member in STAFF if member["unit"] == unit]))
        return who

    # Times and messages -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.story.case.kind is Kind.SCHEDULED_VISIT and self.story.case.is_open)
    @rule(slot=SLOT_IDS, action_id=IDS)
    def the_patient_books_a_time(self, slot: str, action_id: str | None) -> None:
        self._act(ActionName.BOOK, PATIENT, {"slot": slot}, action_id)

    @precondition(lambda self: self.story.case.booking is not None and self.story.case.is_open)
    @rule(by_patient=st.booleans(), data=st.data())
    def the_booking_is_cancelled(self, *, by_patient: bool, data: st.DataObject) -> None:
        who = PATIENT if by_patient else self._of(self.story.case.responsible_unit, data)
        self._act(ActionName.CANCEL_BOOKING, who, data.draw(PAYLOADS[ActionName.CANCEL_BOOKING]), None)

    @precondition(lambda self: self.story.case.kind is Kind.SCHEDULED_VISIT)
    @rule(slot=SLOT_IDS)
    def another_case_takes_a_time_or_leaves_it(self, slot: str) -> None:
        known = self.story.slots.get(slot)
        if known and known.held_by != self.story.case.case_id:
            held_by = None if known.held_by else "c-other"
            self.story.slots[slot] = known.model_copy(update={"held_by": held_by})

    @precondition(lambda self: ActionName.REPLY in TABLE[self.story.case.kind][self.story.case.status])
    @rule(by_patient=st.booleans(), data=st.data())
    def somebody_writes(self, *, by_patient: bool, data: st.DataObject) -> None:
        name = ActionName.MESSAGE if by_patient else ActionName.REPLY
        who = PATIENT if by_patient else self._of(self.story.case.responsible_unit, data)
        self._act(name, who, {"text": "x"}, None)
        is_thread = self.story.case.kind is Kind.MESSAGE_THREAD
        assert not is_thread or (self.story.case.status is Status.IDLE) != by_patient

    # And what comes by itself -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.story.case.is_open)
    @rule(steps=st.integers(1, 4))
    def what_is_next_comes(self, steps: int) -> None:
        for _ in range(steps):
            moment = self.story.case.next_moment()
            if moment is None:
                assert self.story.case.status in {Status.IDLE, Status.CLOSED}
                return
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
        if is_of_use(notice, self.story.case):
            # Never nobody, and never round and round.
            assert decision.events
            assert all(more.to not in {"unit", notice.to} for more in decision.notices)
        else:
            assert not decision.events
        self.story._keep(decision)

    # Doing it ---------------------------------------------------------------------------------------------------------

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
        before, told_, slots = self.story.file, len(self.story.notices), dict(self.story.slots)
        refusal: Refusal | None = act()
        after = self.story.file
        if refusal and after is not before and after.log != before.log:
            (event,) = after.log[len(before.log) :]
            assert event.event is EventName.REJECTED
            assert event.detail["code"] == refusal.code
            assert after.case == before.case.model_copy(update={"seq": before.case.seq + 1})
            assert len(self.story.notices) == told_
            assert self.story.slots == slots
        if before.case.is_open and not after.case.is_open:
            # Whoever is told by the act that ends a case is told parting words.
            assert all(notice.reason in OUTLIVING for notice in self.story.notices[told_:])
        assert all(self.story.slots[slot.id] == slot for slot in slots.values() if slot.held_by == "c-other")
        return refusal

    # What must always hold --------------------------------------------------------------------------------------------

    @invariant()
    def each_event_moves_the_case_only_as_it_may(self) -> None:
        for event in self.story.log[self.checked :]:
            after = evolve(self.case, event)
            follows(self.case, event, after, self.story.log[event.seq - 2].at)
            plans_are_sound(self.case, after, self.story.region)
            self.case = after
        self.checked = len(self.story.log)
        # Replaying a case's events gives the case.
        assert self.case == self.story.case
        held = [slot.id for slot in self.story.slots.values() if slot.held_by == self.case.case_id]
        booked = [self.case.booking.slot] if self.case.booking and self.case.is_open else []
        assert held == booked, "K2: one time at most, and none when it has ended"
        self.seen_offers += [offer.offer for offer in self.case.open_offers if offer.offer not in self.seen_offers]

    @invariant()
    def the_case_is_as_it_must_be(self) -> None:
        holds(self.story.case, self.story.region, self.story.now)

    @invariant()
    def the_view_shows_it(self) -> None:
        case, view = self.story.case, self.story.view()
        assert view.overdue == (view.due_at is not None and self.story.now >= view.due_at)
        assert view.log[-1].seq == case.seq == len(view.log)
        assert {offer.offer for offer in case.offers} <= {offer.offer for offer in view.offers}
        assert (view.handover is not None) == (case.handover is not None)
        assert case.is_open or not view.offers

    @invariant()
    def nobody_is_told_of_what_has_ended_or_twice(self) -> None:
        new = self.story.notices[self.notices_checked :]
        self.notices_checked = len(self.story.notices)
        keys = [notice.key for notice in self.story.notices]
        assert len(keys) == len(set(keys))
        ended_with = next((event.seq for event in self.story.log if event.event in ENDS), None)
        if self.case.outcome is Outcome.TICKET_EXPIRED and ended_with:
            assert self.story.log[ended_with - 2].detail["reason"] == Reason.TICKET_EXPIRED
        for notice in new:
            is_told_in_time(notice, ended_with, self.story.region)

    def teardown(self) -> None:
        """At the end: the file goes over the wire, as when a long case continues, and answers can be given again."""
        if not hasattr(self, "case"):
            return
        file = self.story.file
        assert CaseFile.model_validate(file.to_json()) == file
        assert replay("c-1", file.log) == file.case
        # What a lost task has recorded tells the same people when it is found.
        assert taken_up("c-1", None, file.log).notices == tuple(self.story.notices)
        for answer in file.answers.values():
            assert file.as_of(answer.seq).case.seq == answer.seq


ACase.TestCase.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestWhatMustAlwaysHold(ACase.TestCase):
    """Hypothesis runs it."""
