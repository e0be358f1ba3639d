"""Message threads (K6): each message that waits has a clock, which a reply stops; unanswered it climbs."""

from typing import Any

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    E_NURSE,
    JOUR,
    N_DOCTOR,
    N_NURSE,
    NOBODY,
    NORTH,
    NOTIFY,
    NURSE_NORTH,
    NURSE_SOUTH,
    OPENINGS,
    PATIENT,
    PHONE_OF_N_DOCTOR,
    SOUTH,
    Told,
    ladder,
    local,
    region,
    told,
)

from decisions.lifecycle import replay
from decisions.notices import address, text
from decisions.receiving import answer_opening
from decisions.region import Region
from omhand.contract.names import Code, Kind, Outcome, Reason, Status
from omhand.contract.opening import read_opening
from omhand.contract.wire import Malformed

MESSAGE = ladder(
    "message",
    NOTIFY,
    {"after": "PT1H", "do": "notify"},
    {"after": "PT2H", "do": "alert_manager"},
    due="PT90M",
)
BY_A_UNIT = {"origin": "unit", "asked_by": NURSE_NORTH, "to": {"relation": "unit_chat"}}
CLOSE = {"outcome": "advice_given", "held_as": "message"}
AWAY = {N_DOCTOR: {"absent": [{"first_day": "2026-11-24", "last_day": "2026-11-25"}], "phone": PHONE_OF_N_DOCTOR}}


def a_thread(here: Region | None = None, at: str = "2026-11-23 09:00", **opening: Any) -> Told:
    """A patient writes to NORTH's doctor, or what is said otherwise."""
    return told(here or region(MESSAGE), at, kind=Kind.MESSAGE_THREAD, **opening)


def test_what_a_patient_writes_waits_for_an_answer() -> None:
    # K6b P1
    story = a_thread()
    assert story.events == ["opened", "message", "notified"]
    assert (story.case.status, story.case.due_at) == (Status.WAITING, local("2026-11-23 10:30"))
    assert story.log[1].by is not None
    assert story.log[1].by.to_json() == PATIENT


def test_the_named_person_is_told_then_the_unit_then_its_manager() -> None:
    # K6b R1
    here = region(MESSAGE)
    story = a_thread(here).until("2026-11-23 11:30")
    assert [(notice.to, notice.staff, notice.reason) for notice in story.notices] == [
        ("staff", N_DOCTOR, Reason.NEW_CASE),
        ("unit", None, Reason.REMINDER),
        ("manager", None, Reason.MANAGER_ALERT),
    ]
    first, second, _ = story.notices
    north, doctor = here.units[NORTH], here.staff[N_DOCTOR]
    assert address(first, north, doctor).recipient == PHONE_OF_N_DOCTOR
    assert address(second, north).recipient == north.phone
    # Whose phone has gone since is reached by the unit's.
    assert address(first, north, doctor.model_copy(update={"phone": None})).recipient == north.phone
    assert [text(notice, north, here.zone).split(":")[0] for notice in story.notices] == [
        "En patient har skrivit och väntar på svar", "Påminnelse", "Till verksamhetschef",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "at"),
    [
        ({"relation": "care_contact"}, "2026-11-23 09:00"),
        ({"staff": N_NURSE}, "2026-11-23 09:00"),  # has no phone
        ({"staff": E_NURSE}, "2026-11-23 09:00"),  # does not work there
        ({"staff": NOBODY}, "2026-11-23 09:00"),
        ({"staff": "SE2321000198-GONE"}, "2026-11-23 09:00"),  # has left
        ({"staff": N_DOCTOR}, "2026-11-24 09:00"),  # is absent
        ({"staff": N_DOCTOR}, "2026-11-25 16:59"),
    ],
)
def test_where_nobody_is_there_by_name_the_unit_answers(to: dict[str, str], at: str) -> None:
    # K6b
    story = a_thread(region(MESSAGE, staff=AWAY), at, to={"relation": "treating_role"} | to)
    assert [(notice.to, notice.unit) for notice in story.notices] == [("unit", NORTH)]
    story.may("reply", CLERK_NORTH, text="Vi hör av oss.")
    assert story.case.status is Status.IDLE


