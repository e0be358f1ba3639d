"""What the stories are told with: a small region, a gateway that is a server, and how a case is started and asked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

NORTH, SOUTH, EAST, JOUR = (f"SE2321000198-{unit}" for unit in ("HC01", "HC02", "HC03", "JOUR"))
NURSE, DOCTOR, SOUTH_NURSE, SOUTH_DOCTOR, EAST_NURSE, CLERK, JOUR_DOCTOR = (
    f"SE2321000198-S{number}" for number in range(1, 8)
)
ALWAYS = ", ".join(f'{day} = ["00:00-24:00"]' for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))


def by(staff: str, unit: str, profession: str) -> dict[str, str]:
    """Who acts."""
    return {"staff": staff, "unit": unit, "profession": profession}


NURSE_NORTH = by(NURSE, NORTH, "nurse")
DOCTOR_NORTH = by(DOCTOR, NORTH, "doctor")
NURSE_SOUTH = by(SOUTH_NURSE, SOUTH, "nurse")
DOCTOR_SOUTH = by(SOUTH_DOCTOR, SOUTH, "doctor")
NURSE_EAST = by(EAST_NURSE, EAST, "nurse")
CLERK_NORTH = by(CLERK, NORTH, "medical_secretary")


def a_unit(unit: str, professions: str, cooperates: str, kind: str = "health_centre") -> str:
    """A unit that is always open, as the file writes it."""
    number = unit[-2:] if unit[-2:].isdigit() else "09"
    return f"""
[[unit]]
id = "{unit}"
name = "Enhet {unit[-4:]}"
kind = "{kind}"
opening = {{ {ALWAYS} }}
phone = "+467017406{number}"
manager = {{ name = "Chef", phone = "+467017407{number}", email = "chef{number}@example.org" }}
cooperates_with = [{cooperates}]
professions = [{professions}]
"""


def a_member(who: dict[str, str]) -> str:
    """A member of staff as the file writes it."""
    return f"""
[[staff]]
id = "{who["staff"]}"
name = "Någon"
works_at = [{{ unit = "{who["unit"]}", profession = "{who["profession"]}" }}]
"""


DIRECTORY = "\n".join(
    [
        'timezone = "Europe/Stockholm"\nholidays = "SE"\nregion = "21"',
        *(
            f'[[profession]]\nname = "{name}"\nclinical = {clinical}'
            for name, clinical in (
                ("doctor", "true"),
                ("nurse", "true"),
                ("occupational_therapist", "true"),
                ("medical_secretary", "false"),
            )
        ),
        a_unit(NORTH, '"doctor", "nurse", "medical_secretary"', f'"{SOUTH}", "{EAST}"'),
        a_unit(SOUTH, '"doctor", "nurse"', f'"{NORTH}"'),
        a_unit(EAST, '"nurse", "occupational_therapist"', f'"{NORTH}"'),
        a_unit(JOUR, '"doctor"', "", "on_call"),
        *map(
            a_member,
            (
                NURSE_NORTH,
                DOCTOR_NORTH,
                NURSE_SOUTH,
                DOCTOR_SOUTH,
                NURSE_EAST,
                CLERK_NORTH,
                by(JOUR_DOCTOR, JOUR, "doctor"),
            ),
        ),
    ]
)

POLICY = """
[[ladder]]
phase = "waiting"
clock = "opening_hours"
due = "PT30M"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT15M", do = "notify" },
  { after = "PT30M", do = "offer", to = "cooperating" },
  { after = "PT45M", do = "offer", to = "on_call", any_profession = true },
  { after = "PT60M", do = "alert_manager" },
]
repeat = { every = "PT15M", do = "alert_manager", at_most = 3 }
"""
ANSWERS = "".join(
    f"""
[[ladder]]
phase = "{phase}"
clock = "opening_hours"
due = "PT30M"
steps = [
  {{ after = "PT0S", do = "notify" }},
  {{ after = "PT15M", do = "notify" }},
  {{ after = "PT30M", do = "alert_manager" }},
]
"""
    for phase in ("handover", "consultation")
)
OTHER_PHASES = ANSWERS + "".join(
    f"""
[[ladder]]
phase = "{phase}"
clock = "opening_hours"
due = "PT4H"
steps = [{{ after = "PT4H", do = "alert_manager" }}]
"""
    for phase in ("ticket", "message", "accepted")
)


@dataclass
class FakeGateway:
    """A phone gateway that is a real HTTP server: it keeps what it gets, and answers as it is told."""

    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """One notification."""
        call = await request.json()
        self.calls.append(call)
        self.headers.append(dict(request.headers))
        self.arrived.set()
        waiting = self.statuses.get(call["case_id"], [])
        return web.Response(status=waiting.pop(0) if waiting else 202)

    def reasons(self, case_id: str) -> list[str]:
        """Why, in the order of arrival, about this case."""
        return [call["reason"] for call in self.calls if call["case_id"] == case_id]

    async def until(self, enough: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until enough has arrived."""
        async with asyncio.timeout(seconds):
            while not enough():
                self.arrived.clear()
                await self.arrived.wait()


@dataclass
class Stack:
    """Everything that a story needs."""

    client: Client
    dsn: str
    pool: asyncpg.Pool
    gateway: FakeGateway
    folder: Path

    async def start(self, case_id: str, workflow_type: str = "DropInVisit", **changes: Any) -> WorkflowHandle[Any, Any]:
        """Open a drop-in at the northern unit, changed as the test wants."""
        return await self.start_raw(case_id, opening(case_id, **changes), workflow_type=workflow_type)

    async def start_raw(
        self, case_id: str, *args: Any, workflow_type: str = "DropInVisit", workflow_id: str | None = None
    ) -> WorkflowHandle[Any, Any]:
        """Start a workflow with whatever arguments."""
        return await self.client.start_workflow(
            workflow_type,
            args=args,
            id=workflow_id or f"case-{case_id}",
            task_queue="cases",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )

    async def publish(self, slot: str, unit: str = NORTH, profession: str = "nurse", **starts: float) -> str:
        """A bookable time of that unit, tomorrow where nothing else is said."""
        await self.pool.execute(
            "insert into omhand.slots (slot_id, unit_id, profession, starts_at, length)"
            " values ($1, $2, $3, $4, '20 min')",
            slot, unit, profession, datetime.now(UTC) + timedelta(**(starts or {"days": 1})),
        )  # fmt: skip
        return slot

    async def rows(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """What a reader of Postgres sees."""
        return [dict(row) for row in await self.pool.fetch(query, *args)]


def opening(case_id: str, **changes: Any) -> dict[str, Any]:
    """The argument of a drop-in at the northern unit."""
    return {
        "case_id": case_id,
        "origin": "min_vard",
        "unit": NORTH,
        "profession": "nurse",
        "priority": 3,
        "patient": {"id": f"ref:{case_id}", "digital": True},
    } | changes


def a_ticket(valid: timedelta = timedelta(days=14)) -> dict[str, str]:
    """A booking ticket that is valid since a minute ago, for so long from now."""
    now = datetime.now(UTC)
    return {"valid_from": (now - timedelta(minutes=1)).isoformat(), "valid_until": (now + valid).isoformat()}


async def failure_of(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    """The application error that the workflow failed with, within seconds."""
    with pytest.raises(WorkflowFailureError) as failed:
        async with asyncio.timeout(20):
            await handle.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    return cause


async def refusal_of(handle: WorkflowHandle[Any, Any], action: str, *args: Any) -> ApplicationError:
    """The application error that an update was refused with."""
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        async with asyncio.timeout(20):
            await handle.execute_update(action, args=args)
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    return cause
