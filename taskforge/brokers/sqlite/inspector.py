"""Reads and mends the queues of a file: the Inspector."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from taskforge.brokers.inspecting import Pressure
from taskforge.brokers.moments import span
from taskforge.brokers.protocol import BATCH, PAGE
from taskforge.brokers.sqlite import mending, queues, records
from taskforge.brokers.sqlite.calls import Call, Calls
from taskforge.brokers.sqlite.pressure import pressure
from taskforge.brokers.sqlite.queues import Queue
from taskforge.brokers.sqlite.senders import once
from taskforge.brokers.stamp import Stamp
from taskforge.job import Cancellation, Counts, JobRecord, JobState

A = TypeVar("A")


class SqliteInspector:
    """See taskforge.brokers.inspecting.Inspector for what each method promises."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self._prefix = calls, calls.prefix

    def queues(self) -> list[str]:
        with self._calls.read() as (db, _):
            return queues.known(db, self._prefix)

    def counts(self, queue: str) -> Counts:
        with self._calls.read() as (db, now):
            return records.counts(db, now, self._prefix, queue)

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        with self._calls.read() as (db, now):
            found = queues.load(db, self._prefix, queue)
            return Pressure() if found is None else pressure(db, found, now, span(within))

    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]:
        if not 0 <= limit <= PAGE or offset < 0:
            raise ValueError(f"list takes an offset from 0 and a limit up to {PAGE:,}, not {offset} and {limit}")
        with self._calls.read() as (db, now):
            return records.page(db, now, self._prefix, queue, state, offset, limit)

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        with self._calls.read() as (db, now):
            return records.get(db, now, self._prefix, queue, job_id)

    def find(self, job_id: str) -> builtins.list[JobRecord]:
        with self._calls.read() as (db, now):
            return records.find(db, now, self._prefix, job_id)

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> builtins.list[Cancellation]:
        answer = self._each(queue, job_ids, stamp, lambda call, q, job_id: mending.cancel(call, q, job_id, keep))
        return [Cancellation(said) for said in answer]

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> builtins.list[bool]:
        return self._each(queue, job_ids, stamp, mending.promote)

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> builtins.list[bool]:
        return self._each(
            queue, job_ids, stamp, lambda call, q, job_id: mending.reprioritise(call, q, job_id, priority)
        )

    def redrive(
        self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None
    ) -> builtins.list[bool]:
        if body is not None and len(job_ids) != 1:
            raise ValueError(f"a body replaces that of one job, and {len(job_ids)} ids were given")
        return self._each(queue, job_ids, stamp, lambda call, q, job_id: mending.redrive(call, q, job_id, body))

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        if state is JobState.RUNNING:
            raise ValueError("running jobs cannot be purged; cancel them")
        with self._calls.change() as call:
            q = call.queue(queue)
            return once(call, q, stamp, lambda: mending.purge(call, q, self._prefix, state, PAGE))

    def _each(
        self, queue: str, job_ids: Sequence[str], stamp: Stamp, mend: Callable[[Call, Queue, str], A]
    ) -> builtins.list[A]:
        """The answers of `mend` for each id, or those that this stamp was given before."""
        if len(job_ids) > BATCH:
            raise ValueError(f"{len(job_ids)} ids in one call; at most {BATCH} are allowed")
        with self._calls.change() as call:
            q = call.queue(queue)
            return once(call, q, stamp, lambda: [mend(call, q, job_id) for job_id in job_ids])
