"""Decides when a failed job runs again, or to give up."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

Seconds = float | timedelta
Jitter = Literal["full", "equal", "none"]

#: No computed delay exceeds this; longer waits are asked for with `RetryLater` or a callable.
MAX_DELAY = 365 * 24 * 3600.0


class Backoff(Protocol):
    """How long to wait after the n-th failed attempt (1, 2, …): seconds, or None to give up."""

    def __call__(self, attempt: int, error: BaseException, /) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait each time."""

    delay: Seconds = 5.0

    def __post_init__(self) -> None:
        _check_delay("Fixed", "delay", self.delay)

    def __call__(self, attempt: int, error: BaseException | None = None) -> float:
        return seconds(self.delay)


@dataclass(frozen=True, slots=True)
class Exponential:
    """base, 2 x base, 4 x base … seconds, never over `cap`, spread by jitter.

    `jitter="full"` draws from 0 to that value, "equal" from half of it to all of it, "none" takes it as it is (the
    names and the reasons are those of "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    base: Seconds = 5.0
    cap: Seconds = 600.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        _check_delay("Exponential", "base", self.base)
        _check_delay("Exponential", "cap", self.cap)
        if self.jitter not in ("full", "equal", "none"):
            raise ValueError(f"Exponential: jitter must be 'full', 'equal' or 'none', not {self.jitter!r}")

    def __call__(self, attempt: int, error: BaseException | None = None) -> float:
        # 2**64 seconds is far beyond any cap; the bound keeps the power a small number.
        whole = min(seconds(self.cap), seconds(self.base) * 2.0 ** min(attempt - 1, 64))
        if self.jitter == "none":
            return whole
        return random.uniform(whole / 2 if self.jitter == "equal" else 0.0, whole)


ErrorKinds = type[BaseException] | Sequence[type[BaseException]]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job may run, and when.

    `attempts` counts all runs, the first included. `on` are the errors worth another try (and their subclasses),
    `never` those that are not; `never` wins. `within` is a deadline from the job's enqueue: a retry that would start
    later does not. `backoff` is a Backoff of this module, or any callable `(attempt, error) -> seconds | None`; a
    callable lives with the task's code and cannot be given for one call.
    """

    attempts: int = 4
    backoff: Fixed | Exponential | Callable[[int, BaseException], float | None] = field(default_factory=Exponential)
    on: ErrorKinds = (Exception,)
    never: ErrorKinds = ()
    within: Seconds | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or not 1 <= self.attempts <= 1_000_000:
            raise ValueError(f"Retry: attempts must be a whole number from 1 to 1,000,000, not {self.attempts!r}")
        if not callable(self.backoff):
            raise ValueError(
                "Retry: backoff must be Fixed, Exponential or a callable (attempt, error) -> seconds, "
                f"not {self.backoff!r}"
            )
        for word in ("on", "never"):
            for kind in _kinds(getattr(self, word)):
                if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                    raise ValueError(f"Retry: {word} must name exception classes, not {kind!r}")
        if self.within is not None:
            _check_delay("Retry", "within", self.within)

    @property
    def travels(self) -> bool:
        """False when the backoff is a callable, which cannot be sent with a job."""
        return isinstance(self.backoff, Fixed | Exponential)


@dataclass(frozen=True, slots=True)
class RetryRule:
    """A Retry as it travels in a job: numbers, and error classes as qualified names."""

    attempts: int
    backoff: Fixed | Exponential
    on: tuple[str, ...]
    never: tuple[str, ...]
    within: float | None

    @classmethod
    def of(cls, retry: Retry) -> RetryRule:
        """The travelling form. A callable backoff is left to the worker's own declaration."""
        backoff = retry.backoff if isinstance(retry.backoff, Fixed | Exponential) else Exponential()
        within = None if retry.within is None else seconds(retry.within)
        return cls(retry.attempts, backoff, _names(retry.on), _names(retry.never), within)

    def next_delay(
        self,
        attempt: int,
        lineage: Sequence[str],
        error: BaseException,
        age: timedelta,
        backoff: Callable[[int, BaseException], float | None] | None = None,
    ) -> float | None:
        """Seconds until the next attempt, or None to give up.

        `attempt` is the number of the run that failed (1, 2, …), `lineage` the qualified names of its error's
        classes, `age` the time since the job was enqueued. `backoff` overrides this rule's own.
        """
        if attempt >= self.attempts or not self.covers(lineage):
            return None
        delay = (backoff or self.backoff)(attempt, error)
        if delay is None:
            return None
        delay = min(max(0.0, float(delay)), MAX_DELAY)
        if self.within is not None and age.total_seconds() + delay > self.within:
            return None
        return delay

    def covers(self, lineage: Sequence[str]) -> bool:
        """Whether an error of these classes is worth another try."""
        kinds = frozenset(lineage)
        return kinds.isdisjoint(self.never) and not kinds.isdisjoint(self.on)

    def plain(self) -> list[object]:
        """As plain data, for a job's body."""
        match self.backoff:
            case Fixed(delay):
                how: list[object] = [seconds(delay)]
            case Exponential(base, cap, jitter):
                how = [seconds(base), seconds(cap), jitter]
        return [self.attempts, how, list(self.on), list(self.never), self.within]

    @classmethod
    def from_plain(cls, data: object) -> RetryRule:
        """The opposite of `plain`. Raises ValueError for anything else."""
        match data:
            case [int(attempts), [float() | int() as delay], [*on], [*never], within]:
                backoff: Fixed | Exponential = Fixed(delay)
            case [
                int(attempts),
                [float() | int() as base, float() | int() as cap, str(jitter)],
                [*on],
                [*never],
                within,
            ]:
                if jitter not in ("full", "equal", "none"):
                    raise ValueError(f"not a retry rule: {data!r}")
                backoff = Exponential(base, cap, jitter)  # type: ignore[arg-type]  # checked in the line above
            case _:
                raise ValueError(f"not a retry rule: {data!r}")
        if within is not None and not isinstance(within, int | float):
            raise ValueError(f"not a retry rule: {data!r}")
        return cls(attempts, backoff, tuple(map(str, on)), tuple(map(str, never)), within)


def seconds(span: Seconds) -> float:
    """A number of seconds, or a timedelta, as seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else float(span)


def qualified_name(kind: type) -> str:
    """module.name of a class: how error classes are named in jobs and records."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _kinds(kinds: ErrorKinds) -> Sequence[type[BaseException]]:
    return (kinds,) if isinstance(kinds, type | str) else tuple(kinds)  # a text is refused whole


def _names(kinds: ErrorKinds) -> tuple[str, ...]:
    return tuple(qualified_name(kind) for kind in _kinds(kinds))


def _check_delay(owner: str, word: str, value: Seconds) -> None:
    number = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    if not number or not 0 <= seconds(value) <= MAX_DELAY:
        raise ValueError(f"{owner}: {word} must be from 0 seconds to a year, as a number or a timedelta, not {value!r}")
