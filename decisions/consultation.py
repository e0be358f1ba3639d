"""Consultations (K4): a question to a unit, a profession or a colleague, of a case or on its own.

A consultation is a case of its own, which says by itself how it ended. The case that asked learns it from what has been
recorded there (``Ended``), and the consultation learns likewise that it is not needed any more (``Asking``): news that
comes twice or late changes nothing.
"""

from collections.abc import Sequence
from typing import Final, cast

from decisions import handover
from decisions.case import Case, Consultation, has_notified
from decisions.effects import Course, Refusal
from decisions.errands import Asking, Ended
from decisions.facts import Facts
from decisions.standing import not_responsible
from decisions.telling import tell
from omhand.contract.actions import Action, Answer, Consult, Refuse, Withdraw
from omhand.contract.events import Answered, Closed, ConsultationWithdrawn, Consulted, Refused
from omhand.contract.names import Code, ConsultationStatus, Outcome, Reason, consultation_case_id
from omhand.contract.opening import StaffMember
from omhand.contract.wire import CaseId, Malformed, Wire, read

MOST_OPEN: Final = 20
"""Open at once: more than anybody asks, and far from what a workflow can carry."""


class _Id(Wire):
    case_id: CaseId


def consult(course: Course, action: Action, facts: Facts) -> Refusal | None:
    """Ask somebody else; the case is whose it was (K4a)."""
    asked, case = cast("Consult", action), course.now
    refusal = not_responsible(case, asked) or _cannot_be_asked(case, asked)
    if refusal:
        return refusal
    course.happens(
        Consulted(
            consultation=_next_id(case),
            to_unit=asked.to_unit,
            to_profession=facts.to_profession or case.profession,
            to_staff=asked.to_staff,
            question=asked.question,
            wants_handover=asked.wants_handover,
        )
    )
    return None


def _next_id(case: Case) -> str:
    return consultation_case_id(case.case_id, len(case.consultations) + 1)


def _cannot_be_asked(case: Case, asked: Consult) -> Refusal | None:
    if asked.to_staff == asked.by.staff and asked.to_unit == asked.by.unit:
        return Refusal(code=Code.INVALID_ACTION, message="to_staff: this is yourself.")
    still_open = [each for each in case.consultations if each.status is ConsultationStatus.OPEN]
    if len(still_open) >= MOST_OPEN:
        return Refusal(
            code=Code.INVALID_ACTION,
            message=f"{MOST_OPEN} consultations of this case are open; wait for an answer, or withdraw one.",
        )
    try:
        read(_Id, {"case_id": _next_id(case)})
    except Malformed:
        return Refusal(
            code=Code.INVALID_ACTION,
            message="This is a consultation of a consultation, too many times over: ask from the case itself.",
        )
    return None


def withdraw(course: Course, action: Withdraw) -> Refusal | None:
    """The case takes a question back: the one that is named, else the only one that is open."""
    case = course.now
    still_open = [
        each
        for each in case.consultations
        if each.status is ConsultationStatus.OPEN and action.consultation in {None, each.case_id}
    ]
    if action.by.unit not in {each.asked_by for each in still_open}:
        refusal = not_responsible(case, action)
        if refusal:
            return refusal
    if len(still_open) != 1:
        return Refusal(code=Code.NOTHING_PENDING, message=_nothing_to_withdraw(len(still_open), action))
    (which,) = still_open
    course.happens(ConsultationWithdrawn(consultation=which.case_id, unit=which.to_unit, because="withdrawn"))
    return None


def _nothing_to_withdraw(still_open: int, action: Withdraw) -> str:
    if still_open:
        return f"consultation: {still_open} are open; name the one to withdraw."
    what = "no handover and no consultation" if action.consultation is None else "no open consultation of that id"
    return f"There is {what} to withdraw."


# In the consultation's own case ------------------------------------------------------------------------------------


def is_asked_by(case: Case, by: StaffMember) -> bool:
    """Whether this case is a question that came from that unit."""
    return case.asker is not None and case.asker.by.unit == by.unit


