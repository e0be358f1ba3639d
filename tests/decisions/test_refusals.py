"""What a refusal says: whatever was refused and why, whoever tried is told who has the case (contract §2)."""

from typing import Any

import pytest
from small_region import (
    CLERK_NORTH,
    DOCTOR_NORTH,
    DOCTOR_SOUTH,
    NORTH,
    NOWHERE,
    NURSE_EAST,
    NURSE_NORTH,
    SOUTH,
    By,
    Told,
    by,
)

from omhand.contract.names import Code

TO_SOUTH = {"to_unit": SOUTH, "ground": "misplaced"}
DONE = {"outcome": "treated", "held_as": "video"}


@pytest.mark.parametrize(
    ("before", "name", "who", "payload", "code"),
    [
        ([], "accept", by("SE2321000198-S999", NORTH, "nurse"), {}, Code.UNKNOWN_STAFF),
        ([], "accept", DOCTOR_NORTH | {"unit": NOWHERE}, {}, Code.UNKNOWN_UNIT),
        ([], "accept", DOCTOR_NORTH | {"profession": "shaman"}, {}, Code.UNKNOWN_PROFESSION),
        ([], "accept", CLERK_NORTH, {}, Code.NOT_CLINICAL),
        ([], "accept", NURSE_EAST, {}, Code.NOT_OFFERED),
        ([], "accept", DOCTOR_NORTH, {"offer": "9.9"}, Code.OFFER_GONE),
        (["accept"], "accept", NURSE_NORTH, {}, Code.ALREADY_ACCEPTED),
        ([], "close", DOCTOR_NORTH, DONE, Code.NOT_ACCEPTED),
        (["accept"], "close", DOCTOR_SOUTH, DONE, Code.NOT_RESPONSIBLE),
        (["accept"], "close", DOCTOR_NORTH, DONE | {"held_as": "phone"}, Code.MUST_BE_DIGITAL),
        (["accept"], "release", NURSE_NORTH, {"reason": "x"}, Code.NOT_RESPONSIBLE),
        ([], "refuse", DOCTOR_NORTH, {"reason": "x"}, Code.MAY_NOT_BE_REFUSED),
        ([], "withdraw", DOCTOR_NORTH, {}, Code.NOTHING_PENDING),
        ([], "hand_over", DOCTOR_NORTH, TO_SOUTH | {"ground": "agreed_practice"}, Code.GROUND_NOT_MET),
        ([], "hand_over", DOCTOR_NORTH, TO_SOUTH | {"to_unit": NORTH}, Code.INVALID_ACTION),
        ([], "hand_over", DOCTOR_NORTH, TO_SOUTH | {"to_unit": NOWHERE}, Code.UNKNOWN_UNIT),
        (["hand_over"], "hand_over", DOCTOR_NORTH, TO_SOUTH, Code.HANDOVER_PENDING),
        ([], "consult", DOCTOR_SOUTH, {"to_unit": SOUTH, "question": "x"}, Code.NOT_RESPONSIBLE),
        ([], "answer", DOCTOR_SOUTH, {"advice": "x", "takes_over": True}, Code.WRONG_KIND),
        ([], "reprioritise", DOCTOR_NORTH, {"priority": 3, "reason": "x"}, Code.INVALID_ACTION),
        (["cancel"], "note", DOCTOR_NORTH, {"text": "x"}, Code.CASE_CLOSED),
    ],
)  # fmt: skip
def test_whoever_is_refused_is_told_why_and_who_has_the_case(
    story: Told, before: list[str], name: str, who: By, payload: dict[str, Any], code: Code
) -> None:
    for earlier in before:
        story.may(earlier, DOCTOR_NORTH, **{"hand_over": TO_SOUTH, "cancel": {"reason": "x"}}.get(earlier, {}))
    refusal = story.act(name, who, **payload)
    assert refusal is not None
    assert refusal.code is code
    assert NORTH in refusal.message
    assert refusal.message.endswith(".")
    assert not {NOWHERE, "shaman", "SE2321000198-S999"} & set(refusal.message.split())
