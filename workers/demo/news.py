"""What is worth a line as it happens, in words that fit into one line of a terminal of 80 columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from omhand.contract.names import EventName, Outcome, asking_case_id
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
    EventName.NOTIFIED: "whom the patient has written to is called first",
    EventName.CLOSED: "{ended}",
}

UNITS: Final = ("unit", "to_unit", "from_unit")
"""The keys of a detail that name a unit."""


ENDS: Final[Mapping[str, str]] = {
    Outcome.TICKET_EXPIRED: "the ticket has run out: nobody has booked",
    Outcome.NO_SHOW: "closed: the patient did not come",
}
"""The ends that are worth a line; that a case was dealt with is what is to be expected."""


@dataclass(frozen=True, slots=True)
class News:
    """An event, and a sentence about it."""

    event: EventName
    text: str


def is_worth_a_line(row: Row) -> bool:
    """Whether it is to be told: of calls only one to somebody by name, and no end that is as it should be.

    The end of a consultation stands in the log of the case that asked, too, and is told once.
    """
    match row["event"]:
        case EventName.NOTIFIED:
            return row["detail"].get("staff") is not None
        case EventName.CLOSED:
            return row["detail"]["outcome"] in ENDS
        case EventName.ANSWERED | EventName.REFUSED:
            return asking_case_id(row["case_id"]) is None
        case _:
            return True


def news_of(row: Row, names: Mapping[str, str]) -> News:
    """A row of the log in words; of texts that people wrote only what the routine itself says."""
    detail: Mapping[str, Any] = row["detail"]
    words = {
        **detail,
        **{key: names.get(detail.get(key) or "", "") for key in UNITS},
        "who": names.get(row["by_unit"] or "", "the patient"),
        "answer": "takes it over" if detail.get("takes_over") else "advice",
        "booked": "moved to a time at" if detail.get("instead_of") else "a time is booked at",
        "ended": ENDS.get(detail.get("outcome") or "", ""),
    }
    event = EventName(row["event"])
    return News(event, f"{row['case_id']} {SENTENCES[event].format_map(words)}")
