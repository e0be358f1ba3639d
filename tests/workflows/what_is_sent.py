"""What a flood is made of: payloads, actions and starts as anybody may send them, drawn by Hypothesis."""

import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import strategies as st
from stories import DOCTOR, DOCTOR_NORTH, NORTH, NURSE_NORTH, a_ticket, by, opening
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import PayloadCodec

from omhand.contract.names import CLOSING_TYPE, INTAKE_TYPE, READ_TYPE, WORKFLOW_TYPES, Code, StartFault

NUMBERS: Final = itertools.count(1)
KEY_ID: Final = b"fuzz"
KEY: Final = bytes(range(32))
NONCE: Final = bytes(12)

STRANGER: Final = by("SE2321000198-S99", NORTH, "nurse")
NOWHERE: Final = "SE2321000198-NOWHERE"


# Payloads ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A payload, and the JSON value that the case can read in it; None where it can read none."""

    payload: Payload
    value: Any = None


def sealed(plain: Payload) -> Payload:
    """Encrypted as any SDK's sample codec does it (contract §8)."""
    data = NONCE + AESGCM(KEY).encrypt(NONCE, plain.SerializeToString(), None)
    return Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": KEY_ID}, data=data)


def as_json(value: Any) -> Payload:
    """JSON, with whatever is not ASCII as escapes: lone surrogates too."""
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def nested(depth: int) -> Any:
    """A list in a list, so deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD_TEXTS: Final = st.sampled_from((
    "", "\x00", "\ud800", "NaN", "ref:x", "19121212-1212", NORTH, NOWHERE, "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", "../..", "'; drop table", "data:,x",
))  # fmt: skip
LEAVES: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | ODD_TEXTS
    | st.sampled_from((nested(5), [[], {}], {"": {}}, 10**30, 0, 1, 13))
)
KEYS: Final = st.sampled_from(
    ("by", "text", "unit", "staff", "priority", "offer", "slot", "case_id", "id", "x", "")
) | st.text(max_size=6)
JUNK: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)
ENCODINGS: Final = st.sampled_from((
    b"json/plain", b"binary/plain", b"binary/null", b"json/protobuf", b"binary/encrypted", b"binary/unreadable", b"",
)) | st.binary(max_size=40)  # fmt: skip


CHANCE: Final = st.randoms(use_true_random=True)
"""Of a drawn seed, and even: what Hypothesis draws by itself is odd more often than not, and cannot be read at all."""
FORMS: Final = (*4 * ("plain", "sealed"), "cut", "flipped", "key", "twice", "raw")


@st.composite
def mostly(draw: st.DrawFn, usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> Any:
    """The usual, four times of five. (``usual | odd`` would draw all that either is made of equally often.)"""
    return draw(usual if draw(CHANCE).random() < 0.8 else odd)


@st.composite
def changed(draw: st.DrawFn, value: Mapping[str, Any]) -> Any:
    """The JSON object with up to two keys taken out, replaced or added: often one that makes sense is left."""
    given_value = dict(value)
    for _ in range(draw(CHANCE).choice((0, 0, 0, 1, 2))):
        key = draw(st.sampled_from(sorted(given_value)) | KEYS if given_value else KEYS)
        if draw(st.booleans()):
            given_value.pop(key, None)
        else:
            given_value[key] = draw(JUNK)
    return given_value


@st.composite
def payloads(draw: st.DrawFn, value: Mapping[str, Any]) -> Sent:
    """A payload that has something of this object in it, or nothing at all."""
    body = draw(mostly(changed(value), JUNK))
    plain, form = as_json(body), draw(CHANCE).choice(FORMS)
    match form:
        case "plain":
            return Sent(plain, body)
        case "sealed":
            return Sent(sealed(plain), body)
        case "twice":
            return Sent(sealed(sealed(plain)))
        case "raw":
            names = st.sampled_from(("fault", "encryption-key-id", "messageType"))
            metadata = draw(st.dictionaries(names, st.binary(max_size=9)))
            # A key that may come back is waited for (contract §8): that is no fault of the payload.
            if metadata.get("encryption-key-id", b"").isalnum():
                del metadata["encryption-key-id"]
            encoding = draw(ENCODINGS)
            return Sent(Payload(metadata={**metadata, "encoding": encoding}, data=draw(st.binary(max_size=40))))
    return Sent(damaged(sealed(plain), form, draw(st.integers(0, 10_000))))


def damaged(payload: Payload, form: str, place: int) -> Payload:
    """Cut short, with a bit turned, or under no key."""
    data = bytearray(payload.data)
    place %= len(data)
    if form == "cut":
        return Payload(metadata=payload.metadata, data=bytes(data[:place]))
    if form == "flipped":
        data[place] ^= 1 << place % 8
        return Payload(metadata=payload.metadata, data=bytes(data))
    return Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"\xff no key"}, data=bytes(data))


def arguments(value: Mapping[str, Any]) -> st.SearchStrategy[list[Sent]]:
    """One argument, mostly; or none, or several."""
    one = st.lists(payloads(value), min_size=1, max_size=1)
    return mostly(one, st.lists(payloads(value), max_size=3))


class AsItIs(PayloadCodec):
    """Sends what it is given, and reads what is encrypted."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await self._codec.decode(payloads)


# Actions ----------------------------------------------------------------------------------------------------------

