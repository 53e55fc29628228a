"""What `run_until_idle` tells of each run, and how it tells of jobs that died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement

Fate = Literal["succeeded", "retried", "snoozed", "dead", "cancelled", "handed back", "refused"]

#: How many jobs that died a message names beside the first.
NAMED = 5


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run, or what became of a job that could not be run (`attempt` 0).

    `outcome` is what the worker told the broker: "succeeded" (with `result`), "retried" and "snoozed" (it waits for
    another run), "dead" and "cancelled" (for `reason`), "handed back" (a run that was interrupted). "refused": the
    broker did not accept it. `error` is what the function raised. `at` is the fake clock's time.
    """

    task: str | None
    id: str
    queue: str
    attempt: int
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    outcome: Fate
    at: datetime
    result: object = None
    reason: str | None = None
    error: BaseException | None = None


def raise_first(dead: Sequence[FinishedRun]) -> None:
    """Raise the error that the first of these jobs died of, and tell of the others in a note."""
    __tracebackhide__ = True
    if not dead:
        return
    first, error = dead[0], dead[0].error
    assert error is not None, "a job that dies has an error"
    error.add_note(f"{_died(first)}; run_until_idle(raise_errors=False) leaves it at that")
    for run in dead[1 : 1 + NAMED]:
        error.add_note(f"{_died(run)}: {run.error!r}")
    if len(dead) > 1 + NAMED:
        error.add_note(f"and {len(dead) - 1 - NAMED} more jobs died")
    raise error


def _died(run: FinishedRun) -> str:
    after = f" after attempt {run.attempt}" if run.attempt else ""
    return f"{run.task or 'a job that could not be run'} {run.id} is dead ({run.reason}){after}"


def fate_of(settlement: Settlement) -> Fate:
    """The word for what the worker told the broker."""
    match settlement:
        case Ack():
            return "succeeded"
        case Requeue(delay=None):
            return "handed back"
        case Requeue(counts=counts):
            return "retried" if counts else "snoozed"
        case Bury():
            return "dead"
        case Cancel():
            return "cancelled"
