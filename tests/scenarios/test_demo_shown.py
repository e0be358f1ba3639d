"""What is seen of the demo: the tables, the news and the picture, and whether nothing was lost."""

import io
import tomllib
from collections import Counter
from datetime import UTC, datetime
from itertools import product

from rich.console import Console

from omhand.contract.actions import ACTIONS
from omhand.contract.directory import Directory
from omhand.contract.events import DETAILS
from omhand.contract.names import EventName, Kind
from omhand.contract.wire import read
from workers.demo.board import BETWEEN_UNITS, Snapshot
from workers.demo.checks import kinds_not_played, what_is_lost
from workers.demo.news import ENDS, SENTENCES, is_worth_a_line, news_of
from workers.demo.region import EXAMPLES
from workers.demo.screen import Picture, Screen, between_units_table, by_kind_table, by_unit_table
from workers.demo.tally import KIND_WORDS, asks_in_vain, between_units, by_kind, by_unit, fate_of, state_of, total

REGION = read(Directory, tomllib.loads((EXAMPLES / "directory.toml").read_text(encoding="utf-8")))
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
NORR, SODER = "SE2321000198-HC01", "SE2321000198-HC02"
DROP_IN, BOOKED_VISIT, QUESTION = Kind.DROP_IN_VISIT, Kind.SCHEDULED_VISIT, Kind.CONSULTATION


def case(case_id: str = "a", **changed: object) -> dict[str, object]:
    """A row of handling_times: received in the north, waiting in time."""
    waiting = {"accepted_at": None, "accepted_by_unit": None, "closed_at": None, "outcome": None, "in_time": None}
    of_worklist = {"status": None if changed.get("closed_at") else "waiting"}
    given = {"case_id": case_id, "kind": DROP_IN, "unit_id": NORR, "escalation_level": 0}
    return {**given, **waiting, **of_worklist, **changed}


def notice(key: str = "a/1", **changed: object) -> dict[str, object]:
    """A row of notification_log: sent."""
    return {"key": key, "unit_id": NORR, "reason": "new_case", "status": "sent", "error": None, **changed}


def time(slot_id: str, held_by: str | None = None, *booked_by: str) -> dict[str, object]:
    """A bookable time: who holds it, and which cases say so."""
    return {"slot_id": slot_id, "held_by": held_by, "booked_by": list(booked_by)}


def logged(event: EventName, case_id: str = "a", **detail: object) -> dict[str, object]:
    """A row of case_log, with the case's kind."""
    return {"case_id": case_id, "kind": DROP_IN, "event": event, "by_unit": NORR, "detail": detail}


def of_visit(event: EventName, **detail: object) -> dict[str, object]:
    """The same of a scheduled visit."""
    return {**logged(event, **detail), "kind": BOOKED_VISIT}


def test_the_table_counts_what_became_of_each_units_cases() -> None:
    cases = [
        case("a", accepted_at=NOW, accepted_by_unit=NORR, in_time=True, closed_at=NOW),
        case("b", accepted_at=NOW, accepted_by_unit=SODER, in_time=False, escalation_level=2),
        case("c", in_time=True, closed_at=NOW),  # cancelled before anybody took it
        case("d"),
        case("e", kind=QUESTION, closed_at=NOW),  # another unit's
    ]
    notices = [notice("a/1"), notice("b/2", reason="manager_alert"), notice("b/3", status="failed"), notice("d/1")]
    north, south = by_unit({NORR: "Norr", SODER: "Söder"}, cases, notices)
    assert (north.received, north.in_time, north.late, north.escalated) == (4, 1, 1, 1)
    assert (north.by_others, north.closed, north.sent, north.alerts) == (1, 2, 3, 1)
    assert south.numbers() == (0,) * 8
    assert total([north, south]) == north.numbers()


