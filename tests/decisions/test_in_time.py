"""What counts as late, of every kind (R1): who waited for too long has, whatever the case becomes, and nobody else."""

from typing import Any

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    NORTH,
    NOTIFY,
    NURSE_NORTH,
    PATIENT,
    SOUTH,
    By,
    Told,
    a_slot,
    ladder,
    local,
    region,
    told,
)

from omhand.contract.names import EventName, Kind, Outcome, Reason, Status

PHASES = ("waiting", "consultation", "message", "ticket")
HERE = region(*(ladder(phase, NOTIFY, {"after": "PT3H", "do": "alert_manager"}, due="PT1H") for phase in PHASES))
SLOT = a_slot("2026-11-24 10:00")
CLOSE = {"outcome": "advice_given", "held_as": "chat"}


def own(kind: Kind) -> By:
    return DOCTOR_SOUTH if kind is Kind.CONSULTATION else DOCTOR_NORTH


def waiting(kind: Kind) -> Told:
    """A case that has just begun to wait for somebody."""
    story = told(HERE, kind=kind, slots=[SLOT])
    if kind is Kind.SCHEDULED_VISIT:
        story.may("book", PATIENT, slot=SLOT.id).until(SLOT.starts_at)
    assert story.case.status is Status.WAITING
    return story


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("minutes", "late"), [(0, False), (59, False), (60, True), (600, True)])
@pytest.mark.parametrize(
    ("name", "payload"), [("accept", {}), ("cancel", {"reason": "x"}), ("reprioritise", {"priority": 2, "reason": "x"})]
)
def test_it_is_late_from_the_ladders_due_on_whatever_is_done_then(
    kind: Kind,
    minutes: int,
    late: bool,  # noqa: FBT001
    name: str,
    payload: dict[str, Any],
) -> None:
    # R1 K2a K3 K6a
    more = {} if kind is Kind.SCHEDULED_VISIT else {"priority": 3}
    story = told(HERE, kind=kind, slots=[SLOT], **more)
    if kind is Kind.SCHEDULED_VISIT:
        story.may("book", PATIENT, slot=SLOT.id).until(SLOT.starts_at)
    story.after(minutes=minutes).may(name, own(kind), **payload)
    assert story.case.was_late is late


@pytest.mark.parametrize("kind", Kind)
def test_who_was_taken_in_time_is_not_late_however_long_it_takes_but_where_an_answer_is_waited_for(kind: Kind) -> None:
    # R1 K4a K6a
    story = waiting(kind).may("accept", own(kind)).after(days=1).may("close", own(kind), **CLOSE)
    assert story.case.was_late is (kind in {Kind.CONSULTATION, Kind.MESSAGE_THREAD})


@pytest.mark.parametrize("kind", Kind)
def test_who_was_late_once_stays_so(kind: Kind) -> None:
    # R1
    story = waiting(kind).after(minutes=61).may("accept", own(kind)).may("release", own(kind), reason="x")
    story.may("accept", own(kind)).may("close", own(kind), **CLOSE)
    assert story.case.was_late


def test_a_thread_in_which_nobody_waits_is_never_late() -> None:
    # K6a
    story = waiting(Kind.MESSAGE_THREAD).may("reply", NURSE_NORTH, text="x").after(days=9)
    story.may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x")
    story.may("hand_over", DOCTOR_NORTH, to_unit=SOUTH, ground="misplaced").may("accept", DOCTOR_SOUTH)
    story.may("close", DOCTOR_SOUTH, **CLOSE)
    assert not story.case.was_late


def test_another_priority_makes_nothing_due_where_nobody_waits() -> None:
    # K6a
    story = told(HERE, kind=Kind.MESSAGE_THREAD, priority=3).may("reply", NURSE_NORTH, text="x")
    plan = story.case.plan
    story.may("reprioritise", DOCTOR_NORTH, priority=2, reason="x")
    assert (story.case.accept_by, story.case.due_at, story.case.plan) == (None, None, plan)


def test_a_message_that_is_answered_too_late_is_late_whoever_has_it_and_though_others_were_in_time() -> None:
    # K6a
    story = waiting(Kind.MESSAGE_THREAD).may("reply", NURSE_NORTH, text="a")
    story.may("message", PATIENT, text="b").may("accept", DOCTOR_NORTH).after(minutes=60)
    assert (story.view().overdue, story.case.was_late) == (True, False)
    story.may("reply", CLERK_NORTH, text="c")
    assert story.case.was_late


def test_a_visit_that_is_booked_counts_by_the_ladder_of_its_priority_from_its_time_on() -> None:
    # K2a R1
    urgent = ladder("waiting", due="PT15M", priority=[6])
    here = region(urgent, ladder("waiting", due="PT90M"))
    story = told(here, kind=Kind.SCHEDULED_VISIT, slots=[SLOT]).may("book", PATIENT, slot=SLOT.id)
    assert story.case.accept_by == local("2026-11-24 11:30")
    story.may("reprioritise", DOCTOR_NORTH, priority=6, reason="x")
    assert (story.case.status, story.case.accept_by) == (Status.BOOKED, local("2026-11-24 10:15"))
    assert story.until("2026-11-24 10:15").may("accept", DOCTOR_NORTH).case.was_late


@pytest.mark.parametrize("name", ["book", "cancel_booking"])
@pytest.mark.parametrize(("until", "late"), [("2026-11-24 09:59", False), ("2026-11-24 10:59", False),
                                             ("2026-11-24 11:00", True)])  # fmt: skip
def test_a_visit_whose_time_is_changed_was_late_if_the_patient_had_waited_for_too_long(
    name: str,
    until: str,
    late: bool,  # noqa: FBT001
) -> None:
    # K2a R1
    another = a_slot("2026-11-26 10:00")
    story = told(HERE, kind=Kind.SCHEDULED_VISIT, slots=[SLOT, another]).may("book", PATIENT, slot=SLOT.id)
    story.until(until).may(name, PATIENT, **({"slot": another.id} if name == "book" else {}))
    assert story.case.was_late is late


# Tickets --------------------------------------------------------------------------------------------------------------


def test_a_ticket_is_nobodys_delay_however_long_it_is_out() -> None:
    # K2a
    story = told(HERE, kind=Kind.SCHEDULED_VISIT).after(days=13)
    assert story.view().overdue
    story.may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x").after(days=2)
    assert (story.case.outcome, story.case.was_late) == (Outcome.TICKET_EXPIRED, False)


def test_what_says_that_a_ticket_is_not_used_is_of_use_until_it_is() -> None:
    # K2a K1f
    story = told(HERE, kind=Kind.SCHEDULED_VISIT, slots=[SLOT])
    (called,) = story.notices
    assert called.until_taken
    assert story.fails(called)[0].reason is Reason.GATEWAY_FAILED
    story.may("book", PATIENT, slot=SLOT.id)
    assert story.fails(called) == ()


def test_at_the_instant_of_its_end_nothing_else_is_said_of_a_ticket() -> None:
    # K2a R1
    at_its_end = {"after": "P14D", "do": "alert_manager"}
    here = region(ladder("ticket", NOTIFY, at_its_end, clock="always", due="P14D"))
    story = told(here, kind=Kind.SCHEDULED_VISIT).until("2026-12-07 09:00")
    said = [event.detail.get("reason") for event in story.log if event.at == local("2026-12-07 09:00")]
    assert said == [Reason.TICKET_EXPIRED, None]
    assert (story.events[-1], story.reasons[-1]) == (EventName.CLOSED, (Reason.TICKET_EXPIRED, NORTH))
