"""Learning of the ends of jobs: a pub/sub channel of its own."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.listener import Heard, Listener
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
        self._listener = Listener(wire)
        self._channel = keys.told(secrets.token_hex(8))
        self._subscribing = threading.Lock()
        self._closed = False

    def watch(self, queue: str | None, job_id: str) -> list[JobRecord]:
        """Ask to be told of this job's end, and read it."""
        if not self._subscribe():
            raise BrokerUnavailable(f"this waiter on {self._wire.describe()} is closed; ask its broker for a new one")
        queues = [queue] if queue is not None else self._known()
        if not queues:
            return []
        watch = script("watch")
        commands = [
            watch.call(self._keys.queue(name), now=self._now(), id=job_id, channel=self._channel) for name in queues
        ]
        rows = zip(queues, self._wire.call(commands), strict=True)
        return [record(name, row) for name, row in rows if row]

    def listen(self, timeout: float) -> list[str]:
        """The ids of watched jobs that end within `timeout` seconds, as soon as there is one."""
        deadline = time.monotonic() + timeout
        ended: list[str] = []
        with self._subscribing:
            self._listener.renew()
        while not ended and self._subscribe():
            heard = self._listener.listen(deadline - time.monotonic())
            if heard is not Heard.REPLY:
                return ended
            ended += self._ids(self._listener.read())
            while self._listener.has_more():
                ended += self._ids(self._listener.read())
        return ended

    def close(self) -> None:
        """Stop listening."""
        with self._subscribing:
            self._closed = True
            self._listener.close()

    def _subscribe(self) -> bool:
        """Listen to the channel, if not yet; False once this waiter is closed."""
        with self._subscribing:
            if not self._closed and not self._listener.connected:
                self._listener.send("SUBSCRIBE", self._channel)
                self._listener.read()
            return not self._closed

    def _ids(self, message: Reply) -> list[str]:
        if isinstance(message, list) and message[0] == b"message" and isinstance(message[2], bytes):
            return [message[2].decode()]
        return []
