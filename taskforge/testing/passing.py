"""Passing data on between two sockets, as the network between them behaves: what a proxy is made of."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace

#: Bytes read at once.
_CHUNK = 65536
#: Bytes that one direction holds back before it reads no more: the sender then feels that nothing arrives.
_HELD = 1 << 20
#: Seconds to wait for a connection to end that was told to.
_PATIENCE = 10.0
#: SO_LINGER, on and 0 s: closing then resets the connection, as a peer does that has lost it.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Manners:
    """How the network behaves."""

    passing: bool = True
    refusing: bool = False
    #: Seconds.
    delay: float = 0.0
    #: Bytes.
    cut_after: int | None = None


class Network:
    """How the network behaves at present, and the connections over it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs: list[Pair] = []
        self.manners = Manners()

    def change(self, **manners: bool | float | int | None) -> None:
        with self._lock:
            self.manners = replace(self.manners, **manners)  # type: ignore[arg-type]
        for pair in self.pairs():
            pair.wake()

    def take_cut(self) -> int | None:
        """After how many bytes the caller's connection is to be closed. It has that order alone."""
        if self.manners.cut_after is None:
            return None  # without the lock: this is asked for every reply
        with self._lock:
            size = self.manners.cut_after
            self.manners = replace(self.manners, cut_after=None)
            return size

    def pairs(self) -> list[Pair]:
        with self._lock:
            return list(self._pairs)

    def add(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.append(pair)

    def remove(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.remove(pair)


class _Stream:
    """One direction of a connection: what was read and may not go on yet."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        #: Each with the moment (monotonic) from which it may go on.
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._ended = False
        self.closed = False

    @property
    def reads(self) -> bool:
        return not self._ended and self._size < _HELD

    def due_in(self, now: float) -> float | None:
        """Seconds until something may go on; None if there is nothing."""
        if self._held:
            return max(0.0, self._held[0][0] - now)
        return 0.0 if self._ended and not self.closed else None

    def read(self, delay: float) -> None:
        data = self.source.recv(_CHUNK)
        if data:
            self._held.append((time.monotonic() + delay, data))
            self._size += len(data)
        else:
            self._ended = True

    def write(self, most: int | None) -> int:
        """Let the first piece go on, and no more than `most` bytes of it. Returns how many went."""
        if not self._held:
            self.closed = True
            self.sink.shutdown(socket.SHUT_WR)
            return 0
        due, data = self._held[0]
        sent = self.sink.send(data[:most])
        if sent < len(data):
            self._held[0] = due, data[sent:]
        else:
            self._held.popleft()
        self._size -= sent
        return sent


class Pair:
    """One connection of a client, with its own to the target, served by one thread."""

    def __init__(self, client: socket.socket, server: socket.socket, network: Network) -> None:
        self._requests, self._replies = _Stream(client, server), _Stream(server, client)
        self._network = network
        self._bell, self._ear = socket.socketpair()
        for each in (client, server, self._bell, self._ear):
            each.setblocking(False)
        #: How many bytes of replies may still pass before the connection is closed; None: all.
        self._left: int | None = None
        self._to_reset = False
        self._gone = threading.Event()

    def wake(self) -> None:
        with suppress(OSError):  # full of wake-ups, or gone
            self._bell.send(b"!")

    def reset(self) -> None:
        """End it, and wait until it has ended."""
        self._to_reset = True
        self.wake()
        self._gone.wait(_PATIENCE)

    def serve(self) -> None:
        """Pass on what may pass, until both directions have ended."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._ear, selectors.EVENT_READ)
                while not (self._left == 0 or (self._requests.closed and self._replies.closed)):
                    self._to_reset |= self._network.manners.refusing
                    if self._to_reset:
                        break
                    self._step(selector)
        except OSError:
            self._to_reset = True  # one side has vanished, so the other one shall feel it
        finally:
            if self._to_reset:
                linger(self._requests.source)
            for each in (self._requests.source, self._replies.source, self._bell, self._ear):
                each.close()
            self._gone.set()

    def _step(self, selector: selectors.BaseSelector) -> None:
        manners, now = self._network.manners, time.monotonic()
        asked, answered = (
            stream.due_in(now) if manners.passing else None for stream in (self._requests, self._replies)
        )
        self._want(selector, self._requests, self._replies, answered)
        self._want(selector, self._replies, self._requests, asked)
        waits = [due for due in (asked, answered) if due]
        ready = {key.fileobj: events for key, events in selector.select(min(waits) if waits else None)}
        if self._ear in ready:
            self._ear.recv(_CHUNK)
            return  # the network has changed: look again before anything passes
        for stream in (self._requests, self._replies):
            with suppress(BlockingIOError):  # a socket may be less ready than it said
                if ready.get(stream.sink, 0) & selectors.EVENT_WRITE:
                    self._pass_on(stream)
                if ready.get(stream.source, 0) & selectors.EVENT_READ:
                    stream.read(manners.delay if stream is self._replies else 0.0)

    def _want(self, selector: selectors.BaseSelector, read: _Stream, written: _Stream, due: float | None) -> None:
        """Wait for the socket that is the source of `read` and the sink of `written`, for what can be done with it."""
        events = (selectors.EVENT_READ if read.reads else 0) | (selectors.EVENT_WRITE if due == 0 else 0)
        known = selector.get_map().get(read.source)
        if known is None and events:
            selector.register(read.source, events)
        elif known is not None and not events:
            selector.unregister(read.source)
        elif known is not None and known.events != events:
            selector.modify(read.source, events)

    def _pass_on(self, stream: _Stream) -> None:
        if stream is self._replies and self._left is None:
            self._left = self._network.take_cut()
            if self._left == 0:
                return
        passed = stream.write(self._left if stream is self._replies else None)
        if stream is self._replies and self._left is not None:
            self._left -= passed


def linger(connection: socket.socket) -> None:
    with suppress(OSError):  # reset by the other side already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def reset(connection: socket.socket) -> None:
    linger(connection)
    connection.close()