def test_somebody_who_was_absent_is_told_again_when_they_are_back() -> None:
    # K6b
    story = a_thread(region(MESSAGE, staff=AWAY)).may("reply", NURSE_NORTH, text="x")
    for at, to in (("2026-11-25 09:00", "unit"), ("2026-11-26 09:00", "staff")):
        story.until(at).may("message", PATIENT, text="Hej")
        assert story.notices[-1].to == to
        story.may("reply", NURSE_NORTH, text="x")


def test_only_a_unit_names_somebody_who_has_to_be_there() -> None:
    # K6a K6b
    given = OPENINGS[Kind.MESSAGE_THREAD] | {"to": {"staff": NOBODY}}
    for changes, fault in (({}, None), (BY_A_UNIT | {"to": {"staff": E_NURSE}}, "to.staff")):
        opening = read_opening(Kind.MESSAGE_THREAD, given | changes)
        refused = answer_opening(Kind.MESSAGE_THREAD, opening, local("2026-11-23 09:00"), region()).refused
        assert (fault is None and refused is None) or (refused is not None and str(fault) in refused.message)


def test_a_chat_that_a_unit_starts_is_idle_until_the_patient_writes() -> None:
    # K6a
    story = a_thread(**BY_A_UNIT)
    assert (story.case.status, story.case.due_at, story.notices) == (Status.IDLE, None, [])
    assert story.log[1].by is not None
    assert story.log[1].by.to_json()["staff"] == N_NURSE
    assert story.after(days=30).case.next_moment() is None
    story.until("2026-12-28 09:00").may("message", PATIENT, text="Hej")
    assert (story.case.status, story.case.due_at) == (Status.WAITING, local("2026-12-28 10:30"))


@pytest.mark.parametrize("opening", [{"message": None}, BY_A_UNIT | {"message": None}, {"origin": "staff"}])
def test_where_no_patient_has_written_nothing_waits(opening: dict[str, Any]) -> None:
    # K6a
    assert a_thread(**opening).case.status is Status.IDLE


def test_the_clock_counts_from_the_oldest_message_without_an_answer() -> None:
    # K6a
    story = a_thread().after(minutes=30).may("message", PATIENT, text="Hallå?")
    assert story.case.due_at == local("2026-11-23 10:30")
    assert story.case.unanswered_since == local("2026-11-23 09:00")
    assert story.events.count("notified") == 1


@pytest.mark.parametrize("who", [DOCTOR_NORTH, NURSE_NORTH, CLERK_NORTH])
@pytest.mark.parametrize("accepted", [True, False])
def test_anybody_of_the_unit_replies_and_that_stops_the_clock(who: dict[str, Any], accepted: bool) -> None:  # noqa: FBT001
    # K6a
    story = a_thread()
    if accepted:
        story.may("accept", DOCTOR_NORTH)
        assert story.case.due_at == local("2026-11-23 10:30")
    told_before = len(story.reasons)
    story.may("reply", who, text="Vila.").after(days=3)
    assert (story.case.status, story.case.due_at, story.case.unanswered_since) == (Status.IDLE, None, None)
    assert story.lately(told_before) == []
    assert (story.case.was_late, story.case.accept_by) == (False, None)


def test_a_unit_writes_also_where_nothing_waits_and_another_unit_never_does() -> None:
    # K6a
    story = a_thread().may("reply", NURSE_NORTH, text="a").may("reply", NURSE_NORTH, text="b")
    assert story.case.status is Status.IDLE
    assert story.refused("reply", NURSE_SOUTH, text="c") is Code.NOT_RESPONSIBLE
    assert story.refused("refuse", NURSE_NORTH, reason="x") is Code.MAY_NOT_BE_REFUSED


def test_what_was_answered_too_late_stays_late() -> None:
    # K6a R1
    story = a_thread().until("2026-11-23 11:00").may("reply", NURSE_NORTH, text="a")
    assert story.case.was_late
    story.may("message", PATIENT, text="b").may("reply", NURSE_NORTH, text="c")
    assert story.case.was_late


def test_what_calls_for_an_answer_is_of_no_use_after_it_and_is_not_told_of() -> None:
    # K6a
    story = a_thread()
    (called,) = story.notices
    assert called.until_taken
    assert story.fails(called)[0].reason is Reason.GATEWAY_FAILED
    story.may("accept", DOCTOR_NORTH)
    # Somebody has it, and the patient waits still.
    assert story.fails(called)
    story.may("reply", NURSE_NORTH, text="a")
    assert story.fails(called) == ()


