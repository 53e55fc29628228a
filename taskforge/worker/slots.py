"""A worker's places for running jobs: how many are free, and what it may claim into them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from taskforge.brokers.protocol import Demand
from taskforge.run import Run

#: The pools, by their index in a Demand.
THREADS, LOOP = 0, 1


class Slots:
    """Counts the runs of each pool. Changed by the exchanger's thread alone; read by any."""

    def __init__(
        self,
        sizes: tuple[int, int],
        queues: Sequence[str],
        kinds: Callable[[str], Iterable[bool]],
        in_order: bool = True,
    ) -> None:
        self.sizes, self._in_order = sizes, in_order
        self._turns = deque(queues)
        self._free = list(sizes)
        self._queues = {queue: _pools(kinds(queue)) for queue in queues}
        self._lock = threading.Lock()
        self._runs: set[Run] = set()

    def demand(self) -> Demand:
        """What may be claimed: into free slots only. Each time another queue comes first, unless they have an order."""
        if not self._in_order:
            self._turns.rotate(-1)
        return Demand(tuple(self._free), tuple((queue, self._queues[queue]) for queue in self._turns))

    def take(self, run: Run) -> bool:
        """Give the run a slot; False when its pool has none left.

        That happens when a queue brought a kind of task that was not expected there: from then on both are.
        """
        pool = LOOP if run.task_object.is_async else THREADS
        if run.queue in self._queues and pool not in self._queues[run.queue]:
            self._queues[run.queue] = (THREADS, LOOP)
        if self._free[pool] <= 0:
            return False
        self._free[pool] -= 1
        with self._lock:
            self._runs.add(run)
        return True

    def free(self, run: Run) -> None:
        """The run has ended, and its slot is free."""
        self._free[LOOP if run.task_object.is_async else THREADS] += 1
        with self._lock:
            self._runs.discard(run)

    def runs(self) -> list[Run]:
        """The runs that hold a slot."""
        with self._lock:
            return list(self._runs)

    def __len__(self) -> int:
        return len(self._runs)


def _pools(kinds: Iterable[bool]) -> tuple[int, ...]:
    """The pools a queue's jobs may need; both, while it is not known which."""
    pools = {LOOP if is_async else THREADS for is_async in kinds}
    return tuple(sorted(pools)) or (THREADS, LOOP)
