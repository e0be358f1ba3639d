"""A thread of a year, by the rules alone: 5,000 messages, some of which nobody answered over a night or a weekend (K6).

The patient writes at all hours. The unit answers at its rounds on working days; on every seventh of them nobody does.
What is carried from run to run stays small, and nothing is lost of what Postgres is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

import pytest
from small_region import N_DOCTOR, NORTH, NOTIFY, NURSE_NORTH, PATIENT, By, Told, ladder, local, region, told

from decisions.effects import Refusal
from decisions.file import ANSWERS_KEPT, FULL, MOST_ANSWERS, CaseFile
from decisions.lifecycle import evolve, replay
from omhand.contract.events import Event, MessageWritten, Opened
from omhand.contract.names import Code, EventName, Kind, Reason, Status

MESSAGES: Final = 5_000
BEGINS: Final = local("2026-01-02 08:00")
YEAR: Final = timedelta(days=365)
MOST_BYTES: Final = 1_100_000
HERE: Final = region(
    ladder(
        "message", NOTIFY, {"after": "PT1H", "do": "notify"}, {"after": "PT2H", "do": "alert_manager"}, due="PT2H",
        repeat={"every": "PT4H", "do": "alert_manager", "at_most": 3},
    )
)  # fmt: skip
ROUNDS: Final = ("08:10", "09:45", "11:30", "14:00", "16:50")
TEXT: Final = "Det kliar fortfarande på kvällen, men salvan hjälper när jag har smort två gånger om dagen. " * 2


@dataclass
class Thread:
    """The thread, and every event that it has had, as Postgres has them."""

    story: Told
    rows: list[Event] = field(default_factory=list)
    most_bytes: int = 0

    def seen(self) -> None:
        """What has happened since is added to what was seen before."""
        log = self.story.log
        self.rows += log[len(self.rows) + 1 - log[0].seq :]

    def writes(self, number: int, at: datetime, name: str, who: By) -> None:
        """A message, each with an id of its own."""
        self.story.until(at)
        self.seen()
        self.story.may(name, who, text=f"{number}: {TEXT}", action_id=f"m-{number}")
        self.seen()
        assert self.story.file.size - self.story.file.left_out < FULL
        if number % 25 == 0:
            self.most_bytes = max(self.most_bytes, len(self.story.file.model_dump_json().encode()))


def rounds() -> Iterator[datetime]:
    """When the unit answers, all year."""
    calendar = HERE.calendars[NORTH]
    worked = 0
    for days in range(366):
        day = (BEGINS + timedelta(days=days)).date()
        if not calendar.is_open(local(f"{day} {ROUNDS[0]}")):
            continue
        worked += 1
        if worked % 7:
            yield from (local(f"{day} {at}") for at in ROUNDS)


@pytest.fixture(scope="module")
def thread() -> Thread:
    """The year, played."""
    replies = [(at, "reply", NURSE_NORTH) for at in rounds()]
    left = MESSAGES - len(replies) - 1
    written = [(BEGINS + number * YEAR / left, "message", PATIENT) for number in range(1, left + 1)]
    year = Thread(told(HERE, BEGINS, kind=Kind.MESSAGE_THREAD))
    year.seen()
    for number, (at, name, who) in enumerate(sorted(replies + written, key=lambda each: each[0]), 2):
        year.writes(number, at, name, who)
    return year


def waits(rows: list[Event]) -> Iterator[tuple[datetime, datetime]]:
    """When each wait for an answer was due, and when the answer came."""
    due: datetime | None = None
    for event in rows:
        detail = event.told()
        if isinstance(detail, Opened | MessageWritten) and detail.plan:
            due = detail.plan.due_at
        elif event.event is EventName.REPLIED and due:
            yield due, event.at
            due = None


def test_every_message_stands_in_the_log_once_and_in_its_place(thread: Thread) -> None:
    # K6a K6b
    assert [event.seq for event in thread.rows] == list(range(1, thread.story.case.seq + 1))
    texts = [event.detail["text"] for event in thread.rows if event.event in {EventName.MESSAGE, EventName.REPLIED}]
    assert len(texts) == MESSAGES
    assert [int(text.split(":")[0]) for text in texts[1:]] == list(range(2, MESSAGES + 1))
    assert [event.at for event in thread.rows] == sorted(event.at for event in thread.rows)


def test_what_a_run_hands_to_the_next_stays_small_and_gives_the_case(thread: Thread) -> None:
    # K6a
    file = thread.story.file
    assert 500_000 < thread.most_bytes < MOST_BYTES
    assert file.size > 2 * FULL, "cut more than once"
    assert file.base is not None
    assert reduce(evolve, file.log, file.base) == replay("c-1", thread.rows) == file.case
    assert list(file.log) == thread.rows[-len(file.log) :]
    assert thread.story.view().earlier_events == len(thread.rows) - len(file.log)
    assert CaseFile.model_validate_json(file.model_dump_json()) == file


def test_whoever_waited_for_too_long_was_told_of_to_the_manager_and_nobody_else_was(thread: Thread) -> None:
    # K6a R1
    alarms = {event.at for event in thread.rows if event.event is EventName.MANAGER_ALERTED}
    late = [(due, replied) for due, replied in waits(thread.rows) if replied >= due]
    in_time = [(due, replied) for due, replied in waits(thread.rows) if replied < due]
    assert len(late) > 50
    assert len(in_time) > 500
    assert all(due in alarms for due, _ in late)
    assert not any(due in alarms for due, _ in in_time)
    assert all(any(due <= alarm <= replied for due, replied in late) for alarm in alarms)
    assert thread.story.case.was_late


def test_the_named_person_is_called_once_for_each_wait_and_nobody_after_an_answer(thread: Thread) -> None:
    # K6b
    asked = [event for event in thread.rows if event.event is EventName.NOTIFIED and event.detail["staff"] == N_DOCTOR]
    opened = len([*waits(thread.rows)]) + (thread.story.case.status is Status.WAITING)
    # Who writes in the night and is answered before the phone rings in the morning is called about by nobody.
    assert opened * 0.9 < len(asked) <= opened
    idle = False
    for event in thread.rows:
        idle = event.event is EventName.REPLIED or (idle and event.event is not EventName.MESSAGE)
        assert not idle or event.event is EventName.REPLIED
    keys = [notice.key for notice in thread.story.notices]
    assert len(keys) == len(set(keys))
    assert {notice.reason for notice in thread.story.notices} == {
        Reason.NEW_CASE, Reason.REMINDER, Reason.MANAGER_ALERT,
    }  # fmt: skip


def test_an_action_of_lately_is_known_again_and_of_an_older_one_is_known_that_it_may_have_come(thread: Thread) -> None:
    # K6a
    file = thread.story.file
    assert set(file.answers) == {f"m-{number}" for number in range(MESSAGES - MOST_ANSWERS + 1, MESSAGES + 1)}
    assert file.has_forgotten, "the database is asked"
    seqs = [answer.seq for answer in file.answers.values()]
    assert seqs == sorted(seqs)
    for number in (MESSAGES, MESSAGES - MOST_ANSWERS + 1):
        thread.story.may("message", PATIENT, text="igen", action_id=f"m-{number}")
    assert thread.story.file is file


def test_a_file_has_forgotten_nothing_before_it_has_more_answers_than_it_keeps() -> None:
    # K6a
    file = told(HERE, BEGINS, kind=Kind.MESSAGE_THREAD).file
    for number in range(MOST_ANSWERS):
        file = file.answered(f"m-{number}", None)
    assert (len(file.answers), file.has_forgotten) == (MOST_ANSWERS, False)
    file = file.answered("one more", None)
    assert (len(file.answers), file.has_forgotten, "m-0" in file.answers) == (MOST_ANSWERS, True, False)
    assert file.answered("and another", None).has_forgotten


def test_an_answer_of_many_words_takes_the_place_of_others_and_is_kept_itself() -> None:
    # K6a
    file = told(HERE, BEGINS, kind=Kind.MESSAGE_THREAD).file.answered("first", None)
    long = Refusal(code=Code.INVALID_ACTION, message="å" * ANSWERS_KEPT)
    file = file.answered("long", long)
    assert (list(file.answers), file.has_forgotten, file.answers["long"].refusal) == (["long"], True, long)
    file = file.answered("short", None).answered("shorter", None)
    assert (list(file.answers), file.has_forgotten) == (["short", "shorter"], True)
