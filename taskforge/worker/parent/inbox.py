"""Inbox: signals and calls of other threads, taken in one place by one loop."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType

#: What ends, what hastens, what rests and wakes, what tells, what restarts.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGCONT", "SIGTTIN", "SIGUSR1", "SIGHUP", "SIGCHLD")
    if hasattr(signal, name)
)


class Inbox:
    """While entered, signals are not acted upon but kept, and wake `take`. In the main thread."""

    def __init__(self, signals: Iterable[signal.Signals] = SIGNALS) -> None:
        self._signals = list(signals)
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self._kept: list[signal.Signals] = []
        self._wakeup = -1

    def __enter__(self) -> Inbox:
        self._reader, self._writer = os.pipe()
        for fd in (self._reader, self._writer):
            os.set_blocking(fd, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        for each in self._signals:
            before = signal.getsignal(each)
            if each == signal.SIGHUP and before is signal.SIG_IGN:
                continue  # whoever started us with nohup means it
            self._before[each] = before
            signal.signal(each, self._keep)
            signal.siginterrupt(each, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for each, before in self._before.items():
            signal.signal(each, before if before is not None else signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)

    def _keep(self, signum: int, _frame: FrameType | None) -> None:
        self._kept.append(signal.Signals(signum))

    def wake(self) -> None:
        """Have `take` return. From any thread."""
        with suppress(OSError):  # full: it is being woken
            os.write(self._writer, b"\0")

    def take(self, timeout: float) -> list[signal.Signals]:
        """The signals that came, in order; waits for one, or a wake, at most `timeout` seconds."""
        if not self._kept:
            self._poll.poll(max(0.0, timeout) * 1000)
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                continue
        taken, self._kept = self._kept, []
        return taken
