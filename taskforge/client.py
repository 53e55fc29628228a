"""Speaks to the broker for user code: stamps each call, sends it again until it is answered, and gives up in time."""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from taskforge.brokers.deadline import left
from taskforge.brokers.protocol import BATCH, BATCH_BYTES, Broker
from taskforge.brokers.resend import resend
from taskforge.brokers.stamp import Senders, Stamp
from taskforge.carrier import Carrier, NotSent
from taskforge.errors import BrokerRefused, BrokerUnavailable, EnqueueFailed, WouldBlock
from taskforge.job import Enqueued, NewJob
from taskforge.settings import Settings
from taskforge.shield import SHIELDED
from taskforge.watch import EndWatch

if TYPE_CHECKING:
    from taskforge.awaiting import AsyncClient

T = TypeVar("T")

#: Inside a running event loop a sync call may block the loop this long (seconds), no longer.
PATIENCE_IN_LOOP = 1.0
#: How often (seconds) a process repeats that a queue exists.
ANNOUNCE_EVERY = 600.0


class Client:
    """One per app and process; any thread may use it."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.patience = settings.call_timeout.total_seconds()
        self.watch = EndWatch(broker, self.patience)
        self._senders = Senders()
        self.carrier = Carrier(self._send)
        self._announced: dict[str, float] = {}
        self._awaiting: AsyncClient | None = None

    def enqueue(self, jobs: Sequence[NewJob], patience: float | None = None) -> list[Enqueued]:
        """Hand jobs to the broker, in batches. Their order is kept.

        Raises EnqueueFailed, naming the jobs that are done, unknown and unsent, when a batch is not confirmed in time.
        """
        deadline = time.monotonic() + left(self.patience if patience is None else patience)
        done: list[Enqueued] = []
        batch: Sequence[NewJob] = ()
        try:
            with SHIELDED:
                for batch in batches(jobs):
                    done += self.carrier.carry(batch, deadline)
        except (BrokerUnavailable, BrokerRefused) as error:
            raise enqueue_failed(error, jobs, len(done), len(batch)) from error
        return done

    @property
    def awaiting(self) -> AsyncClient:
        """The same for coroutines."""
        if self._awaiting is None:
            # By name: a program without coroutines never loads asyncio.
            made: type[AsyncClient] = importlib.import_module("taskforge.awaiting").AsyncClient
            self._awaiting = made(self)
        return self._awaiting

    def change(self, call: Callable[[Stamp], T], patience: float | None = None) -> T:
        """The answer to a changing call, sent under one stamp until it is answered."""
        with SHIELDED:
            sender = self._senders.take()
            stamp = sender.stamp()
            answer = resend(lambda: call(stamp), self.broker, self.patience if patience is None else patience)
            self._senders.give_back(sender)
            return answer

    def read(self, call: Callable[[], T]) -> T:
        """The answer to a call that changes nothing."""
        with SHIELDED:
            return resend(call, self.broker, self.patience)

    def close(self) -> None:
        """Let the broker's connections go."""
        self.watch.close()
        if self._awaiting is not None:
            self._awaiting.close()
        self.broker.close()

    def _send(self, jobs: Sequence[NewJob], deadline: float) -> list[Enqueued]:
        """One batch, under one stamp, until it is answered."""
        try:
            self._announce({job.queue for job in jobs}, deadline)
        except BrokerUnavailable as error:
            raise NotSent(str(error)) from error
        return self.change(partial(self.broker.enqueue, jobs), deadline - time.monotonic())

    def _announce(self, queues: set[str], deadline: float) -> None:
        now = time.monotonic()
        fresh = [q for q in queues if now - self._announced.get(q, -ANNOUNCE_EVERY) >= ANNOUNCE_EVERY]
        if fresh:
            resend(lambda: self.broker.announce(fresh), self.broker, deadline - now)
            self._announced.update(dict.fromkeys(fresh, now))


def batches(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Slices within the bounds of one call."""
    if len(jobs) == 1:  # the many
        yield jobs
        return
    start = size = 0
    for at, job in enumerate(jobs):
        if at > start and (at - start >= BATCH or size + len(job.body) > BATCH_BYTES):
            yield jobs[start:at]
            start, size = at, 0
        size += len(job.body)
    if start < len(jobs):
        yield jobs[start:]


def refuse_in_loop(name: str, twin: str) -> None:
    """Raise WouldBlock, naming the twin to use, if the calling thread runs an event loop."""
    if in_loop():
        raise WouldBlock(f"{name} would block the running event loop; use `await …{twin}`")


def patience_here(stacklevel: int) -> float | None:
    """How long a short sync call may take here; warns once per call site inside a running event loop."""
    if not in_loop():
        return None
    warnings.warn(
        "enqueue() blocks the running event loop for a round trip; use `await …aenqueue(…)`",
        RuntimeWarning,
        stacklevel=stacklevel,
    )
    return PATIENCE_IN_LOOP


def in_loop() -> bool:
    """Whether the calling thread runs an event loop."""
    asyncio = sys.modules.get("asyncio")  # not loaded, no loop
    return asyncio is not None and asyncio._get_running_loop() is not None  # the public twin raises: 1 µs a call


def enqueue_failed(
    error: BrokerUnavailable | BrokerRefused, jobs: Sequence[NewJob], done: int, batch: int
) -> BrokerUnavailable | BrokerRefused:
    """What became of all these jobs, when sending the `batch` after the first `done` ended with this error."""
    if isinstance(error, BrokerRefused) and not done:
        return error
    ids = [job.id for job in jobs]
    sent = isinstance(error, BrokerUnavailable) and not isinstance(error, NotSent)
    unknown = ids[done : done + batch] if sent else []
    if unknown:
        what = (
            f"whether these jobs were enqueued is unknown: {_listed(unknown)}; "
            "enqueuing the same again under the same ids (job_id=…) is safe"
        )
    else:
        what = f"{done} of {len(ids)} jobs were enqueued" if done else "nothing was enqueued"
    return EnqueueFailed(f"{error}; {what}", done=ids[:done], unknown=unknown, unsent=ids[done + len(unknown) :])


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:10])
    return f"{shown} and {len(ids) - 10} more" if len(ids) > 10 else shown
