"""A register whose calls travel: each goes through whatever sends the calls of a broker in a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from taskforge.brokers.register import Register, Wish

T = TypeVar("T")


class Send(Protocol):
    """Makes a call under the name of its verb, or fails it."""

    def __call__(self, verb: str, call: Callable[[], T], /) -> T: ...


class SentRegister:
    """Passes every call on to the register behind it, by way of `send`."""

    def __init__(self, send: Send, true: Callable[[], Register]) -> None:
        self._send, self._true = send, true

    def beat(self, name: str, card: bytes, age: timedelta, targets: Sequence[str]) -> list[Wish]:
        return self._send("beat", lambda: self._true().beat(name, card, age, targets))

    def leave(self, name: str) -> None:
        self._send("leave", lambda: self._true().leave(name))

    def cards(self) -> list[tuple[str, bytes]]:
        return self._send("cards", lambda: self._true().cards())

    def wish(self, target: str, wish: bytes, age: timedelta, tell: Sequence[str], about: str = "") -> None:
        self._send("wish", lambda: self._true().wish(target, wish, age, tell, about))

    def unwish(self, target: str, about: str | None = None) -> None:
        self._send("unwish", lambda: self._true().unwish(target, about))

    def wishes(self) -> list[Wish]:
        return self._send("wishes", lambda: self._true().wishes())
