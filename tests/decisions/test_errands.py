"""What a case asks the world to do: everything goes over the wire and comes back the same."""

from small_region import DOCTOR_NORTH, MONDAY_9, OPENING, SOUTH, Told

from decisions import errands
from decisions.errands import Access, Delivery, OpeningQuestion, RouteQuestion, Sending, Step
from decisions.facts import Question, question
from omhand.contract.actions import Accept
from omhand.contract.names import Kind
from omhand.contract.opening import Opening
from omhand.contract.wire import read


def test_no_two_activities_have_one_name() -> None:
    names = [value for name, value in vars(errands).items() if name.isupper() and isinstance(value, str)]
    assert len(names) >= 5
    assert len(set(names)) == len(names)


def test_a_step_goes_over_the_wire_and_back(story: Told) -> None:
    story.until("2026-11-23 10:40").may("accept", DOCTOR_NORTH)
    access = Access(at=story.now, by=read(Accept, {"by": DOCTOR_NORTH}).by, action="accept")
    step = Step(
        run_id="run-1", case=story.case, events=story.log, notices=tuple(story.notices), takes=True, access=(access,)
    )
    assert Step.model_validate_json(step.model_dump_json()) == step


def test_questions_go_over_the_wire_and_back(story: Told) -> None:
    asked = question(story.case, read(Accept, {"by": DOCTOR_NORTH}), story.now)
    assert Question.model_validate_json(asked.model_dump_json()) == asked
    opening = Opening.model_validate(OPENING)
    start = OpeningQuestion(kind=Kind.DROP_IN_VISIT, opening=opening, at=MONDAY_9, run_id="run-1")
    assert OpeningQuestion.model_validate_json(start.model_dump_json()) == start


def test_what_was_not_delivered_and_not_withdrawn_has_failed_for_good() -> None:
    assert not Delivery.model_validate({"delivered": False, "channel": "phone"}).withdrawn
    assert Sending(key="c-1/2").key == "c-1/2"


def test_a_route_is_asked_for_at_an_instant() -> None:
    outcome = {
        "case_id": "c-1", "source": "min_vard", "level": "digital", "priority": 3, "profession": "doctor",
        "unit": SOUTH, "patient": OPENING["patient"],
    }  # fmt: skip
    assert RouteQuestion.model_validate({"outcome": outcome, "at": "2026-11-23T09:00:00+01:00"}).at == MONDAY_9
