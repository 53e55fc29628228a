"""The register of workers on Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import cast

from taskforge.brokers.moments import span, stamped
from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.link import Command, Reply
from taskforge.brokers.redis.requests import pack
from taskforge.brokers.redis.scripts import Value, script
from taskforge.brokers.redis.wire import Wire
from taskforge.brokers.register import Wish, check_beat, check_wish

#: How many cards are read at once, for some of them may be long; and how many workers are told.
_PAGE = 100


class RedisRegister:
    """See taskforge.brokers.register.Register for what each method promises."""

    def __init__(self, wire: Wire, keys: Keys, now: Callable[[], int | str]) -> None:
        self._wire, self._keys, self._now = wire, keys, now

    def beat(self, name: str, card: bytes, age: timedelta, targets: Sequence[str]) -> list[Wish]:
        check_beat(name, card, targets)
        heeded = pack(list(dict.fromkeys(targets)))
        return _wishes(self._call("beat", name=name, card=card, age=span(age), targets=heeded))

    def leave(self, name: str) -> None:
        self._call("leave", name=name)

    def cards(self) -> list[tuple[str, bytes]]:
        names = cast("list[bytes]", self._call("cards"))
        pages = [names[at : at + _PAGE] for at in range(0, len(names), _PAGE)]
        cards = [card for page in pages for card in self._read(page)]
        # One that is gone by now left in between.
        return [(name.decode(), card) for name, card in zip(names, cards, strict=True) if card is not None]

    def wish(self, target: str, wish: bytes, age: timedelta, tell: Sequence[str], about: str = "") -> None:
        check_wish(target, wish, about)
        channels = [self._keys.told(name) for name in tell]
        first = pack(channels[:_PAGE])
        self._call("wish", target=target, about=about, wish=wish, age=span(age), channels=first)
        for at in range(_PAGE, len(channels), _PAGE):  # apart, so that no script holds the server for long
            self._wire.call([("PUBLISH", channel, "") for channel in channels[at : at + _PAGE]])

    def unwish(self, target: str, about: str | None = None) -> None:
        self._call("unwish", target=target, all="1" if about is None else "", about=about or "")

    def wishes(self) -> list[Wish]:
        return _wishes(self._call("wishes"))

    def _read(self, names: list[bytes]) -> list[bytes | None]:
        command: Command = ("HMGET", self._keys.register[0], *names)
        return cast("list[bytes | None]", self._wire.call([command])[0])

    def _call(self, verb: str, **arguments: Value) -> Reply:
        return self._wire.call([script(verb).call(self._keys.register, now=self._now(), **arguments)])[0]


def _wishes(reply: Reply) -> list[Wish]:
    return sorted(_read(cast("list[bytes | int]", reply)), key=lambda wish: wish.at)


def _read(cells: list[bytes | int]) -> Iterator[Wish]:
    for at in range(0, len(cells), 4):
        target, about, made, wish = cast("tuple[bytes, bytes, int, bytes]", tuple(cells[at : at + 4]))
        yield Wish(target.decode(), wish, stamped(made), about.decode())
