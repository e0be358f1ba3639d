"""Messages between a unit and a patient: in threads (K6) and in administrative cases (K3).

In a thread the oldest message without an answer has a clock, which a reply stops. An administrative case has a clock of
its own; what the patient writes meanwhile is told to whoever has it.
"""

from typing import cast

from decisions.effects import Course, Refusal
from decisions.facts import Facts
from decisions.standing import not_responsible
from decisions.telling import tell
from omhand.contract.actions import Action, Message, Reply
from omhand.contract.events import MessageWritten, Replied
from omhand.contract.names import Kind, Reason, Status


def reply(course: Course, action: Action, _facts: Facts) -> Refusal | None:
    """The responsible unit writes to the patient, whether somebody has accepted it or not."""
    written = cast("Reply", action)
    refusal = not_responsible(course.now, written)
    if refusal:
        return refusal
    course.happens(Replied(unit=written.by.unit, text=written.text, attachments=written.attachments))
    return None


def message(course: Course, action: Action, facts: Facts) -> None:
    """The patient writes: a thread's clock starts, unless it runs already (K6)."""
    written, case = cast("Message", action), course.now
    is_thread = case.kind is Kind.MESSAGE_THREAD
    back_to_unit = is_thread and case.holder is not None and facts.named_is_away
    course.happens(
        MessageWritten(text=written.text, attachments=written.attachments, plan=facts.plan, back_to_unit=back_to_unit)
    )
    if back_to_unit and facts.plan is None:
        # The clock goes on, and its next step may be long in coming: the unit does not know that it is theirs (K6b).
        tell(course, case.responsible_unit, Reason.NEW_CASE)
    if not is_thread and case.status is Status.ACCEPTED and case.unanswered_since is None:
        # Nobody is called to a case that somebody has, but they have to know that there is more to read (K3).
        tell(course, case.responsible_unit, Reason.MESSAGE)
