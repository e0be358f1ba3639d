"""Whatever comes from outside, in whatever form: it is answered, it leaves its row, and no case is stuck for it.

Not examples but floods: Hypothesis draws bytes, shapes, names and encodings, and sends them to cases that go on living.
What is malformed in a way that people have thought of stands in ``test_bad_input.py``.
"""

import asyncio
import base64
import dataclasses
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from stories import NURSE_NORTH, opening
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue
from temporalio.service import RPCError
from what_is_sent import (
    FAULTS,
    KEY,
    KEY_ID,
    NUMBERS,
    OPENINGS,
    Action,
    AsItIs,
    Start,
    actions,
    as_json,
    as_raw,
    starts,
)

from omhand.codec import EncryptionCodec, data_converter
from omhand.contract.names import Code
from omhand.contract.view import View
from workers.embedded import TemporalServer

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

ACTIONS_DRAWN: Final = (30, pytest.param(300, marks=pytest.mark.soak))
STARTS_DRAWN: Final = (8, pytest.param(80, marks=pytest.mark.soak))
"""So many examples; `make soak` draws ten times as many."""
SECONDS_TO_ANSWER: Final = 12
"""More than a workflow task has: one that was lost is done again, and is no fault."""

# Actions ----------------------------------------------------------------------------------------------------------


@dataclass
class Target:
    """A case that is shot at, and what its logs have to hold by now."""

    stage: Stage
    handle: WorkflowHandle[Any, Any]
    case_id: str
    known: set[str] = field(default_factory=set)
    rows: int = 0
    touched: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    async def counts(self) -> tuple[int, int]:
        """Rows of its log that are somebody's doing, not the clock's, and rows of the access log."""
        return await self.stage.pool.fetchrow(  # type: ignore[no-any-return]
            "select (select count(*) from omhand.events where case_id = $1 and (by is not null or event = 'rejected')),"
            " (select count(*) from omhand.access where case_id = $1)",
            self.case_id,
        )

    async def take(self, action: Action) -> None:
        """Send it, as often as it says; an update has to answer with the view, or a refusal's code."""
        for _ in range(action.times):
            args = [RawValue(each.payload) for each in action.args]
            if action.is_update:
                await self.answered(action.name, args, action.update_id)
            else:
                await self.handle.signal(action.name, args=args)
            if action.action_id is None or action.action_id not in self.known:
                self.rows, self.touched = self.rows + 1, self.touched + 1
            self.known |= {action.action_id} if action.action_id else set()

    async def answered(self, name: str, args: Sequence[Any], update_id: str | None = None) -> View | Code:
        """The answer of an update, in time."""
        own_id = None if update_id is None else f"{next(NUMBERS)}{update_id}"
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                answer = await self.handle.execute_update(name, args=args, id=own_id)
        except WorkflowUpdateFailedError as refused:
            code = Code(str(getattr(refused.cause, "type", None)))
            self.answers[code] += 1
            return code
        view = View.model_validate(answer)
        assert view.case_id == self.case_id
        self.answers[name] += 1
        return view

    async def is_whole(self) -> None:
        """A plain note works, and everything that came has left what it has to leave."""
        view = await self.answered("note", [as_raw({"by": NURSE_NORTH, "text": "still here"})])
        assert isinstance(view, View)
        self.rows, self.touched = self.rows + 1, self.touched + 1
        assert tuple(await self.counts()) == (self.rows, self.touched)
        assert [event.seq for event in view.log] == list(range(1, len(view.log) + 1))


