"""What differs between two versions of the rules: exact, whatever differs, and nothing where nothing does."""

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from decisions.policy_diff import Change, Rules, compare, duration, in_words
from omhand.contract.directory import Directory
from omhand.contract.policy import Policy

NORTH, SOUTH = "SE2321000198-HC01", "SE2321000198-HC02"
ANNA, BERTIL = "SE2321000198-S1", "SE2321000198-S2"
Json = dict[str, Any]


def a_unit(unit: str, name: str, **more: Any) -> Json:
    return {
        "id": unit,
        "name": name,
        "kind": "health_centre",
        "opening": {"mon": ["08:00-12:00", "13:00-17:00"], "tue": ["08:00-17:00"]},
        "phone": "+46701740601",
        "manager": {"name": "Chef", "phone": "+46701740701"},
        "professions": ["nurse", "doctor"],
    } | more


DIRECTORY: Json = {
    "timezone": "Europe/Stockholm",
    "holidays": "SE",
    "profession": [{"name": "nurse", "clinical": True}, {"name": "doctor", "code": "LK", "clinical": True}],
    "unit": [a_unit(NORTH, "Norr", cooperates_with=[SOUTH]), a_unit(SOUTH, "Syd")],
    "staff": [{"id": ANNA, "name": "Anna", "works_at": [{"unit": NORTH, "profession": "nurse"}]}],
    "slot": [
        {"id": "s1", "unit": NORTH, "profession": "nurse", "starts_at": "2026-11-24T09:00:00+01:00", "length": "PT20M"}
    ],
}
NOTIFY, OFFER = {"after": "PT0S", "do": "notify"}, {"after": "PT30M", "do": "offer", "to": "on_call"}


def a_ladder(phase: str = "waiting", **more: Any) -> Json:
    return {"phase": phase, "clock": "always", "due": "PT30M", "steps": [NOTIFY, OFFER], **more}


REPEAT = {"every": "PT1H", "do": "notify", "at_most": 3}
URGENT = {"kind": ["drop_in_visit"], "priority": [2, 3]}
POLICY: Json = {
    "ladder": [a_ladder(**URGENT), a_ladder(), a_ladder("accepted", repeat=REPEAT)],
    "escalation": {"off": [{"kind": "drop_in_visit", "on_call_time": True}]},
    "closing": {"warn_before": "PT30M"},
    "routing": {"physical_doctor_6_11_to_nurse_from": "2026-04-01"},
}  # fmt: skip


def rules(directory: Json = DIRECTORY, policy: Json = POLICY) -> Rules:
    return Rules(Directory.model_validate(directory), Policy.model_validate(policy))


def changed(change: Callable[[Json, Json], Any]) -> tuple[Rules, Rules]:
    """The rules, and the rules as the change left them."""
    directory, policy = copy.deepcopy(DIRECTORY), copy.deepcopy(POLICY)
    change(directory, policy)
    return rules(), rules(directory, policy)


def told(change: Callable[[Json, Json], Any]) -> list[str]:
    return list(in_words(compare(*changed(change))))


