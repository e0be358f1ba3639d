"""The region and the outcomes that the demo plays: the examples, with every unit open around the clock."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
POLICY: Final = EXAMPLES / "demo" / "policy.toml"

Outcome = Mapping[str, Any]
"""A triage outcome as it stands in the file; not a model, as some are there to be refused."""

_ALWAYS: Final = ", ".join(f'{day} = ["00:00-24:00"]' for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))


def around_the_clock(directory: str) -> str:
    """The directory file with every unit always open: the demo is to work at night too, when hardly any would be."""
    without_on_call = re.sub(r"(?m)^on_call = \{.*\}\n", "", directory)
    return re.sub(r"(?m)^opening = \{.*\}$", f"opening = {{ {_ALWAYS} }}", without_on_call)


def write_directory(folder: Path) -> Path:
    """Write the demo's directory file into ``folder``; its path."""
    file = folder / "directory.toml"
    example = (EXAMPLES / "directory.toml").read_text(encoding="utf-8")
    file.write_text(around_the_clock(example), encoding="utf-8")
    return file


def outcomes() -> list[Outcome]:
    """The morning's triage outcomes, in the order in which they come."""
    lines = (EXAMPLES / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
