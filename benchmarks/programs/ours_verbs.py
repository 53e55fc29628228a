"""One timing per verb of a broker, as its callers wait for it; on Redis also what its script took there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import Redis, report, settle_down, spec
from taskforge.brokers.protocol import BATCH, Demand
from taskforge.brokers.stamp import Sender
from taskforge.job import Delivery, JobState, NewJob
from taskforge.settlement import Ack, Bury, Requeue

QUEUE = ours.QUEUE
HOUR, TOOK = timedelta(hours=1), timedelta(milliseconds=1)
#: Jobs that lie in the queue all the while.
BACKLOG = 2_000


class Verbs:
    """Makes each call many times; `found` has the median of each, in microseconds a call."""

    def __init__(self, app: Any, watch: Redis | None) -> None:
        self.app, self.broker, self.inspector, self._watch = app, app.broker, app.broker.inspector, watch
        self._sender, self._call = Sender(), app.by_name("noop")
        self.found: dict[str, float] = {}

    def stamp(self) -> Any:
        return self._sender.stamp()

    def jobs(self, n: int, **using: object) -> list[NewJob]:
        """Fresh jobs, not sent."""
        call = self._call.using(**using) if using else self._call
        made: list[NewJob] = self.app.new_jobs(call, [ours.args(i) for i in range(n)])
        return made

    def enqueue(self, n: int, **using: object) -> list[str]:
        """Ids of fresh jobs in the queue."""
        return [each.id for each in self.broker.enqueue(self.jobs(n, **using), self.stamp())]

    def claim(self, n: int, settlements: Sequence[object] = ()) -> list[Delivery]:
        """What an exchange brings."""
        claimed: list[Delivery] = self.broker.exchange(demand(n), settlements, self.stamp()).deliveries
        return claimed

    def time(self, name: str, prepare: Callable[[], Any], call: Callable[[Any], object], times: int = 40) -> None:
        """Time `call` alone; `prepare` gives it what it needs."""
        walls, scripts = [], []
        for _ in range(times):
            prepared = prepare()
            before = self._watch.scripts()[1] if self._watch else 0.0
            start = time.perf_counter()
            call(prepared)
            walls.append((time.perf_counter() - start) * 1e6)
            if self._watch:
                scripts.append(self._watch.scripts()[1] - before)
        self.found[name] = statistics.median(walls)
        if scripts:
            self.found[f"{name}, script"] = statistics.median(scripts)

    def again(self, name: str, call: Callable[[], object]) -> None:
        """Time a call that needs nothing prepared."""
        self.time(name, lambda: None, lambda _: call())


def main() -> None:
    """spec: broker."""
    options = spec()
    app = ours.make_app(options, "noop")
    app.broker.open()
    app.broker.announce([QUEUE])
    verbs = Verbs(app, Redis(options["direct"]) if "direct" in options else None)
    for _ in range(BACKLOG // BATCH):
        verbs.enqueue(BATCH)
    settle_down()
    hand_in(verbs)
    verbs.again("exchange: nothing to settle or claim", lambda: verbs.claim(0))
    for n in (1, 8, BATCH):
        exchange(verbs, n)
    run(verbs)
    look(verbs)
    mend(verbs, 100)
    report(verbs.found)


def demand(n: int) -> Demand:
    return Demand((n,), ((QUEUE, (0,)),))


def hand_in(verbs: Verbs) -> None:
    """enqueue"""

    def send(jobs: list[NewJob]) -> None:
        verbs.broker.enqueue(jobs, verbs.stamp())

    for n in (1, 8, BATCH):
        verbs.time(f"enqueue of {n}", partial(verbs.jobs, n), send)
    verbs.time(f"enqueue of {BATCH}, delayed", partial(verbs.jobs, BATCH, delay=3_600), send)
    known = verbs.jobs(BATCH)
    send(known)
    verbs.again(f"enqueue of {BATCH} known ones", lambda: send(known))


def exchange(verbs: Verbs, n: int) -> None:
    """exchange, by what is settled; it claims as many as it settles"""
    verbs.time(f"exchange: claim {n}", partial(verbs.enqueue, n), lambda _: verbs.claim(n), 10)
    claimed = [verbs.claim(n)]

    def refill(kind: Callable[[Delivery], object]) -> list[object]:
        verbs.enqueue(n)
        return [kind(delivery) for delivery in claimed[0]]

    def settle(settlements: Sequence[object]) -> None:
        claimed[0] = verbs.claim(n, settlements)

    verbs.time(f"exchange: ack {n}, claim {n}", lambda: refill(ack), settle)
    verbs.time(f"exchange: ack {n} with results, claim {n}", lambda: refill(ack_with_result), settle, 10)
    verbs.time(f"exchange: retry {n}, claim {n}", lambda: refill(retry), settle, 10)
    verbs.time(f"exchange: bury {n}, claim {n}", lambda: refill(bury), settle, 10)


def run(verbs: Verbs) -> None:
    """What a keeper and a run say."""
    broker, claimed = verbs.broker, verbs.claim(BATCH)
    verbs.again(f"extend of {BATCH}", lambda: broker.extend(claimed))
    verbs.again("report", lambda: broker.report(claimed[0], b"x" * 40))
    verbs.again("tend", broker.tend)
    waiter = broker.waiter()
    verbs.time("watch", partial(verbs.enqueue, 1), lambda ids: waiter.watch(QUEUE, ids[0]))
    waiter.close()


def look(verbs: Verbs) -> None:
    """The inspector, reading."""
    inspector = verbs.inspector
    [job_id] = verbs.enqueue(1)
    verbs.again("counts", lambda: inspector.counts(QUEUE))
    verbs.again("list of 100 ready", lambda: inspector.list(QUEUE, JobState.READY))
    verbs.again("get", lambda: inspector.get(QUEUE, job_id))
    verbs.again("find", lambda: inspector.find(job_id))
    verbs.again("queues", inspector.queues)
    verbs.again("announce", lambda: verbs.broker.announce([QUEUE]))


def mend(verbs: Verbs, n: int) -> None:
    """The inspector, changing n jobs a call."""
    inspector, stamp = verbs.inspector, verbs.stamp
    cancelled: list[list[str]] = []

    def cancel(ids: list[str]) -> None:
        inspector.cancel(QUEUE, ids, HOUR, stamp())
        cancelled.append(ids)

    ready, delayed = partial(verbs.enqueue, n), partial(verbs.enqueue, n, delay=3_600)
    verbs.time(f"cancel of {n}", ready, cancel, 10)
    verbs.time(f"redrive of {n}", cancelled.pop, lambda ids: inspector.redrive(QUEUE, ids, stamp()), 10)
    verbs.time(f"promote of {n}", delayed, lambda ids: inspector.promote(QUEUE, ids, stamp()), 10)
    verbs.time(f"reprioritise of {n}", ready, lambda ids: inspector.reprioritise(QUEUE, ids, 5, stamp()), 10)
    verbs.time("purge of 1,000", delayed, lambda _: inspector.purge(QUEUE, JobState.DELAYED, stamp()), 10)


def ack(delivery: Delivery) -> Ack:
    return Ack(delivery, HOUR, TOOK)


def ack_with_result(delivery: Delivery) -> Ack:
    return Ack(delivery, HOUR, TOOK, b"x" * 20, HOUR)


def retry(delivery: Delivery) -> Requeue:
    return Requeue(delivery, timedelta(hours=2), True, HOUR, b"x" * 200)


def bury(delivery: Delivery) -> Bury:
    return Bury(delivery, "error", HOUR, TOOK, True, b"x" * 200)


if __name__ == "__main__":
    main()
