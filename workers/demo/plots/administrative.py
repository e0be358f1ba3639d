"""Administrative cases (K3): a prescription renewed, a certificate, and one that another unit should have."""

from omhand.contract.actions import Reply
from omhand.contract.names import Ground, Outcome, Reason, Status
from workers.demo.plots import handovers
from workers.demo.staff import Staff, told


async def renewed(staff: Staff) -> None:
    """The unit asks what it needs to know, the patient answers, and writes once more when somebody has the case."""
    await staff.pause(1, 3)
    own = staff.own()
    view = await staff.act(Reply(by=own, text="Demo: which of your medicines?"))
    staff.expect(view.status is Status.WAITING, "a question to the patient has stopped the case's clock (K3)")
    await staff.patient_writes("Demo: the white one")
    await staff.pause(1, 2)
    await staff.take(own)
    view = await staff.patient_writes("Demo: and the other one too, please")
    staff.expect(told(view, Reason.MESSAGE), "the unit was not told that the patient has written (K3)")
    await staff.pause(0.5, 2)
    await staff.act(Reply(by=own, text="Demo: both are renewed"))
    await staff.close(own, 3, Outcome.TREATED)


async def certificate(staff: Staff) -> None:
    """Somebody takes it, writes it, and tells the patient."""
    await staff.pause(1, 4)
    own = staff.own()
    await staff.take(own)
    await staff.pause(1, 3)
    await staff.act(Reply(by=own, text="Demo: here it is"))
    await staff.close(own, 3, Outcome.TREATED)


async def sent_on(staff: Staff) -> None:
    """It is another unit's to answer: it is handed over, which needs an acceptance as everywhere (H3)."""
    await staff.pause(1, 3)
    to_unit = staff.other_unit()
    handover = await handovers.hand_over(staff, staff.own(), to_unit, Ground.MISPLACED, note="Demo: their patient then")
    await staff.pause(1, 2.5)
    receiver = staff.someone_at(to_unit)
    await handovers.accept_it(staff, receiver, handover)
    await staff.act(Reply(by=receiver, text="Demo: a copy is on its way"))
    await staff.close(receiver, 3, Outcome.TREATED)
