"""JobHandle: a job seen from the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, cast

from taskforge.brokers.protocol import Inspector
from taskforge.brokers.stamp import Stamp
from taskforge.client import Client, refuse_in_loop
from taskforge.codec import Codec, Types
from taskforge.errors import (
    AmbiguousJob,
    JobCancelled,
    JobFailed,
    JobNotFound,
    PayloadError,
    ResultExpired,
)
from taskforge.ids import made_at
from taskforge.job import Cancellation, JobRecord, JobState
from taskforge.options import check_priority
from taskforge.retry import Seconds, seconds

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of one attempt, as text."""

    attempt: int
    at: datetime
    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run says it is."""

    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True)
class JobInfo:
    """Everything known about a job at one moment. Times are the broker's.

    `attempts` are the counted runs, `crashes` the deliveries that ended without a word. `args` and `kwargs` are None
    when they cannot be read; `unreadable` then says why.
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


class JobHandle(Generic[R_co]):
    """A job by its id. Making one asks nobody; each method asks the broker.

    `new` is False when an enqueue found that this job already stood for it.
    """

    def __init__(
        self,
        client: Client,
        reader: Reader,
        job_id: str,
        queue: str | None = None,
        *,
        new: bool = True,
        enqueued_here: bool = False,
    ) -> None:
        self.id, self.queue, self.new = job_id, queue, new
        self._client, self._reader, self._enqueued_here = client, reader, enqueued_here

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}{f' in {self.queue}' if self.queue else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and (self.id, self.queue) == (other.id, other.queue)

    def __hash__(self) -> int:
        return hash(self.id)

    def result(self, timeout: Seconds | None = None) -> R_co:
        """What the task returned; waits for it through retries, at most `timeout` seconds (None: without limit).

        Raises TimeoutError (the job goes on), JobFailed, JobCancelled, JobNotFound or, where the job is known to have
        existed, ResultExpired; WouldBlock inside a running event loop, where `aresult` is the way.
        """
        refuse_in_loop("result()", "aresult()")
        span = None if timeout is None else seconds(timeout)
        return self._result(self._client.watch.records(self.queue, self.id, span), timeout)

    async def aresult(self, timeout: Seconds | None = None) -> R_co:
        """`result` without blocking the event loop."""
        span = None if timeout is None else seconds(timeout)
        return self._result(await self._client.watch.arecords(self.queue, self.id, span), timeout)

    def state(self) -> JobState:
        """Where the job stands now. Raises JobNotFound."""
        return self._record("state()", "astate()").state

    async def astate(self) -> JobState:
        """`state` without blocking the event loop."""
        return (await self._client.threaded(self._find)).state

    def info(self) -> JobInfo:
        """Everything known about the job now. Raises JobNotFound."""
        return self._info(self._record("info()", "ainfo()"))

    async def ainfo(self) -> JobInfo:
        """`info` without blocking the event loop."""
        return self._info(await self._client.threaded(self._find))

    def cancel(self) -> Cancellation:
        """End a waiting job as cancelled, or ask a running one to stop; says which. Raises JobNotFound."""
        refuse_in_loop("cancel()", "acancel()")
        return self._cancel()

    async def acancel(self) -> Cancellation:
        """`cancel` without blocking the event loop."""
        return await self._client.threaded(self._cancel)

    def redrive(self) -> bool:
        """Run a dead or cancelled job again, with all its attempts; False if it is neither. Raises JobNotFound."""
        refuse_in_loop("redrive()", "aredrive()")
        return self._redrive()

    async def aredrive(self) -> bool:
        """`redrive` without blocking the event loop."""
        return await self._client.threaded(self._redrive)

    def promote(self) -> bool:
        """Make a delayed job ready now; False if it is not delayed. Raises JobNotFound."""
        refuse_in_loop("promote()", "apromote()")
        return self._promote()

    async def apromote(self) -> bool:
        """`promote` without blocking the event loop."""
        return await self._client.threaded(self._promote)

    def set_priority(self, priority: int) -> bool:
        """Change the priority of a job that has not ended (-100 to 100, higher first); False if it has. Raises
        JobNotFound.
        """
        refuse_in_loop("set_priority()", "aset_priority()")
        return self._set_priority(priority)

    async def aset_priority(self, priority: int) -> bool:
        """`set_priority` without blocking the event loop."""
        return await self._client.threaded(lambda: self._set_priority(priority))

    # The work behind each pair of twins.

    def _cancel(self) -> Cancellation:
        keep = self._reader.keep_cancelled
        return self._change(lambda inspector, queue, stamp: inspector.cancel(queue, [self.id], keep, stamp)[0])

    def _redrive(self) -> bool:
        return self._change(lambda inspector, queue, stamp: inspector.redrive(queue, [self.id], stamp)[0])

    def _promote(self) -> bool:
        return self._change(lambda inspector, queue, stamp: inspector.promote(queue, [self.id], stamp)[0])

    def _set_priority(self, priority: int) -> bool:
        try:
            check_priority(priority)
        except ValueError as error:
            raise ValueError(f"priority {error}") from None
        return self._change(
            lambda inspector, queue, stamp: inspector.reprioritise(queue, [self.id], priority, stamp)[0]
        )

    def _change(self, call: Callable[[Inspector, str, Stamp], T]) -> T:
        queue = self._find().queue
        return self._client.change(lambda stamp: call(self._client.broker.inspector, queue, stamp))

    def _record(self, name: str, twin: str) -> JobRecord:
        refuse_in_loop(name, twin)
        return self._find()

    def _find(self) -> JobRecord:
        inspector = self._client.broker.inspector
        if self.queue is None:
            return self._one(self._client.read(lambda: inspector.find(self.id)))
        queue = self.queue
        record = self._client.read(lambda: inspector.get(queue, self.id))
        return self._one([record] if record else [])

    def _one(self, records: Sequence[JobRecord]) -> JobRecord:
        """The one record; its queue is remembered, for a job never changes it."""
        if not records:
            raise self._missing()
        if len(records) > 1:
            queues = ", ".join(sorted(record.queue for record in records))
            raise AmbiguousJob(f"the queues {queues} each know a job {self.id}; say which: app.job(id, queue=…)")
        self.queue = records[0].queue
        return records[0]

    def _missing(self) -> JobNotFound:
        """Unknown to every queue: aged out, if it is certain that it existed or its id is older than any result."""
        made = made_at(self.id)
        if self._enqueued_here or (made is not None and datetime.now(UTC) - made > self._reader.result_age):
            return ResultExpired(
                f"job {self.id} has ended and its record has aged out; "
                "keep results longer with keep_result=… or the setting result_age"
            )
        return JobNotFound(f"no queue{f' {self.queue!r}' if self.queue else ''} knows a job {self.id}")

    def _result(self, records: Sequence[JobRecord], timeout: Seconds | None) -> R_co:
        record = self._one(records)
        match record.state:
            case JobState.SUCCEEDED:
                types = self._reader.types(_task_of(self._reader.codec, record))
                return cast("R_co", self._reader.codec.read_result(record.result, types))
            case JobState.DEAD:
                last = self._errors(record)[-1:]
                text = (last[0].type, last[0].message, last[0].traceback) if last else ("", "", "")
                raise JobFailed(self.id, record.reason or "error", *text)
            case JobState.CANCELLED:
                raise JobCancelled(self.id, record.reason or "requested")
            case state:
                raise TimeoutError(f"job {self.id} is still {state} after {seconds(timeout or 0):g} s; it goes on")

    def _info(self, record: JobRecord) -> JobInfo:
        return read_record(self._reader, record)

    def _errors(self, record: JobRecord) -> tuple[RunError, ...]:
        return tuple(_error(self._reader.codec, blob) for blob in record.errors)


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
    return JobInfo(
        id=record.id,
        queue=record.queue,
        task=task,
        state=record.state,
        reason=record.reason,
        priority=record.priority,
        attempts=record.attempts,
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
        errors=tuple(_error(codec, blob) for blob in record.errors),
        args=args,
        kwargs=kwargs,
        headers=headers,
        unreadable=unreadable,
    )


def pack_error(codec: Codec, attempt: int, at: datetime, kind: str, message: str, traceback: str) -> bytes:
    """One attempt's error as the broker keeps it."""
    return codec.plain([attempt, at.timestamp(), kind, message, traceback])


def pack_progress(codec: Codec, done: float, total: float | None, note: str) -> bytes:
    """A run's progress as the broker keeps it."""
    return codec.plain([done, total, note])


def _error(codec: Codec, blob: bytes) -> RunError:
    match _plain(codec, blob):
        case [int(attempt), float(at), str(kind), str(message), str(traceback)]:
            return RunError(attempt, datetime.fromtimestamp(at, UTC), kind, message, traceback)
        case _:
            return RunError(0, datetime.fromtimestamp(0, UTC), "unreadable", f"{len(blob)} bytes", "")


def _progress(codec: Codec, blob: bytes | None) -> Progress | None:
    match _plain(codec, blob) if blob else None:
        case [int() | float() as done, int() | float() | None as total, str(note)]:
            return Progress(done, total, note)
        case _:
            return None


def _plain(codec: Codec, blob: bytes) -> object:
    try:
        return codec.read_plain(blob)
    except PayloadError:
        return None


def _task_of(codec: Codec, record: JobRecord) -> str:
    try:
        return codec.read_body(record.body).task
    except PayloadError:
        return ""
