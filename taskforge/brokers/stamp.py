"""Sender and number: what makes a call safe to send twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """One changing call: who sends it, and which of its calls this is. Sent again, the stamp stays the same."""

    sender: str
    number: int


class Sender:
    """Numbers the calls of one thread at a time. Lives in one process and outlives its sockets.

    At most one of its calls is unanswered per queue: finish (or give up) one before stamping the next.
    """

    def __init__(self) -> None:
        self.id = f"{os.uname().nodename[:40]}.{os.getpid()}.{os.urandom(8).hex()}"
        self.pid = os.getpid()
        self._number = 0

    def stamp(self) -> Stamp:
        """The stamp of the next call."""
        self._number += 1
        return Stamp(self.id, self._number)


class Senders:
    """Lends out senders, so that no two threads use one at a time. A forked child gets new ones."""

    def __init__(self) -> None:
        self._idle: list[Sender] = []

    @contextmanager
    def lend(self) -> Iterator[Sender]:
        """A sender for the length of a `with`; one whose call failed is not used again, its answer may still come."""
        try:
            sender = self._idle.pop()
        except IndexError:
            sender = Sender()
        if sender.pid != os.getpid():
            sender = Sender()
        yield sender
        self._idle.append(sender)
