"""The protocols by which workers are known and spoken to: the register of cards and wishes, and what a worker hears."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

#: The most workers that are known at a time, and the most targets that something is wished of; for one more, the one
#: that would age out soonest gives way.
MOST_CARDS, MOST_TARGETS = 10_000, 1_000
#: The most wishes that stand for one target; the oldest gives way.
MOST_WISHES = 16
#: The most bytes of a card, of a wish, and (in UTF-8) of a worker's name, a target and what a wish is about.
CARD_BYTES, WISH_BYTES, NAME_BYTES = 1 << 20, 4096, 255
#: How many aged-out cards one call removes at most.
SWEEP_STEP = 250


class Wish(NamedTuple):
    """What was asked of a target, as bytes that the broker does not look into.

    `at` is when, by the broker's clock; each wish gets a later one than those that stand already. `about` tells the
    wishes for one target apart: a newer one about the same takes the place of the older.
    """

    target: str
    wish: bytes
    at: datetime
    about: str = ""


class Register(Protocol):
    """Which workers live, and what is wished of them: stored, so that a wish made while its worker is cut off is not
    missed. Everything ages out by itself. Cards, wishes and targets are the callers' words; a broker only keeps them.

    Every call may be sent twice, so none needs a stamp. Each is one atomic step, but for `cards`, which reads in
    several. Raises ValueError for what is over its bound.
    """

    def beat(self, name: str, card: bytes, age: timedelta, targets: Sequence[str]) -> list[Wish]:
        """Keep a worker's card for `age` from now, in place of its last one; the standing wishes for these targets,
        the oldest first.
        """
        ...

    def leave(self, name: str) -> None:
        """Forget a worker's card, if there is one."""
        ...

    def cards(self) -> list[tuple[str, bytes]]:
        """Name and card of each worker whose card has not aged out, sorted by name."""
        ...

    def wish(self, target: str, wish: bytes, age: timedelta, tell: Sequence[str], about: str = "") -> None:
        """Let a wish stand for a target for `age` from now, and tell the workers of these names to look."""
        ...

    def unwish(self, target: str, about: str | None = None) -> None:
        """Let a target's wish about this stand no longer; without `about`, all of its wishes."""
        ...

    def wishes(self) -> list[Wish]:
        """All standing wishes, the oldest first."""
        ...


class Attention(Protocol):
    """A worker's ear for what concerns it. Push is the speed; that it also looks by itself, the guarantee."""

    def listen(self, timeout: float) -> list[str]:
        """Block until something is said to this worker, at most `timeout` seconds. One thread at a time.

        "" means: look at the wishes for you; anything else is the id of a job of yours that was asked to stop. The
        first call, and the first after the connection was lost, answers [""] at once: what was said before, nobody
        heard. Raises BrokerUnavailable when the connection breaks; the next call makes a new one.
        """
        ...

    def close(self) -> None:
        """Stop listening. A `listen` under way in another thread returns soon."""
        ...


def check_name(name: str, what: str = "a worker's name") -> None:
    """Raise ValueError for a name that is empty or too long to be kept."""
    size = len(name.encode())
    if not 0 < size <= NAME_BYTES:
        raise ValueError(f"{what} has 1 to {NAME_BYTES} bytes, not {size}")


def check_beat(name: str, card: bytes, targets: Sequence[str]) -> None:
    """Raise ValueError for what `beat` does not take."""
    check_name(name)
    for target in targets:
        check_name(target, "a target")
    if len(card) > CARD_BYTES or len(targets) > MOST_WISHES:
        raise ValueError(
            f"a card has at most {CARD_BYTES:,} bytes, not {len(card):,}, and is for at most {MOST_WISHES} targets, "
            f"not {len(targets)}"
        )


def check_wish(target: str, wish: bytes, about: str) -> None:
    """Raise ValueError for what `wish` does not take."""
    check_name(target, "a target")
    if len(wish) > WISH_BYTES or len(about.encode()) > NAME_BYTES:
        raise ValueError(f"a wish has at most {WISH_BYTES:,} bytes, and is about something of {NAME_BYTES}")
