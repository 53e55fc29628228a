"""A clock that tests move by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands still until `advance` moves it. Starts at a whole second, so that brokers' milliseconds lose nothing."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"a clock needs an aware moment, not {start!r}; add tzinfo=UTC")
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """In real time: a thread that waits for another one must not wait for somebody to move the clock."""
        return event.wait(timeout)

    def advance(self, step: timedelta | float) -> None:
        """Move by `step` (a number means seconds). A negative step sets the clock back, as an operator might."""
        span = step if isinstance(step, timedelta) else timedelta(seconds=step)
        self._now += span
        self._monotonic += max(span.total_seconds(), 0.0)
