"""What was measured, and what follows from it: medians over the rounds, and how the product stands to the bare ones."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal


@dataclasses.dataclass(frozen=True)
class History:
    """What Temporal keeps of a life."""

    events: float
    bytes: float
    tasks: float


@dataclasses.dataclass(frozen=True)
class Block:
    """One turn of one variant."""

    variant: str
    cases_per_second: float
    cpu_ms: Mapping[str, float]
    """A case, by part."""
    others: float
    """Processors that were busy with something else."""
    accept_to_row_ms: Sequence[float]
    history: History

    def __str__(self) -> str:
        cpu = ", ".join(f"{part} {used:.1f}" for part, used in self.cpu_ms.items())
        return (
            f"{self.variant}: {self.cases_per_second:.1f} cases/s; CPU ms a case: {cpu};"
            f" accept to row {statistics.median(self.accept_to_row_ms):.0f} ms; others {self.others:.2f} processors"
        )


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median, with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Worker memory of a waiting case, in KiB."""

    variant: str
    cached: int
    kib: float


@dataclasses.dataclass(frozen=True)
class Goal:
    """A ratio of the product to a bare workflow, and what it should be."""

    what: str
    beside: str
    bound: float
    kind: Literal["at least", "at most"]
    reached: Spread

    @property
    def is_met(self) -> bool:
        """Whether the median keeps to the bound."""
        if self.kind == "at least":
            return self.reached.median >= self.bound
        return self.reached.median <= self.bound


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything of one run."""

    blocks: Sequence[Block]
    waiting: Sequence[Waiting] = ()

    def of(self, variant: str) -> list[Block]:
        """The variant's turns, in the order of the rounds."""
        return [block for block in self.blocks if block.variant == variant]

    def spread(self, variant: str, value: Callable[[Block], float]) -> Spread:
        """A value over the variant's turns."""
        return Spread.of([value(block) for block in self.of(variant)])

    def accept_to_row_ms(self, variant: str, share: float) -> float:
        """The percentile over all its cases that were lived alone."""
        return percentile([took for block in self.of(variant) for took in block.accept_to_row_ms], share)

    def kib(self, variant: str, cached: int) -> float | None:
        """Worker memory of a waiting case, where it was measured."""
        return next((each.kib for each in self.waiting if (each.variant, each.cached) == (variant, cached)), None)

    def goals(self, product: str, usual: str, floor: str, cached: int, default_cache: int) -> list[Goal]:
        """How the product stands; throughput is compared within each round, as the machine differs between them."""
        goals = [
            Goal("throughput", usual, AT_LEAST_OF_USUAL, "at least", self._throughput_ratio(product, usual)),
            Goal("throughput", floor, AT_LEAST_OF_FLOOR, "at least", self._throughput_ratio(product, floor)),
        ]
        # As each comes; and with equal caches, which tells what a cached case costs.
        for size, words in ((default_cache, "each with its own cache"), (cached, "with equal caches")):
            ours, theirs = self.kib(product, cached), self.kib(floor, size)
            if ours is not None and theirs:
                what = f"worker memory a waiting case, {words}"
                goals.append(Goal(what, floor, AT_MOST_OF_FLOOR_MEMORY, "at most", Spread.of([ours / theirs])))
        return goals

    def _throughput_ratio(self, product: str, beside: str) -> Spread:
        pairs = zip(self.of(product), self.of(beside), strict=True)
        return Spread.of([ours.cases_per_second / theirs.cases_per_second for ours, theirs in pairs])


AT_LEAST_OF_USUAL: Final = 1.2
AT_LEAST_OF_FLOOR: Final = 0.8
AT_MOST_OF_FLOOR_MEMORY: Final = 1.25


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
