"""A broker around another one that changes nothing: the base of those that do."""

from __future__ import annotations

from collections.abc import Sequence

from taskforge.brokers.inspecting import Inspector, Waiter
from taskforge.brokers.protocol import Broker, Demand, Exchange, Extension, Holding
from taskforge.brokers.register import Attention, Register
from taskforge.brokers.stamp import Stamp
from taskforge.job import Delivery, Enqueued, NewJob
from taskforge.settlement import Settlement


class BrokerWrapper:
    """Passes every call on to `broker`. Override the verbs that shall do more."""

    def __init__(self, broker: Broker) -> None:
        self.wrapped = broker

    @property
    def inspector(self) -> Inspector:
        return self.wrapped.inspector

    @property
    def register(self) -> Register:
        return self.wrapped.register

    def open(self) -> None:
        self.wrapped.open()

    def describe(self) -> str:
        return self.wrapped.describe()

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        return self.wrapped.enqueue(jobs, stamp)

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        return self.wrapped.exchange(demand, settlements, stamp)

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        return self.wrapped.extend(deliveries)

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        return self.wrapped.release(sender, queues, held, note)

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        return self.wrapped.report(delivery, progress)

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        return self.wrapped.wait(queues, timeout)

    def wake(self) -> None:
        self.wrapped.wake()

    def announce(self, queues: Sequence[str]) -> None:
        self.wrapped.announce(queues)

    def tend(self) -> None:
        self.wrapped.tend()

    def waiter(self) -> Waiter:
        return self.wrapped.waiter()

    def attend(self, name: str) -> Attention:
        return self.wrapped.attend(name)

    def close(self) -> None:
        self.wrapped.close()
