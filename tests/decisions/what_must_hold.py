"""What must always hold of a case, and of each event that moves it: for the search at random and the exhaustive one.

Each function looks at what it is given and fails where something does not hold.
"""

from datetime import datetime
from typing import Final

from decisions.case import Case, next_of
from decisions.effects import Notice
from decisions.ladders import LONGEST_SILENCE
from decisions.region import Region
from omhand.contract.events import Event
from omhand.contract.names import ConsultationStatus, EventName, Kind, OfferWhy, Outcome, Phase, Reason, Status
from omhand.contract.plan import Moment, Plan

ENDS: Final = {EventName.CLOSED, EventName.CANCELLED}
SETTLE_A_HANDOVER: Final = {EventName.HANDED_OVER, EventName.HANDOVER_REFUSED, EventName.HANDOVER_WITHDRAWN}
BEGIN_A_PHASE: Final = {EventName.ACCEPTED, EventName.HANDED_OVER, EventName.RELEASED, EventName.REPRIORITISED}


# An event, between the case before and the case after it --------------------------------------------------------------


def follows(before: Case, event: Event, after: Case, earlier: datetime) -> None:
    """The event moves the case only as it may; ``earlier`` is the instant of the one before."""
    assert event.seq == before.seq + 1 == after.seq
    assert event.at >= earlier, "time never goes backwards"
    assert event.event is not EventName.OPENED
    _follows_an_end(before, event, after)
    _moves_responsibility(before, event, after)
    _moves_a_handover(before, event, after)
    _moves_consultations(before, event, after)
    _moves_the_clock(before, event, after)
    _ends_as_its_kind_may(before, event, after)


def _follows_an_end(before: Case, event: Event, after: Case) -> None:
    if before.is_open:
        return
    assert after == before.model_copy(update={"seq": event.seq})
    if event.event is EventName.MANAGER_ALERTED:
        assert event.detail["reason"] == Reason.GATEWAY_FAILED
    elif event.event is EventName.NOTED:
        assert event.by is None
        assert event.detail["text"].startswith("Nobody could be told")
    else:
        assert event.event is EventName.REJECTED


def _moves_responsibility(before: Case, event: Event, after: Case) -> None:
    """H3: at the moment of an acceptance, and at no other."""
    if event.event is EventName.HANDED_OVER:
        assert before.handover is not None
        assert event.detail["offer"] == before.handover.offer
        assert event.detail["unit"] == before.handover.to_unit == after.responsible_unit
        assert event.detail["from_unit"] == before.responsible_unit
    elif event.event is EventName.ACCEPTED:
        assert before.status is Status.WAITING
        assert before.handover is None, "withdrawn first"
        assert event.detail["unit"] == after.responsible_unit
        assert after.responsible_unit == before.responsible_unit or before.offer_to(after.responsible_unit) is not None
    else:
        assert after.responsible_unit == before.responsible_unit
        assert after.holder == before.holder or event.event is EventName.RELEASED


def _moves_a_handover(before: Case, event: Event, after: Case) -> None:
    if before.handover is None:
        assert (after.handover is not None) == (event.event is EventName.HANDOVER_REQUESTED)
        if event.event is EventName.HANDOVER_REQUESTED:
            # Nothing else has changed: the clock, the offers and who has it are as they were.
            new = {"handover": after.handover, "asked": after.asked, "seq": after.seq}
            assert after == before.model_copy(update=new)
    elif after.handover is None:
        assert event.event in SETTLE_A_HANDOVER
    else:
        assert event.event not in SETTLE_A_HANDOVER
        assert after.handover.offer == before.handover.offer
        assert after.handover.is_told >= before.handover.is_told


def _moves_consultations(before: Case, event: Event, after: Case) -> None:
    new = after.consultations[len(before.consultations) :]
    assert len(new) == (event.event is EventName.CONSULTED)
    for number, (earlier, later) in enumerate(zip(before.consultations, after.consultations, strict=False), 1):
        assert later.case_id == earlier.case_id == f"{before.case_id}.consultation-{number}"
        assert later.asked_by == earlier.asked_by
        if later.status is not earlier.status:
            from_withdrawn = {ConsultationStatus.ANSWERED, ConsultationStatus.REFUSED}
            assert earlier.status is ConsultationStatus.OPEN or (
                earlier.status is ConsultationStatus.WITHDRAWN and later.status in from_withdrawn
            )
        assert (later.takes_over is not None) == (later.status is ConsultationStatus.ANSWERED)


def _moves_the_clock(before: Case, event: Event, after: Case) -> None:
    if event.event not in BEGIN_A_PHASE:
        assert after.plan == before.plan
        assert after.done >= before.done
    if event.event is not EventName.RELEASED:
        assert after.escalation_level - before.escalation_level in {0, 1}
        assert (after.escalation_level > before.escalation_level) == (event.event is EventName.ESCALATED)
    assert after.highest_level >= before.highest_level
    assert after.was_late >= before.was_late
    if event.event in {EventName.ACCEPTED, EventName.HANDED_OVER}:
        waited = before.status is Status.WAITING
        assert after.was_late == (before.was_late or (waited and before.is_overdue(event.at)))
    if event.event is EventName.NOTIFIED and event.detail["escalation_off"]:
        assert after.offers == before.offers


