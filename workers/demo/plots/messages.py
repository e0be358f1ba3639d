"""Message threads (K6): a chat, and messages to somebody by name, who is there, or is not, or whom others help."""

from omhand.contract.actions import Reply
from omhand.contract.names import EventName, Outcome, Status
from omhand.contract.opening import StaffMember
from omhand.contract.view import View
from workers.demo.staff import Staff, events, has


async def chat(staff: Staff) -> None:
    """A unit writes to a patient: nothing waits until the patient has answered (K6a)."""
    by = staff.crew.named(staff.part.given["asked_by"]["staff"], staff.unit)
    view = await staff.view()
    staff.expect(view.status is Status.IDLE and view.due_at is None, "a chat that the unit has started waits (K6a)")
    await staff.pause(1, 3)
    view = await staff.patient_writes("Demo: better, but it itches")
    staff.expect(view.status is Status.WAITING, "the patient has written, and nothing waits (K6a)")
    await staff.pause(1, 3)
    await _reply_and_close(staff, by)


async def named_called(staff: Staff) -> None:
    """Who is written to is there and has a phone: that rings first, and they answer (K6b)."""
    view = await staff.look_until(_somebody_is_called, "a call about a message")
    staff.expect(_called(view)[0] == _named(staff), "whom the patient writes to was not called first (K6b)")
    await staff.pause(0.5, 1.5)
    await _reply_and_close(staff, staff.crew.named(_named(staff), staff.unit))


async def named_absent(staff: Staff) -> None:
    """Who is written to is away: the unit is called, and a colleague answers (K6b)."""
    view = await staff.look_until(_somebody_is_called, "a call about a message")
    staff.expect(_called(view)[0] is None, "somebody was called who is away (K6b)")
    await staff.pause(0.5, 1.5)
    await _reply_and_close(staff, _colleague(staff))


async def by_colleague(staff: Staff) -> None:
    """A colleague sees it first, and answers in the other's place (K6b)."""
    await staff.finds_it_on_the_worklist(staff.unit, "responsible")
    await staff.pause(0.8, 2)
    await _reply_and_close(staff, _colleague(staff))


async def nobody_answers(staff: Staff) -> None:
    """Nobody answers who was written to, nor the unit: its manager is told, and it waits still (K6b, R1)."""
    view = await staff.look_until(lambda view: has(view, EventName.MANAGER_ALERTED), "an alert to the manager")
    staff.expect(_called(view)[:2] == [_named(staff), None], "not who is written to was called first, then the unit")
    staff.expect(view.overdue, "a message that nobody answers is not overdue")


async def _reply_and_close(staff: Staff, by: StaffMember) -> None:
    """The answer stops the clock; the thread is taken and closed when nothing more is to be said."""
    view = await staff.act(Reply(by=by, text="Demo: yes, for a week"))
    staff.expect(view.status is Status.IDLE and view.due_at is None, "an answer has not stopped the clock (K6a)")
    await staff.pause(0.5, 1.5)
    await staff.take(by)
    await staff.close(by, 3, Outcome.ADVICE_GIVEN)


def _somebody_is_called(view: View) -> bool:
    return has(view, EventName.NOTIFIED)


def _called(view: View) -> list[str | None]:
    """Who has been called, in the order of time; None stands for the unit's phone."""
    return [event.detail.get("staff") for event in events(view, EventName.NOTIFIED)]


def _named(staff: Staff) -> str:
    named: str = staff.part.given["to"]["staff"]
    return named


def _colleague(staff: Staff) -> StaffMember:
    """Somebody of the unit, but not who is written to."""
    at_unit = staff.crew.at(staff.unit, staff.profession)
    return next(member for member in at_unit if member.staff != _named(staff))
