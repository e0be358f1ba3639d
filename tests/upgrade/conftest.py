"""What the stories of an upgrade are staged with."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
for folder in (TESTS / "workflows", TESTS / "scenarios", Path(__file__).parent):
    sys.path.insert(0, str(folder))
