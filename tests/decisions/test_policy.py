"""What `omhand load` says of a policy: every kind has a ladder for every phase, and every name exists."""

from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError
from small_region import NORTH, NOTIFY, SOUTH, directory_json, ladder, policy_json

from omhand.contract.directory import Directory
from omhand.contract.names import PRIORITIES, Kind, Origin, Phase
from omhand.contract.policy import PHASES, Closing, Policy, Routing, faults_with

DIRECTORY = Directory.model_validate(directory_json())


def faults(*ladders: dict[str, Any], **more: Any) -> list[str]:
    return faults_with(Policy.model_validate({"ladder": list(ladders), **more}), DIRECTORY)


EVERY_PHASE = [ladder(phase) for phase in Phase]


def test_a_policy_that_holds_every_phase_has_no_faults() -> None:
    assert faults(*EVERY_PHASE) == []
    assert faults_with(Policy.model_validate(policy_json()), DIRECTORY) == []


@pytest.mark.parametrize(("kind", "phase"), [(kind, phase) for kind, phases in PHASES.items() for phase in phases])
def test_a_kind_without_a_ladder_for_one_of_its_phases_is_a_fault(kind: Kind, phase: Phase) -> None:
    others = [other.value for other in Kind if other is not kind]
    ladders = [each if each["phase"] != phase else each | {"kind": others} for each in EVERY_PHASE]
    found = faults(*ladders)
    assert len(found) == 1
    assert f"{kind} has none for its phase {phase}" in found[0]


def test_an_empty_policy_lacks_every_phase_of_every_kind() -> None:
    assert len(faults()) == sum(map(len, PHASES.values()))


@pytest.mark.parametrize(
    "narrow",
    [
        {"priority": [each for each in PRIORITIES if each != 7]},
        {"profession": ["doctor", "nurse", "occupational_therapist", "dietitian"]},
        {"profession": ["doctor"]},
        {"unit": [NORTH, SOUTH]},
        {"origin": ["min_vard", "1177_phone", "unit", "staff"]},
        {"priority": list(PRIORITIES)},
    ],
)
def test_a_ladder_that_leaves_one_case_out_is_a_fault_that_names_such_a_case(narrow: dict[str, Any]) -> None:
    # The last one leaves out a case without a priority.
    found = faults(*(each | narrow if each["phase"] == "waiting" else each for each in EVERY_PHASE))
    kinds = [kind for kind, phases in PHASES.items() if Phase.WAITING in phases]
    assert len(found) == len(kinds)
    policy = Policy.model_validate({"ladder": [each | narrow for each in EVERY_PHASE]})
    assert all("waiting" in fault and "(" in fault for fault in found)
    every = product(
        (*PRIORITIES, None), [each.name for each in DIRECTORY.profession], [each.id for each in DIRECTORY.unit], Origin
    )
    assert any(policy.ladder_for(Phase.WAITING, kinds[0], *case) is None for case in every)


def test_ladders_that_together_leave_nothing_out_are_enough() -> None:
    names = [each.name for each in DIRECTORY.profession]
    split = [ladder("waiting", profession=[name]) for name in names] + EVERY_PHASE[1:]
    assert faults(*split) == []


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"profession": ["shaman"]}, "ladder.0.profession: there is no profession shaman"),
        ({"unit": ["SE2321000198-GONE"]}, "ladder.0.unit: there is no unit SE2321000198-GONE"),
    ],
)
def test_a_name_that_the_directory_does_not_have_is_a_fault_at_its_place(more: dict[str, Any], place: str) -> None:
    assert place in faults(ladder("waiting", **more), *EVERY_PHASE)


def test_the_switch_of_escalation_names_only_what_exists() -> None:
    # K1e
    off = [{"profession": "doctor", "unit": NORTH}, {"profession": "shaman"}, {"unit": "SE2321000198-GONE"}]
    assert faults(*EVERY_PHASE, escalation={"off": off}) == [
        "escalation.off.1.profession: there is no profession shaman",
        "escalation.off.2.unit: there is no unit SE2321000198-GONE",
    ]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"steps": []}, "at least 1 item"),
        ({"steps": [{"after": "PT0S", "do": "offer"}]}, "an offer needs `to`"),
        ({"steps": [NOTIFY | {"to": "on_call"}]}, "belong to an offer"),
        ({"steps": [{"after": "PT0S", "do": "alert_manager", "any_profession": True}]}, "belong to an offer"),
        ({"steps": [{"after": "PT5M", "do": "notify"}, NOTIFY]}, "in the order of `after`"),
        ({"repeat": {"every": "PT0S", "do": "notify", "at_most": 1}}, "repeat.every"),
        ({"repeat": {"every": "PT1M", "do": "notify", "at_most": 0}}, "greater than or equal to 1"),
        ({"repeat": {"every": "PT1M", "do": "offer", "at_most": 1}}, "'notify' or 'alert_manager'"),
        ({"priority": [1]}, "greater than or equal to 2"),
        ({"priority": []}, "at least 1 item"),
        ({"clock": "sun"}, "'opening_hours', 'always' or 'working_days'"),
        ({"phase": "booked"}, "phase"),
    ],
)
def test_a_malformed_ladder_is_refused(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Policy.model_validate({"ladder": [ladder("waiting") | broken]})


def test_what_is_left_out_of_a_policy_is_what_the_contract_shows() -> None:
    # P6 K5c K2a
    policy = Policy.model_validate({"ladder": EVERY_PHASE})
    assert policy.closing == Closing.model_validate({
        "warn_before": "PT30M", "kinds": ["drop_in_visit", "phone_consultation"],
        "offer_to": ["cooperating", "on_call"],
    })  # fmt: skip
    assert policy.routing == Routing.model_validate(
        {"physical_doctor_6_11_to_nurse_from": "2026-04-01", "ticket_valid": "P14D"}
    )
    assert policy.escalation.off == ()


def test_a_ticket_has_to_be_valid_for_some_time() -> None:
    with pytest.raises(ValidationError):
        Routing.model_validate({"ticket_valid": "PT0S"})
