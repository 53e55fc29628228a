"""Brokers with a bug planted in them, each of which breaks a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskforge.brokers import open_broker
from taskforge.brokers.protocol import Broker, BrokerSettings, Demand, Exchange, Extension, Holding
from taskforge.brokers.stamp import Sender, Stamp
from taskforge.job import Delivery, Enqueued, NewJob
from taskforge.settlement import Ack, Requeue, Settlement
from taskforge.testing import FlakyBroker


class Unfenced(FlakyBroker):
    """A settlement without its fencing check: it counts for whoever holds the job by now."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self._holders: dict[str, int] = {}

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        reply = super().exchange(demand, [self._of_the_holder(each) for each in settlements], stamp)
        self._holders.update({delivery.id: delivery.number for delivery in reply.deliveries})
        return reply

    def _of_the_holder(self, settlement: Settlement) -> Settlement:
        delivery = settlement.delivery._replace(number=self._holders[settlement.delivery.id])
        return settlement._replace(delivery=delivery)


class Unnumbered(FlakyBroker):
    """An enqueue without its number: sent again, it is another one."""

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        return super().enqueue(jobs, Sender().stamp())


class Greedy(FlakyBroker):
    """An exchange without its number: sent again, it claims again."""

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        return super().exchange(demand, settlements, Sender().stamp())


class Blaming(FlakyBroker):
    """A job that is handed back at shutdown loses an attempt."""

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        blamed = [each._replace(counts=True) if isinstance(each, Requeue) else each for each in settlements]
        return super().exchange(demand, blamed, stamp)


class Careless(FlakyBroker):
    """An extend that extends nothing, and says it did."""

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        return Extension([], [])


class Childless(FlakyBroker):
    """An ack that forgets the jobs it was to enqueue."""

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        alone = [each._replace(then=()) if isinstance(each, Ack) else each for each in settlements]
        return super().exchange(demand, alone, stamp)


class Forgiving(FlakyBroker):
    """A release that takes no run for begun."""

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        return super().release(sender, queues, [each._replace(started=False) for each in held], note)


class Ajar(FlakyBroker):
    """A release that closes another sender than the dead one's."""

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        return super().release(Sender().id, queues, held, note)


def planted(bug: Callable[[Broker], Broker]) -> Callable[[BrokerSettings], Broker]:
    """Opens a broker in memory with this bug in it."""
    return lambda settings: bug(open_broker("memory://", settings))


#: By the names under which the command finds them.
unfenced, unnumbered = planted(Unfenced), planted(Unnumbered)
