"""The bad network between a program and its broker: a proxy that delays, holds back and cuts what passes it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from taskforge.testing.passing import Network, Pair, reset

#: Seconds to connect to the target, and to wait for the accepting thread to end.
_PATIENCE = 10.0


class Proxy:
    """Passes every connection made to it on to `target`, until told to be a bad network.

    `target`: the url of a Redis, `redis://…` or `unix://…`; or `host:port`; or the path of a unix socket.
    It listens on 127.0.0.1, on a free port, from when it is made until `close`; it is a context manager, too.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._network = Network()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        #: Host and port where the proxy listens.
        self.address: tuple[str, int] = self._listener.getsockname()
        self._acceptor = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """`target` with the proxy's address in place of its own; `redis://host:port` where that was no url."""
        parts = urlsplit(self._target)
        user, at, _ = parts.netloc.rpartition("@")
        here = f"{user}{at}{self.address[0]}:{self.address[1]}"
        if "://" not in self._target or parts.scheme == "unix":
            return urlunsplit(("redis", here, "", parts.query, ""))
        return urlunsplit((parts.scheme, here, parts.path, parts.query, parts.fragment))

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._network.pairs())

    def cut(self) -> None:
        """Reset every connection now. What they held back is lost. New ones are served."""
        for pair in self._network.pairs():
            pair.reset()

    def refuse(self) -> None:
        """Cut, and reset every new connection as soon as it is made, until `restore`."""
        self._network.change(refusing=True)
        self.cut()

    def blackhole(self) -> None:
        """Pass nothing on, in either direction, until `restore`. Connections stay open, and new ones are accepted.

        What was sent meanwhile arrives afterwards, as with TCP: a request may take effect when its caller has long
        given up. To lose it, `cut` before you restore.
        """
        self._network.change(passing=False)

    def delay(self, seconds: float) -> None:
        """Let every reply arrive this much later than it would, until `restore`."""
        self._network.change(delay=seconds)

    def cut_reply_after(self, size: int) -> None:
        """Close the connection that is answered next once `size` bytes of the answer have passed; with 0, before any.

        This happens once; `restore` takes it back if it has not happened yet.
        """
        self._network.change(cut_after=size)

    def restore(self) -> None:
        """Be a good network again: everything passes, at once."""
        self._network.change(refusing=False, passing=True, delay=0.0, cut_after=None)

    def close(self) -> None:
        """Reset every connection, and listen no more."""
        with suppress(OSError):  # was closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(_PATIENCE)
        self.refuse()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), name="proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = _connect(self._target)
        except OSError:
            reset(client)
            return
        pair = Pair(client, server, self._network)
        self._network.add(pair)
        pair.serve()
        self._network.remove(pair)


def _connect(target: str) -> socket.socket:
    parts = urlsplit(target)
    path = parts.path if parts.scheme == "unix" else target if "/" in target and "://" not in target else None
    if path is not None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection
    if "://" not in target:
        parts = urlsplit(f"//{target}")
    return socket.create_connection((parts.hostname, parts.port or 6379), _PATIENCE)
