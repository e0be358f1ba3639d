"""The client: opens cases, acts on them and reads them, from any Python program (contract §1-3 and §5)."""

from omhand.client.case_client import CaseClient
from omhand.client.connecting import DEFAULT_ADDRESS
from omhand.client.faults import (
    CaseError,
    Ended,
    NoAnswer,
    NoSuchCase,
    NotConfigured,
    NotOpened,
    Refused,
    ServerAway,
    StartRefused,
    UnreadableAnswer,
)
from omhand.client.lists import LogRow, SlotRow, WorklistRow

__all__ = [
    "DEFAULT_ADDRESS",
    "CaseClient",
    "CaseError",
    "Ended",
    "LogRow",
    "NoAnswer",
    "NoSuchCase",
    "NotConfigured",
    "NotOpened",
    "Refused",
    "ServerAway",
    "SlotRow",
    "StartRefused",
    "UnreadableAnswer",
    "WorklistRow",
]
