"""How quickly the jobs of a queue have proved to end, and so how many may be claimed ahead of the free slots."""

from __future__ import annotations

from taskforge.brokers.protocol import BATCH

#: A rate is taken over at least this long (seconds): what ends in a burst, because the exchanger was kept waiting, must
#: not pass for a habit.
WINDOW = 0.02
#: However quick they are, no more jobs than this are claimed ahead: a few batches keep every slot busy.
MOST = 4 * BATCH
#: What was shown longer ago than this (seconds) is no promise any more.
STALE = 1.0


class Pace:
    """One queue's, in one worker. `span` is how long (seconds) what is claimed ahead may take to finish."""

    def __init__(self, span: float) -> None:
        self.span = span
        self._rate = 0.0
        self._count = 0
        self._since = self._latest = float("-inf")

    def ended(self, count: int, longest: float, now: float) -> None:
        """So many runs have ended, the longest after so many seconds. One that took too long ends all credit."""
        self._latest = now
        if longest > self.span:
            self.forget()
            return
        self._count += count
        if now - self._since >= WINDOW:
            self._rate = self._count / (now - self._since)
            self._since, self._count = now, 0

    def forget(self) -> None:
        """What was claimed ahead did not start in time: earn it anew."""
        self._rate, self._count, self._since = 0.0, 0, self._latest

    def allowance(self, now: float) -> int:
        """How many jobs more than there are slots may be held now."""
        if now - self._latest > STALE:
            return 0
        return min(MOST, int(self._rate * self.span))
