"""What is measured: how each variant is served and started, and what its life is."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

ROOT: Final = Path(__file__).parents[2]

Step = Literal["opened", "announced", "accepted", "closed"]

BY: Final = {"staff": "SE2321000198-S001", "unit": "SE2321000198-HC01", "profession": "doctor"}
ACCEPT: Final[Mapping[str, Any]] = {"by": BY}
CLOSE: Final[Mapping[str, Any]] = {"by": BY, "outcome": "treated", "held_as": "video"}


def opening(case_id: str) -> dict[str, Any]:
    """A drop-in visit to a doctor, priority 3, at the example region's northern health centre."""
    return {
        "case_id": case_id,
        "origin": "min_vard",
        "unit": BY["unit"],
        "profession": BY["profession"],
        "priority": 3,
        "patient": {"id": f"ref:{case_id}", "digital": True},
    }


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of those that stand side by side."""

    name: str
    serve: tuple[str, ...]
    """Module and arguments of its worker process."""
    queue: str
    workflow_type: str
    id_prefix: str
    waits_for: Step
    """The step after which somebody may take the case."""
    encrypted: bool = False
    notices_per_second: float = 10_000
    """The limit protects a phone gateway; where costs are measured it would be what is measured."""
    eager: bool = False
    """Started by its own worker, which the driver asks."""
    root: Path = ROOT

    def workflow_id(self, case_id: str) -> str:
        """The workflow's id."""
        return f"{self.id_prefix}-{case_id}"


PRODUCT: Final = Variant(
    name="product",
    serve=("workers.bench.serve_product",),
    queue="cases",
    workflow_type="DropInVisit",
    id_prefix="case",
    waits_for="announced",
    encrypted=True,
)
USUAL: Final = Variant(
    name="bare-usual",
    serve=("workers.bench.serve_bare", "bare-usual"),
    queue="bare-usual",
    workflow_type="BareUsual",
    id_prefix="bare-usual",
    waits_for="opened",
)
FLOOR: Final = Variant(
    name="bare-floor",
    serve=("workers.bench.serve_bare", "bare-floor"),
    queue="bare-floor",
    workflow_type="BareFloor",
    id_prefix="bare-floor",
    waits_for="opened",
    eager=True,
)
VARIANTS: Final = (PRODUCT, USUAL, FLOOR)
