"""``Consultation``: konsultation (K4)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class Consultation(CaseShell):
    """A question to somebody else, of a case or on its own: announced, reminded of, answered or refused."""

    kind = Kind.CONSULTATION
