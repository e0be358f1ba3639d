"""What comes from outside is read, or refused by key and rule; a refusal never quotes what came (contract)."""

import copy
import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omhand.contract.actions import ACTIONS
from omhand.contract.directory import Directory
from omhand.contract.names import ActionName, Kind
from omhand.contract.opening import OWN_KEYS, TriageOutcome, read_opening
from omhand.contract.patient import checked_identity
from omhand.contract.policy import Policy
from omhand.contract.wire import LONGEST_NAMED_KEY, MOST_FAULTS, Malformed, parse_object, read

Json = dict[str, Any]

UNIT, MEMBER = "SE2321000198-HC01", "SE2321000198-S001"
STAFF = {"staff": MEMBER, "unit": UNIT, "profession": "nurse"}
PATIENT = {"id": "19121212-1212", "digital": True, "region": "21", "listed_at": UNIT, "name": "Tolvan Tolvansson"}
OPENING: Json = {
    "case_id": "case-1",
    "origin": "min_vard",
    "unit": UNIT,
    "profession": "doctor",
    "priority": 3,
    "patient": PATIENT,
    "reason": "hosta",
    "wants_help_booking": False,
}
OUTCOME: Json = {
    **{key: value for key, value in OPENING.items() if key != "origin"},
    "source": "1177_phone",
    "level": "digital",
}
DIRECTORY: Json = {
    "timezone": "Europe/Stockholm",
    "holidays": "SE",
    "region": "21",
    "profession": [{"name": "nurse", "code": "SSK", "clinical": True}],
    "unit": [
        {
            "id": UNIT,
            "name": "Norr",
            "kind": "health_centre",
            "opening": {"mon": ["08:00-12:00", "13:00-17:00"]},
            "on_call": {"sat": ["10:00-24:00"]},
            "phone": "+46701740605",
            "manager": {"name": "Chef", "phone": "+46701740606", "email": "chef@example.org"},
            "cooperates_with": ["SE2321000198-HC02"],
            "professions": ["nurse"],
        }
    ],
    "staff": [{"id": MEMBER, "name": "Ada", "works_at": [{"unit": UNIT, "profession": "nurse"}]}],
    "slot": [
        {"id": "s1", "unit": UNIT, "profession": "nurse", "starts_at": "2026-11-24T09:00:00+01:00", "length": "PT20M"}
    ],
}
POLICY: Json = {
    "ladder": [
        {
            "kind": ["drop_in_visit"],
            "priority": [3],
            "profession": ["doctor"],
            "unit": [UNIT],
            "origin": ["min_vard"],
            "phase": "waiting",
            "clock": "opening_hours",
            "due": "PT30M",
            "steps": [
                {"after": "PT0S", "do": "notify"},
                {"after": "PT30M", "do": "offer", "to": "on_call", "any_profession": True},
            ],
            "repeat": {"every": "PT15M", "do": "alert_manager", "at_most": 8},
        }
    ],
    "escalation": {"off": [{"kind": "drop_in_visit", "profession": "doctor", "unit": UNIT, "on_call_time": True}]},
    "closing": {"warn_before": "PT30M", "kinds": ["drop_in_visit"], "offer_to": ["on_call"]},
    "routing": {"physical_doctor_6_11_to_nurse_from": "2026-04-01", "ticket_valid": "P14D"},
}
ACTION_KEYS: dict[ActionName, Json] = {
    ActionName.ACCEPT: {"offer": "o1"},
    ActionName.REFUSE: {"reason": "fel", "offer": "o1"},
    ActionName.HAND_OVER: {
        "to_unit": UNIT,
        "to_profession": "nurse",
        "to_staff": MEMBER,
        "ground": "agreed_practice",
        "reference": "rutin",
        "note": "n",
    },
    ActionName.WITHDRAW: {"consultation": "case-1.consultation-1"},
    ActionName.RELEASE: {"reason": "slut"},
    ActionName.CONSULT: {
        "to_unit": UNIT,
        "to_profession": "nurse",
        "to_staff": MEMBER,
        "question": "vad?",
        "wants_handover": True,
    },
    ActionName.ANSWER: {"advice": "vila", "takes_over": False},
    ActionName.REPLY: {"text": "hej"},
    ActionName.MESSAGE: {"by": {"patient": True}, "text": "hej"},
    ActionName.BOOK: {"slot": "s1"},
    ActionName.CANCEL_BOOKING: {"by": {"patient": True}, "reason": "r"},
    ActionName.REPRIORITISE: {"priority": 4, "reason": "r"},
    ActionName.NOTE: {"text": "t"},
    ActionName.CLOSE: {"outcome": "treated", "held_as": "video", "note": "n"},
    ActionName.CANCEL: {"reason": "r"},
}


