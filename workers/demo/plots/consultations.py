"""Consultations (K4): of a case, which asks another unit for advice or to take over, and on their own."""

from omhand.contract.actions import Accept, Answer, Consult, HandOver, Refuse, Withdraw
from omhand.contract.names import Code, ConsultationStatus, Ground, Outcome
from omhand.contract.opening import StaffMember
from omhand.contract.view import View
from workers.demo.plots import handovers
from workers.demo.staff import Staff

QUESTION = "Demo: what would you do?"
ADVICE = "Demo: wait and see, and look again in a week"


async def _consult(staff: Staff, *, wants_handover: bool = False) -> tuple[StaffMember, Staff, StaffMember]:
    """Take the case and ask another unit, which finds the question on its worklist: who has it, and who is asked."""
    await staff.pause(0.8, 2)
    own, to_unit = staff.own(), staff.other_unit()
    await staff.take(own)
    asking = Consult(
        by=own, to_unit=to_unit, to_profession=staff.profession, question=QUESTION, wants_handover=wants_handover
    )
    view = await staff.act(asking)
    staff.expect(view.responsible_unit == own.unit, "a question has moved the case (K4a)")
    asked = staff.asked(view.consultations[-1].case_id)
    await asked.finds_it_on_the_worklist(to_unit, "consulted")
    await staff.pause(0.5, 1.5)
    return own, asked, staff.someone_at(to_unit)


async def _learns(staff: Staff, status: ConsultationStatus) -> View:
    """The case that asked learns how the consultation has ended."""
    return await staff.look_until(lambda view: view.consultations[-1].status is status, f"a consultation {status}")


async def _ends(asked: Staff, outcome: Outcome) -> None:
    """The consultation learns that it is not asked any more, and ends so."""
    await asked.look_until(lambda view: view.outcome is outcome, f"the end of a consultation as {outcome}")


async def _answer(asked: Staff, by: StaffMember, *, takes_over: bool) -> None:
    """Answer it, every other time after having taken it."""
    if asked.chance.random() < 0.5:  # noqa: PLR2004 - every other time
        await asked.act(Accept(by=by))
        await asked.pause(0.5, 1)
    view = await asked.act(Answer(by=by, advice=ADVICE, takes_over=takes_over))
    asked.expect(view.outcome is (Outcome.TAKEN_OVER if takes_over else Outcome.ANSWERED), "an answer did not end it")


async def advised(staff: Staff) -> None:
    """The other unit gives advice; the unit deals with the case."""
    own, asked, other = await _consult(staff)
    await _answer(asked, other, takes_over=False)
    view = await _learns(staff, ConsultationStatus.ANSWERED)
    staff.expect(view.responsible_unit == own.unit, "an answer has moved the case (K4a)")
    await staff.close(own)


async def taken_over(staff: Staff) -> None:
    """They agree that the other unit is best placed, and it is handed over on that ground (H2)."""
    own, asked, other = await _consult(staff, wants_handover=True)
    await _answer(asked, other, takes_over=True)
    await _learns(staff, ConsultationStatus.ANSWERED)
    ground = Ground.AFTER_CONSULTATION
    handover = await handovers.hand_over(staff, own, other.unit, ground, reference=asked.case_id)
    await staff.pause(0.8, 2)
    await handovers.accept_it(staff, other, handover)
    await staff.close(other)


async def refused(staff: Staff) -> None:
    """The other unit says no; so there is no ground to hand the case over to it (H2)."""
    own, asked, other = await _consult(staff, wants_handover=True)
    await asked.act(Refuse(by=other, reason="Demo: not a question for us"))
    await _learns(staff, ConsultationStatus.REFUSED)
    without_ground = HandOver(by=own, to_unit=other.unit, ground=Ground.AFTER_CONSULTATION, reference=asked.case_id)
    await staff.is_refused(without_ground, Code.GROUND_NOT_MET)
    await staff.close(own)


async def withdrawn(staff: Staff) -> None:
    """The unit takes its question back."""
    own, asked, _ = await _consult(staff)
    await staff.act(Withdraw(by=own, consultation=asked.case_id))
    await _ends(asked, Outcome.WITHDRAWN)
    await staff.close(own)


async def not_needed(staff: Staff) -> None:
    """The case is closed while the question is open, which ends it."""
    own, asked, _ = await _consult(staff)
    view = await staff.close(own, 3)
    staff.expect(view.consultations[-1].status is ConsultationStatus.NOT_NEEDED, "a closed case asks still")
    await _ends(asked, Outcome.NOT_NEEDED)


async def question_answered(staff: Staff) -> None:
    """A question of its own: the unit that was asked finds it, and answers."""
    await staff.finds_it_on_the_worklist(staff.unit, "consulted")
    await staff.pause(1, 3)
    await _answer(staff, staff.own(), takes_over=False)


async def question_refused(staff: Staff) -> None:
    """A question of its own: the unit that was asked says no."""
    await staff.finds_it_on_the_worklist(staff.unit, "consulted")
    await staff.pause(1, 3)
    view = await staff.act(Refuse(by=staff.own(), reason="Demo: ask the clinic instead"))
    staff.expect(view.outcome is Outcome.REFUSED, "a refusal did not end it")
