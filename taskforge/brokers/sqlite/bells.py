"""What wakes who waits: a bell per queue, an ear per waiter for the ends of jobs; here within one process."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

#: How many untold ends an ear in memory keeps; its owner reads again anyway.
_EAR_SIZE = 10_000


class Ear(Protocol):
    """Hears the ids of jobs that ended."""

    channel: str

    def check(self) -> None:
        """Make sure that others can tell us from now on."""
        ...

    def expect(self, job_id: str) -> None:
        """We are now registered for this job's end."""
        ...

    def listen(self, timeout: float) -> list[str]:
        """The ids told since; waits for one at most `timeout` seconds."""
        ...

    def close(self) -> None:
        """Hear no more; wakes a listener."""
        ...


class Bells(Protocol):
    """Rings for queues, tells ears. Never fails: who waits also looks by itself."""

    def ring(self, queues: Iterable[str]) -> None:
        """Wake one of those who wait for these queues; kept for the next one if none waits just now."""
        ...

    def arm(self, queues: Sequence[str]) -> bool:
        """Hear these bells from now on, waiting or not; True when one of them was not heard before."""
        ...

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """Wait for one of these armed bells or the end of time (True) or for `wake` (False)."""
        ...

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        ...

    def forget(self, queue: str) -> None:
        """Take the bell down: nobody uses the queue."""
        ...

    def tell(self, channel: str, ids: Sequence[str]) -> bool:
        """Tell an ear that jobs ended; False when nobody listens there any more."""
        ...

    def sweep(self) -> None:
        """Remove what ears of processes left that died."""
        ...

    def ear(self, channel: str = "") -> Ear:
        """A new ear, on this channel if one is named. Raises OSError where there can be none."""
        ...

    def close(self) -> None:
        """Let every file go."""
        ...


class MemoryBells:
    """Bells within one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung: set[str] = set()
        self._woken = False
        self._ears: dict[str, MemoryEar] = {}

    def ring(self, queues: Iterable[str]) -> None:
        with self._changed:
            self._rung.update(queues)
            self._changed.notify_all()

    def arm(self, queues: Sequence[str]) -> bool:
        return False  # what rings is kept, whoever waits

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._woken or not self._rung.isdisjoint(queues), timeout)
            if self._woken:
                self._woken = False
                return False
            self._rung.difference_update(queues)
            return True

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def forget(self, queue: str) -> None:
        with self._changed:
            self._rung.discard(queue)

    def tell(self, channel: str, ids: Sequence[str]) -> bool:
        with self._changed:
            ear = self._ears.get(channel)
            if ear is None:
                return False
            ear.told.extend(ids)
            self._changed.notify_all()
            return True

    def sweep(self) -> None:
        """Nothing is left of a process that died."""

    def ear(self, channel: str = "") -> Ear:
        ear = MemoryEar(self._changed, self._ears, channel)
        self._ears[ear.channel] = ear
        return ear

    def close(self) -> None:
        """Nothing to let go."""


class MemoryEar:
    """An ear within one process."""

    def __init__(self, changed: threading.Condition, ears: dict[str, MemoryEar], channel: str) -> None:
        self.channel = channel or "w" + secrets.token_hex(8)
        self.told: deque[str] = deque(maxlen=_EAR_SIZE)
        self._changed, self._ears = changed, ears

    def check(self) -> None:
        with self._changed:
            self._ears[self.channel] = self

    def expect(self, job_id: str) -> None:
        """Nothing to do: we are told."""

    def listen(self, timeout: float) -> list[str]:
        with self._changed:
            self._changed.wait_for(lambda: self.told or self.channel not in self._ears, timeout)
            told = list(self.told)
            self.told.clear()
            return told

    def close(self) -> None:
        with self._changed:
            self._ears.pop(self.channel, None)
            self._changed.notify_all()
