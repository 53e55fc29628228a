"""JobHandle: a job seen from the outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar, cast

from taskforge.brokers.inspecting import Inspector
from taskforge.brokers.stamp import Stamp
from taskforge.checks import check_priority
from taskforge.client import Client, refuse_in_loop
from taskforge.errors import (
    AmbiguousJob,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultExpired,
)
from taskforge.ids import made_at
from taskforge.info import JobInfo, Reader, RunError, read_error, read_record, task_of
from taskforge.job import Cancellation, JobRecord, JobState
from taskforge.retry import Seconds, seconds

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


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

        None for a task that keeps no result. Raises TimeoutError (the job goes on), JobFailed, JobCancelled,
        JobNotFound or, where the job is known to have existed, ResultExpired; WouldBlock inside a running event loop,
        where `aresult` is the way.
        """
        refuse_in_loop("result()", "aresult()")
        span = None if timeout is None else seconds(timeout)
        return self._result(self._client.watch.records(self.queue, self.id, span), timeout)

    async def aresult(self, timeout: Seconds | None = None) -> R_co:
        """`result` without blocking the event loop."""
        span = None if timeout is None else seconds(timeout)
        return self._result(await self._client.awaiting.records(self.queue, self.id, span), timeout)

    def state(self) -> JobState:
        """Where the job stands now. Raises JobNotFound."""
        return self._record("state()", "astate()").state

    async def astate(self) -> JobState:
        """`state` without blocking the event loop."""
        return (await self._client.awaiting.threaded(self._find)).state

    def info(self) -> JobInfo:
        """Everything known about the job now. Raises JobNotFound."""
        return self._info(self._record("info()", "ainfo()"))

    async def ainfo(self) -> JobInfo:
        """`info` without blocking the event loop."""
        return self._info(await self._client.awaiting.threaded(self._find))

    def cancel(self) -> Cancellation:
        """End a waiting job as cancelled, or ask a running one to stop; says which. Raises JobNotFound.

        A running one learns of it at once where its worker can be told, else with the worker's next beat: within a
        quarter of the lease, 15 s by default.
        """
        refuse_in_loop("cancel()", "acancel()")
        return self._cancel()

    async def acancel(self) -> Cancellation:
        """`cancel` without blocking the event loop."""
        return await self._client.awaiting.threaded(self._cancel)

    def redrive(self) -> bool:
        """Run a dead or cancelled job again, with all its attempts; False if it is neither. Raises JobNotFound."""
        refuse_in_loop("redrive()", "aredrive()")
        return self._redrive()

    async def aredrive(self) -> bool:
        """`redrive` without blocking the event loop."""
        return await self._client.awaiting.threaded(self._redrive)

    def promote(self) -> bool:
        """Make a delayed job ready now; False if it is not delayed. Raises JobNotFound."""
        refuse_in_loop("promote()", "apromote()")
        return self._promote()

    async def apromote(self) -> bool:
        """`promote` without blocking the event loop."""
        return await self._client.awaiting.threaded(self._promote)

    def set_priority(self, priority: int) -> bool:
        """Change the priority of a job that has not ended (-100 to 100, higher first); False if it has. Raises
        JobNotFound.
        """
        refuse_in_loop("set_priority()", "aset_priority()")
        return self._set_priority(priority)

    async def aset_priority(self, priority: int) -> bool:
        """`set_priority` without blocking the event loop."""
        return await self._client.awaiting.threaded(lambda: self._set_priority(priority))

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
                "keep results longer with keep_result=… or result_age, and jobs without one with Keep(count=…, age=…)"
            )
        return JobNotFound(f"no queue{f' {self.queue!r}' if self.queue else ''} knows a job {self.id}")

    def _result(self, records: Sequence[JobRecord], timeout: Seconds | None) -> R_co:
        record = self._one(records)
        match record.state:
            case JobState.SUCCEEDED:
                types = self._reader.types(task_of(self._reader.codec, record))
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
        return tuple(read_error(self._reader.codec, blob) for blob in record.errors)
