"""Which task goes first where tasks wait for workers: by how urgent its case is, and by turns between units.

Temporal's task queues hand out what has the lowest key first, from 1 to 5, and among equals give each unit its turn, so
that one unit's flood delays nobody else. Whoever starts a case says so (``Priority`` of its start); one that was
started without goes in the middle.
"""

from typing import Final

TASK_PRIORITIES: Final = range(1, 6)
"""Temporal's keys: 1 goes first, and 3 is that of a task without one."""

_ACUTE: Final = {2: 1, 3: 2}
_SOON: Final = range(4, 6)


def task_priority(priority: int | None) -> int:
    """The task queues' key for a case of that priority (K1: 2 to 5 are taken at once, the most urgent first)."""
    if priority in _ACUTE:
        return _ACUTE[priority]
    return 3 if priority in _SOON else 4
