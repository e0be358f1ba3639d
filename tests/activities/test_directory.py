"""What the loaded rules say when a case asks (contract §1, §7)."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from samples import CLERK, DIRECTORY, EAST, NORTH, NOWHERE, NURSE, POLICY, SOUTH, opened, opening
from temporalio.exceptions import ApplicationError

from activities import directory
from activities.directory import Rules
from activities.postgres.pool import open_pool
from activities.records import Records
from decisions.errands import OpenedCase, OpeningQuestion, RouteQuestion
from decisions.facts import NextPhase, Question
from decisions.ladders import Subject
from omhand.contract.names import Kind, Origin, Phase
from omhand.contract.opening import StaffMember, TriageOutcome
from workers.load import load

AT = datetime(2026, 11, 24, 9, 0, tzinfo=ZoneInfo("Europe/Stockholm")).astimezone(UTC)
HOUR = timedelta(hours=1)


class Loading:
    """Loads the small region again, changed."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn, self._folder = dsn, folder

    async def __call__(self, directory: str = DIRECTORY, policy: str = POLICY) -> int:
        paths = self._folder / "directory.toml", self._folder / "policy.toml"
        for path, text in zip(paths, (directory, policy), strict=True):
            path.write_text(text, encoding="utf-8")
        return await load(self._dsn, *paths)


@pytest.fixture
def loading(dsn: str, tmp_path: Path) -> Loading:
    """Loads new versions into the test's database."""
    return Loading(dsn, tmp_path)


def asked(
    by: dict[str, str] | None = NURSE, phase: Phase | None = Phase.WAITING, unit: str = NORTH, policy: int = 1
) -> Question:
    """What is asked before an action of a drop-in with priority 3."""
    subject = Subject(kind=Kind.DROP_IN_VISIT, priority=3, profession="nurse", unit=unit, origin=Origin.MIN_VARD)
    following = NextPhase(phase=phase, subject=subject) if phase else None
    return Question(at=AT, by=StaffMember(**by) if by else None, next=following, policy=policy)


def asked_to_open(run_id: str = "run-1", **changes: Any) -> OpeningQuestion:
    """What is asked before a drop-in is opened."""
    return OpeningQuestion(kind=Kind.DROP_IN_VISIT, opening=opening("c1", **changes), at=AT, run_id=run_id)


def asked_to_route(**changes: Any) -> RouteQuestion:
    """What is asked before a triage outcome becomes a case."""
    outcome = {
        "case_id": "c1",
        "source": "min_vard",
        "level": "digital",
        "priority": 3,
        "profession": "nurse",
        "unit": NORTH,
        "patient": {"id": "ref:of-c1", "digital": True},
    }
    return RouteQuestion(outcome=TriageOutcome.model_validate(outcome | changes), at=AT)


def without_unit(unit: str) -> str:
    """The directory after a unit has closed down: its staff work in the east, and nobody cooperates with it."""
    before, after = DIRECTORY.split(f'[[unit]]\nid = "{unit}"')
    rest = before + after[after.index("\n[[") + 1 :]
    return rest.replace(f'unit = "{unit}"', f'unit = "{EAST}"').replace(f'["{unit}"]', "[]")


# The versions


async def test_without_rules_the_error_says_how_to_load_them(unruled: str) -> None:
    async with open_pool(unruled) as pool:
        with pytest.raises(ApplicationError, match="omhand load") as caught:
            await Rules(pool).look_up(asked())
    assert (caught.value.type, caught.value.non_retryable) == ("NoRules", False)


async def test_unknown_version_is_an_error_to_be_tried_again(rules: Rules) -> None:
    with pytest.raises(ApplicationError, match="no version 7") as caught:
        await rules.look_up(asked(policy=7))
    assert not caught.value.non_retryable


async def test_many_who_ask_at_once_share_one_region(rules: Rules) -> None:
    regions = await asyncio.gather(*(rules.current() for _ in range(8)))
    assert {id(region) for region in regions} == {id(regions[0])}


async def test_new_directory_takes_effect_with_the_next_question(rules: Rules, loading: Loading) -> None:
    assert (await rules.look_up(asked())).fault is None
    await loading(DIRECTORY.replace("SE2321000198-S1", "SE2321000198-S9"))
    facts = await rules.look_up(asked())
    assert facts.fault
    assert facts.fault.code == "UnknownStaff"


