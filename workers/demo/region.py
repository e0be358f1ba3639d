"""The region and the outcomes that the demo plays: the examples, with every unit open around the clock but for one.

That one closes for the day while the demo plays (P6), at whatever time of day that is.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from omhand.contract.directory import WEEKDAYS

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
POLICY: Final = EXAMPLES / "demo" / "policy.toml"

CLOSING_UNIT: Final = "SE2321000198-HC05"
"""The smallest health centre: it closes while cases wait."""

Outcome = Mapping[str, Any]
"""A triage outcome as it stands in the file; not a model, as some are there to be refused."""
Question = Mapping[str, Any]
"""What a consultation of its own is opened with, likewise."""

_ALL_DAY: Final = "00:00-24:00"
_ALWAYS: Final[dict[str, str]] = dict.fromkeys(WEEKDAYS, _ALL_DAY)
_NEXT_MORNING: Final = "08:00-24:00"


def around_the_clock(directory: str) -> str:
    """The directory file with every unit always open: the demo is to work at night too, when hardly any would be.

    Without holidays, on which Sunday's hours would count.
    """
    without_on_call = re.sub(r"(?m)^on_call = \{.*\}\n", "", directory)
    without_holidays = re.sub(r'(?m)^holidays = ".*"$', 'holidays = ""', without_on_call)
    return re.sub(r"(?m)^opening = \{.*\}$", _opening(_ALWAYS), without_holidays)


def closing_at(directory: str, closes: datetime, unit: str = CLOSING_UNIT) -> str:
    """That directory file, in which one unit closes for the day at ``closes`` (aware, to the second)."""
    hours = hours_until(closes.astimezone(ZoneInfo(tomllib.loads(directory)["timezone"])))
    before_its_hours = rf'(id = "{unit}"\n(?:(?!\[\[).*\n)*?)opening = \{{.*\}}'
    return re.sub(before_its_hours, lambda found: found[1] + _opening(hours), directory)


def hours_until(closes: datetime) -> dict[str, str]:
    """Hours that end at that local time for that local day, and else go on around the clock from the next morning on.

    Midnight is the end of the day before: 24:00, after which the unit must not go on at 00:00.
    """
    last_day = (closes - timedelta.resolution).weekday()
    is_midnight = closes.weekday() != last_day
    end = "24:00" if is_midnight else f"{closes:%H:%M:%S}"
    closing, next_day = WEEKDAYS[last_day], WEEKDAYS[(last_day + 1) % len(WEEKDAYS)]
    return {**_ALWAYS, closing: f"00:00-{end}", next_day: _NEXT_MORNING}


def _opening(hours: Mapping[str, str]) -> str:
    days = ", ".join(f'{day} = ["{span}"]' for day, span in hours.items())
    return f"opening = {{ {days} }}"


def closing_time(seconds: float) -> datetime:
    """The instant in so many seconds, rounded up to a whole one, as a directory can have it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 1)).replace(microsecond=0)


def write_directory(folder: Path, closes: datetime | None = None) -> Path:
    """Write the demo's directory file into ``folder``, with a unit that closes then; its path."""
    file = folder / "directory.toml"
    text = around_the_clock((EXAMPLES / "directory.toml").read_text(encoding="utf-8"))
    file.write_text(closing_at(text, closes) if closes else text, encoding="utf-8")
    return file


def outcomes() -> list[Outcome]:
    """The morning's triage outcomes, in the order in which they come."""
    return _lines(EXAMPLES / "outcomes.jsonl")


def questions() -> list[Question]:
    """The consultations of their own, in the order in which staff ask them (K4a)."""
    return _lines(EXAMPLES / "demo" / "questions.jsonl")


def _lines(file: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
