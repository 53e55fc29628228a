"""Waits until no other process is in the way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from taskforge.brokers.sqlite.troubles import primary

A = TypeVar("A")

#: Between two tries, the first and the longest pause (seconds). SQLite's own waiting begins with a whole millisecond,
#: ten times as long as most writes take.
FIRST_PAUSE, LONGEST_PAUSE = 0.00005, 0.005


def insist(attempt: Callable[[], A], patience: float, between: Callable[[], object] = lambda: None) -> A:
    """What `attempt` returns, tried again while another process holds the lock, for `patience` seconds at most.

    `between` is called after each try in vain. Raises the last SQLITE_BUSY, and any other error at once.
    """
    until, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        between()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
