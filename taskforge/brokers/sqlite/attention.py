"""A worker's ear on a file: a FIFO whose name is made from the worker's, or looking where there can be none."""

from __future__ import annotations

import threading
import time

from taskforge.brokers.sqlite.bells import Ear
from taskforge.brokers.sqlite.calls import Calls

#: How often (seconds) the database is looked at where no FIFO can be made. The running jobs are read each time.
LOOK_EVERY = 0.25


class SqliteAttention:
    """See taskforge.brokers.register.Attention for what each method promises."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._looked = self._closed = False
        self._ear: Ear
        try:
            self._ear = calls.bells.ear(calls.attention(name))
        except OSError:  # no FIFO can be made there
            self._ear = LookingEar(calls, name)

    def listen(self, timeout: float) -> list[str]:
        if self._closed:
            return []  # looking whether the ear still hears would open it again
        self._ear.check()
        if not self._looked:
            self._looked = True
            return [""]
        return self._ear.listen(timeout)

    def close(self) -> None:
        self._closed = True
        self._ear.close()


class LookingEar:
    """Finds what concerns a worker by itself: that wishes have changed, and which of its jobs were asked to stop."""

    def __init__(self, calls: Calls, name: str) -> None:
        self.channel = calls.attention(name)
        self._calls, self._name = calls, name
        self._closed = threading.Event()
        self._changes: object = None
        self._wishes, self._stopping = self._look()

    def check(self) -> None:
        """Nothing to do: we look by ourselves."""

    def expect(self, job_id: str) -> None:
        """Nothing to do: all jobs of this worker are looked at."""

    def listen(self, timeout: float) -> list[str]:
        until = time.monotonic() + timeout
        while True:
            before, self._changes = self._changes, self._calls.changes()
            if self._changes != before and (said := self._news()):
                return said
            left = until - time.monotonic()
            if left <= 0 or self._closed.wait(min(LOOK_EVERY, left)):
                return []

    def close(self) -> None:
        self._closed.set()

    def _news(self) -> list[str]:
        wishes, stopping = self._wishes, self._stopping
        self._wishes, self._stopping = self._look()
        return [""] * (self._wishes != wishes) + sorted(self._stopping - stopping)

    def _look(self) -> tuple[list[tuple[str, str, int]], set[str]]:
        with self._calls.read() as (db, _):
            prefix = self._calls.prefix
            wishes = db.execute("select target, about, at from wishes where prefix = ?", (prefix,)).fetchall()
            stopping = db.execute(
                "select j.id from queues q cross join jobs j on j.queue = q.id where q.prefix = ? "
                "and j.state = 'running' and j.stop is not null and j.worker = ?",
                (prefix, self._name),
            ).fetchall()
        return wishes, {job_id for (job_id,) in stopping}
