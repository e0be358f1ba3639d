"""The canary: a region of its own, in which it lives as any case does."""

from datetime import UTC, datetime, timedelta

from decisions.canary import (
    CANARY_NURSE,
    CANARY_POLICY,
    CANARY_UNIT,
    ESCALATED_AFTER,
    canary_id,
    canary_opening,
    canary_region,
    is_canary,
)
from decisions.decide import open_case, tick
from decisions.receiving import answer_opening
from omhand.contract.directory import faults_between
from omhand.contract.names import EventName, Kind
from omhand.contract.opening import Opening, read_opening

AT = datetime(2026, 12, 24, 23, 30, tzinfo=UTC)


def the_opening() -> Opening:
    return read_opening(Kind.DROP_IN_VISIT, canary_opening(canary_id(AT)))


def test_its_id_says_when_and_that_it_is_one() -> None:
    assert canary_id(AT) == "omhand.canary.20261224T233000"
    assert is_canary(canary_id(AT))
    assert not is_canary("omhand-canary")
    assert not is_canary(None)


def test_it_is_told_at_once_and_escalates_a_few_seconds_later_whatever_the_hour() -> None:
    region = canary_region()
    facts = answer_opening(Kind.DROP_IN_VISIT, the_opening(), AT, region)
    assert facts.refused is None
    opened = open_case(Kind.DROP_IN_VISIT, the_opening(), facts, AT, None)
    assert [event.event for event in opened.events] == [EventName.OPENED, EventName.NOTIFIED]
    assert opened.case.plan.policy == CANARY_POLICY
    later = tick(opened.case, AT + ESCALATED_AFTER)
    assert EventName.ESCALATED in {event.event for event in later.events}
    assert later.case.escalation_level == 1
    # Nobody else is offered it: its manager is alerted, and that is the end of its ladder for now.
    assert {notice.unit for notice in later.notices} == {CANARY_UNIT}
    assert not tick(later.case, AT + timedelta(seconds=30)).events


def test_its_nurse_works_at_its_unit_and_nowhere_else_is_anybody() -> None:
    region = canary_region()
    assert set(region.units) == {CANARY_UNIT}
    assert region.works(**CANARY_NURSE)


def test_its_directory_is_one_that_could_be_loaded() -> None:
    from decisions.canary import _DIRECTORY  # noqa: PLC0415 - only here
    from omhand.contract.directory import Directory  # noqa: PLC0415
    from omhand.contract.wire import read  # noqa: PLC0415

    assert faults_between(read(Directory, _DIRECTORY)) == []
