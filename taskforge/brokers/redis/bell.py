"""Waiting for jobs: a blocking read of the queues' bells."""

from __future__ import annotations

import time
from collections.abc import Sequence

from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.listener import Heard, Listener
from taskforge.brokers.redis.wire import Wire
from taskforge.errors import BrokerUnavailable

#: Seconds that the answer to a blocking read may be late before its connection is given up as dead.
LATE = 3.0
#: Seconds by which "the time that is left" of a wait may fall short, because it took time to work it out.
SLACK = 0.05


class Bell:
    """Listens to the bells of some queues. An interrupted wait stays armed: the next one goes on with it."""

    def __init__(self, wire: Wire, keys: Keys) -> None:
        self._wire, self._keys = wire, keys
        self._listener = Listener(wire)
        self._armed: tuple[str, ...] = ()
        self._armed_until = 0.0  # by the monotonic clock, when the server answers at the latest

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """True: look now. False: `wake` was called."""
        asked_until = time.monotonic() + timeout
        if timeout > 0 and queues:
            self._arm(tuple(queues), timeout, asked_until)
        # The server ends its wait by itself; a wait that asks for clearly less than what is armed is ended here.
        early = not self._armed or asked_until < self._armed_until - SLACK
        until = asked_until if early else self._armed_until + LATE
        heard = self._listener.listen(until - time.monotonic())
        if heard is Heard.INTERRUPT:
            return False
        if heard is Heard.REPLY:
            self._armed = ()
            self._listener.read()
        elif self._armed:
            self._disarm()
            if not early:
                raise BrokerUnavailable(f"no answer from {self._wire.describe()} to a blocking read; check the network")
        return True

    def wake(self) -> None:
        """End the wait under way, or else the next one."""
        self._listener.interrupt()

    def close(self) -> None:
        """Stop listening."""
        self._armed = ()
        self._listener.close()

    def _arm(self, queues: tuple[str, ...], timeout: float, until: float) -> None:
        if self._armed and (self._armed != queues or not self._listener.connected):
            self._disarm()
        if self._armed:
            return
        self._listener.send("BLPOP", *(self._keys.bell(queue) for queue in queues), max(timeout, 0.001))
        self._armed, self._armed_until = queues, until

    def _disarm(self) -> None:
        self._armed = ()
        self._listener.discard()
