"""The Dockerfile and what it installs."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

from image import copied, instructions


def test_hadolint_finds_nothing(root: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_its_packages_are_those_that_a_worker_needs(root: Path) -> None:
    made_anew = runpy.run_path(str(root / "deploy/lock.py"))["worker_lock"](root)
    assert (root / "requirements.worker.lock").read_text() == made_anew, "run `.venv/bin/python deploy/lock.py`"
    embedded = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]["embedded"]
    assert not {pin.split("==")[0] for pin in embedded} & set(re.findall(r"(?m)^([a-z0-9-]+)", made_anew))


def test_its_packages_are_for_its_python(root: Path) -> None:
    version = runpy.run_path(str(root / "deploy/lock.py"))["IMAGE"]["python_version"]
    bases = [rest.split()[0] for word, rest in instructions(root) if word == "FROM"]
    assert len(set(bases)) == 1
    assert re.fullmatch(rf"python:{version}\.\d+-slim-\w+", bases[0])


def test_what_it_copies_is_there_and_let_through(root: Path) -> None:
    ignored = (root / ".dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert let_through == {*copied(root), "requirements.worker.lock"}
    assert [name for name in let_through if not (root / name).exists()] == []


def test_it_runs_as_nobody_in_particular_and_needs_no_shell(root: Path) -> None:
    said = dict(instructions(root))
    assert said["USER"] == "10001"
    assert said["ENTRYPOINT"] == '["python", "-m", "omhand"]'
