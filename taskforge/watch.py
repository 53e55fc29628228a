"""Waits for jobs to end: one listening thread in a process, any number of waiting callers."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from taskforge.brokers.inspecting import Waiter
from taskforge.brokers.protocol import LOOK_EVERY, Broker
from taskforge.brokers.resend import resend
from taskforge.errors import BrokerError
from taskforge.job import JobRecord
from taskforge.shield import SHIELDED

logger = logging.getLogger("taskforge.watch")

#: The listening thread ends after this many seconds without a caller.
LINGER = 5.0


class EndWatch:
    """Tells callers when their job has ended.

    Being told is the speed; reading again every LOOK_EVERY seconds, here in the caller, is the guarantee.
    """

    def __init__(self, broker: Broker, patience: float) -> None:
        self._broker, self._patience = broker, patience
        self._start_anew()

    def _start_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._waiter: Waiter | None = None
        self._thread: threading.Thread | None = None

    def records(self, queue: str | None, job_id: str, timeout: float | None) -> list[JobRecord]:
        """The job's records once every one has ended; what they are by then, after `timeout` seconds (None: no
        limit).
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        told = threading.Event()
        with self.told(job_id, told.set):
            while True:
                records = self.look(queue, job_id)
                rest = deadline - time.monotonic()
                if all(r.state.ended for r in records) or rest <= 0:
                    return records
                told.wait(min(rest, LOOK_EVERY))
                told.clear()

    @contextmanager
    def told(self, job_id: str, tell: Callable[[], None]) -> Iterator[None]:
        """Have `tell` called, from another thread, whenever it is time to look at the job again."""
        self._add(job_id, tell)
        try:
            yield
        finally:
            self._drop(job_id, tell)

    def look(self, queue: str | None, job_id: str) -> list[JobRecord]:
        """The job's records now; of those that have not ended, the end will be told."""
        with SHIELDED:
            waiter = self._listening()
            return resend(lambda: waiter.watch(queue, job_id), self._broker, self._patience)

    def close(self) -> None:
        """Stop listening; callers go on by reading alone. Not in a forked child: the waiter is its parent's there."""
        atexit.unregister(self.close)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and self._pid == os.getpid():
            _close(waiter)

    def _add(self, job_id: str, tell: Callable[[], None]) -> None:
        if self._pid != os.getpid():
            self._start_anew()
        with self._lock:
            self._waiting.setdefault(job_id, []).append(tell)

    def _drop(self, job_id: str, tell: Callable[[], None]) -> None:
        with self._lock:
            tells = self._waiting.get(job_id, [])
            if tell in tells:
                tells.remove(tell)
            if not tells:
                self._waiting.pop(job_id, None)

    def _listening(self) -> Waiter:
        """The waiter, with a thread that listens to it."""
        with self._lock:
            if self._waiter is None:
                self._waiter = self._broker.waiter()
                # A process that ends with its daemon thread still listening leaves nothing of it behind.
                atexit.register(self.close)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._listen, args=(self._waiter,), name="taskforge-watch", daemon=True
                )
                self._thread.start()
            return self._waiter

    def _listen(self, waiter: Waiter) -> None:
        idle_since = time.monotonic()
        while waiter is self._waiter:
            try:
                ended = waiter.listen(LOOK_EVERY)
            except BrokerError as error:
                logger.debug("watch_interrupted", extra={"error": str(error)})
                self._tell(list(self._waiting))  # what was lost is not known: let everybody read again
                threading.Event().wait(LOOK_EVERY / 4)  # and do not hammer a broker that is away
                continue
            self._tell(ended)
            with self._lock:
                if self._waiting:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > LINGER:
                    self._waiter = self._thread = None
                    atexit.unregister(self.close)
        _close(waiter)

    def _tell(self, job_ids: Sequence[str]) -> None:
        with self._lock:
            tells = [tell for job_id in job_ids for tell in self._waiting.get(job_id, ())]
        for tell in tells:
            tell()


def _close(waiter: Waiter) -> None:
    """Let it go; a broker that has nothing good to say any more is told nothing."""
    with suppress(BrokerError):
        waiter.close()
