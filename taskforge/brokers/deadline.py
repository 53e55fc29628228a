"""How long a thread's calls on a broker may still take: set where patience is known, asked where one waits."""

from __future__ import annotations

import time
from contextvars import ContextVar

#: The shortest wait (seconds) that still gives an answer on its way the time to arrive.
SHORTEST = 0.05

_deadline: ContextVar[float | None] = ContextVar("taskforge_deadline", default=None)


class until:  # used as a word, as contextlib's are: `with until(deadline):`
    """Inside, no single try waits beyond this moment (monotonic seconds)."""

    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def __enter__(self) -> None:
        self._token = _deadline.set(self._deadline)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def left(at_most: float) -> float:
    """Seconds that a try may wait now: `at_most`, or what is left until the deadline."""
    deadline = _deadline.get()
    return at_most if deadline is None else max(SHORTEST, min(at_most, deadline - time.monotonic()))
