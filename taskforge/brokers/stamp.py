"""Sender and number: what makes a call safe to send twice."""

from __future__ import annotations

import os
from typing import NamedTuple


class Stamp(NamedTuple):
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

    def take(self) -> Sender:
        """A sender for one call."""
        try:
            sender = self._idle.pop()
        except IndexError:
            return Sender()
        return sender if sender.pid == os.getpid() else Sender()

    def give_back(self, sender: Sender) -> None:
        """Its call was answered. One whose call failed is not given back: its answer may still come."""
        self._idle.append(sender)
