"""How much a worker may take on: at once, and before it ends by itself."""

from __future__ import annotations

from typing import TypeVar

from taskforge.brokers.protocol import Demand
from taskforge.errors import SettingsError

N = TypeVar("N", int, float)


class Quota:
    """`jobs` is how many it may claim altogether, `idle` how many seconds in a row it may hold none; None: no bound."""

    def __init__(self, jobs: int | None = None, idle: float | None = None) -> None:
        self._left, self.idle = jobs, idle
        self._idle_since: float | None = None

    @classmethod
    def of(cls, max_jobs: int | None, max_idle: float | None) -> Quota:
        """From what was given under these names. Raises SettingsError for a bound that leaves no room."""
        return cls(_bound("max_jobs", max_jobs), _bound("max_idle", max_idle))

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


def size_of(name: str, given: int | None, default: int) -> int:
    """How many there are of something. Raises SettingsError for none."""
    number = default if given is None else given
    if number < 1:
        raise SettingsError(f"{name} must be at least 1, not {number}")
    return number


def _bound(name: str, given: N | None) -> N | None:
    if given is not None and given <= 0:
        raise SettingsError(f"{name} must be more than 0, not {given}")
    return given