async def test_case_keeps_the_policy_it_was_opened_under(rules: Rules, loading: Loading) -> None:
    assert await loading(policy=POLICY.replace('due = "PT30M"', 'due = "PT20M"')) == 2
    plans = [(await rules.look_up(asked(policy=version))).next_phase() for version in (1, 2)]
    assert [(plan.policy, plan.due_at) for plan in plans] == [(1, AT + HOUR / 2), (2, AT + HOUR / 3)]


async def test_a_pending_handovers_new_clock_is_by_the_cases_policy_also_of_a_unit_that_is_dropped_by_now(
    rules: Rules, loading: Loading
) -> None:
    # H4: else whoever gives the case another priority would wait for a directory that has the unit again
    without_east = re.sub(rf', "{EAST}"|"{EAST}"(?=\])', "", without_unit(EAST))
    assert await loading(without_east, POLICY.replace('due = "PT30M"', 'due = "PT20M"')) == 2
    question = asked(policy=1)
    pending = asked(phase=Phase.WAITING, unit=EAST).next
    facts = await rules.look_up(question.model_copy(update={"answer": pending}))
    plans = [facts.plan, facts.answer_plan]
    assert [(plan.policy, plan.due_at) for plan in plans if plan] == [(1, AT + HOUR / 2)] * 2


async def test_deadline_on_the_units_clock_is_not_in_a_holiday(rules: Rules, loading: Loading) -> None:
    await loading(policy=POLICY.replace('clock = "always"', 'clock = "opening_hours"'))
    before_christmas = datetime(2026, 12, 23, 15, 30, tzinfo=UTC)
    question = asked(phase=Phase.ACCEPTED, policy=2).model_copy(update={"at": before_christmas})
    # Half an hour is left of Wednesday; then eve, two holidays and a Sunday.
    plan = (await rules.look_up(question)).next_phase()
    assert plan.due_at == datetime(2026, 12, 28, 11, 30, tzinfo=ZoneInfo("Europe/Stockholm"))


# An action


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, None),
        ({"unit": NOWHERE}, "UnknownUnit"),
        ({"profession": "doctor"}, "UnknownProfession"),
        ({"staff": "SE2321000198-S9"}, "UnknownStaff"),
        ({"unit": SOUTH}, "UnknownStaff"),
        ({"profession": "medical_secretary"}, "UnknownStaff"),
    ],
)
async def test_who_acts_is_checked_against_the_directory(
    rules: Rules, changed: dict[str, str], code: str | None
) -> None:
    facts = await rules.look_up(asked(NURSE | changed))
    assert (facts.fault.code if facts.fault else None) == code


@pytest.mark.parametrize(("by", "clinical"), [(NURSE, True), (CLERK, False), (None, False)])
async def test_facts_say_whether_the_profession_is_clinical(
    rules: Rules,
    by: dict[str, str] | None,
    clinical: bool,  # noqa: FBT001
) -> None:
    assert (await rules.look_up(asked(by))).clinical is clinical


async def test_no_plan_is_made_where_no_phase_begins(rules: Rules) -> None:
    assert (await rules.look_up(asked(phase=None))).plan is None


async def test_unit_that_has_left_the_directory_still_has_its_clock(rules: Rules, loading: Loading) -> None:
    await loading(without_unit(NORTH))
    facts = await rules.look_up(asked(by=None, unit=NORTH))
    assert facts.next_phase().due_at == AT + HOUR / 2


async def test_unit_that_came_after_the_policy_and_left_again_still_has_its_clock(
    rules: Rules, loading: Loading
) -> None:
    later = "SE2321000198-HC09"
    unit = DIRECTORY[DIRECTORY.index(f'[[unit]]\nid = "{EAST}"') : DIRECTORY.index("[[staff]]")]
    await loading(DIRECTORY + unit.replace(EAST, later))
    await loading()
    facts = await rules.look_up(asked(by=None, unit=later, policy=1))
    assert (facts.next_phase().policy, facts.next_phase().due_at) == (1, AT + HOUR / 2)


async def test_who_acts_for_a_unit_that_has_left_is_unknown(rules: Rules, loading: Loading) -> None:
    await loading(without_unit(NORTH))
    facts = await rules.look_up(asked(unit=NORTH))
    assert facts.fault
    assert facts.fault.code == "UnknownUnit"
    assert facts.plan is None


async def test_newest_policy_helps_where_the_old_one_has_no_ladder_for_a_newer_unit(
    rules: Rules, loading: Loading
) -> None:
    waiting = POLICY.replace('phase = "waiting"', f'phase = "waiting"\nunit = ["{NORTH}", "{SOUTH}", "{EAST}"]')
    assert await loading(policy=waiting) == 2
    later = "SE2321000198-HC09"
    unit = DIRECTORY[DIRECTORY.index(f'[[unit]]\nid = "{EAST}"') : DIRECTORY.index("[[staff]]")]
    assert await loading(DIRECTORY + unit.replace(EAST, later)) == 3
    facts = await rules.look_up(asked(unit=later, policy=2))
    assert facts.next_phase().policy == 3