def test_the_second_table_counts_what_each_unit_was_asked_and_what_it_said() -> None:
    cases = [
        case("a"),
        case("a.consultation-1", kind=QUESTION, unit_id=SODER, outcome="answered"),
        case("a.consultation-2", kind=QUESTION, unit_id=SODER, outcome="taken_over"),
        case("a.consultation-3", kind=QUESTION, unit_id=SODER, outcome="refused"),
        case("a.consultation-4", kind=QUESTION, unit_id=SODER, outcome="not_needed"),
        case("b", kind=QUESTION, unit_id=NORR),
    ]
    log = [
        *(logged(EventName.HANDOVER_REQUESTED, to_unit=SODER) for _ in range(4)),
        logged(EventName.HANDED_OVER, unit=SODER, from_unit=NORR),
        logged(EventName.HANDOVER_REFUSED, unit=SODER),
        logged(EventName.HANDOVER_WITHDRAWN, unit=SODER, because="accepted"),
        logged(EventName.LEFT_AT_CLOSING, unit=NORR),
    ]
    north, south = between_units({NORR: "Norr", SODER: "Söder"}, cases, log)
    assert (south.handovers, south.accepted, south.handovers_refused) == (4, 1, 1)
    assert (south.questions, south.answered, south.questions_refused, south.left) == (4, 2, 1, 0)
    assert north.numbers() == (0, 0, 0, 1, 0, 0, 1)
    assert total([north, south]) == (4, 1, 1, 5, 2, 1, 1)


def test_the_tables_fit_a_terminal_of_80_columns_with_every_unit_and_number() -> None:
    names = {unit.id: unit.name for unit in REGION.unit}
    kinds = {str(kind): words for kind, words in KIND_WORDS.items()}
    for table, of in (
        (by_kind_table(by_kind([case()])), kinds),
        (by_unit_table(by_unit(names, [case()], [notice()])), names),
        (between_units_table(between_units(names, [case(kind=QUESTION)], [])), names),
    ):
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(table)
        text = console.export_text()
        assert "…" not in text
        assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
        assert all(word in text for name in of.values() for word in name.split())
        usual = [name for name in of.values() if not name.startswith("Barn-")]
        assert all(name in text for name in usual), "a row takes more than one line"


def test_what_happens_is_told_in_one_line_of_80_columns() -> None:
    units = {unit.id: unit.name for unit in REGION.unit}
    longest = max(units, key=lambda unit: len(units[unit]))
    filled = {
        "level": 1, "was": 12, "priority": 2, "action": max(ACTIONS, key=len), "code": "AlreadyAccepted",
        "because": "withdrawn", "takes_over": True, "unit": longest, "to_unit": longest, "from_unit": NORR,
        "instead_of": "a time", "outcome": max(ENDS, key=lambda end: len(ENDS[end])),
    }  # fmt: skip
    assert set(SENTENCES) | set(BETWEEN_UNITS) <= set(DETAILS)
    for event, by in product(SENTENCES, (NORR, "SE2321000198-OC01", None)):
        told = news_of({"case_id": "ex-001", "event": event, "by_unit": by, "detail": filled}, units)
        assert told.text.startswith("ex-001 ")
        assert len(told.text) <= 76


def test_the_news_tell_who_asked_whom_and_what_came_of_it() -> None:
    names = {NORR: "Norr", SODER: "Söder"}
    rows = [
        logged(EventName.HANDOVER_REQUESTED, to_unit=SODER),
        logged(EventName.HANDED_OVER, unit=SODER, from_unit=NORR),
        logged(EventName.HANDOVER_REFUSED, unit=SODER),
        logged(EventName.HANDOVER_WITHDRAWN, unit=SODER, because="accepted"),
        logged(EventName.CONSULTED, to_unit=SODER),
        logged(EventName.ANSWERED, unit=SODER, takes_over=True),
        logged(EventName.ANSWERED, unit=SODER, takes_over=False),
        logged(EventName.REFUSED, unit=SODER),
        logged(EventName.LEFT_AT_CLOSING, unit=NORR),
    ]
    assert [news_of(row, names).text for row in rows] == [
        "a Norr asks Söder to take over",
        "a handed over: Norr to Söder",
        "a the handover is refused by Söder",
        "a the handover to Söder is off (accepted)",
        "a Norr asks Söder for advice",
        "a answered by Söder: takes it over",
        "a answered by Söder: advice",
        "a the question is refused by Söder",
        "a left at closing by Norr: others may take it",
    ]


