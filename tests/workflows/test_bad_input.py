"""What a bad start and a bad action get: a clear failure at once, never a workflow task that fails again and again."""

import json
from typing import Any

import pytest
from stories import NORTH, NURSE_NORTH, Stack, failure_of, opening, refusal_of
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue

OUTSIDE = "SE2321000198-NOWHERE"


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    """A payload as any client may send it."""
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


def as_json(value: Any) -> RawValue:
    """A payload of JSON as it is, escapes and all."""
    return raw(json.dumps(value).encode())


MALFORMED: dict[str, tuple[tuple[Any, ...], str]] = {
    "no-argument": ((), "0 arguments"),
    "two-arguments": ((opening("x"), opening("x")), "2 arguments"),
    "null": ((None,), "JSON object"),
    "a-list": (([1],), "JSON object"),
    "a-text": (("hello",), "JSON object"),
    "bytes": ((b"\x00\x01",), "binary/plain"),
    "broken-json": ((raw(b'{"case_id": '),), "JSON"),
    "not-utf-8": ((raw(b'{"case_id": "\xff"}'),), "JSON"),
    "unknown-encoding": ((raw(b"{}", b"foo/bar"),), "foo/bar"),
    "no-encoding": ((RawValue(Payload(data=b"{}")),), "json/plain"),
    "deep": ((raw(b'{"case_id":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),), "JSON"),
    "nan": ((raw(b'{"priority": NaN}'),), "finite"),
    "key-twice": ((raw(b'{"case_id": "a", "case_id": "b"}'),), "case_id: given twice"),
    "empty": (({},), "case_id: is required"),
    "unknown-key": ((opening("unknown-key", colour="red"),), "colour"),
    "another-kinds-key": ((opening("another-kinds-key", service="certificate"),), "service: a drop_in_visit"),
    "number-as-text": ((opening("number-as-text", priority="3"),), "priority"),
    "bool-as-number": ((opening("bool-as-number", priority=True),), "priority"),
    "priority-0": ((opening("priority-0", priority=0),), "priority"),
    "priority-13": ((opening("priority-13", priority=13),), "priority"),
    "no-priority": ((opening("no-priority", priority=None),), "priority: is required"),
    "no-patient": ((opening("no-patient", patient=None),), "patient: is required"),
    "bad-unit": ((opening("bad-unit", unit="HC01"),), "unit"),
    "newline-after-unit": ((opening("newline-after-unit", unit=NORTH + "\n"),), "unit"),
    "bad-origin": ((opening("bad-origin", origin="fax"),), "origin"),
    "bad-identity": ((opening("bad-identity", patient={"id": "191212121213", "digital": True}),), "patient.id"),
    "nul": ((opening("nul", reason="a\x00b"),), "reason: NUL"),
    "lone-surrogate": ((as_json(opening("lone-surrogate", reason="a\ud800b")),), "reason"),
    "long-text": ((opening("long-text", reason="å" * 4001),), "reason"),
    "two-megabytes": ((opening("two-megabytes", reason="x" * 1_900_000),), "reason"),
    "wrong-workflow-id": ((opening("another"),), "case_id"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_start_fails_at_once_and_names_the_key(stack: Stack, name: str) -> None:
    args, said = MALFORMED[name]
    handle = await stack.start_raw(name, *args)
    failure = await failure_of(handle)
    assert failure.type == "InvalidCase"
    assert said in failure.message
    assert await stack.rows("select * from omhand.case_log where case_id = $1", name) == []


WELL_FORMED: dict[str, tuple[dict[str, Any], str, str]] = {
    "emergency": ({"priority": 1}, "NotInRoutine", "112"),
    "drop-in-with-7": ({"priority": 7}, "NotInRoutine", "2-5 or 12"),
    "phone-12": ({"origin": "1177_phone", "priority": 12}, "NotInRoutine", "1177"),
    "not-digital": ({"patient": {"id": "ref:1", "digital": False}}, "NotInRoutine", "digital"),
    "not-clinical": ({"profession": "medical_secretary"}, "NotInRoutine", "clinically"),
    "no-such-unit": ({"unit": OUTSIDE}, "UnknownUnit", "unit"),
    "no-such-profession": ({"profession": "astronaut"}, "UnknownProfession", "profession"),
}


@pytest.mark.parametrize("name", WELL_FORMED)
async def test_what_the_routine_does_not_give_is_not_started(stack: Stack, name: str) -> None:
    changes, kind, said = WELL_FORMED[name]
    failure = await failure_of(await stack.start(name, **changes))
    assert (failure.type, said in failure.message) == (kind, True)
    assert await stack.rows("select * from omhand.case_log where case_id = $1", name) == []


async def test_an_error_never_holds_the_value(stack: Stack) -> None:
    secret = "Kanariefågel-4711"
    patient = {"id": secret, "digital": secret, "name": 7, "region": secret}
    changes = {"origin": secret, "priority": secret, "patient": patient, "profession": secret, "unit": secret}
    failure = await failure_of(await stack.start("never-the-value", **changes))
    assert "patient.id" in failure.message
    assert secret not in str(failure)


async def test_a_workflow_type_that_does_not_exist_fails_at_once(stack: Stack) -> None:
    failure = await failure_of(await stack.start("odd-type", workflow_type="DropOutVisit"))
    assert failure.type == "InvalidCase"
    assert "DropInVisit" in failure.message


BAD_ACTIONS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "no argument": ("accept", (), "0 arguments"),
    "two arguments": ("accept", ({"by": NURSE_NORTH}, {}), "2 arguments"),
    "null": ("accept", (None,), "JSON object"),
    "broken": ("accept", (raw(b"{"),), "JSON"),
    "odd encoding": ("accept", (raw(b"{}", b"foo/bar"),), "foo/bar"),
    "no by": ("accept", ({},), "by: is required"),
    "the patient accepts": ("accept", ({"by": {"patient": True}},), "by"),
    "unknown key": ("accept", ({"by": NURSE_NORTH, "colour": 1},), "colour"),
    "long action id": ("note", ({"by": NURSE_NORTH, "text": "x", "action_id": "x" * 65},), "action_id"),
    "no reason": ("release", ({"by": NURSE_NORTH},), "reason"),
    "odd outcome": ("close", ({"by": NURSE_NORTH, "outcome": "cancelled", "held_as": "video"},), "outcome"),
    "no such action": ("explode", ({"by": NURSE_NORTH},), "no such action"),
    "lone surrogate": ("note", (as_json({"by": NURSE_NORTH, "text": "\udfff"}),), "text"),
}


async def test_an_unreadable_action_is_refused_logged_and_harms_nothing(stack: Stack) -> None:
    handle = await stack.start("bad-actions")
    for name, args, said in BAD_ACTIONS.values():
        refusal = await refusal_of(handle, name, *args)
        assert refusal.type == "InvalidAction"
        assert said in refusal.message
        await handle.signal(name, args=args)
    # An update comes after the signals before it: by its answer all of them have been taken up.
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "still here"})
    rejected = [row for row in view["log"] if row["event"] == "rejected"]
    assert len(rejected) == 2 * len(BAD_ACTIONS)
    assert {row["detail"]["code"] for row in rejected} == {"InvalidAction"}
    assert [row["seq"] for row in view["log"]] == list(range(1, len(view["log"]) + 1))
    assert view["status"] == "waiting"
    assert rejected[-4]["detail"]["action"] == "explode"


async def test_an_unknown_name_cannot_carry_a_text_into_the_log(stack: Stack) -> None:
    handle = await stack.start("odd-names")
    await handle.signal("Anna Andersson ringde, hon har feber!", {})
    view = await handle.execute_update("note", {"by": NURSE_NORTH, "text": "x"})
    assert "Anna" not in json.dumps(view)
    assert view["log"][-2]["detail"]["action"] == "unreadable"


async def test_cancelling_the_workflow_does_not_lose_the_case(stack: Stack) -> None:
    handle = await stack.start("not-by-force")
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "open"})
    await handle.cancel()
    view = await handle.execute_update("accept", {"by": NURSE_NORTH})
    assert view["status"] == "accepted"
    final = await handle.execute_update("close", {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video"})
    assert final["status"] == "closed"
    assert any(row["detail"].get("action") == "stop_workflow" for row in final["log"])
    assert (await handle.result())["outcome"] == "treated"


async def test_a_failed_start_answers_whoever_waits(stack: Stack) -> None:
    handle = await stack.start("waits-in-vain", priority=7)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
