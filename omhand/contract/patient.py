"""Whom a case is about: identity numbers as Swedish care uses them, checked."""

import re
from typing import Annotated, Final

from personnummer import personnummer
from pydantic import AfterValidator

from omhand.contract.wire import Flag, RegionCode, ShortText, Text, Wire

_REFERENCE: Final = re.compile(r"ref:[A-Za-z0-9._~-]{1,64}", re.ASCII)
_LENGTH: Final = 12
_CENTURIES: Final = ("18", "19", "20")
_RESERVE_DAYS: Final = range(32, 60)
"""Days that no date and no samordningsnummer has: a local reserve number of digits (Inera)."""


def checked_identity(text: str) -> str:
    """The identity in its one form, twelve characters without a hyphen, or ``ref:<opaque>``.

    Personnummer and samordningsnummer have to have a date and a check digit that agree. Reserve numbers, national
    and local, are of too many forms to be checked further than their length and alphabet.

    Raises:
        ValueError: it is none of these.
    """
    if _REFERENCE.fullmatch(text):
        return text
    number = text[:8] + text[9:] if text[8:9] == "-" else text
    if len(number) != _LENGTH or not re.fullmatch(r"[0-9]{2}[0-9A-Z]{10}", number, re.ASCII):
        msg = (
            "must be a personnummer, samordningsnummer or reserve number (twelve characters or with a hyphen), or ref:…"
        )
        raise ValueError(msg)
    is_a_date = number.isdigit() and number[:2] in _CENTURIES and int(number[6:8]) not in _RESERVE_DAYS
    if is_a_date and not personnummer.valid(number):
        msg = "is not a valid personnummer or samordningsnummer: its date and check digit do not agree"
        raise ValueError(msg)
    return number


PatientId = Annotated[Text, AfterValidator(checked_identity)]


class Patient(Wire):
    """The patient of a case. Never in ids, search attributes, summaries, logs or notifications."""

    id: PatientId
    digital: Flag
    """Can use the service: else 1177's cases come as consultations (K5a)."""
    region: RegionCode | None = None
    """Two-digit county code; another than the directory's makes an out-of-region patient (P7)."""
    listed_at: ShortText | None = None
    """The unit where the patient is listed."""
    name: ShortText | None = None
