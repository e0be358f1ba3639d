"""How much a worker takes on at once: by what the machine has left, and per task queue (docs/operations.md, "Size")."""

from datetime import timedelta
from typing import Final

from temporalio.worker import (
    FixedSizeSlotSupplier,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    WorkerTuner,
)

GRACE: Final = timedelta(seconds=5)
"""How long a worker that is told to stop finishes what it has in hand."""

CACHED_CASES: Final = 250
"""Cases kept in memory between their tasks. The others wait in the server and are replayed when something happens to
them: that costs milliseconds then, and holds very many open cases in little memory (docs/performance.md)."""

RECORDS_PER_SECOND: Final = 100.0
"""Of all workers together: what could not be recorded while Postgres was away is not recorded all at once."""

NOTICES_AT_ONCE: Final = 50
"""Requests to the gateway that one process has on their way; each may take 10 s."""

_RESOURCES: Final = ResourceBasedTunerConfig(target_memory_usage=0.8, target_cpu_usage=0.7)
_AT_ONCE: Final = timedelta(0)


def tuner() -> WorkerTuner:
    """Slots by what is left of memory and processors; a few always, so that a busy machine goes on.

    Few tasks of cases run at once in a process, one after the other on its processor in any case: what waits, waits in
    the server, where the urgent goes first.
    """
    return WorkerTuner.create_composite(
        workflow_supplier=_by_what_is_left(least=4, most=40),
        activity_supplier=_by_what_is_left(least=4, most=100),
        # Of tasks that have been let in already; they mostly wait for Postgres.
        local_activity_supplier=FixedSizeSlotSupplier(100),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )


def _by_what_is_left(*, least: int, most: int) -> ResourceBasedSlotSupplier:
    config = ResourceBasedSlotConfig(minimum_slots=least, maximum_slots=most, ramp_throttle=_AT_ONCE)
    return ResourceBasedSlotSupplier(config, _RESOURCES)
