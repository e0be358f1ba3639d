"""Free bookable times (P2): units are advised to publish them, for whoever has a booking ticket.

A unit that takes bookings and has no free time ahead is told so, through its manager, once a day after it has closed.
"""

from datetime import date
from typing import Final

from decisions.notices import KIND_WORDS, REASON_WORDS
from omhand.contract.directory import Unit
from omhand.contract.names import Kind, Reason
from omhand.contract.wire import Flag, Wire

LOOK_FOR_FREE_TIMES: Final = "look_for_free_times"
"""``closing_check.Comparing -> FreeTimes``: what the unit has to be booked after that instant."""


class FreeTimes(Wire):
    """What a unit has for patients who want to book."""

    day: date
    """The region's, on which it was looked for."""
    has_published: Flag
    """It has published a bookable time of the last month, or of later."""
    has_free_ahead: Flag
    has_tickets_in_vain: Flag
    """It is responsible for a visit that is not booked yet, of a profession of which it has no free time ahead."""

    @property
    def are_missing(self) -> bool:
        """Whether the unit takes bookings, and nobody could book there; or somebody with its ticket could not."""
        return self.has_tickets_in_vain or (self.has_published and not self.has_free_ahead)


def missing_times_text(unit_id: str, unit: Unit | None) -> str:
    """What its manager is told, in Swedish: that there are none, at which unit, and what to do."""
    name = unit.name if unit else unit_id
    why, what = REASON_WORDS[Reason.NO_FREE_TIMES], KIND_WORDS[Kind.SCHEDULED_VISIT]
    return f"{why}: {what}, {name}. Publicera nya tider, så att patienter med bokningsbiljett kan boka."
