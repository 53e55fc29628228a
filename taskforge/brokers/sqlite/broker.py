"""A broker in an SQLite file, or in memory: each verb as a row of steps in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, BrokerSettings, Demand, Exchange, Extension, Holding
from taskforge.brokers.sqlite import queues as queue_rows
from taskforge.brokers.sqlite import usual
from taskforge.brokers.sqlite.attention import SqliteAttention
from taskforge.brokers.sqlite.bells import Bells, MemoryBells
from taskforge.brokers.sqlite.calls import Calls
from taskforge.brokers.sqlite.connections import Connections
from taskforge.brokers.sqlite.enqueueing import accept
from taskforge.brokers.sqlite.exchanging import Exchanging
from taskforge.brokers.sqlite.fifo import FifoBells
from taskforge.brokers.sqlite.inspector import SqliteInspector
from taskforge.brokers.sqlite.memory import MemoryConnections
from taskforge.brokers.sqlite.register import SqliteRegister
from taskforge.brokers.sqlite.releasing import release
from taskforge.brokers.sqlite.senders import once
from taskforge.brokers.sqlite.settling import extend, held
from taskforge.brokers.sqlite.waiter import SqliteWaiter
from taskforge.brokers.stamp import Stamp
from taskforge.errors import SettingsError
from taskforge.job import Delivery, Enqueued, NewJob
from taskforge.settlement import Settlement


class SqliteBroker:
    """See taskforge.brokers.protocol.Broker for what each method promises.

    `url` is sqlite:///relative.db, sqlite:////absolute/path.db, or memory:// for jobs that live in this object only.
    """

    def __init__(self, url: str, settings: BrokerSettings) -> None:
        self._settings = settings
        self._path = _path(url)
        durability, timeout = settings.durability, settings.timeout.total_seconds()
        self._connections: Connections
        self._bells: Bells
        if self._path is None:
            self._connections, self._bells = MemoryConnections(durability, timeout), MemoryBells()
        else:
            self._connections = Connections(self._path, durability, timeout)
            self._bells = FifoBells(self._path.with_name(self._path.name + "-bells"), self._connections.changes)
        self._calls = Calls(self._connections, self._bells, settings)
        self._inspector = SqliteInspector(self._calls)
        self._register = SqliteRegister(self._calls)

    @property
    def inspector(self) -> SqliteInspector:
        return self._inspector

    @property
    def register(self) -> SqliteRegister:
        return self._register

    def open(self) -> None:
        with self._connections.write():
            pass  # connecting checked the file; that it can be written to shows here

    def describe(self) -> str:
        return "memory://" if self._path is None else f"sqlite:///{self._path}"

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        _check_batch(jobs)
        if usual.enqueue(self._calls, jobs, stamp):
            return [Enqueued(job.id, True) for job in jobs]
        by_queue: defaultdict[str, list[int]] = defaultdict(list)
        for index, job in enumerate(jobs):
            by_queue[job.queue].append(index)
        old: set[int] = set()
        with self._calls.change() as call:
            for name, indexes in by_queue.items():
                queue, batch = call.queue(name), [jobs[index] for index in indexes]
                repeated = once(call, queue, stamp, partial(accept, call, queue, batch))
                old.update(indexes[position] for position in repeated)
        return [Enqueued(job.id, index not in old) for index, job in enumerate(jobs)]

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        if len(settlements) > BATCH:
            raise ValueError(f"{len(settlements)} settlements in one call; at most {BATCH} are allowed")
        answer = usual.exchange(self._calls, demand, settlements, stamp)
        if answer is not None:
            return answer
        with self._calls.change() as call:
            return Exchanging(call, demand, stamp).run(settlements)

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        by_queue: defaultdict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            by_queue[delivery.queue].append(delivery)
        answer = Extension([], [])
        with self._calls.change() as call:
            for name, batch in by_queue.items():
                holding = held(call, call.queue(name), [(each.id, each.number) for each in batch])
                extend(call, [job.seq for job in holding.values()])
                for delivery in batch:
                    job = holding.get((delivery.id, delivery.number))
                    if job is None:
                        answer.lost.append(delivery)
                    elif job.stop:
                        answer.stop.append(delivery)
        return answer

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        if len(held) > BATCH:
            raise ValueError(f"{len(held)} deliveries in one release; at most {BATCH} are allowed")
        by_queue: dict[str, list[Holding]] = {name: [] for name in queues}
        for each in held:
            by_queue.setdefault(each.queue, []).append(each)
        if not by_queue:
            return []
        with self._calls.change() as call:
            return [
                each for name, mine in by_queue.items() for each in release(call, call.queue(name), sender, mine, note)
            ]

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        with self._calls.change() as call:
            for job in held(call, call.queue(delivery.queue), [(delivery.id, delivery.number)]).values():
                call.db.execute("insert or replace into progress(seq, value) values(?, ?)", (job.seq, progress))
                return True
            return False

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        self._connections.settle_in()
        bells = [self._calls.bell(name) for name in queues]
        if self._bells.arm(bells) and self._any_ready(queues):
            return True  # it may have come before this bell was heard
        return self._bells.wait(bells, timeout)

    def wake(self) -> None:
        self._bells.wake()

    def announce(self, queues: Sequence[str]) -> None:
        with self._calls.change() as call:
            for name in queues:
                queue_rows.announce(call.db, call.queue(name), call.now)
            forgotten = queue_rows.forget_idle(call.db, self._settings.prefix, call.now)
        for name in forgotten:
            self._bells.forget(self._calls.bell(name))

    def waiter(self) -> SqliteWaiter:
        self._connections.settle_in()
        return SqliteWaiter(self._calls)

    def attend(self, name: str) -> SqliteAttention:
        self._connections.settle_in()
        return SqliteAttention(self._calls, name)

    def _any_ready(self, queues: Sequence[str]) -> bool:
        with self._calls.read() as (db, _):
            found = (queue_rows.load(db, self._settings.prefix, name) for name in queues)
            return any(queue is not None and queue_rows.waiting(db, queue) for queue in found)

    def tend(self) -> None:
        """Write the log into the file, off the hot path, and remove the ears of the dead. Never waits for readers."""
        self._connections.checkpoint()
        self._bells.sweep()

    def close(self) -> None:
        self._bells.close()
        self._connections.close()


def _path(url: str) -> Path | None:
    """The file that a URL names; None for memory. The working directory counts once, here."""
    if url == "memory://":
        return None
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or path in ("", "/", ":memory:"):
        raise SettingsError(
            f"broker: {url!r} names no database file; write sqlite:///jobs.db (in the working directory), "
            "sqlite:////var/lib/jobs.db (an absolute path) or memory://"
        )
    return Path(path).absolute()


def _check_batch(jobs: Sequence[NewJob]) -> None:
    size = sum(len(job.body) for job in jobs)
    if len(jobs) > BATCH or (size > BATCH_BYTES and len(jobs) > 1):
        raise ValueError(
            f"{len(jobs)} jobs with {size} bytes of bodies in one call; at most {BATCH} with {BATCH_BYTES} are allowed"
        )
