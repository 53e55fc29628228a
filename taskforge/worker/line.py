"""The runs that wait for their turn in an executor."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from taskforge.run import Run


class Line:
    """First come, first served; from any thread.

    Taking a run out is atomic: whoever got it, a slot that will run it or the exchanger that hands it back, has it
    alone.
    """

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, runs: Sequence[Run]) -> None:
        """Put these last."""
        self._runs.extend(runs)

    def close(self) -> None:
        """Nothing starts any more: what stands here can only be taken back."""
        self._closed = True

    def next(self) -> Run | None:
        """Take the first one; None when there is none, or nothing shall start any more."""
        if self._closed:
            return None
        try:
            return self._runs.popleft()
        except IndexError:
            return None

    def take_back(self, count: int) -> list[Run]:
        """Take at most `count` of the last ones, which would be the last to start."""
        taken: list[Run] = []
        try:
            while len(taken) < count:
                taken.append(self._runs.pop())
        except IndexError:
            pass
        return taken

    def waiting_since(self) -> float:
        """When the first one was put in line; infinity when there is none."""
        try:
            return self._runs[0].handed_out
        except IndexError:
            return float("inf")
