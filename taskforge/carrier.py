"""Carries jobs to the broker for any number of callers: what gathers during one call leaves with the next."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.errors import BrokerUnavailable
from taskforge.job import Enqueued, NewJob

logger = logging.getLogger("taskforge.client")

#: Sends one batch, trying until the deadline (monotonic seconds).
SendBatch = Callable[[Sequence[NewJob], float], list[Enqueued]]

#: Coroutines of one event loop that may have jobs made and not yet answered; further ones wait before they make any.
ROOM = 1_000
#: The sending thread ends after this many seconds without work.
LINGER = 5.0


class NotSent(BrokerUnavailable):
    """The patience of a call ended before its jobs left: nothing of it happened."""


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
        self._mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()
        self._latest: Mailbox | None = None

    def carry(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """The answer to one batch; blocks. Raises what sending it raised, or NotSent."""
        if self._pid != os.getpid():
            self._start_anew()
        with self._changed:
            alone = not self._busy and not self._line
            if alone:
                self._busy = True
            else:
                parcel = Parcel(jobs, deadline, threading.Event())
                self._put(parcel)
        if not alone:
            return self._told(parcel)
        try:
            return self._send(jobs, deadline)
        finally:
            with self._changed:
                self._busy = False
                if self._line:
                    self._wake()

    async def acarry(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """The same from a coroutine, without blocking its loop.

        Cancelled while it stands in line, its jobs are withdrawn; later, their fate is unknown.
        """
        mailbox = self.mailbox()
        parcel = Parcel(jobs, deadline, mailbox)
        future: asyncio.Future[list[Enqueued]] = mailbox.loop.create_future()
        parcel.future = future
        with self._changed:
            self._put(parcel)
        mailbox.expect(parcel)
        try:
            return await future
        except BaseException:
            with self._changed:
                parcel.withdrawn = True
            raise

    def mailbox(self) -> Mailbox:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._start_anew()
        latest = self._latest
        if latest is None or latest.loop is not loop:
            with self._changed:
                latest = self._latest = self._mailboxes.setdefault(loop, Mailbox(loop, self._changed))
        return latest

    def _put(self, parcel: Parcel) -> None:
        """With the lock held."""
        self._line.append(parcel)
        if not self._busy:
            self._wake()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._serve, name="taskforge-carrier", daemon=True)
            self._thread.start()
        elif self._idle:
            self._changed.notify()

    def _told(self, parcel: Parcel) -> list[Enqueued]:
        """Wait, in the caller's thread, for what the sending thread has to say."""
        assert isinstance(parcel.waiter, threading.Event)
        if not parcel.waiter.wait(parcel.deadline - time.monotonic()):
            with self._changed:
                raise parcel.withdraw()
        if parcel.error is not None:
            raise parcel.error
        return parcel.answer

    # The sending thread.

    def _serve(self) -> None:
        while parcels := self._take():
            deadline = max(parcel.deadline for parcel in parcels)
            try:
                answers = self._send([job for parcel in parcels for job in parcel.jobs], deadline)
            except BaseException as error:  # whatever it is, the callers must hear of it
                for parcel in parcels:
                    parcel.error = error
            else:
                for parcel in parcels:
                    parcel.answer, answers = answers[: len(parcel.jobs)], answers[len(parcel.jobs) :]
            self._tell(parcels)

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
        by_mailbox: defaultdict[Mailbox, list[Parcel]] = defaultdict(list)
        for parcel in parcels:
            if isinstance(parcel.waiter, Mailbox):
                by_mailbox[parcel.waiter].append(parcel)
            else:
                parcel.waiter.set()
        for mailbox, some in by_mailbox.items():
            try:
                mailbox.loop.call_soon_threadsafe(mailbox.deliver, some)
            except RuntimeError:  # the loop is closed: nobody there waits any more
                logger.debug("answers_not_delivered", extra={"jobs": len(some)})


class Parcel:
    """The jobs of one caller, and what became of them."""

    __slots__ = ("answer", "deadline", "error", "future", "jobs", "sent", "size", "waiter", "withdrawn")

    def __init__(self, jobs: Sequence[NewJob], deadline: float, waiter: threading.Event | Mailbox) -> None:
        self.jobs, self.deadline, self.waiter = jobs, deadline, waiter
        self.size = len(jobs[0].body) if len(jobs) == 1 else sum([len(job.body) for job in jobs])
        self.sent = self.withdrawn = False
        self.error: BaseException | None = None
        self.answer: list[Enqueued] = []
        self.future: asyncio.Future[list[Enqueued]] | None = None

    def withdraw(self) -> BrokerUnavailable:
        """Send it no more, with the carrier's lock held; what to say when its deadline has passed."""
        self.withdrawn = True
        if self.sent:
            return BrokerUnavailable("the broker did not answer in time")
        return NotSent("the broker answered too slowly: other calls of this process were before this one")


class Mailbox:
    """Where the coroutines of one event loop wait for their answers. Used in that loop's thread alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: threading.Condition) -> None:
        self.loop, self._changed = loop, changed
        #: Taken before jobs are made, so that a slow broker holds callers back, not their payloads in memory.
        self.room = asyncio.Semaphore(ROOM)
        self._expected: deque[Parcel] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, parcel: Parcel) -> None:
        """An answer shall come before the parcel's deadline. One timer watches over all: patience is the same."""
        self._expected.append(parcel)
        if self._timer is None:
            self._timer = self.loop.call_later(max(0.0, parcel.deadline - time.monotonic()), self._look)

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """These have been answered."""
        for parcel in parcels:
            future = parcel.future
            if future is None or future.done():
                continue
            if parcel.error is not None:
                future.set_exception(parcel.error)
            else:
                future.set_result(parcel.answer)
        while self._expected and _answered(self._expected[0]):
            self._expected.popleft()

    def _look(self) -> None:
        now = time.monotonic()
        while self._expected and (_answered(self._expected[0]) or self._expected[0].deadline <= now):
            parcel = self._expected.popleft()
            if parcel.future is not None and not parcel.future.done():
                with self._changed:
                    parcel.future.set_exception(parcel.withdraw())
        self._timer = None
        if self._expected:
            self._timer = self.loop.call_later(max(0.0, self._expected[0].deadline - now), self._look)


def _answered(parcel: Parcel) -> bool:
    return parcel.future is None or parcel.future.done()
