"""What patients do in the demo: the times that they book, the cases that they open, and who of the staff is there."""

import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from decisions.region import Region
from omhand.contract.directory import Directory, Staff, faults_between
from omhand.contract.names import Kind, Phase
from omhand.contract.opening import read_opening
from omhand.contract.policy import Policy
from omhand.contract.wire import read
from workers.demo import staff, times
from workers.demo.behaviours import OPENINGS, TICKETS, Behaviour
from workers.demo.crew import Crew
from workers.demo.parts import SECONDS_OF_ARRIVALS, SECONDS_OF_BOOKING, SEED, TICKET_VALID, Part, cast_parts, kind_of
from workers.demo.region import (
    ABSENT,
    CLOSING_UNIT,
    EXAMPLES,
    POLICY,
    Given,
    around_the_clock,
    script,
    with_phones,
)
from workers.demo.times import SOON, TIMES, Time, with_times

TEXT = around_the_clock((EXAMPLES / "directory.toml").read_text(encoding="utf-8"))
NOW = datetime(2026, 12, 24, 23, 30, tzinfo=UTC)
"""The next day already in the region; on the first days of somebody's absence in the example."""
REGION = read(Directory, tomllib.loads(with_times(with_phones(TEXT, NOW.date()), NOW)))
RULES = read(Policy, tomllib.loads(POLICY.read_text(encoding="utf-8")))
SCRIPT = script()
SEEDS = (*range(1, 12), SEED)


def parts_of(seed: int, *behaviours: Behaviour) -> list[Part]:
    return [part for part in cast_parts(SCRIPT, REGION, seed) if part.behaviour in behaviours]


def openings_of(behaviour: Behaviour) -> list[Given]:
    return [part.given for part in parts_of(SEED, behaviour)]


def test_the_demos_times_stand_in_place_of_the_examples_and_have_no_fault() -> None:
    assert [slot.id for slot in REGION.slot] == [time.id for time in TIMES]
    assert faults_between(REGION) == []
    for slot, time in zip(REGION.slot, TIMES, strict=True):
        assert (slot.unit, slot.profession, slot.starts_at) == (time.unit, time.profession, NOW + time.ahead)


@pytest.mark.parametrize("time", TIMES, ids=lambda time: time.id)
def test_a_time_is_one_of_a_unit_that_has_the_profession_and_does_not_close(time: Time) -> None:
    assert Crew(REGION).has(time.unit, time.profession)
    assert next(Crew(REGION).at(time.unit, time.profession)).profession == time.profession
    assert time.unit != CLOSING_UNIT


@pytest.mark.parametrize("seed", SEEDS)
def test_times_of_today_come_when_who_wants_them_has_booked_and_before_the_end(seed: int) -> None:
    today = [time.ahead for time in TIMES if time.ahead < SOON]
    wanting = parts_of(seed, *TICKETS, *OPENINGS[Kind.SCHEDULED_VISIT])
    assert max(part.at for part in wanting) < SECONDS_OF_BOOKING
    assert min(today) >= timedelta(seconds=SECONDS_OF_BOOKING + 15), "a busy machine would come too late"
    assert max(today) < timedelta(seconds=SECONDS_OF_ARRIVALS + 10), "the demo would wait for nothing else"


@pytest.mark.parametrize(
    ("behaviour", "time"),
    [
        (Behaviour.HELD, times.AT_ANOTHER_UNIT),
        (Behaviour.NO_SHOW, times.NOBODY_COMES),
        (Behaviour.FROM_ELSEWHERE, times.FROM_ELSEWHERE),
        (Behaviour.SAME_TIME, times.WANTED_BY_TWO),
        (Behaviour.SAME_TIME, times.SECOND_CHOICE),
        (Behaviour.BOOKED_BY_UNIT, times.BOOKED_BY_UNIT),
    ],
)
def test_a_time_of_today_is_of_the_profession_of_the_visit_that_it_is_meant_for(
    behaviour: Behaviour, time: Time
) -> None:
    assert {given["profession"] for given in openings_of(behaviour)} == {time.profession}


def test_two_want_one_time_and_they_are_of_different_health_centres() -> None:
    first, second = openings_of(Behaviour.SAME_TIME)
    assert len({first["unit"], second["unit"], times.WANTED_BY_TWO.unit}) == 3, "P3"


def test_whoever_books_for_another_day_has_a_choice_also_at_another_unit() -> None:
    later = [time for time in TIMES if time.ahead > SOON]
    wanted = Counter(
        given["profession"]
        for behaviour in (Behaviour.BOOKED, Behaviour.MOVED, Behaviour.BOOKING_CANCELLED)
        for given in openings_of(behaviour)
    )
    for profession, patients in wanted.items():
        units = [time.unit for time in later if time.profession == profession]
        assert len(units) > patients, "each holds one, and who moves wants another"
        assert len(set(units)) > 1


