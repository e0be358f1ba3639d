"""``MessageThread``: meddelanden från asynkrona ärenden (K6)."""

from omhand.contract.names import Kind
from workflows.case import CaseShell


class MessageThread(CaseShell):
    """A chat between a patient and a unit, for years: each message that waits has a clock, which a reply stops."""

    kind = Kind.MESSAGE_THREAD
