"""The canary: a case that lives every few minutes, so that its silence tells what no other alarm can.

Its unit stands in no directory that anybody loads. The canary has a region of its own, with one unit, one nurse and one
ladder, so that no patient's case can be offered there, and no canary to anybody. Its notifications end at the gateway's
door: nobody's phone rings.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from decisions.region import Region
from omhand.contract.directory import WEEKDAYS, Directory
from omhand.contract.names import EventName
from omhand.contract.policy import Policy
from omhand.contract.wire import CaseId, Flag, ShortText, Time, Wire, read

CANARY_UNIT: Final = "SE0000000000-CANARY"
CANARY_NURSE: Final = {"staff": "SE0000000000-CANARY1", "unit": CANARY_UNIT, "profession": "nurse"}

CANARY_PREFIX: Final = "omhand.canary."
"""Of the canaries' case ids, which are theirs alone."""

CANARY_POLICY: Final = 0
"""The version of the policy under which canaries are opened; those of the region begin with 1."""

BEGIN_CANARY: Final = "begin_canary"
"""``CanaryBegins -> CanariesLeft``: its row is written."""
AWAIT_CANARY: Final = "await_canary"
"""``CanaryAwaited -> CanaryAwaited``, once that event has been recorded; retried until then."""
END_CANARY: Final = "end_canary"
"""``CanaryEnds -> CanaryEnds``: its row says that it has lived."""

ESCALATED_AFTER: Final = timedelta(seconds=5)

_ANSWERED_BY_NOBODY: Final = {"name": "canary", "email": "canary@omhand.invalid"}
_DIRECTORY: Final[dict[str, Any]] = {
    "timezone": "UTC",
    "profession": [{"name": "nurse", "clinical": True}],
    "unit": [
        {
            "id": CANARY_UNIT,
            "name": "canary",
            "kind": "health_centre",
            "opening": {day: ["00:00-24:00"] for day in WEEKDAYS},
            "phone": "+10000000",
            "manager": _ANSWERED_BY_NOBODY,
            "professions": ["nurse"],
        }
    ],
    "staff": [
        {
            "id": CANARY_NURSE["staff"],
            "name": "canary",
            "works_at": [{"unit": CANARY_UNIT, "profession": "nurse"}],
        }
    ],
}
_LADDERS: Final[list[dict[str, Any]]] = [
    {
        "kind": ["drop_in_visit"],
        "phase": "waiting",
        "clock": "always",
        "due": "PT1M",
        "steps": [
            {"after": "PT0S", "do": "notify"},
            {"after": f"PT{ESCALATED_AFTER.seconds}S", "do": "offer", "to": "cooperating"},
        ],
    },
    {"phase": "accepted", "clock": "always", "due": "PT10M", "steps": [{"after": "PT10M", "do": "alert_manager"}]},
]


class CanaryBegins(Wire):
    """A canary is to be opened."""

    case_id: CaseId
    at: Time


class CanariesLeft(Wire):
    """Canaries of before that are still open: something kept them, and nobody needs them any more."""

    open: tuple[CaseId, ...] = ()


class CanaryAwaited(Wire):
    """Something is to happen to a canary."""

    case_id: CaseId
    event: EventName


class CanaryEnds(Wire):
    """A canary has been closed."""

    case_id: CaseId
    at: Time


class CanaryLived(Wire):
    """The result of a canary's run: all that a case does has been done to it."""

    case_id: CaseId
    started_at: Time
    finished_at: Time
    lived: Flag = True
    outcome: ShortText = "advice_given"


def canary_id(at: datetime) -> str:
    """The case id of the canary of an instant."""
    return f"{CANARY_PREFIX}{at.astimezone(UTC):%Y%m%dT%H%M%S}"


def is_canary(case_id: str | None) -> bool:
    """Whether a case of that id is a canary."""
    return case_id is not None and case_id.startswith(CANARY_PREFIX)


def canary_opening(case_id: str) -> dict[str, Any]:
    """What it is opened with."""
    return {
        "case_id": case_id,
        "origin": "min_vard",
        "unit": CANARY_UNIT,
        "profession": "nurse",
        "priority": 3,
        "patient": {"id": f"ref:{case_id}", "digital": True},
        "reason": "canary",
    }


def canary_region() -> Region:
    """The region of the canaries. Its hours never end, and have no holidays."""
    directory, policy = read(Directory, _DIRECTORY), read(Policy, {"ladder": _LADDERS})
    return Region.of(CANARY_POLICY, directory, policy, UTC, frozenset())
