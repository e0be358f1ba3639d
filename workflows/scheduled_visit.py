"""``ScheduledVisit``: schemalagt besök (K2)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class ScheduledVisit(CaseShell):
    """A visit at a time that the patient or a unit has booked: ticket, booked, waiting at its time, taken, closed."""

    kind = Kind.SCHEDULED_VISIT
