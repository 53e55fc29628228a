"""Commands and replies over one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast

from redis.exceptions import InvalidResponse, ResponseError

from taskforge.brokers.redis.link import Command, Link, Reply, bound

try:
    import hiredis
except ImportError:  # it comes with the extra `fast`
    hiredis = None  # type: ignore[assignment]

Answer: TypeAlias = "Reply | ResponseError"

#: Bytes read at once; a claim of a batch of usual jobs is smaller.
_READ = 1 << 16


class _Reader(Protocol):
    """What we use of hiredis.Reader; `gets` answers False when there is no whole reply yet."""

    def feed(self, buffer: bytearray, offset: int, size: int, /) -> None: ...
    def gets(self) -> Answer | bool: ...


class Speaker:
    """Sends commands at once and reads their replies; one caller at a time. It connects when there is a need.

    With hiredis it speaks on the socket itself: redis-py's own ways to write and read take another 3 µs a call.
    """

    def __init__(self, connect: Callable[[float], Link]) -> None:
        self._connect = connect
        self._link: Link | None = None
        self._reader: _Reader | None = None
        self._buffer = bytearray(_READ)

    def ask(self, commands: Sequence[Command], timeout: float) -> list[Answer]:
        """The replies; of an error that the server replied with, its exception. No wait is longer than `timeout`."""
        link = self._link
        if link is None:
            link = self._link = self._connect(timeout)
        else:
            bound(link, timeout)
        if hiredis is None:
            return _ask_slowly(link, commands)
        if self._reader is None:
            self._reader = cast(_Reader, hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError))
        sock, reader, buffer = link._sock, self._reader, self._buffer
        assert sock is not None  # it is connected
        pack = cast("Callable[[Command], bytes]", hiredis.pack_command)
        sock.sendall(pack(commands[0]) if len(commands) == 1 else b"".join(map(pack, commands)))
        replies: list[Answer] = []
        while True:
            size = sock.recv_into(buffer)
            if not size:
                raise ConnectionError("the server closed the connection")
            reader.feed(buffer, 0, size)
            while (reply := reader.gets()) is not False:
                replies.append(reply)
                if len(replies) == len(commands):
                    return replies

    def hang_up(self) -> None:
        """Let the connection go; what is asked next connects anew."""
        link, self._link, self._reader = self._link, None, None
        if link is not None:
            link.disconnect()


def _ask_slowly(link: Link, commands: Sequence[Command]) -> list[Answer]:
    link.send_packed_command(link.pack_commands(commands), check_health=False)
    return [_read(link) for _ in commands]


def _read(link: Link) -> Answer:
    try:
        return link.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
