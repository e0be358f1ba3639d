"""The bookable times that the demo's region publishes (P2), counted from the moment in which it begins.

Some come while the demo plays, each meant for one visit of the play; the others are of days to come, to choose from.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

NORR, SODER, AN, KUSTEN = (f"SE2321000198-HC0{number}" for number in range(1, 5))

LENGTH: Final = "PT20M"
SOON: Final = timedelta(hours=1)
"""What comes sooner is meant for somebody."""


@dataclass(frozen=True, slots=True)
class Time:
    """A bookable time; it comes ``ahead`` after the demo's beginning."""

    id: str
    unit: str
    profession: str
    ahead: timedelta


def _today(name: str, unit: str, profession: str, seconds: float) -> Time:
    return Time(name, unit, profession, timedelta(seconds=seconds))


BOOKED_BY_UNIT: Final = _today("norr-nurse-1", NORR, "nurse", 26)
AT_ANOTHER_UNIT: Final = _today("soder-nurse-1", SODER, "nurse", 28)
NOBODY_COMES: Final = _today("norr-doctor-1", NORR, "doctor", 30)
FROM_ELSEWHERE: Final = _today("an-doctor-1", AN, "doctor", 31)
WANTED_BY_TWO: Final = _today("kusten-nurse-1", KUSTEN, "nurse", 32)
SECOND_CHOICE: Final = _today("an-nurse-1", AN, "nurse", 33)

_TODAY: Final = (BOOKED_BY_UNIT, AT_ANOTHER_UNIT, NOBODY_COMES, FROM_ELSEWHERE, WANTED_BY_TWO, SECOND_CHOICE)
_LATER: Final = tuple(
    Time(f"{place}-{profession}-{number}", unit, profession, timedelta(days=days))
    for place, unit, profession, number, days in (
        ("norr", NORR, "nurse", 2, 1),
        ("norr", NORR, "nurse", 3, 3),
        ("norr", NORR, "doctor", 2, 2),
        ("norr", NORR, "physiotherapist", 1, 2),
        ("soder", SODER, "doctor", 1, 1),
        ("soder", SODER, "doctor", 2, 4),
        ("soder", SODER, "nurse", 2, 2),
        ("soder", SODER, "physiotherapist", 1, 1),
        ("an", AN, "doctor", 2, 3),
        ("kusten", KUSTEN, "doctor", 1, 1),
        ("kusten", KUSTEN, "doctor", 2, 5),
        ("kusten", KUSTEN, "physiotherapist", 1, 3),
    )
)
TIMES: Final = _TODAY + _LATER


def with_times(directory: str, now: datetime) -> str:
    """The directory file with the demo's times in place of its own, which are of days of the example's."""
    without = re.sub(r"(?ms)^\[\[slot\]\]\n.*?(?=^\[|^#|\Z)", "", directory)
    return without.rstrip() + "\n\n" + "\n".join(_table(time, now) for time in TIMES)


def _table(time: Time, now: datetime) -> str:
    return (
        f'[[slot]]\nid = "{time.id}"\nunit = "{time.unit}"\nprofession = "{time.profession}"\n'
        f'starts_at = {(now + time.ahead).isoformat(timespec="seconds")}\nlength = "{LENGTH}"\n'
    )
