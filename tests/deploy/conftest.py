"""The secrets of a deployment, made as an operator makes them."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def secrets(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as deploy/secrets.sh makes it."""
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    subprocess.run(["sh", root / "deploy/secrets.sh", folder], check=True, capture_output=True)
    return folder
