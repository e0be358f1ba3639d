"""The parts of the demo that are pure: the region that it plays in, who does what, and what is made of it."""

import hashlib
import hmac
import io
import tomllib
from collections import Counter
from datetime import UTC, datetime

from rich.console import Console

from omhand.contract.directory import WEEKDAYS, Directory
from omhand.contract.wire import read
from workers.demo.gateway import SECRET, is_signed
from workers.demo.parts import SEED, SPECIAL, Behaviour, Crew, cast_parts
from workers.demo.region import EXAMPLES, around_the_clock, outcomes
from workers.demo.screen import by_unit_table
from workers.demo.tally import by_unit, fate_of, state_of, total, what_is_lost

TEXT = (EXAMPLES / "directory.toml").read_text(encoding="utf-8")
REGION = read(Directory, tomllib.loads(TEXT))
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
NORR, SODER = "SE2321000198-HC01", "SE2321000198-HC02"


def case(case_id: str = "a", **changed: object) -> dict[str, object]:
    """A row of handling_times: received in the north, waiting in time."""
    waiting = {"accepted_at": None, "accepted_by_unit": None, "closed_at": None, "in_time": None}
    return {"case_id": case_id, "unit_id": NORR, "escalation_level": 0, **waiting, **changed}


def notice(key: str = "a/1", **changed: object) -> dict[str, object]:
    """A row of notification_log: sent."""
    return {"key": key, "unit_id": NORR, "reason": "new_case", "status": "sent", "error": None, **changed}


def test_the_demos_region_differs_from_the_example_only_in_that_it_is_always_open() -> None:
    always = read(Directory, tomllib.loads(around_the_clock(TEXT)))
    assert all(unit.opening == dict.fromkeys(WEEKDAYS, ("00:00-24:00",)) and not unit.on_call for unit in always.unit)
    hours = {"opening", "on_call"}
    assert always.model_copy(update={"unit": ()}) == REGION.model_copy(update={"unit": ()})
    assert [unit.model_dump(exclude=hours) for unit in always.unit] == [
        unit.model_dump(exclude=hours) for unit in REGION.unit
    ]


def test_the_same_seed_gives_the_same_morning() -> None:
    first, second, other = (cast_parts(outcomes(), REGION, seed, 30) for seed in (1, 1, 2))
    assert [(part.at, part.behaviour, part.chance.random()) for part in first] == [
        (part.at, part.behaviour, part.chance.random()) for part in second
    ]
    assert [part.behaviour for part in first] != [part.behaviour for part in other]


def test_every_outcome_comes_once_in_order_and_every_behaviour_is_seen() -> None:
    parts = cast_parts(outcomes(), REGION, 1, 30)
    assert [part.outcome for part in parts] == outcomes()
    assert [part.at for part in parts] == sorted(part.at for part in parts)
    assert 0 <= parts[0].at <= parts[-1].at < 30
    seen = Counter(part.behaviour for part in parts)
    assert all(seen[behaviour] >= times for behaviour, times in SPECIAL.items())
    assert seen[Behaviour.IN_TIME] > len(parts) / 3


def test_no_special_behaviour_of_the_usual_morning_falls_on_an_outcome_that_is_refused() -> None:
    refused = {"ex-012", "ex-018", "ex-028", "ex-036", "ex-042", "ex-047", "ex-051", "ex-062", "ex-070"}
    parts = cast_parts(outcomes(), REGION, SEED, 30)
    seen = Counter(part.behaviour for part in parts if part.outcome["case_id"] not in refused)
    assert all(seen[behaviour] >= times for behaviour, times in SPECIAL.items())


def test_a_profession_that_the_unit_lacks_is_left_to_those_it_cooperates_with() -> None:
    on_site = {unit.id: unit.professions for unit in REGION.unit}
    for part in cast_parts(outcomes(), REGION, 1, 30):
        if part.outcome["profession"] not in on_site[part.outcome["unit"]]:
            assert part.behaviour is not Behaviour.IN_TIME


def test_the_crew_puts_the_profession_first_and_leaves_out_who_may_not_take_visits() -> None:
    members = list(Crew(REGION).at(NORR, "psychologist"))
    assert members[0].profession == "psychologist"
    assert {member.unit for member in members} == {NORR}
    assert "medical_secretary" not in {member.profession for member in members}


def test_the_table_counts_what_became_of_each_units_cases() -> None:
    cases = [
        case("a", accepted_at=NOW, accepted_by_unit=NORR, in_time=True, closed_at=NOW),
        case("b", accepted_at=NOW, accepted_by_unit=SODER, in_time=False, escalation_level=2),
        case("c", in_time=True, closed_at=NOW),  # cancelled before anybody took it
        case("d"),
    ]
    notices = [notice("a/1"), notice("b/2", reason="manager_alert"), notice("b/3", status="failed"), notice("d/1")]
    north, south = by_unit({NORR: "Norr", SODER: "Söder"}, cases, notices)
    assert (north.received, north.in_time, north.late, north.escalated) == (4, 1, 1, 1)
    assert (north.by_others, north.closed, north.sent, north.alerts) == (1, 2, 3, 1)
    assert south.numbers() == (0,) * 8
    assert total([north, south]) == north.numbers()


def test_the_table_fits_a_terminal_of_80_columns_with_every_unit_and_number() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(by_unit_table(by_unit({unit.id: unit.name for unit in REGION.unit}, [case()], [notice()])))
    text = console.export_text()
    assert "…" not in text
    assert all(word in text for unit in REGION.unit for word in unit.name.split())


def test_a_case_is_waiting_overdue_accepted_or_closed() -> None:
    rows = case(), case(in_time=False), case(accepted_at=NOW, in_time=False), case(accepted_at=NOW, closed_at=NOW)
    assert [state_of(row) for row in rows] == ["waiting", "overdue", "accepted", "closed"]


def test_a_withdrawn_notification_is_not_a_failed_one() -> None:
    assert fate_of(notice(status="failed", error="withdrawn: the case has been taken")) == "withdrawn"
    assert fate_of(notice(status="failed", error="no phone")) == "failed"
    assert fate_of(notice(status="pending")) == "pending"


def test_nothing_is_lost_where_every_case_is_closed_or_on_a_worklist_and_every_notification_went_out_once() -> None:
    cases = [case("a", closed_at=NOW), case("b")]
    notices = [notice("a/1"), notice("a/2", status="failed", error="withdrawn: taken")]
    assert what_is_lost({"a", "b"}, cases, [case("b")], notices, Counter({"a/1": 1})) == []


def test_whatever_is_lost_is_named() -> None:
    cases = [case("a", closed_at=NOW), case("b")]
    notices = [notice("a/1"), notice("a/2", status="pending"), notice("a/3")]
    assert what_is_lost({"a", "b", "c"}, cases, [], notices, Counter({"a/1": 2})) == [
        "case c was opened and is not in the database",
        "case b is neither closed nor on anybody's worklist",
        "notification a/2 is neither sent nor withdrawn, but pending",
        "notification a/3 is logged as sent, and the gateway never had it",
        "notification a/1 went out 2 times",
    ]


def test_the_gateway_knows_who_signed() -> None:
    right = hmac.new(SECRET.encode(), b'1700000000.{"key": "a/1"}', hashlib.sha256).hexdigest()
    assert is_signed(f"t=1700000000,v1={right}", b'{"key": "a/1"}')
    assert not is_signed(f"t=1700000001,v1={right}", b'{"key": "a/1"}')
    assert not is_signed("", b'{"key": "a/1"}')