def test_an_unanswered_message_is_escalated_where_policy_says_so_and_a_reply_ends_the_offers() -> None:
    # K6a K1e
    offering = MESSAGE | {"steps": [NOTIFY, {"after": "PT30M", "do": "offer", "to": "cooperating"}]}
    story = a_thread(region(offering)).until("2026-11-23 09:31")
    assert [offer.unit for offer in story.case.offers] == [SOUTH]
    story.may("reply", NURSE_NORTH, text="a")
    assert (story.case.offers, story.case.escalation_level, story.case.highest_level) == ((), 0, 1)
    taken = a_thread(region(offering)).until("2026-11-23 09:31").may("accept", DOCTOR_SOUTH)
    assert (taken.case.responsible_unit, taken.case.due_at) == (SOUTH, local("2026-11-23 10:30"))
    held = a_thread(region(offering)).may("accept", DOCTOR_NORTH).until("2026-11-23 09:31")
    assert held.reasons[-1] == (Reason.MANAGER_ALERT, NORTH)


# Who has it -----------------------------------------------------------------------------------------------------------


def test_who_has_taken_it_has_it_over_the_silence_and_closes_it() -> None:
    # K6a
    story = a_thread(**BY_A_UNIT)
    assert story.refused("close", NURSE_NORTH, **CLOSE) is Code.NOT_ACCEPTED
    story.may("accept", DOCTOR_NORTH)
    assert (story.case.status, story.view().assigned_to) == (Status.IDLE, N_DOCTOR)
    assert story.refused("accept", NURSE_NORTH) is Code.ALREADY_ACCEPTED
    story.may("message", PATIENT, text="Hej")
    assert story.case.status is Status.ACCEPTED
    story.may("reply", NURSE_NORTH, text="Hej").may("close", NURSE_NORTH, **CLOSE)
    assert story.case.outcome is Outcome.ADVICE_GIVEN
    assert story.refused("message", PATIENT, text="Hej igen") is Code.CASE_CLOSED


def test_who_has_it_is_told_before_whom_the_patient_wrote_to_once() -> None:
    # K6b
    story = a_thread(**BY_A_UNIT).may("accept", DOCTOR_NORTH).may("message", PATIENT, text="Hej")
    assert [(notice.to, notice.staff) for notice in story.notices] == [("staff", N_DOCTOR)]


@pytest.mark.parametrize("running", [True, False])
def test_when_who_has_it_is_away_the_unit_answers(running: bool) -> None:  # noqa: FBT001
    # K6b
    story = a_thread(region(MESSAGE, staff=AWAY)).may("accept", DOCTOR_NORTH)
    if not running:
        story.may("reply", DOCTOR_NORTH, text="x")
    story.until("2026-11-24 09:00")
    before = len(story.notices)
    story.may("message", PATIENT, text="Hallå?")
    assert (story.case.status, story.case.holder) == (Status.WAITING, None)
    assert [(each.reason, each.to, each.until_taken) for each in story.notices[before:]] == [
        (Reason.NEW_CASE, "unit", True)
    ]
    assert story.case.due_at == local("2026-11-23 10:30" if running else "2026-11-24 10:30")
    story.may("accept", NURSE_NORTH).may("reply", NURSE_NORTH, text="Ja.")


def test_it_is_given_back_and_then_waits_or_is_idle_still() -> None:
    # K6a
    idle = a_thread(**BY_A_UNIT).may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x")
    assert (idle.case.status, idle.case.holder, idle.case.next_moment()) == (Status.IDLE, None, None)
    late = a_thread().may("accept", DOCTOR_NORTH).until("2026-11-23 11:00").may("release", DOCTOR_NORTH, reason="x")
    assert (late.case.status, late.case.was_late) == (Status.WAITING, True)
    assert late.case.due_at == local("2026-11-23 13:30")


