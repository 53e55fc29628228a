"""How long a thread's calls on a broker may still take: set where patience is known, asked where one waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: The shortest wait (seconds) that still gives an answer on its way the time to arrive.
SHORTEST = 0.05

_deadline: ContextVar[float | None] = ContextVar("taskforge_deadline", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Inside, no single try waits beyond this moment (monotonic seconds)."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def left(at_most: float) -> float:
    """Seconds that a try may wait now: `at_most`, or what is left until the deadline."""
    deadline = _deadline.get()
    return at_most if deadline is None else max(SHORTEST, min(at_most, deadline - time.monotonic()))
