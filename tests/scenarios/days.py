"""Cases on clocks of their own: each is placed at a wall-clock time and wound forward on the real server.

A case is placed by a start that is delayed until then. Dates are of next year, worked out from the weekday alone, so
that the stories do not grow old.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from stage import Stage, until
from stories import DIRECTORY, EAST, JOUR, JOUR_DOCTOR, NORTH, SOUTH, by, opening
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper

STOCKHOLM: Final = ZoneInfo("Europe/Stockholm")
NIGHT: Final = "SE2321000198-NATT"
DOCTOR_JOUR: Final = by(JOUR_DOCTOR, JOUR, "doctor")
HOUR, MINUTE, SOON = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=5)
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri")


def hours(*spans: str, days: tuple[str, ...] = WEEKDAYS) -> str:
    """Hours as the directory writes them."""
    written = ", ".join(f'"{span}"' for span in spans)
    return "{ " + ", ".join(f"{day} = [{written}]" for day in days) + " }"


def region(phone_of_north: str = "+46701740601", *, without: str = "") -> str:
    """The small region with real hours: north closes for lunch, east at noon; a clinic has only on-call nights."""
    opening_hours = {
        NORTH: hours("08:00-12:00", "13:00-17:00"),
        SOUTH: hours("08:00-17:00"),
        EAST: hours("08:00-12:00"),
    }
    parts = [part for part in DIRECTORY.split("\n\n[[") if not (without and f'id = "{without}"' in part)]
    for index, part in enumerate(parts):
        for unit, opens in opening_hours.items():
            if f'id = "{unit}"' in part and part.startswith("unit"):
                parts[index] = "\n".join(
                    f"opening = {opens}" if line.startswith("opening") else line for line in part.splitlines()
                )
    night = f"""unit]]
id = "{NIGHT}"
name = "Nattkliniken"
kind = "clinic"
opening = {{}}
on_call = {hours("00:00-06:00", "20:00-24:00", days=(*WEEKDAYS, "sat", "sun"))}
phone = "+46701740608"
manager = {{ name = "Chef", phone = "+46701740708" }}
professions = ["nurse"]"""
    return "\n\n[[".join([*parts, night]).replace("+46701740601", phone_of_north)


# Dates


def next_year() -> int:
    """The year of the stories: always ahead."""
    return datetime.now(STOCKHOLM).year + 1


def first(weekday: int, month: int = 2) -> date:
    """The first such weekday (0 is Monday) of a month of next year; February has no holidays."""
    start = date(next_year(), month, 1)
    return start + timedelta(days=(weekday - start.weekday()) % 7)


def last_sunday(month: int) -> date:
    """The last Sunday of a month of 31 days, when clocks change in March and October."""
    end = date(next_year(), month, 31)
    return end - timedelta(days=(end.weekday() - 6) % 7)


def to_weekday(day: date, step: int) -> date:
    """That day, or the next (or last) from Monday to Friday."""
    while day.weekday() > 4:
        day += timedelta(days=step)
    return day


def at(day: date, clock: str, *, fold: int = 0) -> datetime:
    """An instant by the wall clock in Stockholm."""
    hour, minute = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=STOCKHOLM, fold=fold).astimezone(UTC)


# Cases on their own clocks


@dataclass
class Placed:
    """A case whose clock is wound by the test."""

    handle: WorkflowHandle[Any, Any]
    skipper: TimeSkipper

    async def until(self, instant: datetime) -> dict[str, Any]:
        """Wind its clock to this instant; the view then."""
        ahead = instant - await self.skipper.get_current_time(self.handle)
        assert ahead > timedelta(0), "its clock is past that already"
        assert await self.skipper.fast_forward(self.handle, ahead)
        return await self.view()

    async def view(self) -> dict[str, Any]:
        """The case as it is."""
        view: dict[str, Any] = await self.handle.query("view")
        return view

    async def act(self, action: str, **payload: Any) -> dict[str, Any]:
        """An update at this moment of its clock; the view."""
        view: dict[str, Any] = await self.handle.execute_update(action, payload)
        return view


@dataclass
class Days:
    """A stage on which every case has its own time."""

    stage: Stage
    skipper: TimeSkipper

    async def place(
        self, case_id: str, instant: datetime, workflow_type: str = "DropInVisit", **changes: Any
    ) -> Placed:
        """A case that arrives at that instant, a drop-in where nothing else is said."""
        handle = await self.stage.client.start_workflow(
            workflow_type,
            opening(case_id, **changes),
            id=f"case-{case_id}",
            task_queue="cases",
            start_delay=instant - datetime.now(UTC),
        )
        assert await self.skipper.fast_forward(handle, instant - datetime.now(UTC))
        placed = Placed(handle, self.skipper)

        async def is_open() -> dict[str, Any] | None:
            with suppress(WorkflowQueryFailedError, RPCError):
                return await placed.view()
            return None

        view = await until(is_open)
        assert_at(view["opened_at"], instant)
        return placed


def assert_at(told: str | datetime | None, instant: datetime) -> None:
    """It happened, or is due, at that instant; moments of real time pass too."""
    assert told is not None
    moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    assert timedelta(0) <= moment - instant < SOON, f"{moment} is not {instant}"


def happened(view: dict[str, Any]) -> list[str]:
    """The events, in their order."""
    return [event["event"] for event in view["log"]]


def instants_of(view: dict[str, Any], event: str) -> list[str]:
    """When that happened, each time."""
    return [row["at"] for row in view["log"] if row["event"] == event]
