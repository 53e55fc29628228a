"""A connection that is listened on together with a pipe, so that another thread can end the wait."""

from __future__ import annotations

import os
import select
import threading
from enum import Enum, auto

from redis.exceptions import RedisError, ResponseError

from taskforge.brokers.redis.link import Link, Reply
from taskforge.brokers.redis.wire import Wire


class Heard(Enum):
    """What ended a wait."""

    REPLY = auto()
    INTERRUPT = auto()
    NOTHING = auto()


class Listener:
    """Waits for replies on one connection of its own. One thread listens at a time; any thread may interrupt."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._connection: Link | None = None
        self.client_id: int | None = None
        self._pipe: tuple[int, int] | None = None
        self._begin()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, in this process."""
        if self._pid != os.getpid():
            self._begin()  # a forked child must neither wake its parent nor speak on its connection
        return self._connection is not None

    def renew(self) -> None:
        """Let a connection go that was made before the wire lost one: it may be half open, or lead to a server that is
        the master no more. For the thread that listens, before it does.
        """
        if self.connected and self._losses != self._wire.losses:
            self.discard()

    def send(self, *command: str | bytes | int | float) -> None:
        """Send one command, on a new connection if there is none."""
        self._closed = False
        try:
            if not self.connected:
                self._connection, self._losses = self._wire.connection(), self._wire.losses
                self.client_id = self._ask_client_id(self._connection)
            link = self._live()
            link.send_packed_command(link.pack_command(*command), check_health=False)
        except (RedisError, OSError) as error:
            self.discard()
            self._wire.lose(error)
            raise self._wire.broker_error(error) from error

    def listen(self, timeout: float) -> Heard:
        """Wait for a reply, at most `timeout` seconds. An interrupt comes first, and is used up."""
        connection = self._connection if self.connected else None
        with self._listening:
            with self._guard:
                if self._closed:
                    self._closed = False
                    return Heard.INTERRUPT
                pipe = self._ends()[0]
            poll = select.poll()
            poll.register(pipe, select.POLLIN)
            if connection is not None:
                assert connection._sock is not None  # it has spoken
                poll.register(connection._sock, select.POLLIN)
            buffered = connection is not None and _has_more(connection)
            events = poll.poll(0 if buffered else max(0.0, timeout) * 1000)
            if any(descriptor == pipe for descriptor, _ in events):
                os.read(pipe, 4096)
                return Heard.INTERRUPT
            return Heard.REPLY if events or buffered else Heard.NOTHING

    def read(self) -> Reply:
        """The next reply."""
        try:
            return self._live().read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            self.discard()
            self._wire.lose(error)
            raise self._wire.broker_error(error) from error

    def has_more(self) -> bool:
        """Whether another reply has come already."""
        return self._connection is not None and _has_more(self._connection)

    def interrupt(self) -> None:
        """End the wait under way, or else the next one."""
        if self._pid != os.getpid():
            self._begin()
        with self._guard:
            try:
                os.write(self._ends()[1], b"!")
            except BlockingIOError:
                return  # full of interrupts that nobody waited for: one is enough

    def discard(self) -> None:
        """Let the connection go; the next command makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def close(self) -> None:
        """End a wait under way, or about to begin, and let everything go. The next command begins anew."""
        self._closed = True
        self.interrupt()
        with self._listening, self._guard:
            for end in self._pipe or ():
                os.close(end)
            self._pipe = None
            self.discard()

    def _begin(self) -> None:
        self._pid, self._closed = os.getpid(), False
        self._connection, self._pipe, self._losses = None, None, 0
        self._guard = threading.Lock()  # over the pipe: a descriptor that was closed may be another file's by now
        self._listening = threading.Lock()

    def _ask_client_id(self, link: Link) -> int | None:
        """What the server calls this connection; None where it may not be asked.

        The answer also comes after all that a TLS server sends of its own accord, which is no reply.
        """
        link.send_packed_command(link.pack_command("CLIENT", "ID"), check_health=False)
        try:
            reply = link.read_response(disable_decoding=True)
        except ResponseError:
            return None
        return reply if isinstance(reply, int) else None

    def _live(self) -> Link:
        if self._connection is None:
            raise RuntimeError("nothing was sent on this connection yet")
        return self._connection

    def _ends(self) -> tuple[int, int]:
        if self._pipe is None:
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
        return self._pipe


def _has_more(connection: Link) -> bool:
    try:
        return connection.can_read(0)
    except (RedisError, OSError):
        return True  # closed by the server: reading will say so
