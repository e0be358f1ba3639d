"""Telling a unit, or its manager, of what happens: the event that says so, and the key of the notification."""

from decisions.effects import Course
from omhand.contract.events import ManagerAlerted, Notified
from omhand.contract.names import Reason


def tell(course: Course, unit: str, reason: Reason) -> None:
    """A unit is told by its phone of what has just happened."""
    course.happens(Notified(key=key_of(course), unit=unit, reason=reason))


def alert_manager(
    course: Course,
    reason: Reason,
    because: str,
    moment: int | None = None,
    *,
    by_email: bool = False,
    unit: str | None = None,
    handover: bool = False,
    also_when_taken: bool = False,
) -> None:
    """The operations manager of the responsible unit, or of the one that is named, is told (R1).

    By phone where there is one.
    """
    course.happens(
        ManagerAlerted(
            key=key_of(course),
            unit=unit or course.now.responsible_unit,
            reason=reason,
            because=because,
            moment=moment,
            by_email=by_email,
            handover=handover,
            also_when_taken=also_when_taken,
        )
    )


def key_of(course: Course) -> str:
    """The key of a notification of the event that comes next."""
    return f"{course.now.case_id}/{course.next_seq}"
