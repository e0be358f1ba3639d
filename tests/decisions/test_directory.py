"""What `omhand load` says of a directory, and what the region made of it answers."""

from typing import Any

import pytest
from pydantic import ValidationError
from small_region import (
    BOTH,
    CLERK_NORTH,
    EAST,
    J_DOCTOR,
    JOUR,
    N_NURSE,
    NORTH,
    NURSE_NORTH,
    SOUTH,
    STAFF,
    a_unit,
    directory_json,
    local,
    on,
    region,
)  # fmt: skip

from decisions.calendars import NO_HOURS
from decisions.region import weekly
from omhand.contract.directory import Directory, faults_between, seconds_of, span_of

A_SLOT = {
    "id": "s-1",
    "unit": NORTH,
    "profession": "nurse",
    "starts_at": "2026-11-24T09:00:00+01:00",
    "length": "PT20M",
}


def faults(**changed: Any) -> list[str]:
    return faults_between(Directory.model_validate(directory_json() | changed))


def with_unit(**changed: Any) -> list[str]:
    return faults_between(Directory.model_validate(directory_json(HC01=changed)))


def test_the_small_region_has_no_faults() -> None:
    assert faults() == []
    assert faults(slot=[A_SLOT]) == []


@pytest.mark.parametrize("what", ["profession", "unit", "staff", "slot"])
def test_nothing_may_stand_twice(what: str) -> None:
    whole = directory_json() | {"slot": [A_SLOT]}
    (fault,) = faults(**{"slot": [A_SLOT], what: [*whole[what], whole[what][0]]})
    assert fault.startswith(f"{what} ")
    assert fault.endswith("stands 2 times")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"opening": {}}, ".opening: has neither opening hours nor on-call time"),
        ({"opening": {"mon": []}}, ".opening: has neither opening hours nor on-call time"),
        ({"manager": {"name": "Chef"}}, ".manager: needs a phone or an email"),
        ({"professions": ["doctor", "shaman"]}, ".professions: there is no profession shaman"),
        ({"cooperates_with": ["SE2321000198-GONE"]}, ".cooperates_with: there is no unit SE2321000198-GONE"),
        ({"cooperates_with": [NORTH]}, ".cooperates_with: names the unit itself"),
    ],
)
def test_a_unit_that_could_not_be_reached_or_never_runs_is_a_fault(changed: dict[str, Any], fault: str) -> None:
    # K1f R1
    (found,) = with_unit(**changed)
    assert found.startswith(f"unit {NORTH}{fault}")


@pytest.mark.parametrize(
    "changed", [{"opening": {}, "on_call": on(("sat",), "10:00-18:00")}, {"manager": {"name": "C", "email": "c@e.se"}}]
)
def test_on_call_time_alone_and_an_email_alone_are_enough(changed: dict[str, Any]) -> None:
    assert with_unit(**changed) == []


def test_staff_and_slots_belong_to_units_and_professions_that_exist() -> None:
    works_at = [{"unit": "SE2321000198-GONE", "profession": "shaman"}]
    found = faults(
        staff=[{"id": N_NURSE, "name": "N", "works_at": works_at}],
        slot=[A_SLOT | {"unit": "SE2321000198-GONE"}, A_SLOT | {"id": "s-2", "length": "PT0S"}],
    )
    assert found == [
        f"staff {N_NURSE}.works_at.0.unit: there is no unit SE2321000198-GONE",
        f"staff {N_NURSE}.works_at.0.profession: there is no profession shaman",
        "slot s-1.unit: there is no unit SE2321000198-GONE",
        "slot s-2.length: must be longer than nothing",
    ]


def test_a_unit_without_a_phone_is_refused_when_it_is_loaded() -> None:
    # K1f
    unit = a_unit(NORTH, ["nurse"], {})
    del unit["phone"]
    with pytest.raises(ValidationError, match="phone"):
        Directory.model_validate({"timezone": "Europe/Stockholm", "profession": [], "unit": [unit]})


@pytest.mark.parametrize(
    "span",
    [
        "8:00-12:00",
        "08:00-12",
        "12:00-08:00",
        "08:00-08:00",
        "24:00-24:00",
        "08:00-24:01",
        "08:60-09:00",
        "08:00 - 09:00",
    ],
)
def test_a_span_that_is_none_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match="must"):
        span_of(span)


def test_spans_are_seconds_of_the_day_up_to_24() -> None:
    assert span_of("08:00-12:00:30") == (28_800, 43_230)
    assert span_of("00:00-24:00") == (0, 86_400)
    assert seconds_of("23:59:59") == 86_399


def test_times_of_one_day_may_touch_and_may_not_overlap() -> None:
    assert with_unit(opening={"mon": ["12:00-13:00", "08:00-12:00"]}) == []
    with pytest.raises(ValidationError, match="overlap"):
        with_unit(opening={"mon": ["08:00-12:01", "12:00-13:00"]})


def test_a_day_left_out_is_closed_and_spans_are_put_in_order() -> None:
    assert weekly({}) == NO_HOURS
    assert weekly({"tue": ("13:00-17:00", "08:00-12:00")})[1] == ((28_800, 43_200), (46_800, 61_200))


def test_staff_work_where_the_directory_says_and_nowhere_else() -> None:
    here = region()
    assert all(here.works(member["staff"], member["unit"], member["profession"]) for member in STAFF)
    assert not here.works(N_NURSE, SOUTH, "nurse")
    assert not here.works(N_NURSE, NORTH, "doctor")
    assert not here.works("SE2321000198-S999", NORTH, "nurse")
    assert here.works(BOTH, NORTH, "nurse")
    assert here.works(BOTH, SOUTH, "nurse")


def test_a_profession_is_clinical_where_the_directory_says_so() -> None:
    # K1d
    here = region()
    assert here.is_clinical(NURSE_NORTH["profession"])
    assert not here.is_clinical(CLERK_NORTH["profession"])
    assert not here.is_clinical("shaman")


def test_every_unit_has_its_calendar_with_on_call_time() -> None:
    # K5e
    here = region()
    assert here.calendars[EAST].is_on_call(local("2026-11-28 11:00"))
    assert not here.calendars[EAST].is_open(local("2026-11-28 11:00"))
    assert here.calendars[JOUR].is_open(local("2026-11-28 11:00"))
    assert J_DOCTOR in here.staff
