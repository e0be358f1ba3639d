"""The region and the cases that the demo plays: the examples, with every unit open around the clock but for one.

That one closes for the day while the demo plays (P6), at whatever time of day that is. Of its staff three can be called
themselves when a patient writes to them, and one of these is away (K6b).
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from omhand.contract.directory import WEEKDAYS
from omhand.contract.names import Kind
from workers.demo.times import with_times

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
POLICY: Final = EXAMPLES / "demo" / "policy.toml"

CLOSING_UNIT: Final = "SE2321000198-HC05"
"""The smallest health centre: it closes while cases wait."""

Outcome = Mapping[str, Any]
"""A triage outcome as it stands in the file; not a model, as some are there to be refused."""
Given = Mapping[str, Any]
"""What a case that no triage led to is opened with, likewise."""

ABSENT: Final = "SE2321000198-S009"
"""The doctor who is away while the demo plays, and whose unit answers."""
_PHONES: Final = {ABSENT: "+46701740652", "SE2321000198-S019": "+46701740653"}
"""Beside those that the example has; of the series that is set aside for fiction, too."""

_ALL_DAY: Final = "00:00-24:00"
_ALWAYS: Final[dict[str, str]] = dict.fromkeys(WEEKDAYS, _ALL_DAY)
_NEXT_MORNING: Final = "08:00-24:00"


def around_the_clock(directory: str) -> str:
    """The directory file with every unit always open: the demo is to work at night too, when hardly any would be.

    Without holidays, on which Sunday's hours would count, and with nobody away.
    """
    without_on_call = re.sub(r"(?m)^(on_call = \{.*\}|absent = \[.*\].*)\n", "", directory)
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


def with_phones(directory: str, today: date) -> str:
    """That directory file, in which some staff have a phone of their own, and one is away for three days (K6b).

    From yesterday on: the region's today is another one than ``today`` around midnight.
    """
    away = f"absent = [{{ first_day = {today - timedelta(days=1)}, last_day = {today + timedelta(days=1)} }}]\n"
    for staff, phone in _PHONES.items():
        head = f'[[staff]]\nid = "{staff}"\n'
        own = f'phone = "{phone}"\n' + (away if staff == ABSENT else "")
        directory = directory.replace(head, head + own)
    return directory


def write_directory(folder: Path, closes: datetime | None = None) -> Path:
    """Write the demo's directory file into ``folder``; its path.

    With ``closes`` as it is when the morning begins: one unit closes then, times can be booked, and somebody is away.
    """
    file = folder / "directory.toml"
    text = around_the_clock((EXAMPLES / "directory.toml").read_text(encoding="utf-8"))
    if closes:
        now = datetime.now(UTC)
        text = with_times(with_phones(closing_at(text, closes), now.date()), now)
    file.write_text(text, encoding="utf-8")
    return file


@dataclass(frozen=True, slots=True)
class Script:
    """All that is given to the region while the demo plays."""

    outcomes: Sequence[Outcome]
    """The morning's triage outcomes, in the order in which they come."""
    tickets: Sequence[Outcome]
    """Further ones, each of which becomes a booking ticket (K2a)."""
    openings: Mapping[Kind, Sequence[Given]]
    """What staff and patients open themselves: visits (K2), administrative cases (K3), questions (K4), threads (K6)."""


def script() -> Script:
    """The demo's, from its files."""
    return Script(
        outcomes=_lines(EXAMPLES / "outcomes.jsonl"),
        tickets=_lines(EXAMPLES / "demo" / "tickets.jsonl"),
        openings={kind: _lines(EXAMPLES / "demo" / f"{name}.jsonl") for kind, name in _FILES.items()},
    )


_FILES: Final = {
    Kind.CONSULTATION: "questions",
    Kind.SCHEDULED_VISIT: "visits",
    Kind.ADMINISTRATIVE_CASE: "administrative",
    Kind.MESSAGE_THREAD: "messages",
}


def _lines(file: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