REFUSED_OR_HARMLESS: Final[Mapping[str, Mapping[str, Any]]] = {
    "accept": {"by": STRANGER, "offer": "x"},
    "refuse": {"by": STRANGER, "reason": "x"},
    "hand_over": {"by": NURSE_NORTH, "to_unit": NOWHERE, "ground": "misplaced", "note": "x"},
    "withdraw": {"by": STRANGER, "consultation": "x.consultation-1"},
    "release": {"by": NURSE_NORTH, "reason": "x", "assertion": "x.y.z"},
    "consult": {"by": NURSE_NORTH, "to_unit": NOWHERE, "question": "x"},
    "answer": {"by": STRANGER, "advice": "x", "takes_over": False},
    "reply": {"by": NURSE_NORTH, "text": "x", "attachments": ["doc:1"]},
    "message": {"by": {"patient": True}, "text": "x"},
    "book": {"by": {"patient": True}, "slot": "no-such-time"},
    "cancel_booking": {"by": NURSE_NORTH, "reason": "x"},
    "reprioritise": {"by": NURSE_NORTH, "priority": 4, "reason": "x"},
    "note": {"by": NURSE_NORTH, "text": "x"},
    "close": {"by": NURSE_NORTH, "outcome": "treated", "held_as": "video", "note": "x"},
    "cancel": {"by": STRANGER, "reason": "x"},
}
"""Each action as somebody sends it who cannot end or take the case with it: the cases have to go on living."""

NAMES: Final = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
UPDATE_IDS: Final = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@dataclass(frozen=True)
class Action:
    """A signal or an update of that name; ``times`` it is sent."""

    name: str
    args: Sequence[Sent]
    is_update: bool
    update_id: str | None
    times: int

    @property
    def action_id(self) -> str | None:
        """The id that the case can read in it (contract §2: at most 64 characters, no NUL, no lone surrogates)."""
        value = self.args[0].value if len(self.args) == 1 else None
        found = value.get("action_id") if isinstance(value, dict) else None
        if not isinstance(found, str) or not 0 < len(found) <= 64 or "\x00" in found:
            return None
        with suppress(UnicodeEncodeError):
            found.encode()
            return found
        return None


@st.composite
def actions(draw: st.DrawFn) -> Action:
    """An action, or what passes for one."""
    name = draw(mostly(CHANCE.map(lambda chance: chance.choice(sorted(REFUSED_OR_HARMLESS))), NAMES))
    value = dict(REFUSED_OR_HARMLESS.get(name, {"by": NURSE_NORTH}))
    # Nobody vouches for an assertion here, and what is refused so uses up no id.
    if "assertion" not in value and draw(st.booleans()):
        value["action_id"] = draw(mostly(st.uuids().map(str), ODD_TEXTS | st.text(max_size=70) | JUNK))
    args = draw(arguments(value))
    return Action(name, args, draw(st.booleans()), draw(st.none() | UPDATE_IDS), draw(st.sampled_from((1, 1, 2))))


def as_raw(value: Any) -> RawValue:
    """A plain payload."""
    return RawValue(as_json(value))


# Starts -----------------------------------------------------------------------------------------------------------

OPENINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "DropInVisit": {},
    "ScheduledVisit": {"priority": 7, "ticket": a_ticket()},
    "MessageThread": {"origin": "patient", "priority": None, "to": {"staff": DOCTOR}, "message": "x"},
    "Consultation": {"origin": "staff", "priority": None, "asked_by": DOCTOR_NORTH, "question": "x"},
    "AdministrativeCase": {"origin": "patient", "priority": None, "service": "certificate", "message": "x"},
    "PhoneConsultation": {"origin": "1177_phone", "level": "physical"},
}


OUTCOME: Final = {
    "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse", "unit": NORTH,
    "patient": {"id": "ref:x", "digital": True}, "reason": "x",
}  # fmt: skip
READ: Final = {"action": "view", "via": "client", "case_id": "x", "by": NURSE_NORTH}
TYPES: Final = (*WORKFLOW_TYPES.values(), INTAKE_TYPE, READ_TYPE, CLOSING_TYPE, "DropOutVisit", "Tömma \x00", "x" * 200)
FAULTS: Final = frozenset({*StartFault, Code.INVALID_ACTION, Code.NOT_ASSERTED})
"""A start fails as one of contract §1; a read, which is asked for like an action, as one of §2."""


@dataclass(frozen=True)
class Start:
    """A start of that type with whatever arguments."""

    workflow_type: str
    workflow_id: str
    args: Sequence[Sent]


@st.composite
def starts(draw: st.DrawFn) -> Start:
    """A start of a type that there is, or is not."""
    workflow_type, case_id = draw(CHANCE).choice(TYPES), f"start-{next(NUMBERS)}"
    value = {
        INTAKE_TYPE: OUTCOME | {"case_id": case_id},
        READ_TYPE: READ,
        CLOSING_TYPE: {"unit": NOWHERE},
    }.get(workflow_type, opening(case_id, **OPENINGS.get(workflow_type, {})))
    args = draw(arguments(value))
    prefix = draw(st.sampled_from(("case-", "case-", "case-", "intake-", "")))
    return Start(workflow_type, f"{'intake-' if workflow_type == INTAKE_TYPE else prefix}{case_id}", args)
