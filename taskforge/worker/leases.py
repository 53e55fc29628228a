"""When which leases are due to be extended: runs in batches, each with its own time, spread over the beat."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from itertools import count

from taskforge.brokers.protocol import BATCH
from taskforge.run import Run

#: What falls due within this part of a beat goes with what is due now, while a batch has room: else few runs that came
#: at different times would each have a call of their own for ever.
EARLY = 1 / 4
#: Runs that have ended are left out when their batch falls due; sooner once they are more than the living, and this.
SLACK = 250


class Leases:
    """Any thread may call. `beat` (seconds) is the time between two extensions of a lease; `held` says whether a run
    still has one.
    """

    def __init__(self, beat: float, held: Callable[[Run], bool]) -> None:
        self._beat, self._held = beat, held
        self._lock = threading.Lock()
        #: When it is due, a number that tells equal times apart, and the batch.
        self._batches: list[tuple[float, int, Sequence[Run]]] = []
        self._numbers = count()
        self._size = self._living = 0

    def __len__(self) -> int:
        return self._size

    def add(self, runs: Sequence[Run]) -> None:
        """Keep these from now on: the first time a beat after they were handed out, or before, so that the batches of
        many that came together are spread.
        """
        batches = [runs[at : at + BATCH] for at in range(0, len(runs), BATCH)]
        with self._lock:
            for n, batch in enumerate(batches):
                first = min(run.handed_out for run in batch)
                self._push(first + self._beat * (1 - n / (2 * len(batches))), batch)
            if self._size > 2 * self._living + SLACK:
                self._compact()

    def due(self, now: float) -> list[Sequence[Run]]:
        """The batches to be extended now. Each must be given back with `again`."""
        with self._lock:
            taken = self._take(now, None)
            if taken:
                taken += self._take(now + self._beat * EARLY, -len(taken) % BATCH)
        return [taken[at : at + BATCH] for at in range(0, len(taken), BATCH)]

    def again(self, batch: Sequence[Run], at: float) -> None:
        """This batch is due at that time."""
        with self._lock:
            self._push(at, batch)

    def _take(self, until: float, room: int | None) -> list[Run]:
        """The runs of the batches due until then that are still held; no more than there is room for."""
        taken: list[Run] = []
        while self._batches and self._batches[0][0] <= until:
            batch = self._batches[0][2]
            living = [run for run in batch if self._held(run)]
            if room is not None and len(taken) + len(living) > room:
                break
            heapq.heappop(self._batches)
            self._size -= len(batch)
            taken += living
        return taken

    def _push(self, at: float, batch: Sequence[Run]) -> None:
        heapq.heappush(self._batches, (at, next(self._numbers), batch))
        self._size += len(batch)

    def _compact(self) -> None:
        left = [(at, number, [run for run in batch if self._held(run)]) for at, number, batch in self._batches]
        self._batches = [each for each in left if each[2]]  # in the same order, so a heap still
        self._size = self._living = sum(len(batch) for _, _, batch in self._batches)
