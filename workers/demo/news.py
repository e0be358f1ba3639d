"""What is worth a line as it happens, in words that fit into one line of a terminal of 80 columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from omhand.contract.names import EventName, asking_case_id
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
}

UNITS: Final = ("unit", "to_unit", "from_unit")
"""The keys of a detail that name a unit."""


@dataclass(frozen=True, slots=True)
class News:
    """An event, and a sentence about it."""

    event: EventName
    text: str


def is_told_elsewhere(row: Row) -> bool:
    """Whether the same stands in the log of the case that asked, too: the end of its consultation."""
    ends = {EventName.ANSWERED, EventName.REFUSED}
    return row["event"] in ends and asking_case_id(row["case_id"]) is not None


def news_of(row: Row, names: Mapping[str, str]) -> News:
    """A row of the log in words; of texts that people wrote only what the routine itself says."""
    detail: Mapping[str, Any] = row["detail"]
    words = {
        **detail,
        **{key: names.get(detail.get(key) or "", "") for key in UNITS},
        "who": names.get(row["by_unit"] or "", "the patient"),
        "answer": "takes it over" if detail.get("takes_over") else "advice",
    }
    event = EventName(row["event"])
    return News(event, f"{row['case_id']} {SENTENCES[event].format_map(words)}")
