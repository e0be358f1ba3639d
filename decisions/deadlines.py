"""What happens by itself when its instant has come (K1e, K1f, P5, R1)."""

from typing import Final

from decisions.case import Case
from decisions.effects import Course
from omhand.contract.events import Escalated, ManagerAlerted, NewOffer, Notified, Offered
from omhand.contract.names import OfferWhy, Reason
from omhand.contract.plan import Moment

NOBODY_OPEN: Final = "no further unit that is open or on call could be offered the case"
STILL_WAITING: Final = "the ladder asks for it: the case has not been handled in its time"


def pass_moments(course: Course) -> None:
    """Everything that is due at the course's instant or before happens, in order."""
    while (moment := course.now.next_moment()) is not None and moment.at <= course.at:
        _ACTS[moment.do](course, moment)


def alert_manager(
    course: Course, reason: Reason, because: str, moment: int | None = None, *, by_email: bool = False
) -> None:
    """The operations manager of the responsible unit is told (R1): by phone where there is one."""
    case = course.now
    key = f"{case.case_id}/{course.next_seq}"
    unit = case.responsible_unit
    course.happens(ManagerAlerted(key=key, unit=unit, reason=reason, because=because, moment=moment, by_email=by_email))


def _notify(course: Course, _moment: Moment) -> None:
    case = course.now
    reminded = any(earlier.do == "notify" for earlier in case.plan.moments[: case.done])
    _notify_unit(course, Reason.REMINDER if reminded else Reason.NEW_CASE)


def _notify_unit(course: Course, reason: Reason, *, escalation_off: bool = False) -> None:
    case = course.now
    key = f"{case.case_id}/{course.next_seq}"
    unit = case.responsible_unit
    course.happens(Notified(key=key, unit=unit, reason=reason, moment=case.done, escalation_off=escalation_off))


def _offer(course: Course, moment: Moment) -> None:
    if moment.off:
        # The switch of K1e: nobody else is asked, but the own unit is told all the same.
        _notify_unit(course, Reason.REMINDER, escalation_off=True)
        return
    index = course.now.done
    new = _not_yet_offered(course.now, moment)
    if moment.raises:
        _raise_level(course, index)
    if new:
        _make_offers(course, moment.why or OfferWhy.ESCALATION, new, index)
    elif moment.raises:
        alert_manager(course, Reason.MANAGER_ALERT, NOBODY_OPEN, index)
    else:
        # Everybody who covers has been offered it already; the offer stands.
        course.happens(Offered(offers=(), why=moment.why or OfferWhy.COVERAGE, moment=index))


def _not_yet_offered(case: Case, moment: Moment) -> tuple[str, ...]:
    return tuple(unit for unit in moment.units if not case.concerns(unit))


def _raise_level(course: Course, index: int) -> None:
    case = course.now
    key = f"{case.case_id}/{course.next_seq}"
    course.happens(Escalated(level=case.escalation_level + 1, key=key, moment=index))


def _make_offers(course: Course, why: OfferWhy, units: tuple[str, ...], index: int) -> None:
    seq = course.next_seq
    case_id = course.now.case_id
    offers = tuple(
        NewOffer(offer=f"{seq}.{number}", unit=unit, key=f"{case_id}/{seq}.{number}")
        for number, unit in enumerate(units, 1)
    )
    course.happens(Offered(offers=offers, why=why, moment=index))


def _alert(course: Course, _moment: Moment) -> None:
    alert_manager(course, Reason.MANAGER_ALERT, STILL_WAITING, course.now.done)


_ACTS: Final = {"notify": _notify, "offer": _offer, "alert_manager": _alert}
