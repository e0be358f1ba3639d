"""The parts of the demo that are pure: the region that it plays in, when a unit closes, and who does what."""

import hashlib
import hmac
import tomllib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from decisions.region import Region
from omhand.contract.directory import WEEKDAYS, Directory
from omhand.contract.names import Kind
from omhand.contract.opening import read_opening
from omhand.contract.policy import Policy
from omhand.contract.wire import read
from workers.demo.behaviours import (
    BY_PHONE,
    LONG,
    NEED_ANOTHER_UNIT,
    OPENINGS,
    QUESTIONS,
    SPECIAL,
    TICKETS,
    Behaviour,
)
from workers.demo.crew import Crew
from workers.demo.gateway import SECRET, is_signed
from workers.demo.parts import (
    SECONDS_OF_ARRIVALS,
    SECONDS_TO_CLOSING,
    SEED,
    Part,
    cast_parts,
    kind_of,
)
from workers.demo.plots import PLOTS, UNTOUCHED
from workers.demo.region import (
    CLOSING_UNIT,
    EXAMPLES,
    POLICY,
    around_the_clock,
    closing_at,
    closing_time,
    script,
)

TEXT = (EXAMPLES / "directory.toml").read_text(encoding="utf-8")
REGION = read(Directory, tomllib.loads(TEXT))
RULES = read(Policy, tomllib.loads(POLICY.read_text(encoding="utf-8")))
STOCKHOLM = ZoneInfo("Europe/Stockholm")
NORR, SODER = "SE2321000198-HC01", "SE2321000198-HC02"
DROP_IN, BY_1177, QUESTION = Kind.DROP_IN_VISIT, Kind.PHONE_CONSULTATION, Kind.CONSULTATION
SCRIPT = script()
SEEDS = (*range(1, 12), SEED)
MIDNIGHTS = [
    datetime(day.year, day.month, day.day, tzinfo=STOCKHOLM).astimezone(UTC)
    for day in (*(date(2026, 11, 23) + timedelta(days=n) for n in range(7)), date(2026, 3, 29), date(2026, 10, 25))
]
"""Of a week, and of the nights in which clocks are changed."""


def parts_of(seed: int) -> list[Part]:
    return cast_parts(SCRIPT, REGION, seed)


def test_the_demos_region_differs_from_the_example_only_in_that_it_is_always_open() -> None:
    always = read(Directory, tomllib.loads(around_the_clock(TEXT)))
    assert all(unit.opening == dict.fromkeys(WEEKDAYS, ("00:00-24:00",)) and not unit.on_call for unit in always.unit)
    hours = {"opening", "on_call"}
    # On a holiday too: else Sunday's hours would count.
    without = {"unit": (), "staff": (), "holidays": ""}
    assert always.model_copy(update=without) == REGION.model_copy(update=without)
    assert always.staff == tuple(member.model_copy(update={"absent": ()}) for member in REGION.staff)
    assert [unit.model_dump(exclude=hours) for unit in always.unit] == [
        unit.model_dump(exclude=hours) for unit in REGION.unit
    ]


@pytest.mark.parametrize("seconds", [-30, -1, 0, 1, 30, 45296])
@pytest.mark.parametrize("midnight", MIDNIGHTS, ids=lambda midnight: f"{midnight.astimezone(STOCKHOLM):%a %d %b}")
def test_one_unit_closes_for_the_day_at_that_instant_whatever_time_it_is(midnight: datetime, seconds: int) -> None:
    closes = midnight + timedelta(seconds=seconds)
    directory = read(Directory, tomllib.loads(closing_at(around_the_clock(TEXT), closes)))
    calendars = Region.of(1, directory, RULES, STOCKHOLM, frozenset()).calendars
    closing = calendars[CLOSING_UNIT]
    begins = closes - timedelta(seconds=SECONDS_TO_CLOSING)
    assert closing.closing_after(begins) == closes
    assert closing.is_open(begins)
    assert not closing.is_open(closes)
    opens = closing.next_running(closes)
    assert opens is not None
    last_day = (closes - timedelta.resolution).astimezone(STOCKHOLM).date()
    assert opens.astimezone(STOCKHOLM).date() > last_day, "it opens again on the same day"
    assert all(other.closing_after(begins) is None for unit, other in calendars.items() if unit != CLOSING_UNIT)


