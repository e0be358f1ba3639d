"""What a command reads from a file: JSON objects, one in all or one a line."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from omhand.cli.saying import bad_usage
from omhand.contract.wire import Malformed, parse_object

STANDARD_INPUT = Path("-")


def read_objects(path: Path) -> list[tuple[int, Mapping[str, object]]]:
    """Every object of the file, with the number of the line where it begins.

    Exits:
        2: there is no such file, or it holds anything but JSON objects; the message names the line and the fault.
    """
    text = _read(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        bad_usage(f"{path}: there is nothing in it")
    several = len(lines) > 1 and _is_whole(lines[0][1])
    return [(number, _object(path, number, part)) for number, part in (lines if several else [(1, text)])]


def read_object(path: Path) -> Mapping[str, object]:
    """The one object of the file. Exits 2 as `read_objects` does, and where there are several."""
    found = read_objects(path)
    if len(found) > 1:
        bad_usage(f"{path}: line {found[1][0]}: holds more than one JSON object")
    return found[0][1]


def _read(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        bad_usage(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        bad_usage(f"{path}: is not UTF-8 text")


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _object(path: Path, first_line: int, text: str) -> Mapping[str, object]:
    try:
        found = parse_object(text.encode())
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        bad_usage(f"{path}: line {first_line}: holds a lone surrogate")
    except Malformed as fault:
        line, what = _place_of_fault(text) or (1, str(fault))
        bad_usage(f"{path}: line {first_line + line - 1}: {what}")
    return found


def _place_of_fault(text: str) -> tuple[int, str] | None:
    """Where JSON ends to be JSON, and what is wrong there, in the parser's words: they quote nothing."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno, f"is not JSON: {error.msg}"
    except (ValueError, RecursionError):
        return None  # a number of too many digits, or nested too deeply: the whole of it is wrong
    return None
