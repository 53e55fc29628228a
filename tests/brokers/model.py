"""What a broker does, in the plainest Python: no storage, no batches, no speed; to compare the real ones with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from taskforge.brokers.losses import pack_loss
from taskforge.brokers.moments import moment
from taskforge.brokers.protocol import CLOCK_JUMP, ERRORS_BYTES, SENDER_AGE, Demand, Exchange, Extension, Holding
from taskforge.brokers.stamp import Stamp
from taskforge.clock import Clock
from taskforge.errors import StaleCall
from taskforge.job import Cancellation, Counts, Delivery, Enqueued, JobRecord, JobState, NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement

T = TypeVar("T")

LEASE = timedelta(minutes=1)
HOLD = LEASE / 4 + timedelta(seconds=5)
#: How long a job that expired stays readable: nobody said, so it is what finished jobs get by default.
KEEP_EXPIRED = timedelta(hours=1)

WAITING = {JobState.READY, JobState.DELAYED}
#: In place of the number of a sender that is closed.
CLOSED = -1


@dataclass
class Job:
    """A job and what its record does not show."""

    record: JobRecord
    turn: int
    number: int = 0
    retrying: bool = False
    keep_cancelled: timedelta = timedelta(0)

    def become(self, state: JobState, **facts: object) -> None:
        """Stand in another state, with none of the facts that only the last one had."""
        gone = {"due_at": None, "lease_until": None, "worker": None, "started_at": None}
        self.retrying = False
        self.record = replace(self.record, **{**gone, **facts, "state": state})  # type: ignore[arg-type]

    @property
    def place(self) -> tuple[int, int]:
        return -self.record.priority, self.turn


@dataclass
class Queue:
    """One queue. Its count of deliveries outlives its jobs, so that a number never comes twice under one id."""

    jobs: dict[str, Job] = field(default_factory=dict)
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    used: dict[str, datetime] = field(default_factory=dict)
    turns: int = 0
    numbers: int = 0
    seen: datetime | None = None
    held_until: datetime | None = None

    def turn(self) -> int:
        self.turns += 1
        return self.turns


class Model:
    """The verbs of a broker and of its inspector."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, Queue] = {}

    # Broker

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        names = {job.queue for job in jobs}
        if (kept := self._kept(names, stamp)) is not None:
            return kept  # type: ignore[return-value]
        answer = [self._accept(job) for job in jobs]
        self._remember(names, stamp, answer)
        return answer

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        settled = {settlement.delivery.queue for settlement in settlements}
        names = settled | {name for name, _ in demand.queues}
        if (kept := self._kept(names, stamp)) is not None:
            return self._claimed_again(kept)  # type: ignore[arg-type]
        refused = {index for index, settlement in enumerate(settlements) if not self._settle(settlement)}
        for index, settlement in enumerate(settlements):
            for child in settlement.then if isinstance(settlement, Ack) and index not in refused else ():
                self._accept(child)
        for name in names:
            self._let_time_pass(name)
        answer = Exchange(self._claim(demand, stamp), frozenset(refused))
        self._remember(names, stamp, answer)
        return answer

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        answer = Extension([], [])
        for name in {delivery.queue for delivery in deliveries}:
            self._note_time(name)
        for delivery in deliveries:
            job = self._held(delivery)
            if job is None:
                answer.lost.append(delivery)
                continue
            job.record = replace(job.record, lease_until=self._now + LEASE)
            if job.record.stop_requested:
                answer.stop.append(delivery)
        return answer

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> Sequence[Holding]:
        let_go: dict[tuple[str, str], Holding] = {}
        for name in {*queues, *(each.queue for each in held)}:
            self._note_time(name)
            named = [*(each for each in held if each.queue == name), *self._last_claim(name, sender)]
            for each in named:
                if self._holds(each.queue, each.id, each.number) is not None:
                    before = let_go.get((name, each.id), each)
                    let_go[name, each.id] = each._replace(started=each.started or before.started)
            self._queue(name).answers[sender] = CLOSED, None
        for each in let_go.values():
            self._give_back(self._queue(each.queue).jobs[each.id], note if each.started else None)
        return [*let_go.values()]

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        job = self._held(delivery)
        if job is not None:
            job.record = replace(job.record, progress=progress)
        return job is not None

    # Inspector

    def counts(self, queue: str) -> Counts:
        jobs = self._alive(queue).values()
        counts = {state.value: sum(job.record.state is state for job in jobs) for state in JobState}
        return Counts(retrying=sum(job.retrying for job in jobs), **counts)

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        job = self._alive(queue).get(job_id)
        return job.record if job is not None else None

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> Sequence[Cancellation]:
        return self._each(queue, job_ids, stamp, lambda job: self._cancel(job, keep))

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> Sequence[bool]:
        return self._each(queue, job_ids, stamp, lambda job: self._promote(job, queue))

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> Sequence[bool]:
        return self._each(queue, job_ids, stamp, lambda job: self._reprioritise(job, queue, priority))

    def redrive(self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None) -> Sequence[bool]:
        return self._each(queue, job_ids, stamp, lambda job: self._redrive(job, queue, body))

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        if (kept := self._kept({queue}, stamp)) is not None:
            return kept  # type: ignore[return-value]
        gone = [id for id, job in self._alive(queue).items() if job.record.state is state]
        for id in gone:
            del self._queue(queue).jobs[id]
        self._remember({queue}, stamp, len(gone))
        return len(gone)

    # One job

    def _accept(self, job: NewJob) -> Enqueued:
        queue = self._queue(job.queue)
        if job.id in self._alive(job.queue):
            return Enqueued(job.id, new=False)
        due = job.at if job.delay is None else self._now + job.delay
        waits = due is not None and due > self._now
        expires = self._now + job.expires if isinstance(job.expires, timedelta) else job.expires
        record = JobRecord(
            job.id,
            job.queue,
            JobState.DELAYED if waits else JobState.READY,
            job.body,
            job.priority,
            attempts=0,
            crashes=0,
            enqueued_at=self._now,
            due_at=due if waits else None,
            expires_at=expires,
        )
        queue.jobs[job.id] = Job(record, queue.turn())
        return Enqueued(job.id, new=True)

    def _settle(self, settlement: Settlement) -> bool:
        job = self._held(settlement.delivery)
        if job is None:
            return False
        queue = self._queue(settlement.delivery.queue)
        if isinstance(settlement, Requeue | Bury | Cancel) and settlement.error is not None:
            self._keep_error(job, settlement.error)
        if isinstance(settlement, Requeue | Bury) and settlement.crashed:
            job.record = replace(job.record, crashes=job.record.crashes + 1)
        if isinstance(settlement, Requeue | Bury) and settlement.counts:
            job.record = replace(job.record, attempts=job.record.attempts + 1)
        match settlement:
            case Ack():
                kept = settlement.keep if settlement.result is None else settlement.keep_result
                self._end(job, JobState.SUCCEEDED, None, kept, result=settlement.result)
            case Bury():
                self._end(job, JobState.DEAD, settlement.reason, settlement.keep)
            case Cancel():
                self._end(job, JobState.CANCELLED, settlement.reason, settlement.keep)
            case Requeue() if job.record.stop_requested:
                self._end(job, JobState.CANCELLED, "requested", settlement.keep)
            case Requeue(delay=None):
                job.become(JobState.READY)
            case Requeue(delay=delay) if delay is not None and delay > timedelta(0):
                job.become(JobState.DELAYED, due_at=self._now + delay)
                job.retrying = settlement.counts
            case _:
                job.become(JobState.READY)
                job.turn = queue.turn()
        return True

    def _keep_error(self, job: Job, error: bytes) -> None:
        errors = (*job.record.errors, error)
        fits = sum(len(each) for each in errors) <= ERRORS_BYTES
        job.record = replace(job.record, errors=errors if fits else (error,))

    def _end(self, job: Job, state: JobState, reason: str | None, keep: timedelta, result: bytes | None = None) -> None:
        started = job.record.started_at
        job.become(state, reason=reason, result=result, progress=None, stop_requested=False, started_at=started)
        job.record = replace(job.record, ended_at=self._now, kept_until=self._now + keep, expires_at=None)

    def _cancel(self, job: Job | None, keep: timedelta) -> Cancellation:
        if job is None or job.record.state.ended:
            return Cancellation.ENDED
        if job.record.state is JobState.RUNNING:
            job.record = replace(job.record, stop_requested=True)
            job.keep_cancelled = keep
            return Cancellation.REQUESTED
        self._end(job, JobState.CANCELLED, "requested", keep)
        return Cancellation.CANCELLED

    def _promote(self, job: Job | None, queue: str) -> bool:
        if job is None or job.record.state is not JobState.DELAYED:
            return False
        job.become(JobState.READY)
        job.turn = self._queue(queue).turn()
        return True

    def _reprioritise(self, job: Job | None, queue: str, priority: int) -> bool:
        if job is None or job.record.state.ended:
            return False
        job.record = replace(job.record, priority=priority)
        job.turn = self._queue(queue).turn()
        return True

    def _redrive(self, job: Job | None, queue: str, body: bytes | None) -> bool:
        if job is None or job.record.state not in (JobState.DEAD, JobState.CANCELLED):
            return False
        fresh: dict[str, object] = {"attempts": 0, "crashes": 0, "reason": None, "ended_at": None, "kept_until": None}
        fresh["enqueued_at"] = self._now
        job.become(JobState.READY, **fresh, body=job.record.body if body is None else body)
        job.turn = self._queue(queue).turn()
        return True

    # Time

    @property
    def _now(self) -> datetime:
        return self._clock.now()

    def _note_time(self, name: str) -> None:
        """Notice a clock that jumped: hold reclaiming back, and shorten leases that it made too long."""
        queue = self._queue(name)
        step = timedelta(0) if queue.seen is None else self._now - queue.seen
        queue.seen = self._now
        if timedelta(0) <= step <= CLOCK_JUMP:
            return
        queue.held_until = self._now + HOLD
        for job in queue.jobs.values():
            if job.record.lease_until is not None:
                job.record = replace(job.record, lease_until=min(job.record.lease_until, self._now + LEASE))

    def _let_time_pass(self, name: str) -> None:
        """Sweep, expire, reclaim, promote: what an exchange does before it claims."""
        queue = self._queue(name)
        queue.jobs = self._alive(name)
        jobs = queue.jobs.values()
        for job in jobs:
            if job.record.state in WAITING and job.record.expires_at is not None and job.record.expires_at <= self._now:
                self._end(job, JobState.CANCELLED, "expired", KEEP_EXPIRED)
        held = queue.held_until is not None and self._now < queue.held_until
        for job in jobs:
            if not held and job.record.lease_until is not None and job.record.lease_until <= self._now:
                self._reclaim(job)
        due = [job for job in jobs if job.record.due_at is not None and job.record.due_at <= self._now]
        for job in _in_order(due, JobState.DELAYED):
            self._promote(job, name)

    def _reclaim(self, job: Job) -> None:
        claimed_at, worker = job.record.started_at, job.record.worker
        assert claimed_at is not None
        assert worker is not None
        self._give_back(job, pack_loss(moment(self._now), moment(claimed_at), worker))

    def _give_back(self, job: Job, note: bytes | None) -> None:
        """To its place; with a note, which says that its run had begun, as a crash."""
        if note is not None:
            job.record = replace(job.record, crashes=job.record.crashes + 1)
            self._keep_error(job, note)
        if job.record.stop_requested:
            self._end(job, JobState.CANCELLED, "requested", job.keep_cancelled)
        else:
            job.become(JobState.READY)

    # Claims

    def _claim(self, demand: Demand, stamp: Stamp) -> list[Delivery]:
        deliveries = []
        free = list(demand.free)
        for name, pools in demand.queues:
            queue = self._queue(name)
            queue.numbers += 1
            ready = [job for job in queue.jobs.values() if job.record.state is JobState.READY]
            for job in _in_order(ready, JobState.READY):
                if not pools or min(free[pool] for pool in pools) <= 0:
                    break
                for pool in pools:
                    free[pool] -= 1
                job.number = queue.numbers
                lease = self._now + LEASE
                job.become(
                    JobState.RUNNING, started_at=self._now, lease_until=lease, worker=stamp.sender, expires_at=None
                )
                deliveries.append(_delivery(job))
        return deliveries

    def _claimed_again(self, answer: Exchange) -> Exchange:
        kept = [delivery for delivery in answer.deliveries if self._held(delivery) is not None]
        lost = [(delivery.queue, delivery.id) for delivery in answer.deliveries if delivery not in kept]
        current = [_delivery(self._queue(delivery.queue).jobs[delivery.id]) for delivery in kept]
        return Exchange(current, answer.refused, lost=tuple(lost))

    def _held(self, delivery: Delivery) -> Job | None:
        return self._holds(delivery.queue, delivery.id, delivery.number)

    def _holds(self, name: str, job_id: str, number: int) -> Job | None:
        job = self._queue(name).jobs.get(job_id)
        holds = job is not None and job.record.state is JobState.RUNNING and job.number == number
        return job if holds else None

    def _last_claim(self, name: str, sender: str) -> list[Holding]:
        """What the last call of a sender claimed in a queue, if that is remembered."""
        _, answer = self._queue(name).answers.get(sender, (0, None))
        if not isinstance(answer, Exchange) or self._now - self._queue(name).used[sender] >= SENDER_AGE:
            return []
        return [Holding(name, each.id, each.number, False) for each in answer.deliveries if each.queue == name]

    # Queues and senders

    def _queue(self, name: str) -> Queue:
        return self._queues.setdefault(name, Queue())

    def _alive(self, name: str) -> dict[str, Job]:
        """The jobs of a queue that have not aged out."""
        jobs = self._queue(name).jobs.items()
        return {id: job for id, job in jobs if job.record.kept_until is None or job.record.kept_until > self._now}

    def _each(self, name: str, job_ids: Sequence[str], stamp: Stamp, change: Callable[[Job | None], T]) -> Sequence[T]:
        if (kept := self._kept({name}, stamp)) is not None:
            return kept  # type: ignore[return-value]
        answer = [change(self._alive(name).get(id)) for id in job_ids]
        self._remember({name}, stamp, answer)
        return answer

    def _kept(self, names: set[str], stamp: Stamp) -> object | None:
        """The answer that this very call got before. A call below the last one of its sender raises.

        Every changing call comes through here, and takes notice of the time.
        """
        for name in names:
            number, answer = self._queue(name).answers.get(stamp.sender, (0, None))
            if stamp.number < number or number == CLOSED:
                raise StaleCall(f"{stamp} is below {number}")
        for name in names:
            self._note_time(name)
        for name in names:
            number, answer = self._queue(name).answers.get(stamp.sender, (0, None))
            if stamp.number == number:
                for each in names:
                    self._queue(each).used[stamp.sender] = self._now
                return answer
        return None

    def _remember(self, names: set[str], stamp: Stamp, answer: object) -> None:
        for name in names:
            self._queue(name).answers[stamp.sender] = (stamp.number, answer)
            self._queue(name).used[stamp.sender] = self._now

    # Last, because below it the name `list` in an annotation would mean this method.
    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]:
        jobs = [job for job in self._alive(queue).values() if job.record.state is state]
        return [replace(job.record, result=None) for job in _in_order(jobs, state)][offset : offset + limit]


def _delivery(job: Job) -> Delivery:
    record = job.record
    return Delivery(
        record.queue,
        record.id,
        job.number,
        record.body,
        record.attempts,
        record.crashes,
        record.priority,
        record.enqueued_at,
    )


def _in_order(jobs: Sequence[Job], state: JobState) -> Sequence[Job]:
    """As `list` shows them. Where moments are equal, the protocol leaves the order open; both brokers do this."""
    if state is JobState.READY:
        return sorted(jobs, key=lambda job: job.place)
    if state is JobState.DELAYED:
        return sorted(jobs, key=lambda job: (job.record.due_at, -job.record.priority, job.record.id))
    if state is JobState.RUNNING:
        return sorted(jobs, key=lambda job: (job.record.lease_until, job.record.id))
    return sorted(jobs, key=lambda job: (job.record.ended_at, job.record.id), reverse=True)
