"""What an assertion has to say so that somebody may act, as tables."""

from typing import Any

import pytest

from decisions.assertions import Claims, names_nobody, staff_fault, who_opens
from omhand.contract.actions import ACTIONS, ThePatient
from omhand.contract.names import ActionName, Kind
from omhand.contract.opening import Opening, StaffMember
from omhand.contract.wire import Malformed, read

NORTH, SOUTH = "SE2321000198-HC01", "SE2321000198-HC02"
NURSE = StaffMember(staff="SE2321000198-S1", unit=NORTH, profession="nurse")
AGREES: dict[str, Any] = {"sub": "SE2321000198-S1", "unit": NORTH, "profession": "nurse"}


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        (AGREES, None),
        ({"sub": "SE2321000198-S1"}, None),
        (AGREES | {"name": "Någon", "iat": 7, "realm_access": {"roles": ["x"]}}, None),
        ({}, "somebody else"),
        ({"unit": NORTH, "profession": "nurse"}, "somebody else"),
        (AGREES | {"sub": "SE2321000198-S2"}, "somebody else"),
        (AGREES | {"sub": "se2321000198-s1"}, "somebody else"),
        (AGREES | {"unit": SOUTH}, "another unit"),
        (AGREES | {"profession": "doctor"}, "another profession"),
        # A patient's own vouches for no member of staff.
        ({"sub": "somebody", "patient": "191212121212"}, "somebody else"),
    ],
)
def test_assertion_agrees_with_who_acts(claims: dict[str, Any], fault: str | None) -> None:
    found = staff_fault(NURSE, read(Claims, claims))
    assert fault in found if fault and found else found == fault


@pytest.mark.parametrize("claims", [{"sub": 7}, {"sub": "x" * 201}, {"unit": "x"}, {"patient": "191212121213"}])
def test_claims_of_another_form_are_malformed_and_not_quoted(claims: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        read(Claims, claims)
    assert "191212121213" not in str(caught.value)


def an_opening(**changes: Any) -> Opening:
    """Of a message thread."""
    given = {"case_id": "c1", "origin": "min_vard", "unit": NORTH, "profession": "nurse"}
    return Opening.model_validate(given | changes)


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({}, None),
        ({"origin": "1177_phone"}, None),
        ({"origin": "patient"}, ThePatient(patient=True)),
        ({"origin": "unit", "asked_by": NURSE}, NURSE),
        ({"origin": "staff", "asked_by": NURSE}, NURSE),
        ({"origin": "patient", "asked_by": NURSE}, NURSE),
        # What a patient writes is theirs, through whatever it comes.
        ({"message": "hej"}, ThePatient(patient=True)),
        ({"origin": "unit", "message": "hej"}, None),
    ],
)
def test_who_opens_a_case_is_who_has_to_be_vouched_for(changes: dict[str, Any], who: object) -> None:
    assert who_opens(an_opening(**changes)) == who


@pytest.mark.parametrize(
    ("kind", "changes", "nobody"),
    [
        (Kind.MESSAGE_THREAD, {"origin": "unit"}, True),
        (Kind.SCHEDULED_VISIT, {"origin": "staff"}, True),
        (Kind.MESSAGE_THREAD, {"origin": "unit", "asked_by": NURSE}, False),
        (Kind.MESSAGE_THREAD, {"origin": "min_vard"}, False),
        # Of these nobody can say who it is.
        (Kind.DROP_IN_VISIT, {"origin": "unit"}, False),
    ],
)
def test_unit_that_does_not_say_who_opens_a_case(kind: Kind, changes: dict[str, Any], *, nobody: bool) -> None:
    assert names_nobody(kind, an_opening(**changes)) is nobody


@pytest.mark.parametrize("name", list(ActionName))
def test_every_action_takes_an_assertion(name: ActionName) -> None:
    field = ACTIONS[name].model_fields["assertion"]
    assert (field.is_required(), field.default) == (False, None)


@pytest.mark.parametrize("assertion", ["", "a b", "a\n", "é", "a\x00", "x" * 8_193, 7, ["a"]])
def test_assertion_that_can_be_none_is_malformed_and_not_quoted(assertion: object) -> None:
    given = {"by": NURSE.to_json(), "assertion": assertion}
    with pytest.raises(Malformed) as caught:
        read(ACTIONS[ActionName.ACCEPT], given)
    assert str(caught.value).startswith("assertion: ")
    assert "x" * 20 not in str(caught.value)
