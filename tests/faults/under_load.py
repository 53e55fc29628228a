"""A worker of this process that runs jobs while its broker is treated badly, and what must be true of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskforge import JobState, Taskforge
from taskforge.errors import BrokerError
from tests.servers import wait_until

#: Seconds anything may take on a busy machine.
LIMIT = 60.0
#: Seconds from the end of an outage to the next run: what is promised, and as much again for a busy machine.
RECOVERY = 10.0
#: Jobs under way at a time; how many run before the fault and, at the least, in all.
AT_ONCE, BEFORE, IN_ALL = 8, 50, 200
#: The part of a core that a process may use while its broker is away. One that spins uses all of it.
IDLE = 0.5


class Load:
    """A feeder enqueues jobs of known ids, a few at a time, until it is told to stop; a worker runs them.

    The feeder repeats each enqueue under the same id until it is confirmed, as users are told to.
    """

    def __init__(self, url: str, caplog: pytest.LogCaptureFixture, durability: str = "default") -> None:
        caplog.set_level(logging.WARNING, "taskforge.worker")
        self.caplog = caplog
        self.app = Taskforge("shop", broker=url, durability=durability, call_timeout=1)
        self.confirmed: list[str] = []
        self.told: list[BrokerError] = []
        self.ran: list[tuple[str, float]] = []
        self.settled: list[str] = []
        self.refused: list[str] = []
        self._since = 0
        self._room = threading.Semaphore(AT_ONCE)
        self._ending = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)

        @self.app.task(name="shop.work")
        def work(job: str) -> str:
            self.ran.append((job, time.monotonic()))
            return job

        self.app.signals.job_succeeded.connect(self._succeeded, weak=False)
        self.app.signals.lease_lost.connect(self._lost, weak=False)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Feeder and worker at work; afterwards all has ended, and once."""
        with self.app:
            with self.app.worker(threads=4) as worker:
                self._feeder.start()
                try:
                    wait_until(lambda: len(self.settled) >= BEFORE, LIMIT, "the jobs before the fault")
                    yield self
                    wait_until(lambda: len(self.settled) >= IN_ALL, LIMIT, "the jobs after the fault")
                finally:
                    self._ending.set()
                    self._feeder.join(LIMIT)
                wait_until(lambda: not self._unsettled(), LIMIT, "the last jobs")
                assert worker.healthy
            self._check()

    def assert_recovers(self, within: float = RECOVERY) -> float:
        """Jobs run again, from now on; how many seconds that took."""
        start, known = time.monotonic(), len(self.ran)
        wait_until(lambda: len(self.ran) > known + AT_ONCE, within, "a run after the fault")
        return self.ran[known][1] - start

    def forget(self) -> None:
        """The server was emptied: what was confirmed before may be lost, and run again if it is enqueued again."""
        self._since = len(self.confirmed) + 1  # whether the one under way was lost, nobody knows
        for _ in range(AT_ONCE):
            self._room.release()

    def outages(self) -> tuple[int, int]:
        """How often the log says that the broker was lost, and that it is back."""
        said = Counter(record.getMessage() for record in self.caplog.records)
        return said["broker_lost"], said["broker_back"]

    def wait_for_outage(self) -> None:
        """Until the worker knows that its broker is away."""
        wait_until(lambda: self.outages()[0], LIMIT, "the worker noticing the outage")

    def assert_idle(self, seconds: float) -> None:
        """For so long this process does not spin."""
        used, start = time.process_time(), time.monotonic()
        threading.Event().wait(seconds)
        assert time.process_time() - used < IDLE * (time.monotonic() - start)

    def assert_one_outage(self) -> None:
        """It was told of once, and not once per try."""
        assert self.outages() == (1, 1)

    def _unsettled(self) -> set[str]:
        return set(self.confirmed[self._since :]) - set(self.settled)

    def _check(self) -> None:
        kept = self.confirmed[self._since :]
        if not self._since:
            assert set(Counter(self.settled).values()) <= {1}, "settled twice"
            assert not self.refused, "settled too late"
            assert set(Counter(job for job, _ in self.ran).values()) <= {1}, "run again, and no worker had crashed"
        states = {self.app.job(job, "default").state() for job in kept[-20:]}
        assert states <= {JobState.SUCCEEDED}
        assert self.app.inspector.counts("default").running == 0

    def _feed(self) -> None:
        number = 0
        while not self._ending.is_set():
            if not self._room.acquire(timeout=0.1):
                continue
            job, number = f"job-{number}", number + 1
            while job not in self.confirmed[-1:]:
                try:
                    self.app.by_name("shop.work").using(job_id=job).enqueue(job)
                    self.confirmed.append(job)
                except BrokerError as error:
                    self.told.append(error)
                    self._ending.wait(0.05)

    def _succeeded(self, app: Taskforge, delivery: object, **facts: object) -> None:
        self.settled.append(getattr(delivery, "id"))  # noqa: B009
        self._room.release()

    def _lost(self, app: Taskforge, delivery: object, **facts: object) -> None:
        self.refused.append(getattr(delivery, "id"))  # noqa: B009
