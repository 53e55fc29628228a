"""A broker whose connection fails on demand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from taskforge.brokers.inspecting import Inspector, Pressure, Waiter
from taskforge.brokers.protocol import Broker, Demand, Exchange, Extension, Holding
from taskforge.brokers.register import Attention, Register
from taskforge.brokers.stamp import Stamp
from taskforge.errors import BrokerUnavailable
from taskforge.job import Cancellation, Counts, Delivery, Enqueued, JobRecord, JobState, NewJob
from taskforge.settlement import Settlement
from taskforge.testing.registering import SentRegister

T = TypeVar("T")

#: Every verb that waits for an answer, and so can lose its request or its reply.
VERBS = frozenset(
    {"open", "enqueue", "exchange", "extend", "release", "report", "wait", "announce", "watch", "listen", "hear"}
    | {"beat", "leave", "cards", "wish", "unwish", "wishes"}
    | {"queues", "counts", "pressure", "list", "get", "find", "cancel", "promote", "reprioritise", "redrive", "purge"}
)


class FlakyBroker:
    """Passes every call on to `broker`, but for those whose request or reply it was told to lose."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._faults = _Faults()
        self._inspector = _FlakyInspector(broker, self._faults)
        self._register = SentRegister(self._faults.send, lambda: broker.register)

    def lose_request(self, verb: str, times: int = 1) -> None:
        """The next `times` calls of `verb` raise BrokerUnavailable and never arrive."""
        self._faults.plan(self._faults.requests, verb, times)

    def lose_reply(self, verb: str, times: int = 1) -> None:
        """The next `times` calls of `verb` take effect, yet raise BrokerUnavailable."""
        self._faults.plan(self._faults.replies, verb, times)

    @property
    def inspector(self) -> Inspector:
        return self._inspector

    @property
    def register(self) -> Register:
        return self._register

    def open(self) -> None:
        self._faults.send("open", self._broker.open)

    def describe(self) -> str:
        return self._broker.describe()

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        return self._faults.send("enqueue", lambda: self._broker.enqueue(jobs, stamp))

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        return self._faults.send("exchange", lambda: self._broker.exchange(demand, settlements, stamp))

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        return self._faults.send("extend", lambda: self._broker.extend(deliveries))

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        return self._faults.send("release", lambda: self._broker.release(sender, queues, held, note))

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        return self._faults.send("report", lambda: self._broker.report(delivery, progress))

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        return self._faults.send("wait", lambda: self._broker.wait(queues, timeout))

    def wake(self) -> None:
        self._broker.wake()

    def tend(self) -> None:
        self._broker.tend()

    def announce(self, queues: Sequence[str]) -> None:
        self._faults.send("announce", lambda: self._broker.announce(queues))

    def waiter(self) -> Waiter:
        return _FlakyWaiter(self._broker.waiter(), self._faults)

    def attend(self, name: str) -> Attention:
        return _FlakyAttention(self._broker.attend(name), self._faults)

    def close(self) -> None:
        self._broker.close()


class _Faults:
    """Which of the coming calls fail, and how."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self._lock = threading.Lock()

    def plan(self, fate: Counter[str], verb: str, times: int) -> None:
        if verb not in VERBS:
            raise ValueError(f"no verb {verb!r} waits for an answer; there are {', '.join(sorted(VERBS))}")
        with self._lock:
            fate[verb] += times

    def send(self, verb: str, call: Callable[[], T]) -> T:
        if self._befalls(self.requests, verb):
            raise BrokerUnavailable(f"{verb}: the request was lost on purpose")
        answer = call()
        if self._befalls(self.replies, verb):
            raise BrokerUnavailable(f"{verb}: the reply was lost on purpose")
        return answer

    def _befalls(self, fate: Counter[str], verb: str) -> bool:
        with self._lock:
            if not fate[verb]:
                return False
            fate[verb] -= 1
            return True


class _FlakyWaiter:
    def __init__(self, waiter: Waiter, faults: _Faults) -> None:
        self._waiter, self._faults = waiter, faults

    def watch(self, queue: str | None, job_id: str) -> list[JobRecord]:
        return self._faults.send("watch", lambda: self._waiter.watch(queue, job_id))

    def listen(self, timeout: float) -> list[str]:
        return self._faults.send("listen", lambda: self._waiter.listen(timeout))

    def close(self) -> None:
        self._waiter.close()


class _FlakyAttention:
    def __init__(self, attention: Attention, faults: _Faults) -> None:
        self._attention, self._faults = attention, faults

    def listen(self, timeout: float) -> list[str]:
        return self._faults.send("hear", lambda: self._attention.listen(timeout))

    def close(self) -> None:
        self._attention.close()


class _FlakyInspector:
    def __init__(self, broker: Broker, faults: _Faults) -> None:
        self._broker, self._faults = broker, faults

    @property
    def _true(self) -> Inspector:
        return self._broker.inspector

    def queues(self) -> list[str]:
        return self._faults.send("queues", self._true.queues)

    def counts(self, queue: str) -> Counts:
        return self._faults.send("counts", lambda: self._true.counts(queue))

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        return self._faults.send("pressure", lambda: self._true.pressure(queue, within))

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        return self._faults.send("get", lambda: self._true.get(queue, job_id))

    def find(self, job_id: str) -> list[JobRecord]:
        return self._faults.send("find", lambda: self._true.find(job_id))

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> list[Cancellation]:
        return self._faults.send("cancel", lambda: self._true.cancel(queue, job_ids, keep, stamp))

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> list[bool]:
        return self._faults.send("promote", lambda: self._true.promote(queue, job_ids, stamp))

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> list[bool]:
        return self._faults.send("reprioritise", lambda: self._true.reprioritise(queue, job_ids, priority, stamp))

    def redrive(self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None) -> list[bool]:
        return self._faults.send("redrive", lambda: self._true.redrive(queue, job_ids, stamp, body))

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        return self._faults.send("purge", lambda: self._true.purge(queue, state, stamp))

    # Last, because below it the name `list` in an annotation would mean this method.
    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> list[JobRecord]:
        return self._faults.send("list", lambda: self._true.list(queue, state, offset, limit))
