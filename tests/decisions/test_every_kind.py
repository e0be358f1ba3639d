"""What holds of all six kinds alike, in every status: asked about, handed over, and closed as it was held.

Which actions each has, and by whom, is in ``test_every_action.py``.
"""

from typing import Final

import pytest
from small_region import DOCTOR_NORTH, DOCTOR_SOUTH, NORTH, PATIENT, SOUTH, By
from test_every_action import WITH
from test_routine_doc import WHO, a_case

from decisions.facts import question
from decisions.lifecycle import TABLE
from omhand.contract.actions import ACTIONS
from omhand.contract.names import VISITS, ActionName, Code, Kind, Status
from omhand.contract.wire import read

EVERY_STATUS: Final = [(kind, status) for kind in Kind for status in TABLE[kind]]
OPEN: Final = [(kind, status) for kind, status in EVERY_STATUS if status is not Status.CLOSED]


@pytest.mark.parametrize(("kind", "status"), EVERY_STATUS)
def test_what_has_to_be_known_can_be_asked_of_any_case_also_where_it_has_no_such_action(
    kind: Kind, status: Status
) -> None:
    # R2
    story = a_case(kind, status)
    for name in ActionName:
        who = PATIENT if name is ActionName.MESSAGE else WHO[kind][""]
        asked = question(story.case, read(ACTIONS[name], {"by": who, **WITH[name][-1]}), story.now)
        assert type(asked).model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("held_as", ["video", "chat", "message", "physical", "phone"])
def test_only_a_visit_is_not_closed_as_held_by_phone(kind: Kind, held_as: str) -> None:
    # P4
    refusal = a_case(kind, "accepted").act("close", WHO[kind][""], outcome="treated", held_as=held_as)
    assert (refusal and refusal.code) == (Code.MUST_BE_DIGITAL if kind in VISITS and held_as == "phone" else None)


@pytest.mark.parametrize(("kind", "status"), OPEN)
def test_in_every_status_it_is_handed_over_and_the_sender_is_responsible_until_then(kind: Kind, status: Status) -> None:
    # H1 H3
    story = a_case(kind, status)
    own, due = story.case.responsible_unit, story.case.due_at
    to_unit, receiver = (NORTH, DOCTOR_NORTH) if own == SOUTH else (SOUTH, DOCTOR_SOUTH)
    story.may("hand_over", WHO[kind][""], to_unit=to_unit, ground="misplaced")
    assert (story.case.responsible_unit, story.case.status, story.case.due_at) == (own, status, due)
    story.may("accept", receiver)
    assert (story.case.responsible_unit, story.view().assigned_to) == (to_unit, receiver["staff"])
    assert story.case.status is (Status.IDLE if status is Status.IDLE else Status.ACCEPTED)
    assert (story.case.handover, story.case.offers) == (None, ())


@pytest.mark.parametrize("kind", [Kind.MESSAGE_THREAD, Kind.ADMINISTRATIVE_CASE])
@pytest.mark.parametrize(("name", "who"), [("message", PATIENT), ("reply", DOCTOR_NORTH)])
def test_a_text_of_a_megabyte_is_refused_in_a_short_row_that_holds_nothing_of_it(
    kind: Kind, name: str, who: By
) -> None:
    # K3 K6a
    story = a_case(kind, "waiting")
    size = story.file.size
    assert story.refused(name, who, text="hemligt " * 131_072) is Code.INVALID_ACTION
    assert story.file.size - size < 1_000
    assert "hemligt" not in story.log[-1].model_dump_json()
