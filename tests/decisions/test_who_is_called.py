"""Whom a patient's message calls (K6b): who has the thread, else whom they write to, if they are there that day."""

from typing import Any

import pytest
from small_region import (
    DOCTOR_JOUR,
    DOCTOR_NORTH,
    JOUR,
    N_DOCTOR,
    N_NURSE,
    NORTH,
    NOTIFY,
    NURSE_NORTH,
    OTHER_DOCTOR_NORTH,
    PATIENT,
    PHONE_OF_N_DOCTOR,
    Told,
    ladder,
    region,
    told,
)

from decisions.effects import Decision
from decisions.file import CaseFile
from omhand.contract.names import EventName, Kind, Reason, Status

MESSAGE = ladder(
    "message", NOTIFY, {"after": "PT1H", "do": "notify"}, {"after": "PT2H", "do": "alert_manager"}, due="PT90M"
)
TO_NOBODY = {"to": {"relation": "treating_role"}}
WITH_A_PHONE: dict[str, dict[str, Any]] = {N_NURSE: {"phone": "+46701740888"}}
ON_TUESDAY_AND_WEDNESDAY = {
    N_DOCTOR: {"absent": [{"first_day": "2026-11-24", "last_day": "2026-11-25"}], "phone": PHONE_OF_N_DOCTOR}
}


def a_thread(at: str = "2026-11-23 09:00", staff: dict[str, dict[str, Any]] | None = None, **opening: Any) -> Told:
    """To NORTH's doctor, where nothing else is said."""
    return told(region(MESSAGE, staff=staff), at, kind=Kind.MESSAGE_THREAD, **opening)


def called(story: Told, earlier: int = 0) -> list[tuple[str, str, str | None]]:
    """Who was called, of what unit and by what name, but for the first so many notifications."""
    return [(notice.to, notice.unit, notice.staff) for notice in story.notices[earlier:]]


@pytest.mark.parametrize(
    ("written", "rings", "by_name"),
    [
        ("2026-11-23 09:00", "2026-11-23 09:00", True),
        ("2026-11-23 16:59", "2026-11-23 16:59", True),
        ("2026-11-23 20:00", "2026-11-24 08:00", False),  # there when it was written, away when it rings
        ("2026-11-25 16:59", "2026-11-25 16:59", False),
        ("2026-11-25 20:00", "2026-11-26 08:00", True),  # away when it was written, there when it rings
        ("2026-11-28 12:00", "2026-11-30 08:00", True),
    ],
)
def test_who_is_meant_is_called_if_they_are_there_on_the_day_that_it_rings(
    written: str,
    rings: str,
    by_name: bool,  # noqa: FBT001
) -> None:
    # K6b
    story = a_thread(written, ON_TUESDAY_AND_WEDNESDAY).until(rings)
    assert called(story) == [("staff", NORTH, N_DOCTOR) if by_name else ("unit", NORTH, None)]


def test_a_ladder_that_calls_nobody_calls_nobody_by_name() -> None:
    # K6b
    silent = ladder("message", {"after": "PT1H", "do": "alert_manager"})
    story = told(region(silent), kind=Kind.MESSAGE_THREAD).after(hours=1)
    assert called(story) == [("manager", NORTH, None)]


@pytest.mark.parametrize("who", [OTHER_DOCTOR_NORTH, NURSE_NORTH])
def test_what_a_colleague_has_taken_meanwhile_calls_nobody_else_by_name(who: dict[str, Any]) -> None:
    # K6b
    story = a_thread("2026-11-23 20:00").may("accept", who).until("2026-11-24 08:00")
    assert called(story) == [("unit", NORTH, None)]
    assert story.case.status is Status.ACCEPTED


def test_who_has_taken_it_themselves_is_called_all_the_same() -> None:
    # K6b
    story = a_thread("2026-11-23 20:00").may("accept", DOCTOR_NORTH).until("2026-11-24 08:00")
    assert called(story) == [("staff", NORTH, N_DOCTOR)]


