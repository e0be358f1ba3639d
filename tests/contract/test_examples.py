"""The example region is fit for use: what `omhand load` and `omhand intake` would be given."""

import json
import tomllib
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from decisions.routing import NotInRoutine, Route, route
from omhand.contract.directory import Directory, faults_between
from omhand.contract.names import PRIORITIES, Kind, Origin, Phase
from omhand.contract.opening import TriageOutcome
from omhand.contract.policy import Policy, faults_with
from omhand.contract.wire import Malformed, read

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICIES = ("policy.toml", "demo/policy.toml")
TODAY = date(2026, 11, 24)

MALFORMED = {"ex-051"}
OUTSIDE = {"ex-012", "ex-028", "ex-070"}
OTHER_KINDS = {
    "ex-018": Kind.SCHEDULED_VISIT,
    "ex-036": Kind.SCHEDULED_VISIT,
    "ex-042": Kind.PHONE_CONSULTATION,
    "ex-062": Kind.SCHEDULED_VISIT,
    "ex-073": Kind.PHONE_CONSULTATION,
    "ex-075": Kind.PHONE_CONSULTATION,
    "ex-077": Kind.PHONE_CONSULTATION,
    "ex-079": Kind.PHONE_CONSULTATION,
    "ex-082": Kind.PHONE_CONSULTATION,
    "ex-084": Kind.PHONE_CONSULTATION,
    "ex-086": Kind.PHONE_CONSULTATION,
    "ex-090": Kind.PHONE_CONSULTATION,
}
"""Every other outcome becomes a drop-in visit."""

LINES = [json.loads(line) for line in (EXAMPLES / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()]


def directory() -> Directory:
    return read(Directory, tomllib.loads((EXAMPLES / "directory.toml").read_text(encoding="utf-8")))


def policy(name: str) -> Policy:
    return read(Policy, tomllib.loads((EXAMPLES / name).read_text(encoding="utf-8")))


def test_the_directory_has_no_fault() -> None:
    assert faults_between(directory()) == []


@pytest.mark.parametrize("name", POLICIES)
def test_the_policies_have_no_fault_with_the_directory(name: str) -> None:
    assert faults_with(policy(name), directory()) == []


def test_a_unit_has_staff_for_exactly_the_professions_that_it_has_on_site() -> None:
    on_site = {(unit.id, profession) for unit in directory().unit for profession in unit.professions}
    staffed = {(work.unit, work.profession) for member in directory().staff for work in member.works_at}
    assert staffed == on_site


def test_units_cooperate_both_ways() -> None:
    cooperating = {(unit.id, other) for unit in directory().unit for other in unit.cooperates_with}
    assert cooperating == {(other, unit) for unit, other in cooperating}


def test_phones_are_of_the_series_set_aside_for_fiction_and_mail_of_the_domain_for_examples() -> None:
    units = directory().unit
    phones = [unit.phone for unit in units] + [unit.manager.phone for unit in units if unit.manager.phone]
    assert all("+46701740605" <= phone <= "+46701740699" and len(phone) == len("+46701740605") for phone in phones)
    assert len(set(phones)) == len(phones)
    assert all(unit.manager.email.endswith("@example.org") for unit in units if unit.manager.email)


def test_the_published_figure_is_the_policys() -> None:
    ladder = policy("policy.toml").ladder_for(Phase.WAITING, Kind.DROP_IN_VISIT, 3, "doctor", "any", Origin.MIN_VARD)
    assert ladder is not None
    assert ladder.due == timedelta(minutes=30)


@pytest.mark.parametrize("profession", [each.name for each in directory().profession])
def test_exactly_priorities_2_to_5_alert_the_unit_at_once(profession: str) -> None:
    alerted = set()
    for priority in PRIORITIES:
        ladder = policy("policy.toml").ladder_for(
            Phase.WAITING, Kind.DROP_IN_VISIT, priority, profession, "any", Origin.MIN_VARD
        )
        assert ladder is not None
        first = ladder.steps[0]
        if first.do == "notify" and not first.after:
            alerted.add(priority)
    assert alerted == {2, 3, 4, 5}, "K1f"


def test_the_demos_whole_ladder_passes_in_25_seconds() -> None:
    for ladder in policy("demo/policy.toml").ladder:
        if ladder.phase is Phase.WAITING:
            assert ladder.clock == "always"
            repeated = ladder.repeat.every * ladder.repeat.at_most if ladder.repeat else timedelta(0)
            assert ladder.steps[-1].after + repeated <= timedelta(seconds=25)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["case_id"])
def test_an_outcome_goes_where_the_routine_says(line: dict[str, object]) -> None:
    case_id = str(line["case_id"])
    if case_id in MALFORMED:
        with pytest.raises(Malformed):
            read(TriageOutcome, line)
        return
    way = route(read(TriageOutcome, line), policy("policy.toml").routing, TODAY)
    kind = OTHER_KINDS.get(case_id, Kind.DROP_IN_VISIT)
    if case_id in OUTSIDE:
        assert isinstance(way, NotInRoutine)
    else:
        assert isinstance(way, Route)
        assert way.kind is kind
        # K5c: physical to a doctor with priority 6-11.
        assert way.profession == ("nurse" if case_id in {"ex-042", "ex-077"} else line["profession"])


def test_outcomes_are_many_and_mixed() -> None:
    well_formed = [read(TriageOutcome, line) for line in LINES if line["case_id"] not in MALFORMED]
    units = {unit.id: unit for unit in directory().unit}
    patients = Counter(outcome.patient.id for outcome in well_formed)
    assert len({line["case_id"] for line in LINES}) == len(LINES) >= 60
    assert {outcome.source for outcome in well_formed} == {Origin.MIN_VARD, Origin.PHONE_1177}
    assert {outcome.unit for outcome in well_formed} == set(units)
    assert any(outcome.wants_help_booking for outcome in well_formed)
    assert any(outcome.profession not in units[outcome.unit].professions for outcome in well_formed)
    assert any(outcome.patient.region != directory().region for outcome in well_formed)
    assert any(times > 1 for times in patients.values())
    # Of 1177 by phone: the patient is not digital, or the level is physical (K5a).
    by_phone = [outcome for outcome in well_formed if OTHER_KINDS.get(outcome.case_id) is Kind.PHONE_CONSULTATION]
    assert {(each.patient.digital, each.level.value) for each in by_phone} == {
        (False, "digital"), (False, "physical"), (True, "physical"),
    }  # fmt: skip
    # One to a profession that does not work clinically: the routine refuses it only by the directory (K1d).
    assert any(outcome.profession == "medical_secretary" for outcome in well_formed)
