"""Burials: what is done for a child that has ended, before anybody else may have its jobs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass

from taskforge.worker.parent.child import Child
from taskforge.worker.parent.errands import Death
from taskforge.worker.parent.orphans import reap, sweep


@dataclass(frozen=True, slots=True)
class _Dead:
    child: Child
    code: int
    lived: float


class Burials:
    """`release` gives back what a dead child held. With `adopts` the orphans of our children are ours, to be reaped."""

    def __init__(self, release: Callable[[Death], None], *, adopts: bool) -> None:
        self._release, self._adopts = release, adopts
        self._dead: list[_Dead] = []

    @property
    def due(self) -> bool:
        """Whether some are still to be buried."""
        return bool(self._dead)

    def add(self, child: Child, code: int, lived: float) -> None:
        """This one has ended, after so many seconds."""
        self._dead.append(_Dead(child, code, lived))

    def tend(self, ours: Collection[int]) -> None:
        """Give back what the dead held, once nothing that they have started can still be at work on it. `ours` are the
        living children.

        Who ended in order holds nothing, and what it has left running on purpose is let be.
        """
        if self._adopts:
            reap(ours)
        for dead in list(self._dead):
            child = dead.child
            if dead.code != 0 and not sweep(child.pid):
                continue  # killed just now: the next look finds it gone
            self._dead.remove(dead)
            name = child.shared.name()
            if dead.code != 0 and name:
                self._release(Death(name, child.pid, dead.lived, told(dead.code), child.shared.holdings()))
            child.let_go()


def told(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
