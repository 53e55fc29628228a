"""The slower protocols beside the Broker's: reading and mending queues, and learning of ends."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from taskforge.brokers.stamp import Stamp
from taskforge.job import Cancellation, Counts, JobRecord, JobState


class Pressure(NamedTuple):
    """How much work presses on a queue, counted without looking at each job.

    `ready` are the jobs that could be claimed now, whether or not a worker has looked since they fell due; `oldest` is
    how long the longest-waiting of them has been so, None when there is none: since its enqueue, or since it fell due
    or took its place anew (a retry at once, another priority, a redrive). One that came back to the place it was
    claimed from counts from when it first stood there. It is right to about a second, and among the jobs of one
    priority the first in line stands for all. `soon` are delayed jobs that fall due later, but within the span asked
    for; `running` those under a lease.
    """

    ready: int = 0
    oldest: timedelta | None = None
    soon: int = 0
    running: int = 0


class Inspector(Protocol):
    """Reads and mends queues; operators' work, never on a job's path. Changes carry a stamp like any other call."""

    def queues(self) -> builtins.list[str]:
        """The known queues, sorted."""
        ...

    def counts(self, queue: str) -> Counts:
        """How many jobs stand in each state, not counting those that have aged out."""
        ...

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        """What presses on a queue now, and what will within this span."""
        ...

    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> builtins.list[JobRecord]:
        """Jobs in one state, in the order they would run (ready), fall due (delayed) or lose their lease (running);
        latest ended first for the others.

        At most PAGE a call (ValueError beyond). Results are left out (None): `get` reads them.
        """
        ...

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        """One job, or None when the queue does not know it or it has aged out."""
        ...

    def find(self, job_id: str) -> builtins.list[JobRecord]:
        """The job of this id in each known queue that has one."""
        ...

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> builtins.list[Cancellation]:
        """End waiting jobs as cancelled (reason `requested`, kept for `keep`); mark running ones as asked to stop.
        At most BATCH ids.
        """
        ...

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> builtins.list[bool]:
        """Make delayed jobs ready now; False for jobs that are not delayed. At most BATCH ids."""
        ...

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> builtins.list[bool]:
        """Change the priority of waiting and running jobs (a running one keeps it if it comes back); last of its new
        priority. False for ended or unknown jobs. At most BATCH ids.
        """
        ...

    def redrive(
        self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None
    ) -> builtins.list[bool]:
        """Make dead or cancelled jobs ready again as if they were enqueued now, with attempts, crashes and stop mark
        cleared, last of their priority; the delivery number goes on rising.

        With `body`, exactly one id is given and its body is replaced. False for jobs in any other state. At most
        BATCH ids.
        """
        ...

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        """Delete up to 1,000 jobs in this state for good, those `list` would show first; how many. Waiters of
        waiting ones are told.

        Running jobs cannot be purged (ValueError).
        """
        ...


class Waiter(Protocol):
    """Learns that jobs have ended. Push is the speed, reading again is the guarantee: who waits reads again every
    LOOK_EVERY seconds, and after `BrokerUnavailable`.
    """

    def watch(self, queue: str | None, job_id: str) -> list[JobRecord]:
        """Ask to be told of this job's end, and read it, in one step. Queue None looks in all known queues.

        Returns the job's record, from each queue that knows it. A job that has ended is not registered.
        """
        ...

    def listen(self, timeout: float) -> list[str]:
        """Block until watched jobs end, at most `timeout` seconds; their ids. Called by one thread at a time."""
        ...

    def close(self) -> None:
        """Stop listening. A `listen` under way in another thread returns soon."""
        ...
