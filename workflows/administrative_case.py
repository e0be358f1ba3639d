"""``AdministrativeCase``: administrativt ärende (K3)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class AdministrativeCase(CaseShell):
    """A prescription, a certificate or the like, with messages both ways: announced, reminded of, taken, closed."""

    kind = Kind.ADMINISTRATIVE_CASE
