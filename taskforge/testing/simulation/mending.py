"""The witness of what operators change: cancel, promote, reprioritise and redrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from taskforge.brokers.inspecting import Inspector, Pressure
from taskforge.brokers.moments import span
from taskforge.brokers.stamp import Stamp
from taskforge.job import Cancellation, Counts, JobRecord, JobState
from taskforge.testing.simulation.ledger import WAITING, Entry
from taskforge.testing.simulation.scheduler import Violation
from taskforge.testing.simulation.witness import Witness

A = TypeVar("A")


class MendingWitness:
    """An Inspector whose changes are checked against the ledger; what only reads is passed on."""

    def __init__(self, witness: Witness) -> None:
        self._witness, self._ledger = witness, witness.ledger

    @property
    def _true(self) -> Inspector:
        return self._witness.broker.inspector

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> list[Cancellation]:
        """Waiting jobs end, running ones are asked to stop."""

        def must(entry: Entry | None) -> Cancellation:
            if entry is None or not (entry.state in WAITING or entry.state is JobState.RUNNING):
                return Cancellation.ENDED
            if entry.state is JobState.RUNNING:
                entry.stop, entry.keep_cancelled = True, span(keep)
                return Cancellation.REQUESTED
            entry.end(JobState.CANCELLED, self._witness.now, span(keep))
            return Cancellation.CANCELLED

        call = partial(self._true.cancel, queue, job_ids, keep, stamp)
        return self._mend("cancel", queue, job_ids, stamp, call, must)

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> list[bool]:
        """Delayed jobs become ready."""

        def must(entry: Entry | None) -> bool:
            if entry is None or entry.state is not JobState.DELAYED:
                return False
            self._ledger.promote(entry)
            return True

        call = partial(self._true.promote, queue, job_ids, stamp)
        return self._mend("promote", queue, job_ids, stamp, call, must)

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> list[bool]:
        """Jobs that have not ended get another priority."""

        def must(entry: Entry | None) -> bool:
            return entry is not None and (entry.state in WAITING or entry.state is JobState.RUNNING)

        call = partial(self._true.reprioritise, queue, job_ids, priority, stamp)
        return self._mend("reprioritise", queue, job_ids, stamp, call, must)

    def redrive(self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None) -> list[bool]:
        """Dead and cancelled jobs are as new."""

        def must(entry: Entry | None) -> bool:
            if entry is None or entry.state not in (JobState.DEAD, JobState.CANCELLED):
                return False
            entry.start_anew()
            return True

        call = partial(self._true.redrive, queue, job_ids, stamp, body)
        return self._mend("redrive", queue, job_ids, stamp, call, must)

    def _mend(
        self,
        verb: str,
        queue: str,
        ids: Sequence[str],
        stamp: Stamp,
        call: Callable[[], list[A]],
        must: Callable[[Entry | None], A],
    ) -> list[A]:
        answers, again = self._witness.call(verb, [queue], stamp, call)
        if not again:
            now = self._witness.now
            known = [self._known(job_id, now) for job_id in ids]
            expected = [must(entry) for entry in known]
            if answers != expected:
                raise Violation(f"{verb} of {self._ledger.name(ids[0])} answered {answers}; it must be {expected}")
        names = ", ".join(self._ledger.name(job_id) for job_id in ids)
        self._witness.say(again, f"answers {verb} of", [f"{names}: {answers[0]}"])
        self._witness.look([queue], [job_id for job_id in ids if job_id in self._ledger.jobs])
        return answers

    def _known(self, job_id: str, now: int) -> Entry | None:
        """The job, if the broker can still know it."""
        entry = self._ledger.jobs.get(job_id)
        if entry is None or (entry.kept_until is not None and entry.kept_until <= now):
            return None
        if entry.gone and self._true.get(entry.queue, job_id) is None:
            return None
        return entry

    # What only reads.

    def queues(self) -> list[str]:
        return self._true.queues()

    def counts(self, queue: str) -> Counts:
        return self._true.counts(queue)

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        return self._true.pressure(queue, within)

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        return self._true.get(queue, job_id)

    def find(self, job_id: str) -> list[JobRecord]:
        return self._true.find(job_id)

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        return self._true.purge(queue, state, stamp)

    # Last, because below it the name `list` in an annotation would mean this method.
    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]:
        return self._true.list(queue, state, offset, limit)
