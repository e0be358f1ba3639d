"""How JSON from outside becomes a model, and what is said when it cannot.

Everything on the wire is JSON with snake_case keys; numbers are numbers, unknown keys are refused, NUL and lone
surrogates are refused (contract, preamble). An error names the key and the rule, **never the value**: failures are
stored in plain text.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from omhand.contract.names import ANY_CASE_ID_PATTERN, CASE_ID_PATTERN, HSA_ID_PATTERN

MOST_FAULTS: Final = 20
"""So many faults are named in one error; the rest are counted."""

LONGEST_NAMED_KEY: Final = 64

DEEPEST: Final = 20
MOST_VALUES: Final = 1_000
"""Of an object from outside: the contract's largest have some dozens. Models would choke on what is far from that."""
EARLIEST_YEAR, LATEST_YEAR = 1900, 9998
"""Calendars and time zones look a day further, and there are no other years."""


class Malformed(ValueError):  # noqa: N818 - the codes of the contract are not named Error either
    """What came cannot be read: every fault as ``key: what is wrong``, never the value."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        more = len(faults) - MOST_FAULTS
        shown = "; ".join(faults[:MOST_FAULTS])
        super().__init__(f"{shown}; and {more} more" if more > 0 else shown)


class Wire(BaseModel):
    """A model of something on the wire: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The JSON object, of JSON's own types only."""
        return self.model_dump(mode="json")


def without_nul(text: str) -> str:
    """The text, which holds no NUL.

    Raises:
        ValueError: it does.
    """
    if "\x00" in text:
        msg = "NUL is not allowed in a text"
        raise ValueError(msg)
    return text


def _matching(pattern: str) -> Callable[[str], str]:
    # `$` alone would let a newline at the end through.
    form = re.compile(pattern.removeprefix("^").removesuffix("$"), re.ASCII)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            msg = f"must match {pattern}"
            raise ValueError(msg)
        return text

    return check


def _written_as(form: re.Pattern[str], what: str, own: type) -> Callable[[object], object]:
    def check(value: object) -> object:
        # Pydantic would take a number for a time or a duration; on the wire both are texts.
        if isinstance(value, own) or (isinstance(value, str) and form.fullmatch(value)):
            return value
        msg = f"must be {what}"
        raise ValueError(msg)

    return check


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        msg = "must have an offset from UTC"
        raise ValueError(msg)
    if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        msg = f"must be of the years {EARLIEST_YEAR} to {LATEST_YEAR}"
        raise ValueError(msg)
    return value.astimezone(UTC)


REFERENCE_PATTERN: Final = r"^(?![dD][aA][tT][aA]:)[A-Za-z][A-Za-z0-9+.-]{0,31}:[!-~]{1,168}$"
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_ISO_8601_DURATION = re.compile(
    r"P(?=[0-9T])(\d{1,4}W|(\d{1,5}D)?(T(?=\d)(\d{1,6}H)?(\d{1,7}M)?(\d{1,9}S)?)?)",
    re.ASCII,
)

