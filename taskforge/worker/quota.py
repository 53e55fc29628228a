"""How much a worker may still take on before it ends by itself."""

from __future__ import annotations

from taskforge.brokers.protocol import Demand


class Quota:
    """`jobs` is how many it may claim altogether, `idle` how many seconds in a row it may hold none; None: no bound."""

    def __init__(self, jobs: int | None = None, idle: float | None = None) -> None:
        self._left, self.idle = jobs, idle
        self._idle_since: float | None = None

    def bounded(self, demand: Demand) -> Demand:
        """The demand, for no more jobs than are left: they are one more pool, which every queue's jobs need."""
        if self._left is None or demand.nothing:
            return demand
        pool = len(demand.free)
        queues = tuple([(queue, (*pools, pool)) for queue, pools in demand.queues])
        return Demand((*demand.free, self._left), queues)  # ahead of free slots there would be no bound

    def claimed(self, count: int) -> None:
        """So many jobs came."""
        if self._left is not None:
            self._left -= count

    def spent(self, holding: bool, now: float) -> bool:
        """Whether the end has come; asked in every round, with whether any job is held."""
        if holding:
            self._idle_since = None
            return False
        if self._left == 0:
            return True
        if self._idle_since is None:
            self._idle_since = now
        return self.idle is not None and now - self._idle_since >= self.idle

    def patience(self, now: float) -> float:
        """Seconds after which to ask again at the latest."""
        if self.idle is None or self._idle_since is None:
            return float("inf")
        return max(0.0, self._idle_since + self.idle - now)
