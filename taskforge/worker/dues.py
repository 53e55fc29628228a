"""When which runs are to be looked at: a heap of moments, each run in it once."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from taskforge.run import Run

#: Runs that have ended are dropped when their moment comes; sooner once they are more than the living, and this.
SLACK = 250


class Dues:
    """Used by one thread. `held` says whether a run still concerns anybody."""

    def __init__(self, held: Callable[[Run], bool]) -> None:
        self._held = held
        self._heap: list[tuple[float, int, Run]] = []
        self._numbers = count()
        self._living = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, run: Run, at: float) -> None:
        """Look at it at this moment."""
        heapq.heappush(self._heap, (at, next(self._numbers), run))
        if len(self._heap) > 2 * self._living + SLACK:
            self._heap = [each for each in self._heap if self._held(each[2])]
            heapq.heapify(self._heap)
            self._living = len(self._heap)

    def take(self, now: float) -> list[Run]:
        """Those whose moment has come, and that are still held."""
        taken: list[Run] = []
        while self._heap and self._heap[0][0] <= now:
            run = heapq.heappop(self._heap)[2]
            if self._held(run):
                taken.append(run)
        return taken
