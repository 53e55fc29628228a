"""Makes a failure short: leaves choices out, or puts plainer ones in their places, as long as it fails the same way."""

from __future__ import annotations

from taskforge.testing.simulation.choices import Recorded
from taskforge.testing.simulation.opening import OpenBroker, in_memory
from taskforge.testing.simulation.searching import Failure, replay

#: How many simulations a shrinking may take: some 20 s, for they become shorter and shorter.
TRIES = 3_000


#: Parts of a stream are tried down to this size, each until no more helps: what is coarse is cheap.
FINEST = (16, 4, 1)
#: The stream of who goes on next: it means something else once anything before it is left out, and is then tried empty.
NEXT = "next"


def shrink(failure: Failure, broker: OpenBroker = in_memory, tries: int = TRIES) -> Failure:
    """The shortest failure of the same kind that so many tries lead to."""
    shrinking = _Shrinking(failure, broker, tries)
    for finest in FINEST:
        before = None
        while before is not shrinking.best and shrinking.tries > 0:
            before = shrinking.best
            shrinking.go_round(finest)
    return shrinking.best


class _Shrinking:
    """The shortest failure so far. Each pass goes once through a stream and keeps whatever helps."""

    def __init__(self, failure: Failure, broker: OpenBroker, tries: int) -> None:
        self.best, self.tries = failure, tries
        self._broker = broker
        self._tried: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    def go_round(self, finest: int) -> None:
        """Every stream once."""
        for name in list(self.best.choices):
            self._try(name, ()) or self._try(name, (), NEXT)
        for name in list(self.best.choices):
            self._leave_out(name, finest)
            self._make_plain(name, finest)
            if finest == 1:
                self._make_plainer(name)

    def _leave_out(self, name: str, finest: int) -> None:
        """Larger parts first, then smaller ones."""
        size = max(len(self._numbers(name)), finest)
        while size >= finest:
            at = 0
            while at < len(numbers := self._numbers(name)):
                rest = numbers[:at] + numbers[at + size :]
                if not (self._try(name, rest) or (finest == 1 and self._try(name, rest, NEXT))):
                    at += size
            size //= 2

    def _make_plain(self, name: str, finest: int) -> None:
        """The plainest for whole parts at once."""
        size = max(len(self._numbers(name)), finest)
        while size >= finest:
            for at in range(0, len(self._numbers(name)), size):
                numbers = self._numbers(name)
                if any(numbers[at : at + size]):
                    self._try(name, numbers[:at] + (0,) * len(numbers[at : at + size]) + numbers[at + size :])
            size //= 2

    def _make_plainer(self, name: str) -> None:
        """A smaller number for each."""
        for at in range(len(self._numbers(name))):
            numbers = self._numbers(name)
            smaller = range(1, numbers[at]) if at < len(numbers) else range(0)
            any(self._try(name, (*numbers[:at], number, *numbers[at + 1 :])) for number in smaller)

    def _numbers(self, name: str) -> tuple[int, ...]:
        return self.best.choices.get(name, ())

    def _try(self, name: str, numbers: tuple[int, ...], *cleared: str) -> bool:
        """Whether it fails the same way with these in this stream, and is shorter; then it is the best."""
        choices = {**self.best.choices, **dict.fromkeys(cleared, ()), name: numbers}
        key = tuple(sorted(choices.items()))
        if self.tries <= 0 or key in self._tried:
            return False
        self._tried.add(key)
        self.tries -= 1
        failure = replay(choices, self._broker)
        if failure is None or failure.kind != self.best.kind or _size(failure) >= _size(self.best):
            return False
        self.best = failure
        return True


def _size(failure: Failure) -> tuple[int, int, int]:
    numbers: Recorded = failure.choices
    return failure.steps, sum(map(len, numbers.values())), sum(map(sum, numbers.values()))
