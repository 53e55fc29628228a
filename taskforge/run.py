"""Run: one run of a job, as the worker keeps it and as the task sees it through `current_job()`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import ParamSpec, Protocol, TypeAlias, TypeVar

from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import AppError, StopRequested
from taskforge.handle import JobHandle
from taskforge.info import JobInfo
from taskforge.job import Delivery, NewJob
from taskforge.options import RunOptions
from taskforge.task import AnyTask, Args, Call

P = ParamSpec("P")
R = TypeVar("R")


class StopCause(StrEnum):
    """Why a run is asked to stop."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    LOST = "lost"


#: How far a run is: done, total, note, and its checkpoint, packed.
Said: TypeAlias = tuple[float, float | None, str, bytes]


class JobMaker(Protocol):
    """The app, as far as a run needs it: tells the time, and makes jobs without sending them."""

    clock: Clock
    codec: Codec

    def new_jobs(self, call: Call[..., object], arguments: Sequence[Args]) -> list[NewJob]: ...

    def job(self, job_id: str, queue: str | None = None) -> JobHandle[object]: ...


class Run:
    """One run. The first half is for the task's code, from any thread it starts; the second half is the worker's.

    What most runs never set stands here as the class's own value: a run is made for every job.
    `attempt` counts from 1. `deadline` is when the run will be asked to stop, by this machine's clock (None: never).
    """

    #: What the function is called with; read from `arguments` just before.
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] = MappingProxyType({})
    cause: StopCause | None = None
    on_stop: Callable[[], None] | None = None
    then: Sequence[NewJob] = ()
    latest_progress: Said | None = None
    on_progress: Callable[[], None] | None = None
    #: When it was put in line, began, and must end (monotonic seconds); and how long it took.
    handed_out = 0.0
    started: float | None = None
    due = float("inf")
    took = 0.0
    ended = False
    #: It runs on the event loop; else in a thread, or in a process of its own that a thread looks after.
    on_loop = False
    #: It has crashed often enough to be kept away from others: it runs in a process that runs nothing else.
    alone = False
    #: Its number in the memory that a parent shares, and the place there that says it has started.
    seq = cell = 0
    _stop: threading.Event | None = None
    _then_size = 0
    _said: Said = (0.0, None, "", b"")
    _resumed: object = None
    _asked = False

    def __init__(
        self,
        delivery: Delivery,
        task: AnyTask,
        options: RunOptions,
        arguments: bytes,
        maker: JobMaker,
    ) -> None:
        self.delivery, self.task_object, self.options = delivery, task, options
        self.arguments, self._maker = arguments, maker
        if task.is_async:
            self.on_loop = True

    def __repr__(self) -> str:
        return f"<Run {self.task} {self.id} attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.delivery.id

    @property
    def queue(self) -> str:
        """The job's queue."""
        return self.delivery.queue

    @property
    def task(self) -> str:
        """The task's name."""
        return self.task_object.name

    @property
    def attempt(self) -> int:
        """Which counted run of the job this is, from 1."""
        return self.delivery.attempts + 1

    @property
    def priority(self) -> int:
        """The priority it was claimed with."""
        return self.delivery.priority

    @property
    def enqueued_at(self) -> datetime:
        """When the job was accepted, by the broker's clock."""
        return self.delivery.enqueued_at

    @property
    def headers(self) -> Mapping[str, str]:
        """What the sender attached to the job, beside its arguments."""
        return self.options.headers

    @property
    def deadline(self) -> datetime | None:
        """When this run times out."""
        if self.due == float("inf"):
            return None
        clock = self._maker.clock
        return clock.now() + timedelta(seconds=self.due - clock.monotonic())

    @property
    def should_stop(self) -> bool:
        """True once the run is asked to stop: cancelled, timed out, shut down, or its lease lost."""
        return self.cause is not None

    def wait_stop(self, timeout: float) -> bool:
        """Sleep for `timeout` seconds, or until asked to stop; whether it is. A sleep that a shutdown can end."""
        stop: threading.Event = self.__dict__.setdefault("_stop", threading.Event())  # atomic, whoever comes second
        return self.cause is not None or stop.wait(timeout)

    def raise_if_stopped(self) -> None:
        """Raise StopRequested if the run is asked to stop; let it pass and the run ends as what it was asked for."""
        if self.cause is not None:
            raise StopRequested(f"the run of {self.task} {self.id} was asked to stop ({self.cause})")

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the run is; kept beside the job for `info()`. Cheap: only the latest of each second travels.

        `done` and `total` are numbers; of the note 500 characters are kept. Raises TypeError for anything else.
        """
        for word, number in (("done", done), ("total", total or 0)):
            if not isinstance(number, int | float):
                raise TypeError(f"progress: {word} must be a number, not {number!r}")
        if not isinstance(note, str):
            raise TypeError(f"progress: note must be text, not {note!r}")
        note = note.encode("utf-8", "replace").decode()
        self._say((done, total, note[:500], self._said[3]))

    def checkpoint(self, value: object = None) -> None:
        """A point from which the job can go on: keep `value` for its next run, then stop here if asked to.

        What was kept before stands when `value` is None. Any values that arguments may have, but for classes, up to
        64 KiB. Travels like progress: a run that stops here, or fails, has kept it for certain; one that is killed may
        have lost the last second. Raises StopRequested, EncodeError or PayloadTooLarge.
        """
        if value is not None:
            self._resumed, self._asked = value, True
            self._say((*self._said[:3], self._maker.codec.kept(self.task, value)))
        self.raise_if_stopped()

    def checkpointed(self) -> object:
        """What the job's runs, this or an earlier one, have kept with `checkpoint`; None where there is nothing.

        Asks the broker, once. Raises WouldBlock inside a running event loop, where `acheckpointed` is the way.
        """
        if not self._asked:
            self._resume(self._maker.job(self.id, self.queue).info())
        return self._resumed

    async def acheckpointed(self) -> object:
        """`checkpointed` without blocking the event loop."""
        if not self._asked:
            self._resume(await self._maker.job(self.id, self.queue).ainfo())
        return self._resumed

    def enqueue_on_success(self, call: Call[P, R], *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue a job if and only if this run succeeds, in the same step. `call` is a task, or `task.using(…)`.

        The handle's id is certain now, its job exists later. At most 250 jobs and 1 MiB a run.
        """
        [job] = self._maker.new_jobs(call, [Args(*args, **kwargs)])
        self._then_size += len(job.body)
        if len(self.then) >= BATCH or self._then_size > BATCH_BYTES:
            raise AppError(
                f"a run may enqueue at most {BATCH} jobs and {BATCH_BYTES} bytes on success; "
                "let one of them enqueue the rest"
            )
        self.then = [*self.then, job]
        return self._maker.job(job.id, job.queue)  # type: ignore[return-value]  # R is the task's

    def _resume(self, known: JobInfo) -> None:
        self._asked = True
        if known.progress is not None and known.progress.checkpoint is not None:
            self._resumed = known.progress.checkpoint
            self._said = (*self._said[:3], self._maker.codec.kept(self.task, self._resumed))

    def _say(self, said: Said) -> None:
        self._said = self.latest_progress = said
        if self.on_progress is not None:
            self.on_progress()

    # The worker's side.

    @property
    def isolated(self) -> bool:
        """Whether it runs in a process of its own."""
        return self.alone or self.options.isolate is not None

    def keep_alone(self) -> None:
        """Let it run in a process that runs nothing else."""
        self.alone, self.on_loop = True, False

    def begin(self, now: float) -> None:
        """The run starts: its time counts from here."""
        self.started = now
        if self.options.timeout is not None:
            self.due = now + self.options.timeout.total_seconds()

    def end(self, now: float) -> None:
        """The run has ended, or was given up before it began."""
        self.ended = True
        self.took = 0.0 if self.started is None else now - self.started

    def request_stop(self, cause: StopCause) -> None:
        """Ask the run to stop. The first cause stands, but for a lost lease, which settles everything."""
        if self.cause is None or cause is StopCause.LOST:
            self.cause = cause
        if self._stop is not None:
            self._stop.set()
        if (on_stop := self.on_stop) is not None:  # read once: it may be taken away meanwhile
            on_stop()


_run: ContextVar[Run] = ContextVar("taskforge_run")


def current_job() -> Run:
    """The run that the calling code is part of. Raises AppError outside of one.

    Threads that a task starts do not see it by themselves: pass it on.
    """
    run = _run.get(None)
    if run is None:
        raise AppError("current_job() was called outside a run: only a task called by a worker has one")
    return run


def set_current_job(run: Run) -> None:
    """Make this the current run of the calling thread's, or coroutine's, context."""
    _run.set(run)