class Example(NamedTuple):
    """Something that comes from outside, whole, and what reads it."""

    value: Json
    reads: Callable[[object], object]


EXAMPLES: dict[str, Example] = {
    "opening": Example(OPENING, partial(read_opening, Kind.DROP_IN_VISIT)),
    "outcome": Example(OUTCOME, partial(read, TriageOutcome)),
    "directory": Example(DIRECTORY, partial(read, Directory)),
    "policy": Example(POLICY, partial(read, Policy)),
} | {
    name.value: Example({"action_id": "a1", "by": STAFF, **keys}, partial(read, ACTIONS[name]))
    for name, keys in ACTION_KEYS.items()
}

Place = tuple[str | int, ...]


def places(value: object, here: Place = ()) -> Iterator[Place]:
    """Every place in an example, the whole of it first."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*here, key))


def at(value: Any, place: Place) -> Any:
    """What stands at a place."""
    for key in place:
        value = value[key]
    return value


def with_at(value: Any, place: Place, new: object) -> Any:
    """The example with something else at a place."""
    if not place:
        return new
    changed = copy.deepcopy(value)
    at(changed, place[:-1])[place[-1]] = new
    return changed


def fault_of(example: Example, value: object) -> str:
    with pytest.raises(Malformed) as raised:
        example.reads(value)
    return str(raised.value)


ALL_PLACES = [(name, place) for name, example in EXAMPLES.items() for place in places(example.value)]
OBJECTS = [(name, place) for name, place in ALL_PLACES if isinstance(at(EXAMPLES[name].value, place), dict)]
FREE_KEYS = {"opening", "on_call"}
"""Whose keys are weekdays, checked as such."""


def test_every_action_has_an_example() -> None:
    assert set(ACTION_KEYS) == set(ACTIONS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read(name: str) -> None:
    EXAMPLES[name].reads(EXAMPLES[name].value)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("value", [None, 1, "text", [], True, 1.5, [{}]])
def test_only_an_object_is_read(name: str, value: object) -> None:
    fault_of(EXAMPLES[name], value)


CANARY = "Xq7kanariefågel"
CANARY_NUMBER = 739158462207

NOTES: st.SearchStrategy[object] = st.sampled_from(
    [
        CANARY,
        f"{CANARY}\x00",
        f"\ud800{CANARY}",
        f"SE2321000198-{CANARY}",
        f"2026-11-24T09:00:00+01:00{CANARY}",
        f"PT30M{CANARY}",
        f"08:00-{CANARY}",
        f"{CANARY}@{CANARY}@",
        CANARY * 10_000,
        CANARY_NUMBER,
        -CANARY_NUMBER,
        float(CANARY_NUMBER) + 0.5,
        CANARY_NUMBER**30,
        [CANARY],
        [[CANARY_NUMBER]],
        {"patient": CANARY},
        {"staff": CANARY, "unit": CANARY_NUMBER, "profession": [CANARY]},
        {"id": CANARY, "digital": CANARY},
        {"mon": [CANARY], "tue": CANARY},
        [{"after": CANARY, "do": CANARY, "unit": CANARY, "profession": CANARY, "id": CANARY, "name": CANARY_NUMBER}],
    ]
)


@settings(max_examples=1_000)
@given(where=st.sampled_from(ALL_PLACES), note=NOTES)
def test_a_fault_never_quotes_the_value(where: tuple[str, Place], note: object) -> None:
    name, place = where
    example = EXAMPLES[name]
    try:
        example.reads(with_at(example.value, place, note))
    except Malformed as fault:
        told = str(fault)
        told += "".join(traceback.format_exception(fault))  # as a worker would log it
        assert CANARY[:8] not in told
        assert str(CANARY_NUMBER)[:8] not in told


@settings(max_examples=300)
@given(where=st.sampled_from(OBJECTS), note=NOTES)
def test_a_key_that_there_is_not_is_refused_by_name_and_without_its_value(
    where: tuple[str, Place], note: object
) -> None:
    name, place = where
    example = EXAMPLES[name]
    told = fault_of(example, with_at(example.value, (*place, "unheard_of"), note))
    assert "unheard_of" in told
    assert place[-1:] in {(key,) for key in FREE_KEYS} or "there is no such key here" in told
    assert CANARY[:8] not in told
    assert str(CANARY_NUMBER)[:8] not in told


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_missing_key_is_refused_by_name(name: str) -> None:
    example = EXAMPLES[name]
    needed = {"opening": "priority", "outcome": "level", "directory": "unit", "policy": "ladder"}.get(name, "by")
    without = {key: value for key, value in example.value.items() if key != needed}
    assert fault_of(example, without) == f"{needed}: is required"


def test_a_fault_names_every_key_and_where_it_stands() -> None:
    told = fault_of(EXAMPLES["opening"], {"case_id": "a b", "patient": {"id": 1}, "nix": 1})
    keys = [fault.partition(":")[0] for fault in told.split("; ")]
    assert set(keys) == {
        "case_id", "origin", "unit", "profession", "patient.id", "patient.digital", "nix", "priority",
    }  # fmt: skip


def test_a_flood_of_faults_is_counted() -> None:
    told = fault_of(EXAMPLES["opening"], OPENING | {f"nix{number}": 1 for number in range(1000)})
    assert told.endswith(f"; and {1000 - MOST_FAULTS} more")


def test_a_strange_key_is_named_short_and_printable() -> None:
    told = fault_of(EXAMPLES["opening"], OPENING | {"\x1b[31m\n\ud800" + "x" * 100_000: 1})
    assert told.isprintable()
    assert len(told) < LONGEST_NAMED_KEY + 50


@pytest.mark.parametrize(("key", "kind"), [(key, kind) for kind, keys in OWN_KEYS.items() for key in keys])
def test_a_key_of_another_kind_is_told_from_one_that_exists_nowhere(key: str, kind: Kind) -> None:
    if kind is Kind.DROP_IN_VISIT:
        return
    told = fault_of(EXAMPLES["opening"], OPENING | {key: "x"})
    assert f"{key}: a drop_in_visit has no such key" in told


BAD_CASE_IDS = [
    "",
    ".a",
    "-a",
    "a b",
    "a/b",
    "a\n",
    "\na",
    "å",
    "a\u0661",
    "x" * 65,
    "a\x00",
    "a\ud800",
    1,
    None,
    ["a"],
]
BAD_HSA_IDS = [
    "", "SE2321000198", "SE2321000198-", "SE232100019-A", "SE2321000198-A\n", "se2321000198-A", "SE2321000198-Å",
    "SE\u0662321000198-A", "SE2321000198-" + "x" * 19, " SE2321000198-A", 2321000198, None,
]  # fmt: skip
BAD_PROFESSIONS = ["", "Doctor", "doctor\n", "läkare", "1doctor", "x" * 65, "doc tor", 1, None]


@pytest.mark.parametrize(
    ("key", "value"),
    [("case_id", value) for value in BAD_CASE_IDS]
    + [("unit", value) for value in BAD_HSA_IDS]
    + [("profession", value) for value in BAD_PROFESSIONS],
)
@pytest.mark.parametrize("name", ["opening", "outcome"])
def test_a_bad_id_is_refused(name: str, key: str, value: object) -> None:
    assert fault_of(EXAMPLES[name], EXAMPLES[name].value | {key: value}).startswith(f"{key}: ")


@pytest.mark.parametrize("value", ["3", 3.0, 3.5, True, None, 0, 13, -3, 10**30, float("nan"), float("inf"), [3]])
@pytest.mark.parametrize("name", ["opening", "outcome", "reprioritise"])
def test_a_priority_is_a_number_of_the_routine(name: str, value: object) -> None:
    assert "priority: " in fault_of(EXAMPLES[name], EXAMPLES[name].value | {"priority": value})


@pytest.mark.parametrize("value", ["true", 1, 0, "yes", None, []])
def test_a_flag_is_true_or_false(value: object) -> None:
    assert "patient.digital: " in fault_of(EXAMPLES["opening"], with_at(OPENING, ("patient", "digital"), value))


@pytest.mark.parametrize("text", ["", "a\x00b", "\ud800", "x" * 4_001, 3, ["x"]])
def test_a_reason_is_a_text_of_at_most_4000_characters(text: object) -> None:
    assert fault_of(EXAMPLES["opening"], OPENING | {"reason": text}).startswith("reason: ")


@pytest.mark.parametrize(
    ("action", "key", "longest"),
    [
        (ActionName.NOTE, "text", 10_000),
        (ActionName.REPLY, "text", 10_000),
        (ActionName.MESSAGE, "text", 10_000),
        (ActionName.CONSULT, "question", 4_000),
        (ActionName.ANSWER, "advice", 4_000),
        (ActionName.CLOSE, "note", 4_000),
        (ActionName.CANCEL, "reason", 4_000),
        (ActionName.ACCEPT, "offer", 200),
        (ActionName.BOOK, "slot", 200),
        (ActionName.HAND_OVER, "reference", 200),
        (ActionName.ACCEPT, "action_id", 64),
    ],
)
def test_a_text_is_as_long_as_the_contract_says(action: ActionName, key: str, longest: int) -> None:
    example = EXAMPLES[action]
    example.reads(example.value | {key: "å" * longest})
    assert fault_of(example, example.value | {key: "å" * (longest + 1)}).startswith(f"{key}: ")


STAFF_ONLY = sorted(set(ActionName) - {"message", "book", "cancel_booking", "cancel"})


@pytest.mark.parametrize("action", STAFF_ONLY)
def test_the_patient_may_not_where_only_staff_may(action: str) -> None:
    example = EXAMPLES[action]
    assert "by.staff: is required" in fault_of(example, example.value | {"by": {"patient": True}})


def test_staff_may_not_write_as_the_patient() -> None:
    assert "by.patient: is required" in fault_of(EXAMPLES["message"], {"by": STAFF, "text": "hej"})


@pytest.mark.parametrize("by", [{"patient": False}, {"patient": "true"}, {"patient": True, **STAFF}, {}, [], "patient"])
@pytest.mark.parametrize("action", ["message", "book", "cancel_booking", "cancel"])
def test_an_actor_is_staff_or_the_patient_and_nothing_between(action: str, by: object) -> None:
    example = EXAMPLES[action]
    assert fault_of(example, example.value | {"by": by}).startswith("by")


@pytest.mark.parametrize("priority", [1, 13])
def test_no_case_becomes_an_emergency(priority: int) -> None:
    fault_of(EXAMPLES["reprioritise"], {"by": STAFF, "priority": priority, "reason": "r"})


@pytest.mark.parametrize(
    "value",
    ["2026-11-24", "2026-11-24T09:00:00", "2026-11-24T09:00+01:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00", 1795510800, "now", "2026-11-24T09:00:00+01:00\n", "2026-11-24T09:00:00+25:00"],
)  # fmt: skip
def test_a_time_has_a_date_a_time_and_an_offset(value: object) -> None:
    told = fault_of(EXAMPLES["directory"], with_at(DIRECTORY, ("slot", 0, "starts_at"), value))
    assert told.startswith("slot.0.starts_at: ")


@pytest.mark.parametrize(
    "value", ["30", "PT", "P", "P1Y", "P1M", "-PT5M", "PT30M\n", 1800, "pt30m", "PT1.5H", "P99999999D"]
)
def test_a_duration_is_of_days_hours_minutes_and_seconds(value: object) -> None:
    assert fault_of(EXAMPLES["policy"], with_at(POLICY, ("ladder", 0, "due"), value)).startswith("ladder.0.due: ")


@pytest.mark.parametrize(
    "identity",
    ["19121212-1212", "191212121212", "20000101-2384", "19121272-1219", "ref:a.b_c~-1", "212121K12345", "191212AB1234"],
)
def test_an_identity_of_swedish_care_is_read(identity: str) -> None:
    assert "-" not in checked_identity(identity) or identity.startswith("ref:")


@pytest.mark.parametrize(
    "identity",
    ["", "121212-1212", "19121212+1212", "191212121213", "19121312-1212", "1912121212123", "ref:", "ref:a b", "ref:å",
     "19121212-1212\n", "ref:a\n", "\u0661912\u06612121212", "19121212--1212"],
)  # fmt: skip
def test_another_identity_is_refused(identity: str) -> None:
    fault_of(EXAMPLES["opening"], with_at(OPENING, ("patient", "id"), identity))


# As bytes ---------------------------------------------------------------------------------------------------------


def text_fault(data: str | bytes) -> str:
    with pytest.raises(Malformed) as raised:
        parse_object(data.encode() if isinstance(data, str) else data)
    assert CANARY[:8] not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("data", ["", " ", "null", "3", '"x"', "[]", "[{}]", "true"])
def test_json_that_is_no_object_is_refused(data: str) -> None:
    assert "one" in text_fault(data)


@pytest.mark.parametrize(
    "data",
    [
        f'{{"a": "{CANARY}"',
        f'{{"a": {CANARY}}}',
        f'{{"a": 1}} {CANARY}',
        f'{{"a": "{CANARY}\x00"}}',
        f'{{"{CANARY}": }}',
        f'{{"a": "\\x{CANARY}"}}',
        "{'a': 1}",
        f'{{"a": 1,}} // {CANARY}',
        pytest.param('{"a": ' + "9" * 5_000 + "}", id="a number of too many digits"),
        pytest.param('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", id="nested too deeply"),
        pytest.param('{"a":' * 200_000 + "1" + "}" * 200_000, id="nested too deeply, in objects"),
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        "\ufeff{}".encode(),
    ],
)
def test_what_is_no_json_is_refused(data: str | bytes) -> None:
    assert text_fault(data) == "must be JSON, one object"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    assert text_fault(f'{{"priority": {number}}}') == "a number is not finite"


@pytest.mark.parametrize("data", ['{"a": 1, "a": 1}', '{"b": [{"a": 1, "c": 2, "a": 3}]}', '{"a": 1, "\\u0061": 2}'])
def test_a_key_that_is_given_twice_is_refused_by_name(data: str) -> None:
    assert text_fault(data) == "a: given twice"


def test_two_megabytes_are_read_before_they_are_refused() -> None:
    data = json.dumps(OPENING | {"reason": CANARY * 150_000}).encode()
    assert fault_of(EXAMPLES["opening"], parse_object(data)).startswith("reason: ")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=5)


@given(st.dictionaries(st.text(max_size=20), JSON, max_size=5))
def test_json_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_but_are_read_or_refused(data: bytes) -> None:
    with suppress(Malformed):
        parse_object(data)
