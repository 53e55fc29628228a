"""The client for coroutines: what must not block an event loop. Loaded with the first such call, as asyncio is."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakKeyDictionary

from taskforge.brokers.deadline import left, until
from taskforge.brokers.protocol import LOOK_EVERY
from taskforge.carrier import Carrier, Parcel
from taskforge.client import Client, batches, enqueue_failed
from taskforge.errors import BrokerRefused, BrokerUnavailable, EnqueueFailed
from taskforge.job import Enqueued, JobRecord, NewJob

T = TypeVar("T")

#: Coroutines of one event loop that may have jobs made and not yet answered; further ones wait before they make any.
ROOM = 1_000
#: Threads that carry the other calls.
THREADS = 8


class AsyncClient:
    """Beside each client; any event loop may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pid = os.getpid()
        self._threads: ThreadPoolExecutor | None = None
        self._mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()
        self._latest: Mailbox | None = None

    def room(self) -> Room:
        """To be entered before a coroutine makes the jobs of an `enqueue`: a slow broker then holds callers back, not
        their payloads in memory.
        """
        return self._mailbox().room

    def deadline(self) -> float:
        """When a call that begins now gives up (monotonic seconds)."""
        return time.monotonic() + left(self._client.patience)

    async def enqueue(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """`Client.enqueue`. Cancelled while they stand in line, jobs are withdrawn; later, their fate is unknown."""
        done: list[Enqueued] = []
        batch: Sequence[NewJob] = ()
        try:
            for batch in batches(jobs):
                done += await self._mailbox().carry(batch, deadline)
        except (BrokerUnavailable, BrokerRefused) as error:
            raise enqueue_failed(error, jobs, len(done), len(batch)) from error
        return done

    async def threaded(self, call: Callable[[], T]) -> T:
        """Make a blocking call from a coroutine, within the client's patience, waiting for a thread included.

        If the coroutine is cancelled, the call may still take effect.
        """
        deadline = time.monotonic() + self._client.patience

        def within() -> T:
            with until(deadline):
                return call()

        if self._threads is None or self._pid != os.getpid():
            self._pid, self._threads = os.getpid(), ThreadPoolExecutor(THREADS, "taskforge-async")
        return await asyncio.get_running_loop().run_in_executor(self._threads, within)

    async def records(self, queue: str | None, job_id: str, timeout: float | None) -> list[JobRecord]:
        """`EndWatch.records`."""
        watch = self._client.watch
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(told.set)

        with watch.told(job_id, tell):
            while True:
                records = await loop.run_in_executor(None, watch.look, queue, job_id)
                rest = deadline - time.monotonic()
                if all(r.state.ended for r in records) or rest <= 0:
                    return records
                try:
                    await asyncio.wait_for(told.wait(), min(rest, LOOK_EVERY))
                except TimeoutError:
                    continue
                finally:
                    told.clear()

    def close(self) -> None:
        """Let the threads go."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def _mailbox(self) -> Mailbox:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        latest = self._latest
        if latest is None or latest.loop is not loop:
            made = Mailbox(loop, self._client.carrier)
            latest = self._latest = self._mailboxes.setdefault(loop, made)
        return latest


class Room:
    """So many may be in it at a time; the others wait, first come, first served. A free place costs no coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int) -> None:
        self._loop, self._free = loop, size
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> bool:
        """Whether there was a place, and nobody waits for it."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def wait(self, deadline: float) -> None:
        """For a place of one's own. Raises EnqueueFailed when there is none by the deadline (monotonic seconds)."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._given(turn)
        except TimeoutError:
            said = "the broker answered too slowly: other calls of this event loop were before this one"
            raise EnqueueFailed(f"{said}; nothing was enqueued", done=[], unknown=[], unsent=[]) from None

    async def _given(self, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was given a place in the same moment
            raise

    def leave(self) -> None:
        """Give the place to the first who waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Mailbox:
    """Where the coroutines of one event loop wait for their answers. Used in that loop's thread, but for `post`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, carrier: Carrier) -> None:
        self.loop, self._carrier = loop, carrier
        self.room = Room(loop, ROOM)
        self._waiting: dict[Parcel, asyncio.Future[list[Enqueued]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._expected: deque[Parcel] = deque()

    async def carry(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """Have one batch sent, and wait for the answer."""
        parcel = Parcel(jobs, deadline, self.post)
        future: asyncio.Future[list[Enqueued]] = self.loop.create_future()
        self._waiting[parcel] = future
        self._carrier.put(parcel)
        self._expected.append(parcel)
        if self._timer is None:  # one watches over all: they have about the same patience
            self._timer = self.loop.call_later(max(0.0, deadline - time.monotonic()), self._look)
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.pop(parcel, None)
            self._carrier.withdraw(parcel)
            raise

    def post(self, parcels: Sequence[Parcel]) -> None:
        """These have been answered. From the sending thread."""
        try:
            self.loop.call_soon_threadsafe(self._deliver, parcels)
        except RuntimeError:
            return  # the loop is closed: nobody there waits any more

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            future = self._waiting.pop(parcel, None)
            if future is None or future.done():
                continue
            if parcel.error is not None:
                future.set_exception(parcel.error)
            else:
                future.set_result(parcel.answer)
        while self._expected and self._expected[0] not in self._waiting:
            self._expected.popleft()

    def _look(self) -> None:
        """End the waits that are over."""
        now = time.monotonic()
        while self._expected and (self._expected[0].deadline <= now or self._expected[0] not in self._waiting):
            parcel = self._expected.popleft()
            future = self._waiting.pop(parcel, None)
            if future is not None and not future.done():
                future.set_exception(self._carrier.withdraw(parcel))
        self._timer = None
        if self._expected:
            self._timer = self.loop.call_later(max(0.0, self._expected[0].deadline - now), self._look)
