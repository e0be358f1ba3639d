"""Raw arguments from outside as one JSON object, or a fault that can be told.

Arguments are taken raw: one that did not fit a type hint would leave a workflow failing its first task for ever, and a
signal dropped with nothing but a line in a worker's log.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from temporalio.common import RawValue

from omhand.contract.wire import Malformed, named, parse_object, parse_own

UNREADABLE: Final = "binary/unreadable"
"""What the codec makes of a payload that is damaged, or plain where it must not be (``omhand.codec``)."""


def one_object(args: Sequence[RawValue], *, is_own: bool = False) -> Mapping[str, object]:
    """The one JSON object that was given; ``is_own`` where the workflow itself has given it.

    Raises:
        Malformed: none or several arguments, another encoding than JSON, damaged, or not an object.
    """
    if len(args) != 1:
        msg = f"one JSON object is expected, and {len(args)} arguments came"
        raise Malformed(msg)
    payload = args[0].payload
    encoding = payload.metadata.get("encoding", b"").decode(errors="replace")
    if encoding == UNREADABLE:
        # A sender could make such a payload, too, and put anything in it.
        fault = named(payload.metadata.get("fault", b"damaged").decode(errors="replace"))
        msg = f"the payload cannot be decrypted: {fault}"
        raise Malformed(msg)
    if encoding != "json/plain":
        msg = f"one JSON object is expected, with the encoding json/plain, and {named(encoding) or 'none'} came"
        raise Malformed(msg)
    return parse_own(payload.data) if is_own else parse_object(payload.data)
