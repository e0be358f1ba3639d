"""What must always hold of a case, and of each event that moves it: for the search at random and the exhaustive one.

Each function looks at what it is given and fails where something does not hold.
"""

from datetime import datetime
from typing import Final, cast

from decisions.case import Case, next_of
from decisions.effects import Notice
from decisions.ladders import LONGEST_SILENCE
from decisions.region import Region
from omhand.contract.actions import ThePatient
from omhand.contract.events import Booked, BookingCancelled, Event
from omhand.contract.names import ConsultationStatus, EventName, Kind, OfferWhy, Outcome, Phase, Reason, Status
from omhand.contract.plan import Moment, Plan

ENDS: Final = {EventName.CLOSED, EventName.CANCELLED}
SETTLE_A_HANDOVER: Final = {EventName.HANDED_OVER, EventName.HANDOVER_REFUSED, EventName.HANDOVER_WITHDRAWN}
BOOK: Final = {EventName.BOOKED, EventName.BOOKING_CANCELLED}
BEGIN_A_PHASE: Final = BOOK | {
    EventName.ACCEPTED, EventName.HANDED_OVER, EventName.RELEASED, EventName.REPRIORITISED, EventName.MESSAGE,
}  # fmt: skip
ASK_NOBODY_ELSE: Final = BOOK | {EventName.RELEASED, EventName.REPLIED, EventName.MESSAGE}
"""After these others are not asked to help any more, or not yet again."""
CAN_BE_TAKEN: Final = {Status.WAITING, Status.TICKET, Status.BOOKED, Status.IDLE}


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
    _keeps_what_was_late(before, event, after)
    _books_what_may_be_booked(before, event, after)
    _writes(before, event, after)
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
    """H3: at the moment of an acceptance, or of a booking (P3), and at no other."""
    if event.event is EventName.HANDED_OVER:
        assert before.handover is not None
        assert event.detail["offer"] == before.handover.offer
        assert event.detail["unit"] == before.handover.to_unit == after.responsible_unit
        assert event.detail["from_unit"] == before.responsible_unit
    elif event.event is EventName.ACCEPTED:
        assert before.holder is None
        assert before.status in CAN_BE_TAKEN
        assert before.handover is None, "withdrawn first"
        assert event.detail["unit"] == after.responsible_unit
        assert after.responsible_unit == before.responsible_unit or before.offer_to(after.responsible_unit) is not None
    elif event.event in BOOK:
        assert before.handover is None, "withdrawn first"
        assert after.holder is None
        assert event.detail["unit"] == after.responsible_unit
    else:
        assert after.responsible_unit == before.responsible_unit
        gives_back = event.event is EventName.RELEASED or event.detail.get("back_to_unit")
        assert after.holder == (None if gives_back else before.holder)


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
    may_end = {0} if event.event in ASK_NOBODY_ELSE else set()
    assert after.escalation_level in {before.escalation_level, before.escalation_level + 1} | may_end
    assert (after.escalation_level > before.escalation_level) == (event.event is EventName.ESCALATED)
    assert after.highest_level >= before.highest_level
    if event.event is EventName.NOTIFIED and event.detail["escalation_off"]:
        assert after.offers == before.offers


def _keeps_what_was_late(before: Case, event: Event, after: Case) -> None:
    """R1: whoever has waited for too long has waited for too long, whatever becomes of the case."""
    late_from = before.plan.in_time_until or before.plan.due_at
    waited_too_long = before.status is Status.WAITING and late_from is not None and event.at >= late_from
    assert after.was_late >= before.was_late
    if waited_too_long and (after.status is not Status.WAITING or after.plan != before.plan):
        assert after.was_late
    if event.event in {EventName.ACCEPTED, EventName.HANDED_OVER}:
        assert after.was_late == (before.was_late or waited_too_long)


def _books_what_may_be_booked(before: Case, event: Event, after: Case) -> None:
    """K2, P3: a time of the case's profession that is to come, within the ticket."""
    _moves_the_ticket(before, event, after)
    if event.event not in BOOK:
        assert after.booking == before.booking
        return
    assert before.kind is Kind.SCHEDULED_VISIT
    has_begun = before.booking is not None and before.booking.starts_at <= event.at
    assert not (has_begun and before.holder), "whoever is with the patient has the visit"
    if event.event is EventName.BOOKING_CANCELLED:
        ended = cast("BookingCancelled", event.told())
        assert before.booking is not None
        assert after.booking is None
        assert ended.slot == before.booking.slot
        assert ended.unit == (before.ticket.unit if before.ticket else before.responsible_unit)
        assert (ended.plan is not None) == (before.ticket is not None), "without a ticket nothing else can be booked"
        return
    made = cast("Booked", event.told())
    assert after.booking is not None
    assert after.booking.slot == made.slot != made.instead_of
    assert made.instead_of == (before.booking.slot if before.booking else None)
    assert (made.from_unit, made.profession) == (before.responsible_unit, before.profession)
    is_at_the_opening = event.at == before.opened_at
    assert made.starts_at > event.at or (is_at_the_opening and before.ticket is None)
    assert made.plan.since == max(made.starts_at, event.at)
    if before.ticket:
        assert before.ticket.valid_from <= event.at < made.starts_at <= before.ticket.valid_until, "K2a"