def test_the_closing_is_a_whole_second_in_so_many_seconds() -> None:
    before = datetime.now(UTC)
    closes = closing_time(28)
    assert not closes.microsecond
    assert timedelta(seconds=28) <= closes - before <= timedelta(seconds=30)


def test_the_demos_policy_warns_before_closing_and_offers_what_is_left_to_whoever_is_open() -> None:
    assert timedelta(seconds=3) <= RULES.closing.warn_before <= timedelta(seconds=10)
    assert {DROP_IN, BY_1177} == set(RULES.closing.kinds)
    assert set(RULES.closing.offer_to) == {"cooperating", "on_call"}


def test_the_same_seed_gives_the_same_morning() -> None:
    first, second, other = map(parts_of, (1, 1, 2))
    assert [(part.at, part.behaviour, part.chance.random()) for part in first] == [
        (part.at, part.behaviour, part.chance.random()) for part in second
    ]
    assert [part.behaviour for part in first] != [part.behaviour for part in other]


def test_everything_that_is_given_comes_once_and_in_its_files_order() -> None:
    parts = parts_of(1)
    triaged = [part.given for part in parts if part.opens is None]
    assert [given for given in triaged if given not in SCRIPT.tickets] == SCRIPT.outcomes
    assert [given for given in triaged if given in SCRIPT.tickets] == SCRIPT.tickets
    for kind, openings in SCRIPT.openings.items():
        assert [part.given for part in parts if part.opens is kind] == openings
    assert len({part.case_id for part in parts}) == len(parts)
    assert [part.at for part in parts] == sorted(part.at for part in parts)
    assert 0 <= parts[0].at <= parts[-1].at < SECONDS_OF_ARRIVALS


@pytest.mark.parametrize("seed", SEEDS)
def test_every_behaviour_is_seen_and_falls_on_a_case_of_its_kind(seed: int) -> None:
    parts = parts_of(seed)
    kinds = {part.case_id: part.opens or kind_of(part.given, REGION) for part in parts}
    seen = Counter((kinds[part.case_id], part.behaviour) for part in parts)
    assert all(seen[DROP_IN, behaviour] >= times for behaviour, times in SPECIAL.items())
    assert all(seen[BY_1177, behaviour] == times for behaviour, times in BY_PHONE.items())
    assert all(seen[QUESTION, behaviour] == 1 for behaviour in QUESTIONS)
    by_patients = Counter((kind, behaviour) for kind, played in OPENINGS.items() for behaviour in played)
    by_patients += Counter((Kind.SCHEDULED_VISIT, behaviour) for behaviour in (*TICKETS, Behaviour.BOOKED))
    assert all(seen[each] >= times for each, times in by_patients.items())
    assert seen[BY_1177, Behaviour.BY_PHONE] >= 4
    assert min(seen[DROP_IN, Behaviour.AT_CLOSING], seen[BY_1177, Behaviour.AT_CLOSING]) >= 1
    without_ado = seen[DROP_IN, Behaviour.IN_TIME] + seen[BY_1177, Behaviour.BY_PHONE]
    assert without_ado > len(SCRIPT.outcomes) / 3
    assert {kind for kind, _ in seen if kind} == set(Kind)
    assert {kind for kind, behaviour in seen if behaviour is Behaviour.NOT_PLAYED} == {None}
    assert {behaviour for _, behaviour in seen} == set(Behaviour)


def test_every_behaviour_is_either_played_or_left_alone() -> None:
    assert set(PLOTS) | UNTOUCHED == set(Behaviour)
    assert not set(PLOTS) & UNTOUCHED


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_asked_has_the_profession_and_does_not_close_and_what_is_long_begins_early(seed: int) -> None:
    crew = Crew(REGION)
    for part in parts_of(seed):
        if part.behaviour in NEED_ANOTHER_UNIT:
            asked = crew.others(part.given["unit"], part.given["profession"])[0]
            assert asked not in {CLOSING_UNIT, part.given["unit"]}
            assert next(crew.at(asked, part.given["profession"])).profession == part.given["profession"]
        if part.behaviour in LONG:
            assert part.at < SECONDS_OF_ARRIVALS * 2 / 3


