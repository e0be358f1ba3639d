"""Free bookable times (P2): which unit's manager is told that there are none, how often, and in what words."""

from datetime import date, timedelta

import pytest
from small_region import NORTH, a_unit, local, on

from decisions.closing_check import Alarm, Comparing, alarm_of_missing_times, alarm_text, by_email
from decisions.free_times import FreeTimes
from omhand.contract.directory import Unit
from omhand.contract.names import Kind, Reason

TODAY = date(2026, 11, 23)
HERE = Comparing(unit=NORTH, at=local("2026-11-23 17:01"))
NORTHERN = Unit.model_validate(a_unit(NORTH, ["nurse"], on(("mon",), "08:00-17:00"), name="Hälsocentral Norr"))


@pytest.mark.parametrize(
    ("published", "ahead", "in_vain", "missing"),
    [
        (False, False, False, False),  # it takes no bookings
        (False, False, True, True),
        (True, False, False, True),
        (True, True, True, True),  # it has times, of another profession than a ticket's
        (True, True, False, False),
    ],
)
def test_times_are_missing_where_a_unit_takes_bookings_and_has_none_ahead(
    published: bool,  # noqa: FBT001
    ahead: bool,  # noqa: FBT001
    in_vain: bool,  # noqa: FBT001
    missing: bool,  # noqa: FBT001
) -> None:
    # P2
    found = FreeTimes(day=TODAY, has_published=published, has_free_ahead=ahead, has_tickets_in_vain=in_vain)
    assert found.are_missing is missing


def test_the_manager_is_told_once_a_day_and_by_email_where_the_phone_fails() -> None:  # P2 R1
    alarm = alarm_of_missing_times(HERE, TODAY)
    assert (alarm.key, alarm.to, alarm.unit) == (
        f"closing-{NORTH}/no_free_times/2026-11-23",
        "manager",
        NORTH,
    )
    assert (alarm.case_id, alarm.kind, alarm.reason) == (f"closing-{NORTH}", Kind.SCHEDULED_VISIT, Reason.NO_FREE_TIMES)
    again = Comparing(unit=NORTH, at=HERE.at + timedelta(hours=1))
    assert alarm == alarm_of_missing_times(again, TODAY)
    assert alarm.key != alarm_of_missing_times(again, TODAY + timedelta(days=1)).key
    written = by_email(alarm)
    assert (written.key, written.to) == (f"{alarm.key}/email", "manager_by_email")


def test_it_goes_from_the_workflow_to_the_activity_as_it_is() -> None:
    alarm = alarm_of_missing_times(HERE, TODAY)
    assert Alarm.model_validate(alarm.to_json()) == alarm


@pytest.mark.parametrize(("unit", "name"), [(NORTHERN, "Hälsocentral Norr"), (None, NORTH)])
def test_it_says_what_is_missing_where_and_what_to_do(unit: Unit | None, name: str) -> None:  # P2
    assert alarm_text(alarm_of_missing_times(HERE, TODAY), unit) == (
        f"Till verksamhetschef: enheten har inga lediga tider att boka: schemalagt besök, {name}."
        " Publicera nya tider, så att patienter med bokningsbiljett kan boka."
    )
