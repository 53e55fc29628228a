"""How a delivery is settled: what the runner tells the broker, one value per way."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from taskforge.job import Delivery, NewJob


class Ack(NamedTuple):
    """The job succeeded.

    With a `result` the record is kept for `keep_result`, without one for `keep`. `then` are the jobs the run asked to
    enqueue on success: they exist if and only if this ack is accepted. `took` is how long the run lasted.
    """

    delivery: Delivery
    keep: timedelta
    took: timedelta
    result: bytes | None = None
    keep_result: timedelta = timedelta(0)
    then: tuple[NewJob, ...] = ()


class Requeue(NamedTuple):
    """The job shall run again.

    `delay` None hands it back to the very place it was claimed from; zero puts it last among the ready ones of its
    priority; more makes it delayed. `counts` spends an attempt: a retry does, a snooze or a hand-back does not. A job
    that was asked to stop ends as cancelled instead (reason `requested`), and is then kept for `keep`. `crashed`
    counts a crash: the process that ran it alone died of it.
    """

    delivery: Delivery
    delay: timedelta | None
    counts: bool
    keep: timedelta
    error: bytes | None = None
    crashed: bool = False


class Bury(NamedTuple):
    """The job is dead, for `reason`; it is kept among the dead letters for `keep`. `counts` and `crashed` as for
    Requeue.
    """

    delivery: Delivery
    reason: str
    keep: timedelta
    took: timedelta
    counts: bool = True
    error: bytes | None = None
    crashed: bool = False


class Cancel(NamedTuple):
    """The run ended as cancelled, for `reason` (requested, discarded); the record is kept for `keep`."""

    delivery: Delivery
    reason: str
    keep: timedelta
    took: timedelta
    error: bytes | None = None


Settlement = Ack | Requeue | Bury | Cancel


#: So that no call enqueues more than about a batch of jobs besides what it settles.
JOB_WEIGHT = 4096


def weight(settlement: Settlement) -> int:
    """About how many bytes of payload a settlement carries; a job to enqueue counts for what it costs the broker."""
    if not isinstance(settlement, Ack):
        return len(settlement.error or b"")
    size = len(settlement.result) if settlement.result else 0
    return size + sum([JOB_WEIGHT + len(job.body) for job in settlement.then]) if settlement.then else size
