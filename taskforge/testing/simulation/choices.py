"""What a seed decides: draws that are written down, and can be dictated when a simulation is to be repeated."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")

#: The draws of each stream, in order.
Recorded = Mapping[str, tuple[int, ...]]


class Choices:
    """All draws of one simulation, in streams: each has an owner, so that leaving one out moves nobody else's.

    Zero is always the plainest: no fault, no delay, whoever comes first. With `given` nothing is drawn: those numbers
    stand for the draws, and zeros follow when a stream runs out. Any numbers may be given: a recorded simulation can
    be cut and changed at will.
    """

    def __init__(self, seed: int = 0, given: Recorded | None = None) -> None:
        self.random = random.Random(seed)
        self.given = given
        #: From now on only the plainest is chosen, and nothing is written down.
        self.calm = False
        self._streams: dict[str, Stream] = {}

    def stream(self, name: str) -> Stream:
        """The stream of this owner."""
        if name not in self._streams:
            self._streams[name] = Stream(self, name)
        return self._streams[name]

    @property
    def made(self) -> Recorded:
        """The draws so far. Zeros at the end say nothing and are left out."""
        streams = {name: _trimmed(stream.made) for name, stream in self._streams.items()}
        return {name: numbers for name, numbers in streams.items() if numbers}


class Stream:
    """One owner's draws."""

    def __init__(self, choices: Choices, name: str) -> None:
        self.made: list[int] = []
        self._choices = choices
        self._given = None if choices.given is None else choices.given.get(name, ())

    def number(self, draw: Callable[[random.Random], int]) -> int:
        """A number that `draw` chooses, 0 or more; what it means when another one is given is the caller's."""
        if self._choices.calm:
            return 0
        if self._given is None:
            number = draw(self._choices.random)
        else:
            at = len(self.made)
            number = self._given[at] if at < len(self._given) else 0
        self.made.append(number)
        return number

    def pick(self, weights: Sequence[int]) -> int:
        """An index, each as likely as its weight says."""
        index = self.number(lambda source: _index(source, weights))
        return index if index < len(weights) else 0

    def one_of(self, things: Sequence[T]) -> T:
        """One of these, all equally likely."""
        index = self.number(lambda source: source.randrange(len(things)))
        return things[index if index < len(things) else 0]

    def chance(self, of_a_hundred: int) -> bool:
        """True so many times of a hundred."""
        return self.number(lambda source: source.randrange(100) < of_a_hundred) > 0


def _index(source: random.Random, weights: Sequence[int]) -> int:
    sums = list(accumulate(weights))
    drawn = source.randrange(sums[-1])
    return next(index for index, limit in enumerate(sums) if drawn < limit)


def _trimmed(numbers: Sequence[int]) -> tuple[int, ...]:
    end = len(numbers)
    while end and numbers[end - 1] == 0:
        end -= 1
    return tuple(int(number) for number in numbers[:end])
