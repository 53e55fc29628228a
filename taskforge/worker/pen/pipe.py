"""The pipe between a pen and one child: messages over a socket pair, each a length and that many bytes."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress

from taskforge.codec import Codec
from taskforge.errors import DecodeError

_HEAD = struct.Struct(">I")
#: Bytes of one message: arguments and results of the largest limits that may be set, with room for their company.
LARGEST = 64 * 1024 * 1024
#: Bytes read at once: nearly every message whole.
CHUNK = 64 * 1024

#: A message is a list that begins with a word.
Message = list[object]


class Pipe:
    """One end. Any thread may send; one receives."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._codec, self._lock, self._read = Codec(), threading.Lock(), b""

    def send(self, message: Sequence[object]) -> None:
        """Send it whole. Raises OSError when nobody is there any more, ValueError for one that is too large."""
        data = self._codec.plain(list(message))
        if len(data) > LARGEST:
            raise ValueError(f"a message of {len(data):,} bytes is too large for a child")
        with self._lock:
            self.sock.sendall(_HEAD.pack(len(data)) + data)

    def try_send(self, message: Sequence[object]) -> None:
        """Send a short one, unless that would have to wait: for another one that is being sent, or for the reader."""
        data = self._codec.plain(list(message))
        if self._lock.acquire(blocking=False):
            try:
                with suppress(OSError):  # full, or nobody is there any more
                    self.sock.send(_HEAD.pack(len(data)) + data, socket.MSG_DONTWAIT)
            finally:
                self._lock.release()

    def receive(self) -> Message:
        """The next one. Raises EOFError when there is no more, DecodeError for what is none, TimeoutError as set."""
        (size,) = _HEAD.unpack(self._take(_HEAD.size))
        if size > LARGEST:
            raise DecodeError(f"a message of {size:,} bytes")
        message = self._codec.read_plain(self._take(size))
        if not isinstance(message, list) or not message:
            raise DecodeError(f"not a message: {message!r}")
        return message

    def waiting(self) -> bool:
        """Whether something is there to be received, or the other end is gone."""
        if self._read:
            return True
        look = select.poll()
        look.register(self.sock, select.POLLIN)
        return bool(look.poll(0))

    def close(self) -> None:
        """Let go of this end."""
        self.sock.close()

    def _take(self, size: int) -> bytes:
        read = self._read
        if len(read) < size:
            parts, missing = [read], size - len(read)
            while missing > 0:
                part = self.sock.recv(max(CHUNK, missing))
                if not part:
                    raise EOFError("the other end is gone")
                parts.append(part)
                missing -= len(part)
            read = b"".join(parts)
        self._read = read[size:]
        return read[:size]
