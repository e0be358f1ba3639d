"""What is worth a line as it happens, in words that fit into one line of a terminal of 80 columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from omhand.contract.names import EventName, Kind, Outcome, Reason, asking_case_id
from workers.demo.tally import Row

SENTENCES: Final[Mapping[str, str]] = {
    EventName.ESCALATED: "escalated to level {level}: other units may take it",
    EventName.MANAGER_ALERTED: "the manager of {unit} is alerted",
    EventName.REJECTED: "{who} is refused to {action}: {code}",
    EventName.RELEASED: "given back by {who}: it waits again",
    EventName.REPRIORITISED: "priority {was} is now {priority}: a new clock",
    EventName.CANCELLED: "cancelled by {who}",
    EventName.HANDOVER_REQUESTED: "{who} asks {to_unit} to take over",
    EventName.HANDED_OVER: "handed over: {from_unit} to {unit}",
    EventName.HANDOVER_REFUSED: "the handover is refused by {unit}",
    EventName.HANDOVER_WITHDRAWN: "the handover to {unit} is off ({because})",
    EventName.CONSULTED: "{who} asks {to_unit} for advice",
    EventName.ANSWERED: "answered by {unit}: {answer}",
    EventName.REFUSED: "the question is refused by {unit}",
    EventName.CONSULTATION_WITHDRAWN: "the question to {unit} is withdrawn",
    EventName.LEFT_AT_CLOSING: "left at closing by {unit}: others may take it",
    EventName.BOOKED: "{booked} {unit}",
    EventName.BOOKING_CANCELLED: "the booked time is cancelled by {who}",
    EventName.MESSAGE: "{who} writes",
    EventName.REPLIED: "{who} answers the patient",
    EventName.NOTIFIED: "{called}",
    EventName.CLOSED: "{ended}",
}

CALLED_BY_NAME: Final = "whom the patient has written to is called first"
UNITS: Final = ("unit", "to_unit", "from_unit")
"""The keys of a detail that name a unit."""


ENDS: Final[Mapping[str, str]] = {
    Outcome.TREATED: "the visit is held by video",
    Outcome.TICKET_EXPIRED: "the ticket has run out: nobody has booked",
    Outcome.NO_SHOW: "closed: the patient did not come",
}
"""The ends of scheduled visits, which are worth a line; of other kinds it is to be expected that they end."""


@dataclass(frozen=True, slots=True)
class News:
    """An event, and a sentence about it."""

    event: EventName
    text: str


def is_worth_a_line(row: Row) -> bool:
    """Whether it is to be told: of calls one to somebody by name, or to a visit whose time has come; of ends a visit's.

    The end of a consultation stands in the log of the case that asked, too, and is told once.
    """
    is_visit, detail = row["kind"] == Kind.SCHEDULED_VISIT, row["detail"]
    match row["event"]:
        case EventName.NOTIFIED:
            return detail.get("staff") is not None or (is_visit and detail["reason"] == Reason.NEW_CASE)
        case EventName.CLOSED:
            return is_visit and detail["outcome"] in ENDS
        case EventName.ANSWERED | EventName.REFUSED:
            return asking_case_id(row["case_id"]) is None
        case _:
            return True


def news_of(row: Row, names: Mapping[str, str]) -> News:
    """A row of the log in words; of texts that people wrote only what the routine itself says."""
    detail: Mapping[str, Any] = row["detail"]
    units = {key: names.get(detail.get(key) or "", "") for key in UNITS}
    words = {
        **detail,
        **units,
        "who": names.get(row["by_unit"] or "", "the patient"),
        "answer": "takes it over" if detail.get("takes_over") else "advice",
        "booked": "moved to a time at" if detail.get("instead_of") else "a time is booked at",
        "called": CALLED_BY_NAME if detail.get("staff") else f"its time has come: {units['unit']} is called",
        "ended": ENDS.get(detail.get("outcome") or "", ""),
    }
    event = EventName(row["event"])
    return News(event, f"{row['case_id']} {SENTENCES[event].format_map(words)}")