def test_the_news_tell_what_patients_do_and_what_comes_of_it() -> None:
    names = {NORR: "Norr", SODER: "Söder"}
    rows = [
        logged(EventName.BOOKED, unit=SODER, instead_of=None),
        logged(EventName.BOOKED, unit=NORR, instead_of="an earlier one"),
        {**logged(EventName.BOOKING_CANCELLED, unit=NORR), "by_unit": None},
        {**logged(EventName.MESSAGE, text="not told"), "by_unit": None},
        logged(EventName.REPLIED, unit=NORR, text="not told"),
        logged(EventName.NOTIFIED, unit=NORR, reason="new_case", staff="somebody"),
        of_visit(EventName.NOTIFIED, unit=NORR, reason="new_case", staff=None),
        of_visit(EventName.CLOSED, outcome="treated"),
        of_visit(EventName.CLOSED, outcome="ticket_expired"),
        of_visit(EventName.CLOSED, outcome="no_show"),
    ]
    assert all(map(is_worth_a_line, rows))
    assert [news_of(row, names).text for row in rows] == [
        "a a time is booked at Söder",
        "a moved to a time at Norr",
        "a the booked time is cancelled by the patient",
        "a the patient writes",
        "a Norr answers the patient",
        "a whom the patient has written to is called first",
        "a its time has come: Norr is called",
        "a the visit is held by video",
        "a the ticket has run out: nobody has booked",
        "a closed: the patient did not come",
    ]


def test_an_answer_is_told_once_though_both_cases_log_it() -> None:
    assert not is_worth_a_line(logged(EventName.ANSWERED, "a.consultation-1"))
    assert is_worth_a_line(logged(EventName.ANSWERED, "a"))
    assert is_worth_a_line(logged(EventName.ESCALATED, "a.consultation-1"))


def test_what_is_as_it_should_be_is_not_told() -> None:
    assert not is_worth_a_line(logged(EventName.CLOSED, outcome="treated"))
    assert not is_worth_a_line(logged(EventName.NOTIFIED, unit=NORR, reason="new_case", staff=None))
    assert not is_worth_a_line(of_visit(EventName.NOTIFIED, unit=NORR, reason="reminder"))


def test_the_picture_fits_a_terminal_of_80_columns_and_24_lines_with_the_newest_news() -> None:
    console = Console(width=80, height=24, record=True, file=io.StringIO(), force_terminal=True)
    screen = Screen(console)
    units = {unit.id: unit.name for unit in REGION.unit}
    rows = [logged(EventName.LEFT_AT_CLOSING, f"ex-{number:03d}", unit=NORR) for number in range(30)]
    numbers, states = Counter(dict.fromkeys(EventName, 99)), Counter(dict.fromkeys(("ticket", "booked"), 99))
    with screen.shown():
        calls = ("phone +46: text",) * 4
        picture = Picture(seconds=99, played=90, parts=110, states=states, events=numbers, refused=8, calls=calls)
        screen.show(picture, [news_of(row, units) for row in rows])
    text = console.export_text()
    lines = text.splitlines()
    assert len(lines) <= 24
    assert "ex-029 left at closing by Hälsocentral Norr" in text
    assert "left at closing 99" in text
    assert "handed over 99" in text
    assert "booked 99" in text
    assert "99 with a ticket, 99 booked; 99 messages, 99 answers" in picture.lines()


def test_a_case_is_waiting_overdue_accepted_or_closed() -> None:
    rows = case(), case(in_time=False), case(accepted_at=NOW, in_time=False), case(accepted_at=NOW, closed_at=NOW)
    assert [state_of(row) for row in rows] == ["waiting", "overdue", "accepted", "closed"]


def test_what_waits_for_the_patient_is_not_said_to_wait_for_staff() -> None:
    rows = [case(status=status) for status in ("ticket", "booked")]
    idle = case(status="idle", accepted_at=NOW, in_time=True)
    assert [state_of(row) for row in (*rows, idle)] == ["ticket", "booked", "idle"]
    assert state_of(case(status=None, closed_at=NOW)) == "closed"


def test_a_withdrawn_notification_is_not_a_failed_one() -> None:
    assert fate_of(notice(status="failed", error="withdrawn: the case has been taken")) == "withdrawn"
    assert fate_of(notice(status="failed", error="no phone")) == "failed"
    assert fate_of(notice(status="pending")) == "pending"


