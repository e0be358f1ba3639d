"""What the tests of the rules share: a small region, and a case driven as its workflow drives it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_region import Told, region, told


@pytest.fixture
def story() -> Told:
    """A drop-in of priority 3 to a doctor at NORTH, opened on a Monday at 09:00."""
    return told(region())
