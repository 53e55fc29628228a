"""Clocks that are off by what a file says, so that a test can step them in other processes."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from taskforge.clock import SystemClock

#: Whatever a test does to time.time.
_time = time.time


def step(file: Path, seconds: float) -> None:
    """From now on the clocks that go by `file` are off by so much. They never see half of it."""
    new = file.with_name(file.name + ".new")
    new.write_text(str(seconds))
    new.replace(file)


class WorkersClock(SystemClock):
    """The wall clock of the machine that a worker runs on. Brokers go by their own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def time(self) -> float:
        return _time() + float(self._file.read_text())


class BrokersClock:
    """The clock that the broker goes by: not being the system's, it is used in its stead. All processes share it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._file.read_text()))

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float) -> bool:
        return event.wait(timeout)
