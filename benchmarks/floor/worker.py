"""The floor's worker: one thread exchanges, others execute; what ended meanwhile leaves with the next exchange."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.floor.jobs import REGISTRY, unpack
from benchmarks.floor.redis_broker import Job, Settlement


class Broker(Protocol):
    """`fd` is readable once an armed bell has rung."""

    fd: int
    refused: int

    def exchange(self, batch: Sequence[Settlement], want: int) -> list[Job]: ...
    def arm(self) -> None: ...
    def woken(self, want: int) -> list[Job]: ...


class Worker:
    """`depth` is how many jobs it holds at most (as many as threads: no claim-ahead), `cap` its largest batch."""

    def __init__(
        self, broker: Broker, threads: int = 8, depth: int = 4_000, cap: int = 500, stop_after: int | None = None
    ) -> None:
        self.broker, self._depth, self._cap, self._stop_after = broker, depth, cap, stop_after
        self._todo: deque[Job] = deque()
        self._done: deque[Settlement] = deque()
        self._idle = threading.Semaphore(0)
        self._asleep = False
        self.settled = 0
        self._r, self._w = os.pipe()
        os.set_blocking(self._r, False)
        self._threads = [threading.Thread(target=self._execute, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def run(self) -> None:
        """Until `stop_after` jobs are settled; without it, for ever."""
        broker, done, held, armed, empty = self.broker, self._done, 0, False, False
        busy, listening = select.poll(), select.poll()
        for poll in busy, listening:
            poll.register(self._r, select.POLLIN)
        listening.register(broker.fd, select.POLLIN)  # only looked at while armed: a bell may well stay rung
        while True:
            batch = [done.popleft() for _ in range(min(len(done), self._cap))]
            held -= len(batch)
            want = min(self._cap, self._depth - held)
            if batch or (want > 0 and not empty):
                jobs = broker.exchange(batch, 0 if empty and armed else want)
                self.settled += len(batch)
                held += len(jobs)
                self._give(jobs)
                empty = len(jobs) < want
                if self._stop_after is not None and self.settled >= self._stop_after:
                    return
                continue
            if empty and not armed and want > 0:
                armed = True
                broker.arm()
            self._asleep = True
            if not done:  # nothing came in between
                for fd, _ in (listening if armed else busy).poll(1000):
                    if fd == self._r:
                        os.read(self._r, 4096)
                    else:
                        jobs = broker.woken(want)
                        empty, armed = len(jobs) < want, False
                        held += len(jobs)
                        self._give(jobs)
            self._asleep = False

    def _give(self, jobs: Sequence[Job]) -> None:
        self._todo.extend(jobs)
        n = min(len(jobs), len(self._threads))
        if n:
            self._idle.release(n)

    def _execute(self) -> None:
        take, put, registry, idle = self._todo.popleft, self._done.append, REGISTRY, self._idle
        while True:
            try:
                job_id, number, body = take()
            except IndexError:
                if self._asleep and self._done:  # the last of a burst: the exchanger may want to know
                    self._wake()
                idle.acquire()
                continue
            task, args, reply = unpack(memoryview(body)[1:])
            result: Any = registry[task](*args)
            put((job_id, number, result, reply))
            if self._asleep:
                self._wake()

    def _wake(self) -> None:
        self._asleep = False
        os.write(self._w, b"1")
