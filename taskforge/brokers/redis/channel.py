"""A pub/sub channel that one thread listens to."""

from __future__ import annotations

import threading
import time

from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.listener import Heard, Listener
from taskforge.brokers.redis.wire import Wire


class Channel:
    """Hears what is said on a channel, on a connection of its own that is made anew after it was lost."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.name = name
        #: How often it was begun to listen: once, and again after each lost connection.
        self.begun = 0
        self._listener = Listener(wire)
        self._beginning = threading.Lock()
        self._closed = False

    def begin(self) -> bool:
        """Hear what is said from now on, if that was not so; False once this channel is closed."""
        with self._beginning:
            if not self._closed and not self._listener.connected:
                self._listener.send("SUBSCRIBE", self.name)
                self._listener.read()
                self.begun += 1
            return not self._closed

    def renew(self) -> None:
        """Let a connection go that is not to be trusted any more. For the thread that listens, before it does."""
        with self._beginning:
            self._listener.renew()

    def listen(self, timeout: float) -> list[str]:
        """What is said within `timeout` seconds, as soon as something is."""
        deadline = time.monotonic() + timeout
        said: list[str] = []
        self.renew()
        while not said and self.begin():
            heard = self._listener.listen(deadline - time.monotonic())
            if heard is not Heard.REPLY:
                return said
            said += _words(self._listener.read())
            while self._listener.has_more():
                said += _words(self._listener.read())
        return said

    def close(self) -> None:
        """Hear no more; ends a `listen` under way."""
        with self._beginning:
            self._closed = True
            self._listener.close()


def _words(message: Reply) -> list[str]:
    if isinstance(message, list) and message[0] == b"message" and isinstance(message[2], bytes):
        return [message[2].decode()]
    return []