URGENT_LADDER = "ladder phase waiting; kind drop_in_visit; priority 2, 3"
OFFERED = "after PT30M do offer to on_call"
CHANGES: dict[str, tuple[Callable[[Json, Json], Any], list[str]]] = {
    "a key of the file": (lambda d, _p: d.update(holidays=""), ["~ directory: holidays: SE -> "]),
    "hours": (
        lambda d, _p: d["unit"][0]["opening"].update(mon=["08:00-12:00", "13:00-16:00"], sat=["10:00-12:00"]),
        [
            f"~ unit {NORTH} (Norr): opening.mon: without 13:00-17:00; now 13:00-16:00",
            f"~ unit {NORTH} (Norr): opening.sat: nothing -> 10:00-12:00",
        ],
    ),
    "phones": (
        lambda d, _p: d["unit"][1].update(phone="+46701740699", manager={"name": "Ny", "email": "ny@example.org"}),
        [
            f"~ unit {SOUTH} (Syd): phone: +46701740601 -> +46701740699",
            f"~ unit {SOUTH} (Syd): manager.name: Chef -> Ny",
            f"~ unit {SOUTH} (Syd): manager.phone: +46701740701 -> nothing",
            f"~ unit {SOUTH} (Syd): manager.email: nothing -> ny@example.org",
        ],
    ),
    "cooperation": (
        lambda d, _p: (d["unit"][0].pop("cooperates_with"), d["unit"][1].update(cooperates_with=[NORTH])),
        [
            f"~ unit {NORTH} (Norr): cooperates_with: {SOUTH} -> nothing",
            f"~ unit {SOUTH} (Syd): cooperates_with: nothing -> {NORTH}",
        ],
    ),
    "an order": (
        lambda d, _p: d["unit"][0]["professions"].reverse(),
        [f"~ unit {NORTH} (Norr): professions: in another order: doctor | nurse"],
    ),
    "a unit": (
        lambda d, _p: d["unit"].append(
            a_unit("SE2321000198-HC03", "Öst", opening={}, on_call={"sat": ["10:00-18:00"]})
        ),
        [
            "+ unit SE2321000198-HC03 (Öst)",
            "    kind health_centre",
            "    on_call.sat 10:00-18:00",
            "    phone +46701740601",
            "    manager.name Chef",
            "    manager.phone +46701740701",
            "    professions nurse, doctor",
        ],
    ),
    "staff": (
        lambda d, _p: d.update(staff=[{"id": BERTIL, "name": "Bertil", "phone": "+46701740602", "works_at": []}]),
        [
            f"- staff {ANNA} (Anna): works_at unit {NORTH} profession nurse; active yes",
            f"+ staff {BERTIL} (Bertil): phone +46701740602; active yes",
        ],
    ),
    "a profession": (
        lambda d, _p: d["profession"].pop(0),
        ["- profession nurse: clinical yes"],
    ),
    "a time": (
        lambda d, _p: d["slot"][0].update(starts_at="2026-11-24T10:00:00+01:00"),
        ["~ slot s1: starts_at: 2026-11-24T08:00:00+00:00 -> 2026-11-24T09:00:00+00:00"],
    ),
    "a due time and a step": (
        lambda _d, p: p["ladder"][0].update(due="PT20M", steps=[NOTIFY, OFFER | {"any_profession": True}]),
        [
            f"~ {URGENT_LADDER}: due: PT30M -> PT20M",
            f"~ {URGENT_LADDER}: steps: without {OFFERED}; now {OFFERED} any_profession yes",
        ],
    ),
    "what a ladder applies to": (
        lambda _d, p: p["ladder"][0].update(priority=[2]),
        [
            "- ladder phase waiting; kind drop_in_visit; priority 2, 3",
            "    place 1",
            "    clock always",
            "    due PT30M",
            "    steps after PT0S do notify, after PT30M do offer to on_call",
            "+ ladder phase waiting; kind drop_in_visit; priority 2",
            "    place 1",
            "    clock always",
            "    due PT30M",
            "    steps after PT0S do notify, after PT30M do offer to on_call",
        ],
    ),
    "another ladder of the same": (
        lambda _d, p: p["ladder"].append(a_ladder(steps=[NOTIFY])),
        [
            "+ ladder phase waiting (number 2 of the same)",
            "    place 4",
            "    clock always",
            "    due PT30M",
            "    steps after PT0S do notify",
        ],
    ),
    "the order of ladders": (
        lambda _d, p: p["ladder"].insert(0, p["ladder"].pop(1)),
        [f"~ policy: order of ladders: in another order: phase waiting | {URGENT_LADDER.removeprefix('ladder ')}"],
    ),
    "what is repeated": (
        lambda _d, p: p["ladder"][2]["repeat"].update(at_most=5),
        ["~ ladder phase accepted: repeat.at_most: 3 -> 5"],
    ),
    "the switch of escalation": (
        lambda _d, p: p["escalation"]["off"].append({"unit": NORTH, "on_call_time": False}),
        [f"~ policy: escalation.off: now unit {NORTH} on_call_time no"],
    ),
    "closing and routing": (
        lambda _d, p: (p["closing"].update(any_profession=True), p.pop("routing")),
        ["~ policy: closing.any_profession: no -> yes"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_exactly(name: str) -> None:
    change, expected = CHANGES[name]
    assert told(change) == expected


def test_what_is_written_otherwise_and_means_the_same_is_no_change() -> None:
    def write_otherwise(directory: Json, policy: Json) -> None:
        directory["unit"][0]["opening"]["sun"] = []
        directory["slot"][0]["starts_at"] = "2026-11-24T08:00:00Z"
        policy["ladder"][0]["due"] = "PT1800S"
        policy["closing"] = {"kinds": ["drop_in_visit", "phone_consultation"], "any_profession": False}

    assert told(write_otherwise) == []


def test_a_ladder_put_before_the_others_is_all_that_has_changed() -> None:
    change, *others = compare(*changed(lambda _d, p: p["ladder"].insert(0, a_ladder("message"))))
    assert (change.what, change.name, change.after["place"], others) == ("ladder", "phase message", 1, [])


def test_changes_for_programs_are_of_json_s_own_types() -> None:
    (change,) = compare(*changed(lambda d, _p: d["unit"][0]["opening"].pop("tue")))
    assert change == Change("unit", NORTH, "opening.tue", ["08:00-17:00"], None, "Norr")
    assert {type(each.before) for each in compare(*changed(lambda d, _p: d.pop("holidays")))} == {str}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(minutes=30), "PT30M"),
        (timedelta(hours=1, seconds=5), "PT1H5S"),
        (timedelta(days=14), "P14D"),
        (timedelta(days=1, hours=12), "P1DT12H"),
    ],
)
def test_a_duration_is_written_as_in_the_files(value: timedelta, text: str) -> None:
    assert duration(value) == text


def _places(value: Any, *place: Any) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*place, key)
        yield from _places(value[key], *place, key)


@pytest.mark.parametrize("place", list(_places({"directory": DIRECTORY, "policy": POLICY})))
def test_nothing_can_be_taken_away_without_a_change_being_told(place: tuple[Any, ...]) -> None:
    both = copy.deepcopy({"directory": DIRECTORY, "policy": POLICY})
    *way, last = place
    inner: Any = both
    for key in way:
        inner = inner[key]
    inner.pop(last)
    try:
        then = rules(**both)
    except (ValidationError, TypeError):
        return  # what is left is no directory, or no policy
    assert bool(compare(rules(), then)) == (then != rules())