def test_another_priority_starts_no_clock_where_nothing_waits() -> None:
    # K6a
    idle = a_thread(priority=5, **BY_A_UNIT).may("reprioritise", NURSE_NORTH, priority=3, reason="x")
    assert (idle.case.priority, idle.case.status, idle.case.next_moment()) == (3, Status.IDLE, None)
    waits = a_thread(priority=5).after(minutes=10).may("reprioritise", NURSE_NORTH, priority=3, reason="x")
    assert waits.case.due_at == local("2026-11-23 10:40")
    assert a_thread().refused("reprioritise", NURSE_NORTH, priority=3, reason="x") is Code.WRONG_KIND


@pytest.mark.parametrize("idle", [True, False])
def test_it_is_handed_over_and_consulted_on(idle: bool) -> None:  # noqa: FBT001
    # K6a H1 H3 H4 K4a
    story = a_thread()
    if idle:
        story.may("reply", NURSE_NORTH, text="x")
    status, due = story.case.status, story.case.due_at
    story.consult(NURSE_NORTH, JOUR)
    story.may("hand_over", NURSE_NORTH, to_unit=SOUTH, ground="misplaced")
    assert (story.case.responsible_unit, story.case.is_handover_next or not idle) == (NORTH, True)
    story.may("accept", DOCTOR_SOUTH)
    assert story.case.responsible_unit == SOUTH
    assert (story.case.status, story.case.due_at) == (status if idle else Status.ACCEPTED, due)
    assert story.refused("reply", NURSE_NORTH, text="x") is Code.NOT_RESPONSIBLE


def test_a_handover_that_nobody_answers_climbs_though_nothing_waits() -> None:
    # K6a H4
    story = a_thread(**BY_A_UNIT).may("hand_over", NURSE_NORTH, to_unit=SOUTH, ground="misplaced").after(days=2)
    assert (Reason.HANDOVER_UNANSWERED, NORTH) in story.reasons
    story.may("withdraw", NURSE_NORTH)
    assert story.case.next_moment() is None


@pytest.mark.parametrize("written", ["", "å" * 10_001, "a\x00b", "a\ud800b", 7, None])
def test_a_text_that_cannot_be_is_refused_by_its_key(written: object) -> None:
    # K6a
    story = a_thread()
    refusal = story.act("message", PATIENT, text=written)
    assert refusal is not None
    assert (refusal.code, refusal.message.startswith("text: ")) == (Code.INVALID_ACTION, True)
    assert story.act("message", DOCTOR_NORTH, text="Hej") is not None
    assert story.act("message", PATIENT, text="å" * 10_000) is None


@pytest.mark.parametrize(
    ("attachments", "fault"),
    [
        (["urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "https://bilder.example/1?x=y"], None),
        ([f"urn:{number}" for number in range(11)], "attachments: "),
        (["data:image/png;base64,iVBORw0KGgo="], "attachments.0: "),
        (["bild.png"], "attachments.0: "),
        (["DATA:,x"], "attachments.0: "),
        (["https://bilder.example/ett utslag"], "attachments.0: "),
        (["urn:" + "x" * 200], "attachments.0: "),
        ("urn:1", "attachments: "),
    ],
)
def test_an_attachment_is_a_reference_and_never_the_bytes(attachments: object, fault: str | None) -> None:
    # K6a
    story = a_thread()
    refusal = story.act("message", PATIENT, text="Se bilden", attachments=attachments)
    assert (refusal.message[: len(fault)] if refusal and fault else refusal) == fault
    if fault is None:
        assert story.log[-1].detail["attachments"] == attachments
        story.may("reply", NURSE_NORTH, text="Se svaret", attachments=["urn:svar"])
        assert story.log[-1].detail["attachments"] == ["urn:svar"]


def test_attachments_come_with_the_first_message_and_not_without_one() -> None:
    # K6b K3
    assert a_thread(attachments=["urn:1"]).log[1].detail["attachments"] == ["urn:1"]
    given = OPENINGS[Kind.MESSAGE_THREAD] | {"message": None, "attachments": ["urn:1"]}
    with pytest.raises(Malformed, match="attachments: go with a message"):
        read_opening(Kind.MESSAGE_THREAD, given)


def test_the_log_gives_the_thread_back() -> None:
    # K6a
    story = a_thread().may("accept", DOCTOR_NORTH).may("reply", NURSE_NORTH, text="a").after(days=1)
    story.may("message", PATIENT, text="b").after(days=1).may("release", DOCTOR_NORTH, reason="c")
    assert replay("c-1", story.log) == story.case
