"""The case's file: what happened, and what was answered, by `action_id` (contract §2)."""

from functools import reduce

import pytest
from small_region import DOCTOR_NORTH, NORTH, NURSE_NORTH, NURSE_SOUTH, Told

from decisions.effects import Decision, taken_up
from decisions.file import FULL, LOG_FULL, CaseFile, last_signal
from decisions.lifecycle import evolve, replay
from omhand.contract.events import Event
from omhand.contract.names import Code, EventName, Status


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


# How long it may become -------------------------------------------------------------------------------------------


def bytes_of(file: CaseFile) -> int:
    """What the log takes in a payload."""
    return sum(len(event.model_dump_json().encode()) for event in file.log)


@pytest.mark.parametrize("letter", ["a", "ä", "\N{SPARKLING HEART}", '"', "\n"])
def test_its_size_is_told_in_the_bytes_that_it_takes(story: Told, letter: str) -> None:
    assert story.file.size == bytes_of(story.file)
    story.may("note", NURSE_NORTH, text=letter * 10_000)
    assert story.file.size == bytes_of(story.file)


def test_a_log_that_has_grown_to_a_megabyte_leaves_its_first_rows_out_and_loses_nothing(story: Told) -> None:  # K6a
    whole: list[Event] = list(story.log)
    for number in range(250):
        story.may("note", NURSE_NORTH, text="a" * 10_000, action_id=f"n-{number}")
        whole.append(story.log[-1])
        assert bytes_of(story.file) == story.file.size - story.file.left_out < FULL
        assert story.view().earlier_events + len(story.log) == len(whole)
    assert story.file.size > 2 * FULL
    assert list(story.log) == whole[-len(story.log) :]
    assert reduce(evolve, story.log, story.file.base) == replay("c-1", whole) == story.case
    assert len(str(story.file.to_json())) < 2 * FULL
    for seq in (len(whole), len(whole) - 3, story.log[0].seq):
        assert story.file.as_of(seq).case == replay("c-1", whole[:seq])
    # Further back than its log it shows the case as far back as that goes.
    assert story.file.as_of(3).case == replay("c-1", whole[: story.log[0].seq])


def test_answers_that_are_long_texts_are_forgotten_sooner(story: Told) -> None:
    # K6a
    refused = story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video", action_id="a-0")
    assert refused is not None
    long = refused.model_copy(update={"message": "ö" * 4_000})
    for number in range(500):
        story.file = story.file.answered(f"a-{number}", long)
        assert f"a-{number}" in story.file.answers
    assert story.file.has_forgotten
    assert len(story.file.model_dump_json().encode()) < FULL // 2
    assert 20 < len(story.file.answers) < 40


def test_one_row_that_is_larger_than_what_is_kept_stays(story: Told) -> None:
    huge = [story.log[-1].model_copy(update={"seq": story.case.seq + n, "event": EventName.NOTED,
        "detail": {"text": "a" * 600_000}}) for n in (1, 2)]  # fmt: skip
    for event in huge:
        story.file = story.file.after(Decision(evolve(story.case, event), (event,)))
    assert [event.seq for event in story.log] == [huge[-1].seq]


def test_a_log_that_was_full_says_so_where_it_did_before() -> None:
    assert LOG_FULL.code is Code.INVALID_ACTION


# What was recorded by a task that was lost ----------------------------------------------------------------------------


def test_events_found_in_the_log_make_the_same_case_and_tell_the_same_people(story: Told) -> None:
    story.until("2026-11-23 10:40").act("accept", NURSE_SOUTH)
    story.may("release", NURSE_SOUTH, reason="x").may("reprioritise", NURSE_SOUTH, priority=2, reason="x")
    for known in range(len(story.log)):
        before = replay("c-1", story.log[:known]) if known else None
        again = taken_up("c-1", before, story.log[known:])
        assert again.case == story.case
        assert again.events == story.log[known:]
        assert again.notices == tuple(notice for notice in story.notices if int(key_seq(notice.key)) > known)


def key_seq(key: str) -> str:
    return key.split("/")[1].split(".", maxsplit=1)[0]


def test_what_was_found_is_answered_to_whoever_asks_again(story: Told) -> None:
    before = story.file
    story.until("2026-11-23 09:15").may("accept", DOCTOR_NORTH).may("release", DOCTOR_NORTH, reason="x")
    story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video")
    events = story.log[before.case.seq :]
    reminded, accepted, released, announced, rejected = events
    causes = [None, "a-1", "a-2", "a-2", "a-3"]
    found = before.found(taken_up("c-1", before.case, events), causes)
    assert (found.case, found.log) == (story.case, story.log)
    assert {cause: answer.seq for cause, answer in found.answers.items()} == {
        "a-1": accepted.seq, "a-2": announced.seq, "a-3": rejected.seq,
    }  # fmt: skip
    assert (reminded.by, released.seq + 1) == (None, announced.seq)
    assert found.answers["a-1"].refusal is None
    assert found.answers["a-2"].refusal is None
    refusal = found.answers["a-3"].refusal
    assert refusal is not None
    assert refusal.code is Code.NOT_ACCEPTED
    assert found.as_of(found.answers["a-1"].seq).case.status is Status.ACCEPTED


def test_what_was_answered_before_something_was_found_stays_answered(story: Told) -> None:
    before = story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video", action_id="a-1")
    file = story.file
    story.may("accept", DOCTOR_NORTH)
    found = file.found(taken_up("c-1", file.case, story.log[-1:]), ["a-1"])
    assert found.answers["a-1"].refusal == before


def test_a_file_goes_over_the_wire_and_back(story: Told) -> None:
    story.until("2026-11-23 10:40").act("accept", NURSE_SOUTH, action_id="a-1")
    story.act("refuse", NURSE_SOUTH, reason="x", action_id="a-2")
    assert CaseFile.model_validate(story.file.to_json()) == story.file


def test_a_refusal_that_was_found_is_answered_as_one(story: Told) -> None:
    before = story.file
    refused = story.act("close", DOCTOR_NORTH, outcome="treated", held_as="video")
    noted = story.may("note", DOCTOR_NORTH, text="x").log[-1]
    decision = Decision(story.case, (story.log[-2], noted))
    found = before.found(decision, ["signal:1", "action:a-1"])
    assert (found.answers["signal:1"].refusal, found.answers["action:a-1"].refusal) == (refused, None)


def test_a_case_that_nothing_carries_any_more_is_rebuilt_from_its_rows_as_it_was(story: Told) -> None:
    story.may("accept", DOCTOR_NORTH, action_id="a-1").may("note", DOCTOR_NORTH, text="x", action_id="a-2")
    assert story.act("close", NURSE_SOUTH, outcome="treated", held_as="video", action_id="a-3") is not None
    causes = {answer.seq: cause for cause, answer in story.file.answers.items()}
    rebuilt = CaseFile.rebuilt("c-1", [(event, causes.get(event.seq)) for event in story.log])
    assert (rebuilt.case, rebuilt.log, rebuilt.size) == (story.case, tuple(story.log), story.file.size)
    # Also what was answered is known, and that more may have been is looked up.
    assert rebuilt.answers == story.file.answers
    assert rebuilt.has_forgotten


def test_signals_that_come_later_are_numbered_after_those_that_the_log_tells_of() -> None:
    assert last_signal(["signal:2", "a-1", None, "update:signal:99", "signal:11:0a1b2c3d4e5f", "signal:3"]) == 11
    assert last_signal([None, "a-1"]) == 0