Text = Annotated[str, StringConstraints(strict=True, min_length=1), AfterValidator(without_nul)]
ShortText = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200), AfterValidator(without_nul)]
LongText = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4_000), AfterValidator(without_nul)]
MessageText = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=10_000), AfterValidator(without_nul)
]
GivenCaseId = Annotated[
    Text, AfterValidator(_matching(CASE_ID_PATTERN)), WithJsonSchema({"type": "string", "pattern": CASE_ID_PATTERN})
]
"""As a caller gives it."""
CaseId = Annotated[
    Text,
    AfterValidator(_matching(ANY_CASE_ID_PATTERN)),
    WithJsonSchema({"type": "string", "pattern": ANY_CASE_ID_PATTERN}),
]
"""Of any case, a consultation of a case included."""
HsaId = Annotated[
    Text, AfterValidator(_matching(HSA_ID_PATTERN)), WithJsonSchema({"type": "string", "pattern": HSA_ID_PATTERN})
]
ProfessionName = Annotated[
    Text,
    StringConstraints(max_length=64),
    AfterValidator(_matching(r"^[a-z][a-z0-9_]*$")),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 64}),
]
RegionCode = Annotated[
    Text, AfterValidator(_matching(r"^\d{2}$")), WithJsonSchema({"type": "string", "pattern": r"^\d{2}$"})
]
Time = Annotated[
    datetime,
    BeforeValidator(_written_as(_RFC_3339, "a time of RFC 3339 with an offset (2026-11-24T09:00:00+01:00)", datetime)),
    AfterValidator(_in_utc),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_written_as(_ISO_8601_DURATION, "a duration of ISO 8601 (PT30M)", timedelta)),
    # Pydantic's own would write a year, which has no fixed length.
    PlainSerializer(lambda value: f"P{value.days}DT{value.seconds}S", when_used="json"),
]
Reference = Annotated[
    ShortText,
    AfterValidator(_matching(REFERENCE_PATTERN)),
    WithJsonSchema({"type": "string", "pattern": REFERENCE_PATTERN}),
]
"""Where something is kept: a URI without white space, but never ``data:``, which would be the thing itself."""
Attachments = Annotated[tuple[Reference, ...], Field(max_length=10)]
"""What goes along with a message, by reference: never the bytes (K6)."""
Assertion = Annotated[
    Text,
    StringConstraints(max_length=8_192),
    AfterValidator(_matching(r"^[!-~]+$")),
    WithJsonSchema({"type": "string", "pattern": "^[!-~]+$", "maxLength": 8192}),
]
"""Who somebody is, signed by their identity provider: a JWT. It proves who acts, and is copied nowhere."""
Flag = StrictBool
Number = StrictInt

M = TypeVar("M", bound=BaseModel)


def _not_a_number(_: str) -> NoReturn:
    msg = "a number is not finite"
    raise Malformed(msg)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that is given twice: whichever were used, the other would be lost in silence."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            msg = f"{named(key)}: given twice"
            raise Malformed(msg)
        found[key] = value
    return found


def named(key: object) -> str:
    """A key as it is shown in an error: printable and short, whatever came."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(key))
    return shown if len(shown) <= LONGEST_NAMED_KEY else shown[:LONGEST_NAMED_KEY] + "…"


def parse_object(data: bytes) -> Mapping[str, object]:
    """The one JSON object in ``data``, which came from outside.

    Raises:
        Malformed: not JSON, not an object, a key given twice, not finite, nested too deeply, or of too many values.
    """
    value = parse_own(data)
    _check_size(value)
    return value


def parse_own(data: bytes) -> Mapping[str, object]:
    """The same of what the program wrote itself, however large it is.

    Raises:
        Malformed: as `parse_object`, but for its bounds.
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_not_a_number)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        # The parser's own message quotes what it read, and that may be about a patient.
        msg = "must be JSON, one object"
        raise Malformed(msg) from None
    if not isinstance(value, dict):
        msg = "must be one JSON object"
        raise Malformed(msg)
    return value


def _check_size(value: object) -> None:
    """Level by level, so that neither depth nor number costs more than it may."""
    level, values = [value], 0
    for _ in range(DEEPEST):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict | list):
                values += len(each)
                if values > MOST_VALUES:
                    raise Malformed(f"the object: has more than {MOST_VALUES} values in it")
                inner += each.values() if isinstance(each, dict) else each
        if not inner:
            return
        level = inner
    raise Malformed(f"the object: is nested more than {DEEPEST} levels deep")


def read(model: type[M], value: object) -> M:
    """``value``, of JSON's own types, as a ``model``.

    Raises:
        Malformed: with every fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Malformed(*faults_of(error)) from None


def tag(name: str) -> str:
    """The tag of a union's member. Pydantic puts it among the keys of a fault's place, where nobody would know it."""
    return f"{_TAG}{name}"


_TAG: Final = "·"


def faults_of(error: ValidationError) -> list[str]:
    """Each fault as ``key: rule``, without the value that broke it."""
    return [
        f"{_place(fault['loc'])}: {_rule(fault['type'], fault['msg'])}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _place(keys: Sequence[int | str]) -> str:
    return ".".join(named(key) for key in keys if not str(key).startswith(_TAG)) or "the object"


_OWN_WORDS: Final = {
    "extra_forbidden": "there is no such key here",
    "missing": "is required",
    "string_unicode": "holds a lone surrogate or another character that is not Unicode",
}


def _rule(kind: str, message: str) -> str:
    return _OWN_WORDS.get(kind, message.removeprefix("Value error, "))
