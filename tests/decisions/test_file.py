"""The case's file: what happened, and what was answered, by `action_id` (contract §2)."""

from small_region import DOCTOR_NORTH, NORTH, NURSE_NORTH, NURSE_SOUTH, Told

from decisions.file import CaseFile
from decisions.lifecycle import replay
from omhand.contract.names import Code, Status


def test_a_file_begins_with_what_happened_when_the_case_was_opened(story: Told) -> None:
    assert story.file.log[0].seq == 1
    assert story.file.answers == {}


def test_the_same_action_id_again_changes_nothing_and_is_answered_as_the_first_time(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH, action_id="a-1")
    before = story.file
    assert story.after(minutes=5).act("accept", DOCTOR_NORTH, action_id="a-1") is None
    assert story.file == before
    assert story.file.answers["a-1"].seq == 3


def test_a_refusal_is_remembered_too(story: Told) -> None:
    first = story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video", action_id="a-1")
    story.may("accept", DOCTOR_NORTH)
    before = story.file
    again = story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video", action_id="a-1")
    assert again == first
    assert again is not None
    assert again.code is Code.NOT_ACCEPTED
    assert story.file == before


def test_an_action_that_could_not_be_read_is_remembered_by_its_id(story: Told) -> None:
    first = story.act("accept", None, action_id="a-1")
    assert story.act("accept", None, action_id="a-1") == first
    assert len(story.log) == 3


def test_an_action_without_an_id_is_not_remembered(story: Told) -> None:
    story.may("note", NURSE_NORTH, text="x").may("note", NURSE_NORTH, text="x")
    assert story.file.answers == {}
    assert len(story.log) == 4


def test_the_first_answer_stays(story: Told) -> None:
    story.may("note", NURSE_NORTH, text="x", action_id="a-1")
    first = story.file
    assert first.answered("a-1", None) is first
    assert first.answered(None, None) is first


def test_a_repeated_action_is_answered_from_the_case_as_it_was_then(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH, action_id="a-1")
    then = story.file
    story.after(minutes=5).may("cancel", NURSE_NORTH, reason="x")
    as_of = story.file.as_of(story.file.answers["a-1"].seq)
    assert (as_of.case, as_of.log) == (then.case, then.log)
    assert as_of.case.status is Status.ACCEPTED
    assert story.case.status is Status.CLOSED


def test_the_log_gives_the_case_back(story: Told) -> None:
    story.until("2026-11-23 10:40").act("accept", NURSE_SOUTH)
    story.may("release", NURSE_SOUTH, reason="x").may("reprioritise", NURSE_SOUTH, priority=2, reason="x")
    assert replay("c-1", story.log) == story.case
    assert story.case.received_by == NORTH


def test_a_file_goes_over_the_wire_and_back(story: Told) -> None:
    story.until("2026-11-23 10:40").act("accept", NURSE_SOUTH, action_id="a-1")
    story.act("refuse", NURSE_SOUTH, reason="x", action_id="a-2")
    assert CaseFile.model_validate(story.file.to_json()) == story.file
