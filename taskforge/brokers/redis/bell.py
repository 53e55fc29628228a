"""Waiting for jobs: a blocking read of the queues' bells."""

from __future__ import annotations

import time
from collections.abc import Sequence

from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.listener import Heard, Listener
from taskforge.brokers.redis.wire import Wire
from taskforge.errors import BrokerError, BrokerRefused

#: The server ends its own wait so many seconds after we do: it looks at its clock only ten times a second.
LATE = 3.0


class Bell:
    """Listens to the bells of some queues. An interrupted wait stays armed: the next one goes on with it."""

    def __init__(self, wire: Wire, keys: Keys) -> None:
        self._wire, self._keys = wire, keys
        self._listener = Listener(wire)
        self._armed: tuple[str, ...] = ()

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """True: look now. False: `wake` was called."""
        until = time.monotonic() + timeout
        if timeout > 0 and queues:
            self._arm(tuple(queues), timeout)
        heard = self._listener.listen(until - time.monotonic())
        if heard is Heard.INTERRUPT:
            return False
        if heard is Heard.REPLY:
            self._armed = ()
            self._listener.read()
        elif self._armed:
            self._disarm()
        return True

    def wake(self) -> None:
        """End the wait under way, or else the next one."""
        self._listener.interrupt()

    def close(self) -> None:
        """Stop listening."""
        self._armed = ()
        self._listener.close()

    def _arm(self, queues: tuple[str, ...], timeout: float) -> None:
        self._listener.renew()
        if self._armed and (self._armed != queues or not self._listener.connected):
            self._armed = ()
            self._listener.discard()
        if not self._armed:
            self._listener.send("BLPOP", *(self._keys.bell(queue) for queue in queues), timeout + LATE)
            self._armed = queues

    def _disarm(self) -> None:
        """End the server's wait, so that it takes no bell for us while we are busy. Also tells whether it is there."""
        self._armed = ()
        client = self._listener.client_id
        try:
            if client is None:
                raise BrokerRefused("the server does not tell connections their ids")
            self._wire.call([("CLIENT", "UNBLOCK", client)])
            self._listener.read()
        except BrokerError as error:
            self._listener.discard()  # a late reply must not be taken for that of the next wait
            if not isinstance(error, BrokerRefused):
                raise
