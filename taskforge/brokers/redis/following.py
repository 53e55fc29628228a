"""The thread that looks whether the master has moved, while there are connections to it."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from taskforge.brokers.redis.link import Link

#: Seconds between two looks. For so long, and no longer, calls may go to a master that its sentinels have replaced:
#: it learns of that itself only seconds later, and what it accepted until then is lost.
LOOK_EVERY = 1.0


class Following:
    """Cuts every connection to the old master when `moved` says that there is a new one.

    Whoever waits on one of them, whichever way, is told at once; the next try goes to the new master.
    """

    def __init__(self, moved: Callable[[], bool]) -> None:
        self._moved = moved
        self._thread: threading.Thread | None = None
        self._begin()

    def add(self, link: Link) -> None:
        """From now on this connection is watched over."""
        if self._pid != os.getpid():
            self._begin()  # what a forked child cuts would be cut for its parent, too
        with self._guard:
            self._links.add(link)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="taskforge-sentinels", daemon=True)
                self._thread.start()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._thread = None

    def _look(self) -> None:
        """Until all connections are gone."""
        pause = threading.Event()
        while True:
            pause.wait(LOOK_EVERY)
            with self._guard:
                links = [link for link in self._links if link._sock is not None]
                if not links:
                    self._thread = None
                    return
            if self._moved():
                for link in links:
                    _cut(link)


def _cut(link: Link) -> None:
    # Not disconnect(): another thread may be reading from it, and will be told so by its end.
    sock = link._sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