def test_every_ticket_of_the_file_becomes_a_visit_and_one_is_of_another_county() -> None:
    assert {kind_of(given, REGION) for given in SCRIPT.tickets} == {Kind.SCHEDULED_VISIT}
    away = [given for given in SCRIPT.tickets if given["patient"]["region"] != REGION.region]
    assert away == openings_of(Behaviour.FROM_ELSEWHERE), "P7"


@pytest.mark.parametrize("kind", OPENINGS, ids=str)
def test_what_units_and_patients_open_can_be_opened(kind: Kind) -> None:
    works = {(member.id, work.unit, work.profession) for member in REGION.staff for work in member.works_at}
    parts = [part for part in cast_parts(SCRIPT, REGION, SEED) if part.opens is kind]
    assert [part.behaviour for part in parts] == list(OPENINGS[kind]), "each line is written for its part"
    for part in parts:
        opening = read_opening(kind, part.opening(NOW))
        assert Crew(REGION).has(opening.unit, opening.profession)
        assert opening.unit != CLOSING_UNIT
        by = opening.asked_by
        assert by is None or (by.staff, by.unit, by.profession) in works
        assert opening.patient is not None
        assert opening.patient.region == REGION.region


def test_a_ticket_runs_out_and_a_unit_books_while_the_demo_plays() -> None:
    (runs_out,) = parts_of(SEED, Behaviour.TICKET_RUNS_OUT)
    ticket = read_opening(Kind.SCHEDULED_VISIT, runs_out.opening(NOW)).ticket
    assert ticket is not None
    assert (ticket.valid_from, ticket.valid_until) == (NOW, NOW + TICKET_VALID)
    (by_unit,) = openings_of(Behaviour.BOOKED_BY_UNIT)
    assert by_unit["booking"] == {"slot": times.BOOKED_BY_UNIT.id}


def test_administrative_cases_are_a_renewal_a_certificate_and_one_that_is_another_units() -> None:
    services = [given["service"] for given in SCRIPT.openings[Kind.ADMINISTRATIVE_CASE]]
    assert services == ["prescription_renewal", "certificate", "other"]
    (elsewhere,) = openings_of(Behaviour.SENT_ON)
    assert Crew(REGION).others(elsewhere["unit"], elsewhere["profession"])


def member(staff_id: str) -> Staff:
    return next(each for each in REGION.staff if each.id == staff_id)


def test_who_is_written_to_has_a_phone_and_is_there_but_for_the_one_who_is_away() -> None:  # K6b
    region = Region.of(1, REGION, RULES, ZoneInfo(REGION.timezone), frozenset())
    for behaviour in (Behaviour.NAMED_CALLED, Behaviour.NOBODY_ANSWERS):
        (given,) = openings_of(behaviour)
        assert region.can_be_called(given["to"]["staff"], given["unit"], NOW)
    (given,) = openings_of(Behaviour.NAMED_ABSENT)
    assert given["to"]["staff"] == ABSENT
    assert member(ABSENT).phone is not None
    for hours in (-1, 0, 1):
        assert not region.is_there(ABSENT, given["unit"], NOW + timedelta(hours=hours))
    assert [each.id for each in REGION.staff if each.absent] == [ABSENT]


def test_phones_of_staff_are_their_own_and_of_the_series_set_aside_for_fiction() -> None:
    phones = [each.phone for each in REGION.staff if each.phone]
    units = [phone for unit in REGION.unit for phone in (unit.phone, unit.manager.phone) if phone]
    assert all("+46701740605" <= phone <= "+46701740699" for phone in phones)
    assert len({*phones, *units}) == len(phones) + len(units)


@pytest.mark.parametrize("behaviour", [Behaviour.NAMED_ABSENT, Behaviour.BY_COLLEAGUE])
def test_who_is_written_to_has_colleagues(behaviour: Behaviour) -> None:
    (given,) = openings_of(behaviour)
    at_unit = Crew(REGION).at(given["unit"], given["profession"])
    assert any(each.staff != given["to"]["staff"] for each in at_unit)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_that_nobody_answers_climbs_to_the_manager_before_the_end(seed: int) -> None:  # K6b R1
    (ladder,) = (each for each in RULES.ladder if each.phase is Phase.MESSAGE)
    assert [step.do for step in ladder.steps] == ["notify", "notify", "alert_manager"]
    assert all(earlier.after < later.after for earlier, later in pairwise(ladder.steps))
    (left,) = parts_of(seed, Behaviour.NOBODY_ANSWERS)
    assert left.at + ladder.steps[-1].after.total_seconds() < SECONDS_OF_ARRIVALS
    assert ladder.steps[-1].after.total_seconds() < staff.MOST_SECONDS_OF_WAITING


async def test_who_waits_for_a_rival_in_vain_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff, "MOST_SECONDS_OF_WAITING", 0.01)
    with pytest.raises(staff.Unexpected, match="never came"):
        await staff.Rivals().meet()
