"""What goes on over time on a simulated connection: generators of delays, in the order in which they are due."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

Steps = Iterator[float]
"""Something that goes on in steps; it yields how many seconds pass before the next."""


class Timeline:
    """A queue of steps, by the time at which they are due, and then by who came first."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Steps]] = []
        self._order = count()

    @property
    def next_due(self) -> float:
        """When the next step is due; infinity when nothing goes on."""
        return self._queue[0][0] if self._queue else float("inf")

    def add(self, due: float, steps: Steps) -> None:
        """Let something go on from `due`."""
        heappush(self._queue, (due, next(self._order), steps))

    def run_next(self) -> None:
        """Run the next step, and queue the one after it."""
        due, _, steps = heappop(self._queue)
        delay = next(steps, None)
        if delay is not None:
            self.add(due + delay, steps)

    def remove(self, steps: Steps) -> None:
        """Stop something between two of its steps."""
        self._queue = sorted(entry for entry in self._queue if entry[2] is not steps)
