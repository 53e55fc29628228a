"""Carries jobs to the broker for any number of callers: what gathers during one call leaves with the next."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import islice

from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.errors import BrokerUnavailable
from taskforge.job import Enqueued, NewJob

#: Sends one batch, trying until the deadline (monotonic seconds).
SendBatch = Callable[[Sequence[NewJob], float], list[Enqueued]]
#: Hears which of its parcels have been answered.
Tell = Callable[[Sequence["Parcel"]], None]

#: The sending thread ends after this many seconds without work.
LINGER = 5.0


class NotSent(BrokerUnavailable):
    """Patience ended before the jobs left: nothing has happened."""


class Carrier:
    """One per client; from any thread and event loop.

    A lone caller sends by itself, at the cost of a lock. Callers that come meanwhile stand in line, and a thread sends
    what has gathered. Order is kept. One call at a time is under way.
    """

    def __init__(self, send: SendBatch) -> None:
        self._send = send
        self._start_anew()

    def _start_anew(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._busy = self._idle = False
        self._line: deque[Parcel] = deque()
        self._thread: threading.Thread | None = None

    def carry(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """The answer to one batch; blocks. Raises what sending it raised, or NotSent."""
        if self._pid != os.getpid():
            self._start_anew()
        with self._changed:
            alone = not self._busy and not self._line
            if alone:
                self._busy = True
        if not alone:
            return self._carried(jobs, deadline)
        try:
            return self._send(jobs, deadline)
        finally:
            with self._changed:
                self._busy = False
                if self._line:
                    self._wake()

    def put(self, parcel: Parcel) -> None:
        """Have these sent by the sending thread, which tells the parcel's waiter."""
        if self._pid != os.getpid():
            self._start_anew()
        with self._changed:
            self._put(parcel)

    def withdraw(self, parcel: Parcel) -> BrokerUnavailable:
        """Send it no more; what to say to its caller, whose patience is over."""
        with self._changed:
            parcel.withdrawn = True
            if parcel.sent:
                return BrokerUnavailable("the broker did not answer in time")
        return NotSent("the broker answered too slowly: other calls of this process were before this one")

    def _put(self, parcel: Parcel) -> None:
        """With the lock held."""
        self._line.append(parcel)
        if not self._busy:
            self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="taskforge-carrier", daemon=True)
            self._thread.start()
        elif self._idle:
            self._changed.notify()

    def _carried(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """Have the sending thread send these, and wait."""
        told = threading.Event()
        parcel = Parcel(jobs, deadline, lambda parcels: told.set())
        self.put(parcel)
        if not told.wait(deadline - time.monotonic()):
            raise self.withdraw(parcel)
        if parcel.error is not None:
            raise parcel.error
        return parcel.answer

    # The sending thread.

    def _serve(self) -> None:
        try:
            while parcels := self._take():
                self._deliver(parcels)
                self._tell(parcels)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        deadline = max([parcel.deadline for parcel in parcels])
        try:
            answers = iter(self._send([job for parcel in parcels for job in parcel.jobs], deadline))
        except BaseException as error:  # whatever it is, the callers must hear of it
            for parcel in parcels:
                parcel.error = error
        else:
            for parcel in parcels:
                parcel.answer = list(islice(answers, len(parcel.jobs)))

    def _take(self) -> list[Parcel]:
        """The next parcels, as many as one call carries; none when there was nothing to do for long."""
        with self._changed:
            self._busy = False
            until = time.monotonic() + LINGER
            while True:
                parcels = self._batch() if not self._busy else []
                if parcels:
                    self._busy = True
                    return parcels
                self._idle = True
                self._changed.wait(until - time.monotonic())
                self._idle = False
                if time.monotonic() >= until and not self._line:
                    self._thread = None
                    return []

    def _batch(self) -> list[Parcel]:
        parcels: list[Parcel] = []
        count, room, now = 0, BATCH_BYTES, time.monotonic()
        while self._line:
            parcel = self._line[0]
            count, room = count + len(parcel.jobs), room - parcel.size
            if parcels and (count > BATCH or room < 0):
                break
            self._line.popleft()
            if parcel.withdrawn or parcel.deadline <= now:
                count, room = count - len(parcel.jobs), room + parcel.size
                continue  # its caller has given up, or is about to
            parcel.sent = True
            parcels.append(parcel)
        return parcels

    def _tell(self, parcels: Sequence[Parcel]) -> None:
        by_waiter: defaultdict[Tell, list[Parcel]] = defaultdict(list)
        for parcel in parcels:
            by_waiter[parcel.tell].append(parcel)
        for tell, some in by_waiter.items():
            tell(some)


class Parcel:
    """The jobs of one caller, and what became of them. `tell` is called in the sending thread."""

    __slots__ = ("answer", "deadline", "error", "jobs", "sent", "size", "tell", "withdrawn")

    def __init__(self, jobs: Sequence[NewJob], deadline: float, tell: Tell) -> None:
        self.jobs, self.deadline, self.tell = jobs, deadline, tell
        self.size = len(jobs[0].body) if len(jobs) == 1 else sum([len(job.body) for job in jobs])
        self.sent = self.withdrawn = False
        self.error: BaseException | None = None
        self.answer: list[Enqueued] = []