@pytest.mark.parametrize("seed", SEEDS)
def test_what_waits_at_closing_has_not_been_offered_to_others_before(seed: int) -> None:
    waiting = [part for part in parts_of(seed) if part.behaviour is Behaviour.AT_CLOSING]
    assert len(waiting) >= 3
    for part in waiting:
        assert part.given["unit"] == CLOSING_UNIT
        kind = kind_of(part.given, REGION)
        assert kind is not None
        ladder = next(
            ladder
            for ladder in RULES.ladder
            if ladder.phase == "waiting"
            and (ladder.kind is None or kind in ladder.kind)
            and (ladder.priority is None or part.given["priority"] in ladder.priority)
        )
        offered = min(step.after for step in ladder.steps if step.do == "offer").total_seconds()
        assert part.at < SECONDS_TO_CLOSING < part.at + offered


@pytest.mark.parametrize("seed", SEEDS)
def test_the_unit_that_closes_has_taken_its_other_cases_before(seed: int) -> None:
    usual = {Behaviour.IN_TIME, Behaviour.BY_OTHERS, Behaviour.BY_PHONE}
    for part in parts_of(seed):
        if part.given["unit"] == CLOSING_UNIT and part.behaviour is not Behaviour.AT_CLOSING:
            assert part.behaviour in usual
            assert part.at < SECONDS_TO_CLOSING - 5


def test_questions_can_be_asked_and_are_between_units() -> None:
    works = {(member.id, work.unit, work.profession) for member in REGION.staff for work in member.works_at}
    for question in SCRIPT.openings[QUESTION]:
        opening = read_opening(QUESTION, question)
        assert opening.asked_by is not None
        assert opening.asked_by.unit != opening.unit
        assert (opening.asked_by.staff, opening.asked_by.unit, opening.asked_by.profession) in works
        assert opening.to is None or any((opening.to.staff, opening.unit) == work[:2] for work in works)
        assert Crew(REGION).has(opening.unit, opening.profession)


def test_a_profession_that_the_unit_lacks_is_left_to_those_it_cooperates_with() -> None:
    on_site = {unit.id: unit.professions for unit in REGION.unit}
    for part in parts_of(1):
        if part.given["profession"] not in on_site[part.given["unit"]]:
            assert part.behaviour is not Behaviour.IN_TIME


def test_the_crew_puts_the_profession_first_and_leaves_out_who_may_not_take_visits() -> None:
    members = list(Crew(REGION).at(NORR, "psychologist"))
    assert members[0].profession == "psychologist"
    assert {member.unit for member in members} == {NORR}
    assert "medical_secretary" not in {member.profession for member in members}
    assert next(Crew(REGION).at(NORR, "medical_secretary")).profession == "medical_secretary"
    assert Crew(REGION).named(members[0].staff, NORR) == members[0]


def test_those_that_cooperate_are_asked_first_and_the_unit_that_closes_never() -> None:
    near = next(unit.cooperates_with for unit in REGION.unit if unit.id == NORR)
    others = Crew(REGION).others(NORR, "doctor")
    assert others[0] == SODER in near
    assert CLOSING_UNIT in near
    assert CLOSING_UNIT not in others
    assert "SE2321000198-OC01" in others
    assert Crew(REGION).others(SODER, "speech_therapist") == []


def test_the_gateway_knows_who_signed() -> None:
    right = hmac.new(SECRET.encode(), b'1700000000.{"key": "a/1"}', hashlib.sha256).hexdigest()
    assert is_signed(f"t=1700000000,v1={right}", b'{"key": "a/1"}')
    assert not is_signed(f"t=1700000001,v1={right}", b'{"key": "a/1"}')
    assert not is_signed("", b'{"key": "a/1"}')
