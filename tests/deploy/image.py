"""The image, laid out by hand as the Dockerfile says: its own files, the packages that it installs, and no more."""

import compileall
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """What is in the image, and how its processes are started."""

    app: Path
    """What is /app there."""
    packages: Path
    """What is the virtual environment's folder of packages there."""
    entrypoint: list[str]
    environment: dict[str, str]

    def command(self, words: list[str]) -> list[str]:
        """How this machine starts what the image would."""
        # -S: the folder of packages alone counts, and not that of this interpreter, which knows the checkout.
        return [sys.executable, "-S", *self.entrypoint[1:], *words]


def instructions(root: Path) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with the rest of its line."""
    text = re.sub(r"\\\n\s*", "", (root / "Dockerfile").read_text())
    found = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest) for word, _, rest in found]


def copied(root: Path) -> list[str]:
    """What it copies of the project into the last stage."""
    all_of_them = instructions(root)
    last = max(place for place, (word, _) in enumerate(all_of_them) if word == "FROM")
    copies = [rest.split() for word, rest in all_of_them[last:] if word == "COPY" and "--from" not in rest]
    assert all(source == target for source, target in copies)
    return [source for source, _ in copies]


def laid_out(root: Path, folder: Path) -> Image:
    """The image, in a folder of this machine."""
    app, packages = folder / "app", folder / "packages"
    packages.mkdir(parents=True)
    for name in copied(root):
        shutil.copytree(root / name, app / name)
    compileall.compile_dir(app, quiet=2)
    for name in re.findall(r"(?m)^([a-zA-Z0-9._-]+)(?:\[.*\])?==", (root / "requirements.worker.lock").read_text()):
        _link(name, packages)
    said = dict(instructions(root))
    environment = dict(setting.split("=", 1) for setting in said["ENV"].split())
    environment |= {"PYTHONPATH": f"{app}:{packages}", "PATH": os.defpath}
    return Image(app, packages, json.loads(said["ENTRYPOINT"]), environment)


def _link(name: str, packages: Path) -> None:
    """Put an installed package there."""
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
        link = packages / top
        if not link.exists():  # several may share a namespace
            link.symlink_to(Path(str(installed.locate_file(top))))
