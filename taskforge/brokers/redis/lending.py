"""A bounded number of things that threads borrow in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Turn(Generic[T]):
    """One borrower in line, and what it is given."""

    def __init__(self) -> None:
        self.come = threading.Event()
        self.given: T | None = None


class Lending(Generic[T]):
    """Makes at most `most` things, and lends each to one borrower at a time; who comes first is served first."""

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make, self._left = make, most
        self._idle: deque[T] = deque()
        self._line: deque[_Turn[T]] = deque()
        self._guard = threading.Lock()

    def borrow(self, timeout: float) -> T | None:
        """One of them, to be given back; None when none was free within so many seconds."""
        if not self._line:
            try:
                return self._idle.pop()  # the way of nearly all calls needs no lock
            except IndexError:
                pass
        with self._guard:
            if self._left > 0:
                self._left -= 1
                return self._make()
            turn: _Turn[T] = _Turn()
            self._line.append(turn)
        self._serve()  # one may have come back before anyone could see us in line
        turn.come.wait(timeout)
        with self._guard:
            if turn.given is None:
                self._line.remove(turn)
            return turn.given

    def give_back(self, thing: T) -> None:
        """The borrower needs it no more."""
        self._idle.append(thing)
        if self._line:
            self._serve()

    def take_idle(self) -> list[T]:
        """All that nobody has now, to be given back."""
        taken: list[T] = []
        while True:
            try:
                taken.append(self._idle.pop())
            except IndexError:
                return taken

    def _serve(self) -> None:
        with self._guard:
            while self._line:
                try:
                    given = self._idle.pop()
                except IndexError:
                    return
                turn = self._line.popleft()
                turn.given = given
                turn.come.set()