def _moves_the_ticket(before: Case, event: Event, after: Case) -> None:
    """K2a: while nothing is booked it is the responsible unit's, and it is the patient's till it ends."""
    if event.event is EventName.TICKET_ISSUED:
        assert before.ticket is None
        assert after.ticket is not None
    elif before.ticket:
        moves = event.event is EventName.HANDED_OVER and before.booking is None
        unit = after.responsible_unit if moves else before.ticket.unit
        assert after.ticket == before.ticket.model_copy(update={"unit": unit})


def _writes(before: Case, event: Event, after: Case) -> None:
    """K6: what a patient writes has a clock until somebody answers, from the oldest that nobody has answered."""
    if event.event is EventName.MESSAGE and isinstance(event.by, ThePatient):
        assert after.unanswered_since == (before.unanswered_since or event.at)
        if before.kind is Kind.MESSAGE_THREAD and before.unanswered_since:
            assert (after.plan, after.done, after.due_at) == (before.plan, before.done, before.due_at)
    elif event.event is EventName.REPLIED:
        assert after.unanswered_since is None
        assert before.kind is Kind.MESSAGE_THREAD or after == before.model_copy(
            update={"seq": after.seq, "unanswered_since": None}
        )
    elif after.unanswered_since != before.unanswered_since:
        # K3: who takes an administrative case has read it.
        assert before.kind is Kind.ADMINISTRATIVE_CASE
        assert event.event in {EventName.ACCEPTED, EventName.HANDED_OVER}
    if event.event is EventName.NOTIFIED and event.detail["staff"]:
        # K6b: nobody is called by name to what somebody else has.
        assert event.detail["staff"] == (before.holder.staff if before.holder else before.addressee)
        assert event.detail["unit"] == before.responsible_unit


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
        assert before.holder is not None or after.outcome is Outcome.TICKET_EXPIRED
    if after.outcome is Outcome.TICKET_EXPIRED and before.is_open:
        assert before.status is Status.TICKET
        assert before.ticket
        assert event.at >= before.ticket.valid_until


# A case at one instant ------------------------------------------------------------------------------------------------


def holds(case: Case, region: Region, now: datetime) -> None:
    """What must hold of a case, whatever has become of it."""
    _one_unit_that_exists_is_responsible(case, region)
    _its_status_says_what_it_does(case, now)
    _an_unanswered_message_has_a_clock(case)
    _an_open_case_is_never_silent_for_long(case, now)
    _offers_are_of_others_and_only_while_it_waits(case)
    _the_sender_of_a_handover_is_responsible(case)


def _one_unit_that_exists_is_responsible(case: Case, region: Region) -> None:
    assert case.responsible_unit in region.units
    if case.holder:
        assert case.holder.unit == case.responsible_unit
        assert region.is_clinical(case.holder.profession) or not case.is_visit, "K1d"


def _its_status_says_what_it_does(case: Case, now: datetime) -> None:
    if not case.is_open:
        return
    if case.status is Status.IDLE:
        assert case.kind is Kind.MESSAGE_THREAD
    else:
        assert (case.holder is not None) == (case.status is Status.ACCEPTED)
    if case.kind is not Kind.SCHEDULED_VISIT:
        assert (case.ticket, case.booking) == (None, None)
        assert case.status not in {Status.TICKET, Status.BOOKED}
    elif case.booking:
        # A booked time is waited for until it has come, and waits from then on (K2).
        is_to_come = case.booking.starts_at > now
        assert case.holder or case.status is (Status.BOOKED if is_to_come else Status.WAITING)
    else:
        assert case.ticket is not None
        assert case.holder or case.status is Status.TICKET
        assert case.holder or now < case.ticket.valid_until, "K2a"
        assert case.holder or (case.due_at and case.due_at <= case.ticket.valid_until)


def _an_unanswered_message_has_a_clock(case: Case) -> None:
    if case.kind is not Kind.MESSAGE_THREAD or not case.is_open:
        return
    assert (case.unanswered_since is None) == (case.status is Status.IDLE), "K6"
    if case.unanswered_since:
        assert case.due_at is not None
        assert case.plan.since >= case.unanswered_since


