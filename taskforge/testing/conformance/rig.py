"""A broker under test with a clock in hand, and short words for what tests do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from taskforge.brokers.inspecting import Inspector
from taskforge.brokers.protocol import Broker, BrokerSettings, Demand, Exchange, Retention
from taskforge.brokers.stamp import Sender, Stamp
from taskforge.job import Counts, Delivery, Enqueued, JobRecord, JobState, NewJob
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.testing.clock import FakeClock

QUEUE, OTHER = "mail", "photos"
HOUR, MINUTE, SECOND, NO_TIME = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), timedelta(0)

#: Below CLOCK_JUMP, so that time which passes in such steps is seen as passing.
STEP = 5.0


@dataclass(frozen=True, slots=True)
class State:
    """Everything a reader can learn about one queue."""

    counts: Counts
    order: dict[JobState, list[str]]
    records: dict[str, JobRecord]


class Rig:
    """One broker, one sender, one clock. Words without a queue mean QUEUE."""

    def __init__(self, connect: Callable[[BrokerSettings], Broker], clock: FakeClock, retention: Retention) -> None:
        self.clock = clock
        self._connect = connect
        self._settings = BrokerSettings(prefix="test", clock=clock, retention=lambda queue: retention)
        self._opened: list[Broker] = []
        self.sender = Sender()
        self.broker = self.another()

    def another(self) -> Broker:
        """One more broker object on the same storage, as another process would have."""
        broker = self._connect(self._settings)
        self._opened.append(broker)
        broker.open()
        return broker

    def close(self) -> None:
        for broker in self._opened:
            broker.close()

    @property
    def inspector(self) -> Inspector:
        return self.broker.inspector

    def stamp(self) -> Stamp:
        return self.sender.stamp()

    # Enqueuing

    def enqueue(
        self,
        *ids: str,
        queue: str = QUEUE,
        priority: int = 0,
        delay: float | None = None,
        expires: timedelta | datetime | None = None,
    ) -> list[Enqueued]:
        """Jobs of these ids in one call; each one's body names it."""
        wait = None if delay is None else timedelta(seconds=delay)
        jobs = [new_job(id, queue, priority=priority, delay=wait, expires=expires) for id in ids]
        return self.broker.enqueue(jobs, self.stamp())

    # Claiming and settling

    def exchange(self, want: int = 0, *settlements: Settlement, queue: str = QUEUE) -> Exchange:
        return self.broker.exchange(demand(want, queue), settlements, self.stamp())

    def claim(self, want: int = 1, queue: str = QUEUE) -> list[Delivery]:
        return self.exchange(want, queue=queue).deliveries

    def claim_one(self, queue: str = QUEUE) -> Delivery:
        (delivery,) = self.claim(1, queue)
        return delivery

    def claimed_ids(self, want: int = 100, queue: str = QUEUE) -> list[str]:
        return [delivery.id for delivery in self.claim(want, queue)]

    def settle(self, *settlements: Settlement) -> frozenset[int]:
        """Which of them were refused."""
        return self.broker.exchange(Demand(), settlements, self.stamp()).refused

    # Time

    def touch(self, queue: str = QUEUE) -> None:
        """An exchange that settles and claims nothing: time's work is done on the way."""
        self.exchange(0, queue=queue)

    def pass_time(self, seconds: float, queue: str = QUEUE) -> None:
        """Let time pass as it does for a queue that is looked at: in steps too small to be a jump of the clock."""
        while seconds > 0:
            self.clock.advance(min(STEP, seconds))
            self.touch(queue)
            seconds -= STEP

    def outlast_a_jump(self, queue: str = QUEUE) -> None:
        """Wait until leases that ran out may be reclaimed again."""
        self.pass_time((self._settings.lease / 4).total_seconds() + 5 + STEP, queue)

    def lapse(self, queue: str = QUEUE) -> None:
        """Let every lease of the queue run out, and its jobs be reclaimed."""
        self.pass_time(self._settings.lease.total_seconds() + STEP, queue)

    # Bringing jobs into a state

    def bring(self, id: str, state: JobState, queue: str = QUEUE) -> Delivery | None:
        """A new job in this state; the delivery that runs it, or ended it. Nothing else may be ready in the queue."""
        self.enqueue(id, queue=queue, delay=300 if state is JobState.DELAYED else None)
        if state in (JobState.READY, JobState.DELAYED):
            return None
        delivery = self.claim_one(queue)
        if state is JobState.SUCCEEDED:
            self.settle(ack(delivery, result=b"result of " + id.encode()))
        if state is JobState.DEAD:
            self.settle(bury(delivery))
        if state is JobState.CANCELLED:
            self.settle(cancel(delivery))
        return delivery

    # Reading

    def record(self, id: str, queue: str = QUEUE) -> JobRecord:
        record = self.inspector.get(queue, id)
        assert record is not None, f"{queue} does not know {id}"
        return record

    def state(self, id: str, queue: str = QUEUE) -> JobState | None:
        record = self.inspector.get(queue, id)
        return record.state if record is not None else None

    def listed(self, state: JobState, queue: str = QUEUE) -> list[str]:
        return [record.id for record in self.inspector.list(queue, state, limit=1000)]

    def look(self, queue: str = QUEUE) -> State:
        return look(self.inspector, queue)


class Reader(Protocol):
    """The part of an Inspector that `look` needs."""

    def counts(self, queue: str) -> Counts: ...

    def get(self, queue: str, job_id: str) -> JobRecord | None: ...

    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]: ...


def look(inspector: Reader, queue: str) -> State:
    """A whole queue, as far as anyone can see it."""
    order = {state: [record.id for record in inspector.list(queue, state, limit=1000)] for state in JobState}
    found = {id: inspector.get(queue, id) for ids in order.values() for id in ids}
    records = {id: record for id, record in found.items() if record is not None}
    assert records.keys() == found.keys(), "a list shows what get does not know"
    return State(inspector.counts(queue), order, records)


def new_job(
    id: str,
    queue: str = QUEUE,
    *,
    body: bytes | None = None,
    priority: int = 0,
    delay: timedelta | None = None,
    at: datetime | None = None,
    expires: timedelta | datetime | None = None,
) -> NewJob:
    return NewJob(id, queue, body if body is not None else b"body of " + id.encode(), priority, delay, at, expires)


def demand(want: int, *queues: str) -> Demand:
    """So many jobs, from these queues, whichever has them."""
    return Demand((want,), tuple((queue, (0,)) for queue in queues))


def ack(delivery: Delivery, *, keep: timedelta = HOUR, result: bytes | None = None, then: Sequence[NewJob] = ()) -> Ack:
    return Ack(delivery, keep, SECOND, result, keep_result=keep, then=tuple(then))


def requeue(
    delivery: Delivery, delay: float, *, counts: bool = True, error: bytes | None = None, keep: timedelta = HOUR
) -> Requeue:
    return Requeue(delivery, timedelta(seconds=delay), counts, keep, error)


def hand_back(delivery: Delivery) -> Requeue:
    return Requeue(delivery, delay=None, counts=False, keep=HOUR)


def bury(
    delivery: Delivery,
    *,
    reason: str = "error",
    keep: timedelta = HOUR,
    error: bytes | None = None,
    counts: bool = True,
) -> Bury:
    return Bury(delivery, reason, keep, SECOND, counts, error)


def cancel(delivery: Delivery, *, reason: str = "discarded", keep: timedelta = HOUR) -> Cancel:
    return Cancel(delivery, reason, keep, SECOND)


def stale(delivery: Delivery) -> Delivery:
    """The same job under a number that no longer holds it."""
    return delivery._replace(number=delivery.number - 1)
