"""How a run ended, as a value; with the exceptions a task raises to choose one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from taskforge.retry import MAX_DELAY, Seconds, seconds


class Choice(Exception):
    """What a task raises to choose how its run ends, besides returning or failing."""


class RetryLater(Choice):
    """Run again after `delay`; an attempt is spent. With none left the job is dead."""

    def __init__(self, delay: Seconds, why: str = "") -> None:
        super().__init__(why or f"retry in {seconds(delay):g} s")
        self.delay = _span("RetryLater", delay)


class Snooze(Choice):
    """Run again after `delay`; no attempt is spent."""

    def __init__(self, delay: Seconds) -> None:
        super().__init__(f"snoozed for {seconds(delay):g} s")
        self.delay = _span("Snooze", delay)


class Fail(Choice):
    """The job is dead at once, whatever attempts are left."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the task said so")


class Discard(Choice):
    """The job is cancelled, reason `discarded`: nothing went wrong, there was nothing to do."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "discarded by the task")


class RunTimeout(TimeoutError):
    """A run took longer than its task's timeout. Retried like any error, unless `never` names it."""


class Cancelled(Exception):
    """A run ended because it was asked to stop."""


class Succeeded(NamedTuple):
    """The function returned."""

    value: object


class Packed(NamedTuple):
    """The function returned in a process of its own: `result` is packed already, None where nothing is to be kept."""

    result: bytes | None


class Crashed(NamedTuple):
    """The process that ran it, and nothing else, died of it. A crash is counted, no attempt."""

    error: BaseException


class Failed(NamedTuple):
    """The function raised, or the run could not be made. `reason` names the kind if the job dies of it."""

    error: BaseException
    reason: str = "error"


class Postponed(NamedTuple):
    """The task asked to run again later; `counts` tells a retry from a snooze."""

    delay: timedelta
    counts: bool
    error: BaseException


class GivenUp(NamedTuple):
    """The task, or the runner, said that no further attempt can help."""

    error: BaseException
    reason: str = "error"


class Dropped(NamedTuple):
    """The job ends as cancelled, for `reason`."""

    reason: str
    error: BaseException | None = None


class Unfit(NamedTuple):
    """The run could not begin: its arguments cannot be read, or do not fit. No attempt is spent."""

    error: BaseException
    reason: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The run was given up at shutdown, or did not start in time; the job goes back to its place without blame."""


Outcome = Succeeded | Packed | Crashed | Failed | Postponed | GivenUp | Dropped | Unfit | HandedBack


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of a run that raised."""
    match error:
        case RetryLater():
            return Postponed(error.delay, True, error)
        case Snooze():
            return Postponed(error.delay, False, error)
        case Fail():
            return GivenUp(error)
        case Discard():
            return Dropped("discarded", error)
        case Cancelled():
            return Dropped("requested", error)
        case RunTimeout():
            return Failed(error, "timeout")
        case _:
            return Failed(error)


def _span(owner: str, delay: Seconds) -> timedelta:
    number = isinstance(delay, int | float | timedelta) and not isinstance(delay, bool)
    if not number or not 0 <= seconds(delay) <= MAX_DELAY:
        raise ValueError(
            f"{owner}: the delay must be from 0 seconds to a year, as a number or a timedelta, not {delay!r}"
        )
    return timedelta(seconds=seconds(delay))