def _an_open_case_is_never_silent_for_long(case: Case, now: datetime) -> None:
    instant, moment = case.next_instant(now), case.next_moment()
    nothing_is_due = case.status in {Status.CLOSED, Status.BOOKED, Status.IDLE}
    assert (case.due_at is None) == nothing_is_due
    if not case.is_open or (case.status is Status.IDLE and case.handover is None):
        assert (instant, moment) == (None, None)
        assert case.accept_by is None or not case.is_open
        return
    assert instant is not None
    assert moment is not None
    assert now < instant <= moment.at
    if case.status is not Status.IDLE:
        assert now < next_of(case.plan, case.done).at <= _longest(case, now)
    if case.handover:
        assert now < case.handover.next_moment.at <= now + LONGEST_SILENCE
    if case.status is Status.WAITING or case.is_being_answered:
        assert case.accept_by == (None if nothing_is_due else case.plan.in_time_until or case.due_at)


def _longest(case: Case, now: datetime) -> datetime:
    """By when something happens: of a time to come counted from then on, and of a ticket at its end (K2)."""
    if case.status is Status.TICKET and case.ticket:
        return case.ticket.valid_until
    if case.status is Status.BOOKED and case.booking:
        return case.booking.starts_at
    return max(now, case.plan.since) + LONGEST_SILENCE


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
    # A visit that a unit opens with a time has that unit's plan first when it is booked, in the next event (K2b).
    is_to_be_booked = after.kind is Kind.SCHEDULED_VISIT and after.plan.phase is Phase.WAITING and not after.booking
    if (before is None or (after.plan, after.booking) != (before.plan, before.booking)) and not is_to_be_booked:
        _is_sound(after.plan, after, after.responsible_unit, after.profession, region)
    handover = after.handover
    if handover and (before is None or before.handover is None or before.handover.plan != handover.plan):
        _is_sound(handover.plan, after, handover.to_unit, handover.to_profession or after.profession, region)


def _is_sound(plan: Plan, case: Case, unit: str, profession: str, region: Region) -> None:
    phases = [plan.phase, *([Phase.CONSULTATION] if case.kind is Kind.CONSULTATION else [])]
    fitting = [
        region.policy.ladder_for(phase, case.kind, case.priority, profession, unit, case.origin) for phase in phases
    ]
    if plan.due_at is None:
        # A chat that a unit has started (K6a).
        assert (case.status, plan.moments) == (Status.IDLE, ())
        return
    used = next(each for each in fitting if each)
    own = region.calendars[unit]
    assert [moment.at for moment in plan.moments] == sorted(moment.at for moment in plan.moments)
    for moment in plan.moments:
        # Whoever is offered it runs then (contract §7).
        assert all(region.calendars[other].is_running(moment.at) for other in moment.units)
        assert unit not in moment.units
        assert moment.staff is None or region.can_be_called(moment.staff, unit, moment.at), "K6b"
        assert moment.do != "leave_at_closing" or not own.is_running(moment.at), "P6"
        if used.clock == "opening_hours" and _is_on_the_own_clock(moment, plan, case):
            assert own.is_running(moment.at)
    if used.clock == "opening_hours" and not _is_fastened(plan, case):
        assert own.is_running(plan.due_at)


def _is_fastened(plan: Plan, case: Case) -> bool:
    """Whether it is due at a visit's time or at a ticket's end, whatever the clock says (K2)."""
    if case.kind is not Kind.SCHEDULED_VISIT or plan.due_at is None:
        return False
    if plan.phase is Phase.WAITING:
        # Whether it is taken in time is counted by the ladder (R1).
        assert plan.in_time_until
        assert plan.due_at == plan.since <= plan.in_time_until
        return True
    return plan.phase is Phase.TICKET and plan.moments[-1] == Moment(at=plan.due_at, do="expire")


def _is_on_the_own_clock(moment: Moment, plan: Plan, case: Case) -> bool:
    if plan.phase is Phase.WAITING and _is_fastened(plan, case) and moment is plan.moments[0]:
        return False  # the patient is there
    others = {OfferWhy.COVERAGE, OfferWhy.ON_CALL, OfferWhy.CLOSING}
    beside = {"alert_manager", "leave_at_closing", "begin_visit", "expire"}
    return moment.do not in beside and moment.why not in others


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
    answers = case.kind is Kind.MESSAGE_THREAD and case.status is Status.ACCEPTED
    is_taken = notice.until_taken and case.status not in {Status.WAITING, Status.TICKET} and not answers
    is_settled = notice.scope == "handover" and case.handover is None
    return case.is_open and not is_taken and not is_settled
