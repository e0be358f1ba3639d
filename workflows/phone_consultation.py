"""``PhoneConsultation``: konsultation från 1177 på telefon (K5)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class PhoneConsultation(CaseShell):
    """A case that 1177 by phone hands to a unit, which may not refuse it: announced, escalated, taken, closed."""

    kind = Kind.PHONE_CONSULTATION
