"""``DropInVisit``: drop in-besök (K1)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class DropInVisit(CaseShell):
    """A visit now, for whoever comes first: announced, waiting, escalated when nobody takes it, taken, closed."""

    kind = Kind.DROP_IN_VISIT