@pytest.fixture(scope="module")
async def stage(
    postgres_server: str, temporal_server: TemporalServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """A stage with keys; its client sends payloads as they are, and reads encrypted ones."""
    keys = tmp_path_factory.mktemp("fuzz") / "keys"
    keys.write_text(f"{KEY_ID.decode()}:{base64.b64encode(KEY).decode()}\n")
    dsn = await new_database(postgres_server, "fuzz")
    await load_rules(dsn)
    async with staged(dsn, temporal=temporal_server, keys=keys) as whole:
        codec = AsItIs(EncryptionCodec(keys))
        converter = dataclasses.replace(data_converter(codec), payload_codec=codec)
        yield dataclasses.replace(whole, client=await whole.connect(data_converter=converter))


async def a_target(stage: Stage, workflow_type: str, case_id: str) -> Target:
    """A case of that type, open."""
    handle = await stage.start(case_id, workflow_type, **OPENINGS[workflow_type])
    target = Target(stage, handle, case_id)
    await target.answered("note", [as_raw({"by": NURSE_NORTH, "text": "x"})])
    target.rows, target.touched = await target.counts()
    return target


async def flooded(example: Callable[..., Coroutine[Any, Any, None]], **drawn: Any) -> None:
    """Run the example with whatever is drawn: Hypothesis in a thread of its own, the example on this loop."""
    loop = asyncio.get_running_loop()

    @settings(
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        **drawn.pop("how"),
    )
    @given(**drawn)
    def examples(**values: Any) -> None:
        asyncio.run_coroutine_threadsafe(example(**values), loop).result()

    await asyncio.to_thread(examples)


async def failed_tasks(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """Why its workflow tasks failed, if any did; they are tried again for ever, and nobody is told."""
    return [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]


@pytest.mark.parametrize("drawn", ACTIONS_DRAWN)
async def test_a_flood_of_anything_leaves_each_case_open_whole_and_answering(  # contract §2
    stage: Stage, drawn: int
) -> None:
    kinds = ("MessageThread", "ScheduledVisit", "DropInVisit", "Consultation")
    targets = [await a_target(stage, kind, f"flood-{drawn}-{number}") for number, kind in enumerate(kinds)]

    async def example(at: int, what: list[Action]) -> None:
        for action in what:
            await targets[at].take(action)
        await targets[at].is_whole()

    which, what = st.integers(0, len(targets) - 1), st.lists(actions(), min_size=4, max_size=7)
    await flooded(example, at=which, what=what, how={"max_examples": drawn})
    answers = sum((target.answers for target in targets), Counter[str]())
    assert len(answers) > 3, f"the flood has found little: {answers}"
    for target in targets:
        assert await failed_tasks(target.handle) == []
        assert (await target.handle.describe()).status is WorkflowExecutionStatus.RUNNING


# Starts -----------------------------------------------------------------------------------------------------------


async def comes_to(handle: WorkflowHandle[Any, Any]) -> str:
    """What becomes of a start, in time: its fault, "done", or "runs"."""

    async def by_now() -> str | None:
        if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            with suppress(WorkflowQueryFailedError):
                await handle.query("view")
                return "runs"
            return None
        try:
            await handle.result()
        except WorkflowFailureError as failed:
            return str(getattr(failed.cause, "type", None))
        return "done"

    return str(await until(by_now, SECONDS_TO_ANSWER))


@pytest.mark.parametrize("drawn", STARTS_DRAWN)
async def test_a_flood_of_starts_fails_at_once_or_runs(stage: Stage, drawn: int) -> None:  # contract §1
    met: list[str] = []
    started: list[WorkflowHandle[Any, Any]] = []

    async def one(start: Start) -> None:
        args = [RawValue(each.payload) for each in start.args]
        handle = await stage.start_raw("", *args, workflow_type=start.workflow_type, workflow_id=start.workflow_id)
        started.append(handle)
        met.append(await comes_to(handle))
        assert met[-1] in FAULTS | {"runs", "done"}

    async def example(what: list[Start]) -> None:
        await asyncio.gather(*map(one, what))

    several = st.lists(starts(), min_size=8, max_size=8)
    await flooded(example, what=several, how={"max_examples": drawn})
    assert len(set(met)) > 3, "the flood has found little"
    for handle in started:
        assert await failed_tasks(handle) == []


# Traps ------------------------------------------------------------------------------------------------------------


def as_params(traps: Mapping[str, Any]) -> list[Any]:
    """Each by its name."""
    return [pytest.param(trap, id=name) for name, trap in traps.items()]


def brackets(depth: int) -> str:
    """Lists in lists, so deep."""
    return "[" * depth + "]" * depth


NEAR_THE_LIMIT: Final = range(965, 1000)
"""Of the parser, which lets pass what others, deeper in the stack, cannot handle."""

MANY: Final = 150_000
"""As many as a payload has room for: to find a fault with each takes longer than a workflow task may."""

ACTION_TRAPS: Final[Mapping[str, Sequence[tuple[str, Payload, str | None]]]] = {
    "a NUL in a fault": [
        ("note", Payload(metadata={"encoding": b"binary/unreadable", "fault": b"a\x00b"}), None),
    ],
    "a long fault": [
        ("note", Payload(metadata={"encoding": b"binary/unreadable", "fault": b"a" * 1_900_000}), None),
    ],
    "a NUL in an update's id": [("note", as_json({"by": NURSE_NORTH, "text": "x"}), "a\x00b")],
    "lists in lists": [
        ("hand_over", Payload(metadata={"encoding": b"json/plain"}, data=data.encode()), None)
        for depth in NEAR_THE_LIMIT
        for data in (f'{{"ground": {brackets(depth)}}}', f'{{"by": {{"staff": {brackets(depth)}}}}}')
    ],
    "a great many items": [
        ("reply", as_json({"by": NURSE_NORTH, "text": "x", "attachments": ["x"] * MANY}), None),
        ("note", as_json({"by": dict.fromkeys(map(str, range(MANY // 2)))}), None),
    ],
    "a name of the cases' own": [
        (name, as_json({"by": NURSE_NORTH}), None)
        for name in ("links_changed", "consultations_changed", "asking_changed", "news", "stop_workflow")
    ],
}
START_TRAPS: Final[Mapping[str, Mapping[str, Payload]]] = {
    "lists in lists": {
        f"deep-{depth}": Payload(metadata={"encoding": b"json/plain"}, data=f'{{"origin": {brackets(depth)}}}'.encode())
        for depth in NEAR_THE_LIMIT
    },
    "a great many items": {"many": as_json(opening("many", attachments=["x"] * MANY))},
    "a ticket for the end of time": {
        case_id: as_json(opening(case_id, priority=7, ticket={"valid_from": since, "valid_until": until}))
        for case_id, since, until in (
            ("last-hour", "9999-12-31T22:30:00Z", "9999-12-31T23:59:59Z"),
            ("all-time", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
            ("first-hour", "0001-01-01T00:00:00Z", "0001-01-01T01:00:00Z"),
        )
    },
}


@asynccontextmanager
async def ended(handle: WorkflowHandle[Any, Any]) -> AsyncIterator[None]:
    """Ended by force afterwards, if it has not ended: one that is stuck would keep the worker from the others."""
    try:
        yield
    finally:
        with suppress(RPCError):
            await handle.terminate()


@pytest.mark.parametrize("trap", as_params(ACTION_TRAPS))
async def test_a_case_goes_on_from_an_action_that_looks_like_a_trap(
    stage: Stage, trap: Sequence[tuple[str, Payload, str | None]]
) -> None:
    target = await a_target(stage, "DropInVisit", f"trap-{next(NUMBERS)}")
    async with ended(target.handle):
        for name, payload, update_id in trap:
            await target.answered(name, [RawValue(payload)], update_id)
            target.rows, target.touched = target.rows + 1, target.touched + 1
        await target.is_whole()
        assert await failed_tasks(target.handle) == []


@pytest.mark.parametrize("trap", as_params(START_TRAPS))
async def test_a_start_that_looks_like_a_trap_fails_at_once_or_runs(stage: Stage, trap: Mapping[str, Payload]) -> None:
    for case_id, payload in trap.items():
        handle = await stage.start_raw(case_id, RawValue(payload), workflow_type="ScheduledVisit")
        async with ended(handle):
            assert await comes_to(handle) in FAULTS | {"runs", "done"}
            assert await failed_tasks(handle) == []