def _ends_as_its_kind_may(before: Case, event: Event, after: Case) -> None:
    is_question = before.kind is Kind.CONSULTATION
    if event.event is EventName.REFUSED:
        # K5b: nothing but a consultation between staff is refused; another case only hears of one.
        assert (event.detail["consultation"] is None) == is_question or event.detail["consultation"] is not None
        assert event.detail["consultation"] is not None or is_question
    assert after.outcome is not Outcome.REFUSED or is_question, "K5b"
    assert event.detail.get("held_as") != "phone" or not before.is_visit, "P4"
    if event.event in ENDS:
        assert before.handover is None, "withdrawn first"
        assert not after.is_open
        assert all(each.status is not ConsultationStatus.OPEN for each in after.consultations)
    if event.event is EventName.CLOSED and not is_question:
        assert before.status is Status.ACCEPTED


# A case at one instant ------------------------------------------------------------------------------------------------


def holds(case: Case, region: Region, now: datetime) -> None:
    """What must hold of a case, whatever has become of it."""
    _one_unit_that_exists_is_responsible(case, region)
    _an_open_case_is_never_silent_for_long(case, now)
    _offers_are_of_others_and_only_while_it_waits(case)
    _the_sender_of_a_handover_is_responsible(case)


def _one_unit_that_exists_is_responsible(case: Case, region: Region) -> None:
    assert case.responsible_unit in region.units
    assert (case.holder is not None) == (case.status is Status.ACCEPTED) or not case.is_open
    if case.holder:
        assert case.holder.unit == case.responsible_unit
        assert region.is_clinical(case.holder.profession) or not case.is_visit, "K1d"


def _an_open_case_is_never_silent_for_long(case: Case, now: datetime) -> None:
    instant, moment = case.next_instant(now), case.next_moment()
    if not case.is_open:
        assert (instant, moment) == (None, None)
        return
    assert instant is not None
    assert moment is not None
    assert now < instant <= moment.at
    assert now < next_of(case.plan, case.done).at <= now + LONGEST_SILENCE
    if case.handover:
        assert now < case.handover.next_moment.at <= now + LONGEST_SILENCE
    assert (case.due_at is None) == (not case.is_open)
    if case.status is Status.WAITING or case.is_being_answered:
        assert case.accept_by == case.due_at


def _offers_are_of_others_and_only_while_it_waits(case: Case) -> None:
    units = [offer.unit for offer in case.offers]
    assert len(units) == len(set(units))
    assert len({offer.offer for offer in case.open_offers}) == len(case.open_offers)
    assert case.responsible_unit not in units
    assert set(units) <= set(case.asked)
    assert case.status is Status.WAITING or not units


def _the_sender_of_a_handover_is_responsible(case: Case) -> None:
    if case.handover is None:
        return
    assert case.is_open
    assert case.handover.by.unit == case.responsible_unit, "H3"
    assert case.handover.to_unit in case.asked
    assert case.handover.plan.phase is Phase.HANDOVER


# A plan, when it has just been made -----------------------------------------------------------------------------------


def plans_are_sound(before: Case | None, after: Case, region: Region) -> None:
    """The plans that an event has brought fall on instants that they may have."""
    if before is None or after.plan != before.plan:
        _is_sound(after.plan, after, after.responsible_unit, after.profession, region)
    handover = after.handover
    if handover and (before is None or before.handover is None or before.handover.plan != handover.plan):
        _is_sound(handover.plan, after, handover.to_unit, handover.to_profession or after.profession, region)


def _is_sound(plan: Plan, case: Case, unit: str, profession: str, region: Region) -> None:
    phases = [plan.phase, *([Phase.CONSULTATION] if case.kind is Kind.CONSULTATION else [])]
    fitting = [
        region.policy.ladder_for(phase, case.kind, case.priority, profession, unit, case.origin) for phase in phases
    ]
    used = next(each for each in fitting if each)
    own = region.calendars[unit]
    assert [moment.at for moment in plan.moments] == sorted(moment.at for moment in plan.moments)
    for moment in plan.moments:
        # Whoever is offered it runs then (contract §7).
        assert all(region.calendars[other].is_running(moment.at) for other in moment.units)
        assert unit not in moment.units
        assert moment.do != "leave_at_closing" or not own.is_running(moment.at), "P6"
        if used.clock == "opening_hours" and _is_on_the_own_clock(moment):
            assert own.is_running(moment.at)
    if used.clock == "opening_hours" and plan.due_at:
        assert own.is_running(plan.due_at)


def _is_on_the_own_clock(moment: Moment) -> bool:
    others = {OfferWhy.COVERAGE, OfferWhy.ON_CALL, OfferWhy.CLOSING}
    return moment.do not in {"alert_manager", "leave_at_closing"} and moment.why not in others


# Whom is told ---------------------------------------------------------------------------------------------------------


def is_told_in_time(notice: Notice, ended_with: int | None, region: Region) -> None:
    """Nobody is called about a case that has ended, but for who could not be told that something is not needed."""
    assert notice.unit in region.units
    seq = int(notice.key.split("/")[1].split(".", maxsplit=1)[0])
    if ended_with is not None and seq > ended_with:
        assert notice.reason is Reason.GATEWAY_FAILED
        assert notice.scope == "always"
    assert notice.scope != "handover" or not notice.until_taken


def is_of_use(notice: Notice, case: Case) -> bool:
    """Whether somebody has to know that a notification did not arrive."""
    if notice.scope == "always":
        return True
    is_taken = notice.until_taken and case.status is not Status.WAITING
    is_settled = notice.scope == "handover" and case.handover is None
    return case.is_open and not is_taken and not is_settled