# An opening


async def test_opening_gets_the_plan_of_its_first_phase(rules: Rules) -> None:
    facts = await rules.look_up_opening(asked_to_open())
    assert facts.refused is None
    plan = facts.first_phase()
    assert (plan.phase, plan.due_at, plan.policy) == (Phase.WAITING, AT + HOUR / 2, 1)
    assert [moment.units for moment in plan.moments if moment.do == "offer"] == [(SOUTH, EAST)]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"unit": NOWHERE}, "UnknownUnit"),
        ({"profession": "doctor"}, "UnknownProfession"),
        ({"profession": "medical_secretary"}, "NotInRoutine"),
    ],
)
async def test_opening_that_the_directory_does_not_take_is_refused(
    rules: Rules, changed: dict[str, str], fault: str
) -> None:
    facts = await rules.look_up_opening(asked_to_open("run-1", **changed))
    assert facts.refused
    assert (facts.refused.fault, facts.plan) == (fault, None)


async def test_case_that_another_run_opened_is_refused(rules: Rules, records: Records) -> None:
    await records.record(opened("c1"))
    refused = (await rules.look_up_opening(asked_to_open(run_id="run-2"))).refused
    assert refused
    assert refused.fault == "CaseExists"
    assert (await rules.look_up_opening(asked_to_open(run_id="run-1"))).refused is None


# A triage outcome


async def test_outcome_goes_where_the_routine_says(rules: Rules) -> None:
    answer = await rules.look_up_route(asked_to_route())
    assert (answer.kind, answer.before, answer.refused) == (Kind.DROP_IN_VISIT, None, None)
    assert answer.opening
    assert (answer.opening.case_id, answer.opening.origin, answer.opening.priority) == ("c1", "min_vard", 3)


async def test_outcome_of_a_case_that_exists_goes_where_it_went(
    rules: Rules, records: Records, pool: asyncpg.Pool
) -> None:
    await records.record(opened("c1"))
    await pool.execute("update omhand.cases set responsible_unit = $1, profession = 'x', closed_at = now()", SOUTH)
    answer = await rules.look_up_route(asked_to_route(unit=NOWHERE, priority=1))
    assert answer.before
    assert answer.before.to_json() == {
        "workflow_id": "case-c1",
        "workflow_type": "DropInVisit",
        "case_id": "c1",
        "kind": "drop_in_visit",
        "unit": NORTH,
        "profession": "nurse",
    }


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"priority": 1}, "NotInRoutine"),
        ({"level": "physical"}, "NotInRoutine"),
        ({"source": "1177_phone", "priority": 12}, "NotInRoutine"),
        ({"profession": "medical_secretary"}, "NotInRoutine"),
        ({"unit": NOWHERE}, "UnknownUnit"),
        ({"profession": "doctor"}, "UnknownProfession"),
    ],
)
async def test_outcome_that_cannot_be_taken_is_refused_before_anything_starts(
    rules: Rules, changed: dict[str, Any], fault: str
) -> None:
    answer = await rules.look_up_route(asked_to_route(**changed))
    assert answer.refused
    assert (answer.refused.fault, answer.kind, answer.opening) == (fault, None, None)


async def test_case_is_confirmed_once_it_has_been_recorded(rules: Rules, records: Records) -> None:
    case = OpenedCase(case_id="c1")
    asking = asyncio.create_task(rules.confirm_opened(case))
    await records.record(opened("c1"))
    assert await asking == case


async def test_case_that_is_not_recorded_is_not_confirmed(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "LOOKS", 2)
    with pytest.raises(ApplicationError) as caught:
        await rules.confirm_opened(OpenedCase(case_id="c1"))
    assert (caught.value.type, caught.value.non_retryable) == ("NotOpened", False)


async def test_unit_that_has_left_the_directory_is_told_where_it_was_last(
    rules: Rules, records: Records, loading: Loading, pool: asyncpg.Pool
) -> None:
    assert await loading(without_unit(NORTH)) == 2
    await records.record(opened("c1"))
    assert await pool.fetchval("select recipient from omhand.notification_log") == "+46701740601"
    assert (await rules.that_has(NORTH, await rules.current())).version == 1
    assert (await rules.that_has(NOWHERE, await rules.current())).version == 2
