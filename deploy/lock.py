"""Writes requirements.worker.lock: the part of requirements.lock that the image needs, ``omhand[worker]`` and no more.

    .venv/bin/python deploy/lock.py

What a package needs is read where it is installed, so everything of requirements.lock has to be (`make setup`).
"""  # noqa: INP001 - a script

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMAGE = {
    "os_name": "posix",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""Where it runs, as the Dockerfile has it."""

HEADER = "# Of requirements.lock, what `omhand[worker]` needs: written by deploy/lock.py.\n"


def worker_lock(root: Path) -> str:
    """The content of requirements.worker.lock, by the project's own files and what is installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (root / "requirements.lock").read_text(encoding="utf-8")
    locked = {canonicalize_name(re.split(r"[\[=]", pin)[0]): pin for pin in re.split(r"(?m)^(?=[a-zA-Z0-9])", text)[1:]}
    asked_for = [*project["dependencies"], *project["optional-dependencies"]["worker"]]
    wanted = {found for line in asked_for for found in _of(line)}
    looked_at: set[tuple[str, str]] = set()
    while wanted:
        name, extra = wanted.pop()
        looked_at.add((name, extra))
        for line in requires(name) or ():
            marker = Requirement(line).marker
            if marker is None or marker.evaluate({**IMAGE, "extra": extra}):
                wanted |= _of(line) - looked_at
    needed = {name for name, _ in looked_at}
    return HEADER + "".join(pin for name, pin in locked.items() if name in needed)


def _of(line: str) -> set[tuple[str, str]]:
    """The package that is required, by itself and with each extra."""
    required = Requirement(line)
    return {(canonicalize_name(required.name), extra) for extra in ("", *required.extras)}


if __name__ == "__main__":
    project_root = Path(__file__).parents[1]
    (project_root / "requirements.worker.lock").write_text(worker_lock(project_root), encoding="utf-8")
