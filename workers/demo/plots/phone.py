"""Consultations from 1177 by phone (K5): taken and closed by phone, not refused, handed over where misplaced."""

from omhand.contract.actions import Refuse
from omhand.contract.names import Code, Ground
from workers.demo.plots import handovers
from workers.demo.staff import Staff


async def taken(staff: Staff) -> None:
    """The unit takes it, and calls the patient."""
    await staff.pause(0.8, 4)
    await staff.take_and_close(staff.own())


async def may_not_refuse(staff: Staff) -> None:
    """Somebody would rather not: it may not be refused (K5b), and who tried is logged."""
    await staff.pause(0.8, 2)
    by = staff.own()
    await staff.is_refused(Refuse(by=by, reason="Demo: not ours"), Code.MAY_NOT_BE_REFUSED)
    await staff.pause(0.5, 2)
    await staff.take_and_close(by)


async def misplaced(staff: Staff) -> None:
    """It reached the wrong unit: that one hands it over, and is responsible until the right one accepts (H2, H3)."""
    await staff.pause(0.8, 2)
    to_unit = staff.other_unit()
    handover = await handovers.hand_over(staff, staff.own(), to_unit, Ground.MISPLACED, note="Demo: listed there")
    await staff.pause(1, 2.5)
    receiver = staff.someone_at(to_unit)
    await handovers.accept_it(staff, receiver, handover)
    await staff.close(receiver)