def test_what_another_unit_has_taken_over_meanwhile_calls_that_unit() -> None:
    # K6b H3
    story = a_thread("2026-11-23 20:00").may("hand_over", NURSE_NORTH, to_unit=JOUR, ground="misplaced")
    before = len(story.notices)
    story.may("accept", DOCTOR_JOUR).until("2026-11-24 08:00")
    assert called(story, before) == [("unit", JOUR, None)]


@pytest.mark.parametrize(
    ("opening", "who", "expected"),
    [
        (TO_NOBODY, NURSE_NORTH, ("unit", NORTH, None)),
        ({}, DOCTOR_NORTH, ("unit", NORTH, None)),
        ({}, NURSE_NORTH, ("staff", NORTH, N_DOCTOR)),
    ],
)
def test_who_gives_it_back_is_not_the_one_who_is_called(
    opening: dict[str, Any], who: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    # K6b
    story = a_thread(staff=WITH_A_PHONE | {N_DOCTOR: {"phone": PHONE_OF_N_DOCTOR}}, **opening).may("accept", who)
    before = len(story.notices)
    story.may("release", who, reason="hinner inte")
    assert called(story, before) == [expected]


def test_what_is_written_to_somebody_away_takes_nothing_back_of_what_others_have_been_asked() -> None:
    # K6b K1e
    offering = MESSAGE | {"steps": [NOTIFY, {"after": "PT30M", "do": "offer", "to": "cooperating"}]}
    here = region(offering, staff=ON_TUESDAY_AND_WEDNESDAY)
    story = told(here, "2026-11-24 09:00", kind=Kind.MESSAGE_THREAD).after(minutes=31)
    before, earlier = story.case, len(story.notices)
    assert before.offers
    story.may("message", PATIENT, text="Hallå?")
    assert story.case == before.model_copy(update={"seq": before.seq + 1})
    assert story.notices[earlier:] == []


def test_what_they_write_next_calls_whom_they_write_to_again() -> None:
    # K6b
    story = a_thread().may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x")
    story.may("reply", NURSE_NORTH, text="a")
    before = len(story.notices)
    story.may("message", PATIENT, text="b")
    assert called(story, before) == [("staff", NORTH, N_DOCTOR)]


def test_what_does_not_reach_them_reaches_the_manager() -> None:
    # K6b R1
    story = a_thread()
    (alert,) = story.fails(story.notices[0])
    assert (alert.to, alert.reason) == ("manager", Reason.GATEWAY_FAILED)


# What a reply ends ----------------------------------------------------------------------------------------------------


def taken_by(story: Told, name: str, who: dict[str, Any], **payload: Any) -> Decision:
    """What the last act decided, made again of its events."""
    before: CaseFile = story.file
    story.may(name, who, **payload)
    return Decision(story.case, story.log[len(before.log) :])


@pytest.mark.parametrize(("kind", "takes"), [(Kind.MESSAGE_THREAD, True), (Kind.ADMINISTRATIVE_CASE, False)])
def test_a_reply_takes_back_what_calls_for_one_in_a_thread_and_nothing_in_an_administrative_case(
    kind: Kind,
    takes: bool,  # noqa: FBT001
) -> None:
    # K3 K6a
    story = told(region(MESSAGE), kind=kind)
    decision = taken_by(story, "reply", NURSE_NORTH, text="x")
    assert [event.event for event in decision.events] == [EventName.REPLIED]
    assert (decision.takes, decision.settles) == (takes, False)
    # The clock of an administrative case goes on.
    assert story.notices[0].until_taken
    assert (story.fails(story.notices[0]) == ()) == takes


def test_a_message_takes_nothing_back() -> None:
    # K6a
    story = a_thread()
    assert not taken_by(story, "message", PATIENT, text="x").takes
    assert taken_by(story, "accept", NURSE_NORTH).takes
