"""Which kind a triage outcome becomes (K1-K6): every row of the contract's table, against an oracle written from it."""

# ruff: noqa: FBT001 - the columns of a table are named where they stand

from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from small_region import MONDAY_9, NORTH, OPENING

from decisions.routing import NotInRoutine, Route, opening_of, outside_the_routine, route
from omhand.contract.names import Kind, Level, Origin
from omhand.contract.opening import Opening, TriageOutcome, read_opening
from omhand.contract.policy import Routing

RULE_DATE = date(2026, 4, 1)
AFTER = date(2026, 11, 23)
EVERY_OUTCOME = list(
    product(("min_vard", "1177_phone"), (True, False), ("digital", "physical"), range(1, 13), (True, False))
)


def outcome(
    source: str, digital: bool, level: str, priority: int, wants_help: bool, profession: str = "doctor"
) -> TriageOutcome:
    return TriageOutcome.model_validate({
        "case_id": "c-1", "source": source, "level": level, "priority": priority, "profession": profession,
        "unit": NORTH, "patient": {"id": "191212121212", "digital": digital}, "wants_help_booking": wants_help,
    })  # fmt: skip


def contract_says(source: str, digital: bool, level: str, priority: int, wants_help: bool) -> str:
    """The contract's table, a row a line, the first that fits."""
    rows = [
        (priority == 1, "not in routine"),
        (digital and level == "digital" and wants_help, "drop_in_visit"),
        (source == "min_vard" and digital and level == "digital" and priority in (2, 3, 4, 5, 12), "drop_in_visit"),
        (source == "1177_phone" and digital and level == "digital" and priority in (2, 3, 4, 5), "drop_in_visit"),
        (digital and level == "digital" and priority in (6, 7, 8, 9, 10, 11), "scheduled_visit"),
        (source == "1177_phone" and (not digital or level == "physical"), "phone_consultation"),
        (True, "not in routine"),
    ]
    return next(kind for fits, kind in rows if fits)


@pytest.mark.parametrize("given", EVERY_OUTCOME)
def test_every_outcome_becomes_what_the_contracts_table_says(given: tuple[Any, ...]) -> None:
    # K1a K1b K1c K2a K5a
    to = route(outcome(*given), Routing(), AFTER)
    expected = contract_says(*given)
    assert (to.kind if isinstance(to, Route) else "not in routine") == expected


def test_an_emergency_is_refused_with_the_number_to_call() -> None:
    to = route(outcome("min_vard", True, "digital", 1, True), Routing(), AFTER)  # noqa: FBT003
    assert isinstance(to, NotInRoutine)
    assert "112" in to.message


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (("min_vard", True, "physical", 3, False), "physical"),
        (("min_vard", False, "digital", 3, False), "not digital"),
        (("1177_phone", True, "digital", 12, False), "12"),
    ],
)
def test_what_is_outside_the_routine_is_told_why_and_what_to_do_instead(given: tuple[Any, ...], word: str) -> None:
    to = route(outcome(*given), Routing(), AFTER)
    assert isinstance(to, NotInRoutine)
    assert word in to.message
    assert ":" in to.message


@pytest.mark.parametrize("digital", [True, False])
@pytest.mark.parametrize("level", ["digital", "physical"])
@pytest.mark.parametrize("profession", ["doctor", "nurse", "psychologist"])
@pytest.mark.parametrize("priority", range(2, 13))
@pytest.mark.parametrize("today", [RULE_DATE - timedelta(days=1), RULE_DATE, RULE_DATE + timedelta(days=1)])
def test_physical_cases_to_a_doctor_of_6_to_11_go_to_a_nurse_from_their_date_on(
    digital: bool,
    level: str,
    profession: str,
    priority: int,
    today: date,
) -> None:
    # K5c
    to = route(outcome("1177_phone", digital, level, priority, False, profession), Routing(), today)  # noqa: FBT003
    to_nurse = level == "physical" and profession == "doctor" and 6 <= priority <= 11 and today >= RULE_DATE
    if isinstance(to, Route):
        assert to.profession == ("nurse" if to_nurse else profession)
    else:
        assert digital
        assert level == "digital"


def test_policy_can_say_that_the_nurse_rule_does_not_hold() -> None:
    # K5c
    never = Routing(physical_doctor_6_11_to_nurse_from=None)
    to = route(outcome("1177_phone", True, "physical", 7, False), never, AFTER)  # noqa: FBT003
    assert isinstance(to, Route)
    assert to.profession == "doctor"


@pytest.mark.parametrize("given", EVERY_OUTCOME)
def test_the_case_is_started_with_what_triage_found_and_only_keys_of_its_kind(given: tuple[Any, ...]) -> None:
    found = outcome(*given)
    to = route(found, Routing(), AFTER)
    if isinstance(to, NotInRoutine):
        return
    opening = opening_of(found, to, MONDAY_9, timedelta(days=14))
    # What is sent is read again by the case itself: a key of another kind would fail it.
    sent = opening.model_dump(mode="json", exclude_defaults=True)
    assert read_opening(to.kind, sent).to_json() == opening.to_json()
    assert (opening.case_id, opening.unit, opening.origin) == (found.case_id, found.unit, found.source)
    assert (opening.priority, opening.profession) == (found.priority, to.profession)
    assert opening.patient == found.patient
    assert (opening.level is not None) == (to.kind is Kind.PHONE_CONSULTATION)
    if to.kind is Kind.SCHEDULED_VISIT:
        # K2a
        assert opening.ticket is not None
        assert opening.ticket.valid_from == MONDAY_9
        assert opening.ticket.valid_until == MONDAY_9 + timedelta(days=14)
    else:
        assert opening.ticket is None


def an_opening(**more: Any) -> Opening:
    return Opening.model_validate(OPENING | more)


@pytest.mark.parametrize("wants_help", [True, False])
@pytest.mark.parametrize("digital", [True, False])
@pytest.mark.parametrize("priority", range(1, 13))
@pytest.mark.parametrize("origin", Origin)
def test_a_drop_in_that_is_started_directly_has_to_be_one_of_the_routine(
    origin: Origin,
    priority: int,
    digital: bool,
    wants_help: bool,
) -> None:
    # K1a K1b K1c
    fault = outside_the_routine(
        Kind.DROP_IN_VISIT,
        an_opening(
            origin=origin, priority=priority, wants_help_booking=wants_help,
            patient={"id": "ref:x", "digital": digital},
        ),
    )  # fmt: skip
    allowed = {2, 3, 4, 5} if origin is Origin.PHONE_1177 else {2, 3, 4, 5, 12}
    fits = priority != 1 and digital and (wants_help or priority in allowed)
    assert (fault is None) == fits
    if fault:
        assert fault.message


def test_levels_are_the_contracts() -> None:
    assert [level.value for level in Level] == ["digital", "physical"]
