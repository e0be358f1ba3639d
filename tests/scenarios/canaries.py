"""Canaries: texts that stand for a patient's data, and how they are looked for in whatever form they may have taken.

There are two sorts. What is *said* about a case may stand in its log (``omhand.events.detail``; contract §5) and
nowhere else outside what is encrypted; what is *kept* may stand nowhere: who the patient is, and what was refused.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from google.protobuf.message import Message
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload

from omhand.contract.actions import ACTIONS, ThePatient
from omhand.contract.opening import Addressee, Booking, IntakeAnswer, Opening, StaffMember, Ticket, TriageOutcome
from omhand.contract.patient import Patient
from omhand.contract.reads import Read, Reader

SAID: Final = "Kanarie-said-"
KEPT: Final = "Kanarie-kept-"
PLAIN: Final = "Siskin-plain-"
"""Of a client that does not encrypt: what it sends is plain in what it sent, and nowhere else."""

PERSONNUMMER: Final = "19850709-9805"
SAMORDNINGSNUMMER: Final = "197010632391"
REFERENCE: Final = f"ref:{KEPT}reference"
IDENTITIES: Final = ("8507099805", "850709-9805", "7010632391", "701063-2391")
"""As they may be written: all of them are in the longer forms, too."""

MODELS: Final[tuple[type[BaseModel], ...]] = (
    Opening, Ticket, Booking, Addressee, StaffMember, TriageOutcome, IntakeAnswer, Patient, ThePatient, Read, Reader,
    *ACTIONS.values(),
)  # fmt: skip
"""Everything that comes from outside, and what it is made of."""

NO_PATIENT_DATA: Final[Mapping[str, str]] = {
    "case_id": "an id that the caller gives, of a form without spaces",
    "consultation": "a case id",
    "action_id": "an id that the caller gives",
    "workflow_id": "made of the case id",
    "workflow_type": "a name of ours",
    "unit": "an HSA-id",
    "about": "an HSA-id of a unit",
    "to_unit": "an HSA-id",
    "staff": "an HSA-id",
    "to_staff": "an HSA-id",
    "profession": "a word of the directory",
    "to_profession": "a word of the directory",
    "region": "two digits",
}
"""Text fields that cannot hold a patient's data, and why; every other one needs a canary."""


def said(label: str) -> str:
    """A text that a case's log may hold."""
    return f"{SAID}{label}-fågel"


def kept(label: str) -> str:
    """A text that nothing may hold."""
    return f"{KEPT}{label}-fågel"


# Which fields there are -------------------------------------------------------------------------------------------


def text_fields() -> Iterator[tuple[str, str]]:
    """Every field that holds text, as (model, key)."""
    for model in MODELS:
        for key, info in model.model_fields.items():
            if _holds_text(info.annotation):
                yield model.__name__, key


def _holds_text(annotation: Any) -> bool:
    """Whether it is text, or made of it: not an enumeration, and not a model, which is looked at by itself."""
    return annotation is str or any(map(_holds_text, get_args(annotation)))


def planted(model: type[BaseModel], value: Any) -> Iterator[tuple[str, str]]:
    """The fields of this model, and of those in it, that hold a canary in this JSON value."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if key in model.model_fields:
            if not isinstance(each, dict) and found_in(json.dumps(each).encode(), ALL):
                yield model.__name__, key
            for inner in _models(model.model_fields[key].annotation):
                yield from planted(inner, each)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


# Looking for them -------------------------------------------------------------------------------------------------


def forms(text: str) -> set[bytes]:
    """What bytes the text may have become, wherever in a longer one it stands."""
    data = text.encode()
    found = {data, json.dumps(text)[1:-1].encode(), binascii.hexlify(data), binascii.hexlify(data).upper()}
    for before in range(3):
        # The letters at either end are made of its neighbours, too.
        encoded = base64.b64encode(bytes(before) + data)
        whole = encoded[(0, 2, 3)[before] : len(encoded) // 4 * 4 - (0 if (before + len(data)) % 3 == 0 else 4)]
        found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def _all_forms(texts: Iterable[str]) -> frozenset[bytes]:
    return frozenset(form for text in texts for form in forms(text))


SECRET: Final = _all_forms((KEPT, *IDENTITIES))
"""May stand nowhere."""
ALL: Final = SECRET | _all_forms((SAID,))
OF_PLAIN: Final = _all_forms((PLAIN,))
_LABEL: Final = re.compile(rb"Kanarie-(?:said|kept)-([a-z0-9_.-]+?)-f")


def found_in(data: bytes, wanted: frozenset[bytes]) -> list[str]:
    """What of it stands in the data, each with what is around it."""
    places = ((data.find(form), len(form)) for form in wanted)
    return [repr(data[max(0, at - 40) : at + length + 40]) for at, length in places if at >= 0]


def labels_in(data: bytes) -> set[str]:
    """The labels of the canaries that stand in the data as text."""
    return {label.decode() for label in _LABEL.findall(data)}


def payloads_in(message: Message) -> Iterator[Payload]:
    """Every payload in a message of Temporal's, at whatever depth."""
    if isinstance(message, Payload):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if descriptor.message_type.GetOptions().map_entry:
            inner = [each for each in value.values() if isinstance(each, Message)]
        else:
            inner = value if isinstance(value, Iterable) and not isinstance(value, Message) else [value]
        for each in inner:
            yield from payloads_in(each)