def answer(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The consulted unit answers, whether somebody has accepted it or not; that ends it (K4a)."""
    given, case = cast("Answer", action), course.now
    refusal = not_responsible(case, given)
    if refusal:
        return refusal
    course.happens(Answered(consultation=None, unit=given.by.unit, advice=given.advice, takes_over=given.takes_over))
    _end(course, Outcome.TAKEN_OVER if given.takes_over else Outcome.ANSWERED)
    return None


def refuse(course: Course, action: Refuse) -> Refusal | None:
    """The consulted unit says no, and why; whoever asked is told."""
    refusal = not_responsible(course.now, action)
    if refusal:
        return refusal
    course.happens(Refused(consultation=None, unit=action.by.unit, reason=action.reason))
    _end(course, Outcome.REFUSED)
    return None


def _end(course: Course, outcome: Outcome) -> None:
    handover.withdrawn_because(course, "closed")
    tell_the_asker(course)
    course.happens(Closed(outcome=outcome))


def tell_the_asker(course: Course) -> None:
    """A consultation ends by somebody's act at the unit that was asked: whoever asked is told."""
    asker = course.now.asker
    if asker:
        tell(course, asker.by.unit, Reason.CONSULTATION_ANSWERED)


def withdraw_question(course: Course) -> None:
    """Whoever asked does not ask any more."""
    _not_asked_any_more(course, Outcome.WITHDRAWN)


def no_longer_asked(course: Course, asking: Asking) -> None:
    """The case that asked has withdrawn the question, or has ended: the consulted unit is told."""
    if asking.status is ConsultationStatus.OPEN or not course.now.is_open:
        return
    withdrawn = asking.status is ConsultationStatus.WITHDRAWN
    _not_asked_any_more(course, Outcome.WITHDRAWN if withdrawn else Outcome.NOT_NEEDED)


def _not_asked_any_more(course: Course, outcome: Outcome) -> None:
    case = course.now
    if case.holder or has_notified(case.plan, case.done):
        tell(course, case.responsible_unit, Reason.CONSULTATION_WITHDRAWN)
    handover.withdrawn_because(course, "closed")
    course.happens(Closed(outcome=outcome))


# What the case that asked learns -----------------------------------------------------------------------------------


def learn(course: Course, ended: Sequence[Ended]) -> None:
    """Consultations have ended: the log tells of it, with the advice. A unit that has the case since is told, too.

    An answer that crossed with its withdrawal counts: nothing that somebody has answered is lost. A case that has ended
    learns nothing more.
    """
    for news in ended:
        case = course.now
        known = next((each for each in case.consultations if each.case_id == news.case_id), None)
        if known is None or not case.is_open or not _is_news(known, news):
            continue
        _learn_one(course, news)
        if known.status is ConsultationStatus.OPEN and case.responsible_unit != known.asked_by:
            tell(course, case.responsible_unit, Reason.CONSULTATION_ANSWERED)


def _is_news(known: Consultation, news: Ended) -> bool:
    if known.status is ConsultationStatus.WITHDRAWN:
        return news.status in {ConsultationStatus.ANSWERED, ConsultationStatus.REFUSED}
    return known.status is ConsultationStatus.OPEN and news.status is not ConsultationStatus.OPEN


def _learn_one(course: Course, news: Ended) -> None:
    course.by = news.by
    if news.status is ConsultationStatus.ANSWERED:
        course.happens(
            Answered(consultation=news.case_id, unit=news.unit, advice=news.advice, takes_over=news.takes_over)
        )
    elif news.status is ConsultationStatus.REFUSED:
        course.happens(Refused(consultation=news.case_id, unit=news.unit, reason=news.reason or ""))
    else:
        course.happens(
            ConsultationWithdrawn(
                consultation=news.case_id, unit=news.unit, because=news.reason or news.status, status=news.status
            )
        )
    course.by = None
