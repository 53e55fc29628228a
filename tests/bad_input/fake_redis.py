"""A server that speaks just enough of Redis to say what it is, or to say nothing at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def fake_redis(info: str | None) -> Iterator[str]:
    """The url of a server that answers INFO with `info` and all else with OK; with None it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):  # the listener is closed at the end
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    if info is not None:
                        threading.Thread(target=_answer, args=(connection, info), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()


def _answer(connection: socket.socket, info: str) -> None:
    with suppress(OSError, ValueError), connection.makefile("rb") as requests:
        while line := requests.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(requests.readline()[1:])
                words.append(requests.read(size + 2)[:-2])
            body = info.encode()
            reply = b"$%d\r\n%s\r\n" % (len(body), body) if words[0].upper() == b"INFO" else b"+OK\r\n"
            connection.sendall(reply)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
