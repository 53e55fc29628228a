"""What a job is: its states, the moves between them, and its shapes on the way in, in a worker and on inspection.

What is made once per job and call is a named tuple: as frozen as a dataclass, and made in a third of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

MIN_PRIORITY, MAX_PRIORITY = -100, 100


class JobState(StrEnum):
    """Where a job stands. A job is in exactly one of these until it has aged out."""

    READY = "ready"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for the three states that nothing leaves by itself."""
        return self in ENDED


ENDED = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED})

_S = JobState

#: verb → (the states it may leave, the states it may lead to). A verb on a job in any other state changes nothing.
TRANSITIONS: Mapping[str, tuple[frozenset[JobState], frozenset[JobState]]] = {
    "enqueue": (frozenset(), frozenset({_S.READY, _S.DELAYED, _S.BLOCKED})),
    "promote": (frozenset({_S.DELAYED}), frozenset({_S.READY})),
    "claim": (frozenset({_S.READY}), frozenset({_S.RUNNING})),
    "extend": (frozenset({_S.RUNNING}), frozenset({_S.RUNNING})),
    "ack": (frozenset({_S.RUNNING}), frozenset({_S.SUCCEEDED})),
    "requeue": (frozenset({_S.RUNNING}), frozenset({_S.READY, _S.DELAYED, _S.CANCELLED})),
    "bury": (frozenset({_S.RUNNING}), frozenset({_S.DEAD})),
    "reclaim": (frozenset({_S.RUNNING}), frozenset({_S.READY, _S.CANCELLED})),
    "release": (frozenset({_S.RUNNING}), frozenset({_S.READY, _S.CANCELLED})),
    "cancel": (frozenset({_S.READY, _S.DELAYED, _S.BLOCKED, _S.RUNNING}), frozenset({_S.CANCELLED, _S.RUNNING})),
    "expire": (frozenset({_S.READY, _S.DELAYED, _S.BLOCKED}), frozenset({_S.CANCELLED})),
    "redrive": (frozenset({_S.DEAD, _S.CANCELLED}), frozenset({_S.READY})),
    "resolve": (frozenset({_S.BLOCKED}), frozenset({_S.READY, _S.CANCELLED})),
}


class NewJob(NamedTuple):
    """A job on its way to a broker: what the broker must know, and a body that it keeps without looking inside.

    At most one of `delay` (from the broker's now) and `at` is set; neither means ready at once. A job that no run has
    begun by its `expires` (a span from the broker's now, or a moment) is cancelled with reason `expired`.
    """

    id: str
    queue: str
    body: bytes
    priority: int = 0
    delay: timedelta | None = None
    at: datetime | None = None
    expires: timedelta | datetime | None = None


class Enqueued(NamedTuple):
    """What became of a NewJob: accepted as new, or `id` names the job that already stands for it."""

    id: str
    new: bool


class Delivery(NamedTuple):
    """One handing-over of a job to a worker, under a lease.

    `number` is the fencing token: higher than that of any earlier delivery under this id in this queue. `attempts` are
    the counted runs before this one, `crashes` the deliveries that ended without a word.
    """

    queue: str
    id: str
    number: int
    body: bytes
    attempts: int
    crashes: int
    priority: int
    enqueued_at: datetime


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything a broker knows about one job. Bytes are as the worker or client wrote them; the codec reads them."""

    id: str
    queue: str
    state: JobState
    body: bytes
    priority: int
    attempts: int
    crashes: int
    enqueued_at: datetime
    reason: str | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    lease_until: datetime | None = None
    worker: str | None = None
    stop_requested: bool = False
    ended_at: datetime | None = None
    kept_until: datetime | None = None
    result: bytes | None = None
    progress: bytes | None = None
    errors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs of one queue stand in each state. `retrying` is the part of `delayed` that waits for a retry."""

    ready: int = 0
    delayed: int = 0
    retrying: int = 0
    blocked: int = 0
    running: int = 0
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0


class Cancellation(StrEnum):
    """What `cancel` did: ended the job, asked its run to stop, or found nothing to cancel."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"
    ENDED = "ended"