def test_nothing_is_lost_where_every_case_is_closed_or_on_a_worklist_and_every_notification_went_out_once() -> None:
    cases = [
        case("a", closed_at=NOW),
        case("b"),
        case("a.consultation-1", kind=QUESTION, closed_at=NOW),
        case("b.consultation-1", kind=QUESTION),
        case("q", kind=QUESTION),
        case("v", kind=BOOKED_VISIT, status="booked"),
    ]
    worklist = [case("b"), case("b", unit_id=SODER), case("b.consultation-1"), case("q"), case("v")]
    log = [
        logged(EventName.HANDOVER_REQUESTED, "a", to_unit=SODER),
        logged(EventName.HANDED_OVER, "a", unit=SODER),
        logged(EventName.HANDOVER_REQUESTED, "b", to_unit=SODER),
        logged(EventName.LEFT_AT_CLOSING, "b", unit=NORR),
    ]
    notices = [notice("a/1"), notice("a/2", status="failed", error="withdrawn: taken")]
    opened = {"a", "b", "a.consultation-1", "b.consultation-1", "q", "v"}
    then = Snapshot(cases, notices, worklist, log, [time("free"), time("held", "v", "v")])
    assert what_is_lost(opened, then, Counter({"a/1": 1})) == []


def test_whatever_is_lost_is_named() -> None:
    cases = [
        case("a", closed_at=NOW),
        case("b"),
        case("a.consultation-1", kind=QUESTION),
        case("q", kind=QUESTION),
    ]
    worklist = [case("a.consultation-1")]
    log = [
        logged(EventName.HANDOVER_REQUESTED, "b", to_unit=SODER),
        logged(EventName.HANDOVER_REFUSED, "b", unit=SODER),
        logged(EventName.HANDOVER_REQUESTED, "b", to_unit=SODER),
    ]
    notices = [notice("a/1"), notice("a/2", status="pending"), notice("a/3")]
    then = Snapshot(cases, notices, worklist, log, [])
    assert what_is_lost({"a", "b", "c"}, then, Counter({"a/1": 2})) == [
        "case c was opened and is not in the database",
        "case b is neither closed nor on anybody's worklist",
        "case q is neither closed nor on anybody's worklist",
        "consultation a.consultation-1 is open, and the case that asked is closed",
        f"the handover of case b has no answer, and {SODER} does not see it",
        "notification a/2 is neither sent nor withdrawn, but pending",
        "notification a/3 is logged as sent, and the gateway never had it",
        "notification a/1 went out 2 times",
    ]


def test_whatever_is_wrong_with_a_bookable_time_is_named() -> None:
    cases = [case(name, status="booked") for name in "abcde"] + [case("f", closed_at=NOW)]
    times = [
        time("two", "a", "a", "b"),
        time("unknown", "c"),
        time("gone", None, "d"),
        time("another", "a", "b"),
        time("closed", "f", "f"),
    ]
    then = Snapshot(cases, [], cases, [], times)
    assert what_is_lost([], then, Counter()) == [
        "the time two is held by 2 cases: a, b",
        "the time unknown is held by c, and booked by nobody",
        "the time gone is held by nobody, and booked by d",
        "the time another is held by a, and booked by b",
        "visit b is booked, and holds no time",
        "visit d is booked, and holds no time",
        "visit e is booked, and holds no time",
        "case f is closed, and holds a time that others could have",
    ]


def test_a_kind_that_was_not_played_is_named() -> None:
    assert kinds_not_played([case(kind=kind) for kind in Kind]) == []
    assert kinds_not_played([case(kind=kind) for kind in Kind if kind is not BOOKED_VISIT]) == [
        "there was no case of the kind scheduled_visit"
    ]


def test_a_consultation_asks_in_vain_when_the_case_that_asked_is_closed() -> None:
    cases = [case("a", closed_at=NOW), case("a.consultation-1"), case("b"), case("b.consultation-1"), case("q")]
    assert asks_in_vain(cases) == ["a.consultation-1"]
    assert asks_in_vain([case("x.consultation-1")]) == []


def test_the_table_of_kinds_counts_every_kind_in_the_routines_order() -> None:
    cases = [
        case("a", accepted_at=NOW, in_time=True, closed_at=NOW),
        case("b", in_time=False, escalation_level=1),
        case("v", kind=BOOKED_VISIT, status="booked"),
        case("w", kind=BOOKED_VISIT, in_time=True, closed_at=NOW),  # a ticket that ran out: nobody was to take it
        case("q", kind=QUESTION),
    ]
    tallies = by_kind(cases)
    assert [tally.name for tally in tallies] == list(KIND_WORDS.values())
    assert set(KIND_WORDS) == set(Kind)
    drop_ins, visits, errands, questions, *_ = tallies
    assert drop_ins.numbers() == (2, 1, 1, 1, 1, 1)
    assert visits.numbers() == (2, 0, 0, 0, 1, 1)
    assert errands.numbers() == (0,) * 6
    assert questions.numbers() == (1, 0, 0, 0, 0, 1)
