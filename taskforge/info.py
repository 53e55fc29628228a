"""A broker's record of a job in a person's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from taskforge.brokers.losses import read_loss
from taskforge.codec import Codec, Types
from taskforge.errors import PayloadError
from taskforge.job import JobRecord, JobState

#: A job that no worker can run yet waits for one that can, with such an error: error → what it would be dead for.
PARKED_FOR = {
    "taskforge.errors.UnknownTask": "unknown_task",
    "taskforge.errors.UnknownVersion": "unknown_version",
    "taskforge.errors.ArgumentsError": "arguments",
}


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of one attempt, as text. `attempt` 0: of a run that counted none, for its worker was lost."""

    attempt: int
    at: datetime
    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run says it is. `checkpoint` is what the job's runs have kept to go on from."""

    done: float
    total: float | None
    note: str
    checkpoint: object = None


@dataclass(frozen=True, slots=True)
class JobInfo:
    """Everything known about a job at one moment. Times are the broker's.

    `reason` says why it is dead or cancelled; of a delayed job, that it is parked, and what it would be dead for.
    `attempts` are the counted runs that have ended, `crashes` the deliveries that ended without a word. `started_at`
    is when the latest run was claimed. `args` and `kwargs` are None when they cannot be read; `unreadable` says why.
    """

    id: str
    queue: str
    task: str | None
    state: JobState
    reason: str | None
    priority: int
    attempts: int
    crashes: int
    enqueued_at: datetime
    due_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    lease_until: datetime | None
    ended_at: datetime | None
    kept_until: datetime | None
    worker: str | None
    stop_requested: bool
    progress: Progress | None
    errors: tuple[RunError, ...]
    args: Sequence[object] | None
    kwargs: Mapping[str, object] | None
    headers: Mapping[str, str]
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """What it takes to read a job's bytes: the codec, the classes a task's payloads may name, how long results live."""

    codec: Codec
    types: Callable[[str], Types]
    result_age: timedelta
    keep_cancelled: timedelta


def read_record(reader: Reader, record: JobRecord) -> JobInfo:
    """A broker's record in a person's terms. Never fails: what cannot be read is said to be unreadable."""
    codec = reader.codec
    task = args = kwargs = unreadable = None
    headers: Mapping[str, str] = {}
    try:
        envelope = codec.read_body(record.body)
        task = envelope.task
        given = envelope.options.get("headers")
        headers = cast("Mapping[str, str]", given) if isinstance(given, dict) else {}
        args, kwargs = codec.read_arguments(envelope.arguments, reader.types(task))
    except PayloadError as error:
        unreadable = str(error)
    errors = tuple(read_error(codec, blob) for blob in record.errors)
    return JobInfo(
        id=record.id,
        queue=record.queue,
        task=task,
        state=record.state,
        reason=record.reason or _parked(record, errors),
        priority=record.priority,
        attempts=record.attempts + (record.state is JobState.SUCCEEDED),
        crashes=record.crashes,
        enqueued_at=record.enqueued_at,
        due_at=record.due_at,
        expires_at=record.expires_at,
        started_at=record.started_at,
        lease_until=record.lease_until,
        ended_at=record.ended_at,
        kept_until=record.kept_until,
        worker=record.worker,
        stop_requested=record.stop_requested,
        progress=_progress(codec, record.progress),
        errors=errors,
        args=args,
        kwargs=kwargs,
        headers=headers,
        unreadable=unreadable,
    )


def pack_error(codec: Codec, attempt: int, at: datetime, kind: str, message: str, traceback: str) -> bytes:
    """One attempt's error as the broker keeps it."""
    return codec.plain([attempt, at.timestamp(), kind, message, traceback])


def pack_progress(codec: Codec, done: float, total: float | None, note: str, checkpoint: bytes = b"") -> bytes:
    """A run's progress as the broker keeps it; its checkpoint is packed already."""
    return codec.plain([done, total, note, checkpoint] if checkpoint else [done, total, note])


def read_error(codec: Codec, blob: bytes) -> RunError:
    """Of what a runner packed, or a broker noted when a lease ran out: then its type is `lost`."""
    if (loss := read_loss(blob)) is not None:
        claimed = loss.claimed_at.isoformat(" ", "seconds")
        said = f"its worker {loss.worker} was silent for its lease; claimed at {claimed}"
        return RunError(0, loss.at, "lost", said, "")
    match _plain(codec, blob):
        case [int(attempt), float(at), str(kind), str(message), str(traceback)]:
            return RunError(attempt, datetime.fromtimestamp(at, UTC), kind, message, traceback)
        case _:
            return RunError(0, datetime.fromtimestamp(0, UTC), "unreadable", f"{len(blob)} bytes", "")


def _parked(record: JobRecord, errors: Sequence[RunError]) -> str | None:
    """What a delayed job is parked for: its last error is one of those, and cost no attempt."""
    if record.state is not JobState.DELAYED or not errors or errors[-1].attempt <= record.attempts:
        return None
    return PARKED_FOR.get(errors[-1].type)


def _progress(codec: Codec, blob: bytes | None) -> Progress | None:
    match _plain(codec, blob) if blob else None:
        case [int() | float() as done, int() | float() | None as total, str(note)]:
            return Progress(done, total, note)
        case [int() | float() as done, int() | float() | None as total, str(note), bytes(checkpoint)]:
            return Progress(done, total, note, _plain(codec, checkpoint))
        case _:
            return None


def _plain(codec: Codec, blob: bytes) -> object:
    try:
        return codec.read_plain(blob)
    except PayloadError:
        return None


def task_of(codec: Codec, record: JobRecord) -> str:
    try:
        return codec.read_body(record.body).task
    except PayloadError:
        return ""
