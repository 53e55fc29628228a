"""Learning of the ends of jobs: a pub/sub channel of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from taskforge.brokers.redis.channel import Channel
from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.records import record
from taskforge.brokers.redis.scripts import script
from taskforge.brokers.redis.wire import Wire
from taskforge.errors import BrokerUnavailable
from taskforge.job import JobRecord


class RedisWaiter:
    """Told on its own channel when a job that it watches ends."""

    def __init__(
        self, wire: Wire, keys: Keys, now: Callable[[], int | str], known: Callable[[], Sequence[str]]
    ) -> None:
        self._wire, self._keys, self._now, self._known = wire, keys, now, known
        self._channel = Channel(wire, keys.told(secrets.token_hex(8)))

    def watch(self, queue: str | None, job_id: str) -> list[JobRecord]:
        """Ask to be told of this job's end, and read it."""
        if not self._channel.begin():
            raise BrokerUnavailable(f"this waiter on {self._wire.describe()} is closed; ask its broker for a new one")
        queues = [queue] if queue is not None else self._known()
        if not queues:
            return []
        watch, channel = script("watch"), self._channel.name
        commands = [watch.call(self._keys.queue(name), now=self._now(), id=job_id, channel=channel) for name in queues]
        rows = zip(queues, self._wire.call(commands), strict=True)
        return [record(name, row) for name, row in rows if row]

    def listen(self, timeout: float) -> list[str]:
        """The ids of watched jobs that end within `timeout` seconds, as soon as there is one."""
        return self._channel.listen(timeout)

    def close(self) -> None:
        """Stop listening."""
        self._channel.close()
