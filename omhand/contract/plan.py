"""What will happen to a case by itself, and when: a ladder's steps as instants, frozen when a phase begins.

Calendars, time zones, holidays and policy are worked out once, outside the workflow. What is frozen cannot be moved
under a running case by a new policy, a new holiday list or a new tz database.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from omhand.contract.names import OfferWhy, Phase
from omhand.contract.wire import Flag, HsaId, Number, Time, Wire

Deed = Literal[
    "notify", "offer", "alert_manager", "tell_sender", "warn_of_closing", "leave_at_closing", "begin_visit", "expire"
]
"""What the routine does by itself: a ladder's steps; a sender told that a handover is not answered; closing time; a
visit's time that has come; a ticket that has run out."""


class Moment(Wire):
    """One instant at which the routine acts by itself."""

    at: Time
    do: Deed
    units: tuple[HsaId, ...] = ()
    """For an offer, and at closing: who is open or on call at that instant and may be offered it (K1d, K1e, P6)."""
    why: OfferWhy | None = None
    """For an offer."""
    raises: Flag = False
    """Raises the escalation level: a step of the ladder, not a cover for a missing profession."""
    staff: HsaId | None = None
    """For a notification: whom at the unit, where one is meant and is there (K6b)."""
    off: Flag = False
    """An escalation that policy has switched off here: the unit is reminded, nobody else is offered the case."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A plan stands in the log, and the log in every answer: what says nothing is left out.
        return {key: value for key, value in whole(self).items() if value}


class Plan(Wire):
    """A phase of a case: since when it counts, by when it is due, and its moments in the order of time."""

    phase: Phase
    since: Time
    due_at: Time | None = None
    in_time_until: Time | None = None
    """Until then what is done counts as done in time; null for ``due_at``."""
    moments: tuple[Moment, ...] = ()
    policy: Number
    """The version of the rules that it was made under."""

    @property
    def late_from(self) -> datetime | None:
        """From when on what is done is late; None where nothing is due."""
        return self.in_time_until or self.due_at
