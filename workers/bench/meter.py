"""Readings of CPU time and memory, of whole process trees."""

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal

import psutil

from workers.bench.stack import Servers, Serving

Part = Literal["worker", "server", "postgres", "driver"]
PARTS: Final[tuple[Part, ...]] = ("worker", "server", "postgres", "driver")

KIB: Final = 1024
SETTLED_KIB: Final = 256
"""A process whose memory changes less than this in a second has settled."""
LONGEST_SETTLING: Final = 20


@dataclasses.dataclass(frozen=True)
class Reading:
    """CPU milliseconds used so far: by each part of what is measured, and by the whole machine."""

    parts: Mapping[Part, float]
    machine: float


def read_meter(on: Servers, worker: Serving) -> Reading:
    """The meters now."""
    parts: dict[Part, float] = {
        "worker": _tree_ms(worker.process),
        "server": _tree_ms(psutil.Process(on.temporal.child.process.pid)),
        "postgres": _tree_ms(psutil.Process(on.postgres.child.process.pid)),
        # Not its children, which are the others.
        "driver": sum(os.times()[:2]) * 1000,
    }
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # What a guest uses is in `user` already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return Reading(parts, (sum(times) - idle - guests) * 1000)


def _tree_ms(root: psutil.Process) -> float:
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        # One that ends meanwhile is counted by its parent the next time.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total * 1000


async def settled_kib(worker: Serving) -> float:
    """Its resident memory in KiB, when that has settled."""
    now = _resident_kib(worker.process)
    for _ in range(LONGEST_SETTLING):
        before = now
        await asyncio.sleep(1)
        now = _resident_kib(worker.process)
        if abs(now - before) < SETTLED_KIB:
            break
    return now


def _resident_kib(root: psutil.Process) -> float:
    return sum(process.memory_info().rss for process in (root, *root.children(recursive=True))) / KIB
