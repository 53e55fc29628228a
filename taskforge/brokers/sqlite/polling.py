"""What stands in for bells and ears on a file system without FIFOs: looking at the database every few milliseconds."""

from __future__ import annotations

import os
import secrets
import select
import threading
import time
from collections.abc import Callable

#: How often a change is looked for (seconds); costs about 0.6 % of a core while waiting.
POLL_EVERY = 0.005
#: Channels that begin so belong to ears that look by themselves.
POLLS = "p"


class Polling:
    """Waits for any change of the database."""

    def __init__(self, changes: Callable[[], object]) -> None:
        self._changes = changes
        self._last = changes()

    def wait(self, woken: int, until: float) -> bool:
        """As Bells.wait; `woken` is the file that `wake` writes to, `until` a monotonic time."""
        while True:
            left = max(0.0, until - time.monotonic())
            if readable(woken, min(POLL_EVERY, left)) and take(woken, 4096):
                return False
            before, self._last = self._last, self._changes()
            if self._last != before or not left:
                return True


class PollingEar:
    """Finds that jobs have ended because nobody is registered for their ends any more."""

    def __init__(self, changes: Callable[[], object], registered: Callable[[str], set[str]]) -> None:
        self.channel = POLLS + secrets.token_hex(8)
        self._changes, self._registered = changes, registered
        self._expected: set[str] = set()
        self._last: object = None
        self._closed = threading.Event()

    def check(self) -> None:
        """Nothing to do: we look by ourselves."""

    def expect(self, job_id: str) -> None:
        self._expected.add(job_id)
        self._last = None

    def listen(self, timeout: float) -> list[str]:
        until = time.monotonic() + timeout
        while True:
            before, self._last = self._last, self._changes()
            if self._last != before:
                expected = set(self._expected)  # before the look: what is added meanwhile may not be registered yet
                ended = expected - self._registered(self.channel)
                self._expected -= ended
                if ended:
                    return sorted(ended)
            left = until - time.monotonic()
            if left <= 0 or self._closed.wait(min(POLL_EVERY, left)):
                return []

    def close(self) -> None:
        self._closed.set()


def readable(fd: int, timeout: float) -> bool:
    """Whether there is something to read within `timeout` seconds. By poll: select stops at descriptor 1,023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))


def take(fd: int, most: int = 1) -> bool:
    """Read a byte, or all there are; False when there is none: another reader was faster."""
    try:
        return bool(os.read(fd, most))
    except BlockingIOError:
        return False
