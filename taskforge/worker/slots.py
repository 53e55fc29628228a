"""A worker's places for running jobs: how many are free, and what it may claim into and beyond them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from taskforge.brokers.protocol import Demand
from taskforge.run import Run
from taskforge.worker.pace import Pace

#: The pools, by their index in a Demand.
THREADS, LOOP = 0, 1


class Slots:
    """Counts the runs of each pool. Changed by the exchanger's thread alone; read by any.

    `ahead` (seconds) is the time within which what is claimed beyond the free slots should have finished; 0 claims
    nothing ahead.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        queues: Sequence[str],
        kinds: Callable[[str], Iterable[bool]],
        in_order: bool = True,
        ahead: float = 0.0,
    ) -> None:
        self.sizes, self._in_order = sizes, in_order
        self._turns = deque(queues)
        self._free = list(sizes)
        self._queues = {queue: _pools(kinds(queue)) for queue in queues}
        # In strict order, what is held of a later queue would stand before what comes into an earlier one.
        self._paces = {queue: Pace(ahead) for queue in (queues[:1] if in_order else queues) if ahead}
        self._held = dict.fromkeys(queues, 0)
        self._starved: frozenset[str] = frozenset()
        #: Runs that have ended, and how long (seconds) they took altogether.
        self.done, self.seconds = 0, 0.0
        self._lock = threading.Lock()
        self._runs: set[Run] = set()
        self._fresh: set[Run] = set()

    def demand(self, now: float) -> Demand:
        """What may be claimed. Each time another queue comes first, unless they have an order.

        While some queue has jobs and got no room for one, it comes first, and nothing is claimed ahead.
        """
        turns: Iterable[str] = self._turns
        if not self._in_order:
            self._turns.rotate(-1)
            turns = sorted(self._turns, key=lambda queue: queue not in self._starved) if self._starved else self._turns
        queues = tuple([(queue, self._queues[queue]) for queue in turns])
        if self._starved or not self._paces:
            return Demand(tuple(self._free), queues)
        return Demand(tuple(self._free), queues, {queue: pace.allowance(now) for queue, pace in self._paces.items()})

    def tend(self) -> Demand:
        """A demand that claims nothing, and has the broker look after every queue."""
        return Demand((0, 0), tuple(self._queues.items()))

    def hungry(self, starved: frozenset[str]) -> bool:
        """These queues have jobs, and the last demand had no room for them; whether one of them gets nothing at all."""
        none_held = (queue for queue in starved if not self._held.get(queue))
        self._starved = frozenset() if self._in_order else frozenset(none_held)
        return bool(self._starved)

    def take(self, runs: Sequence[Run]) -> None:
        """Give these runs a slot each, or a place ahead."""
        for run in runs:
            pool = LOOP if run.on_loop else THREADS
            self._free[pool] -= 1
            queue = run.queue
            self._held[queue] = self._held.get(queue, 0) + 1
            if queue in self._queues and pool not in self._queues[queue]:
                # A kind of task that was not expected in this queue: from now on both are.
                self._queues[queue] = (THREADS, LOOP)
        with self._lock:
            self._runs.update(runs)
            self._fresh.update(runs)

    def end(self, runs: Iterable[Run], now: float) -> None:
        """These runs have ended: their slots are free. They are held until their settlements are answered."""
        longest: dict[str, float] = {}
        counts: dict[str, int] = {}
        seconds = 0.0
        for run in runs:
            self._free[LOOP if run.on_loop else THREADS] += 1
            queue = run.queue
            self._held[queue] -= 1
            if run.started is None:
                continue  # handed back from the line: it shows nothing of how long its kind takes
            took = run.took
            counts[queue] = counts.get(queue, 0) + 1
            longest[queue] = max(took, longest.get(queue, 0.0))
            seconds += took
        self.seconds += seconds
        for queue, count in counts.items():
            self.done += count
            if queue in self._paces:
                self._paces[queue].ended(count, longest[queue], now)

    def surplus(self, pool: int) -> int:
        """How many runs this pool holds beyond its slots."""
        return max(0, -self._free[pool])

    def slow_down(self, runs: Iterable[Run]) -> None:
        """These were claimed ahead and did not start in time: their queues must earn it anew."""
        for queue in {run.queue for run in runs} & self._paces.keys():
            self._paces[queue].forget()

    def let_go(self, runs: Iterable[Run]) -> None:
        """These runs are settled, or their leases lost."""
        with self._lock:
            self._runs.difference_update(runs)
            self._fresh.difference_update(runs)

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return sum(min(size, size - free) for size, free in zip(self.sizes, self._free, strict=True))

    def runs(self) -> list[Run]:
        """The runs that are held: in line, running, or not settled yet."""
        with self._lock:
            return list(self._runs)

    def fresh(self) -> list[Run]:
        """Those of the runs that are held that came since this was last asked."""
        with self._lock:
            fresh, self._fresh = self._fresh, set()
        return list(fresh)

    def holds(self, run: Run) -> bool:
        """Whether it is held."""
        return run in self._runs

    def __len__(self) -> int:
        return len(self._runs)


def _pools(kinds: Iterable[bool]) -> tuple[int, ...]:
    """The pools a queue's jobs may need; both, while it is not known which."""
    pools = {LOOP if is_async else THREADS for is_async in kinds}
    return tuple(sorted(pools)) or (THREADS, LOOP)
