"""One delivery, step by step: opened, run, and judged."""

from __future__ import annotations

import logging
from array import array
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from typing import Protocol, TypeAlias, cast

from taskforge.errors import ArgumentsError, StopRequested, UnknownTask, UnknownVersion
from taskforge.job import Delivery
from taskforge.options import RunOptions, resolve
from taskforge.outcome import (
    Cancelled,
    Failed,
    HandedBack,
    Outcome,
    RunTimeout,
    Succeeded,
    Unfit,
    outcome_of,
)
from taskforge.run import Run, StopCause, set_current_job
from taskforge.settlement import Settlement
from taskforge.signals import emit
from taskforge.submission import PARTIAL
from taskforge.task import AnyTask
from taskforge.worker.interrupting import interruptible
from taskforge.worker.judging import App, Judge

logger = logging.getLogger("taskforge.worker")

#: From so many crashes on a job runs in a process that runs nothing else: its neighbours shall not pay for a third.
ALONE_FROM = 2
#: What a body without options means, and how many different sets of options are remembered: jobs of one task share one.
DEFAULT_OPTIONS = RunOptions()
OPTIONS_KEPT = 1_000


Cells: TypeAlias = "array[int] | memoryview[int]"


class Pen(Protocol):
    """Runs jobs in processes of their own."""

    def takes(self, task: AnyTask) -> bool:
        """Whether a process of its own could find this task's function."""
        ...

    def call(self, run: Run) -> Outcome:
        """Run it there; how it ended. Never raises."""
        ...


class Runner:
    """Opens deliveries, runs them, and judges how they ended."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.judging = Judge(app)
        #: Where isolated runs go; a test that runs everything in its own thread has none.
        self.pen: Pen | None = None
        #: Which run each slot has; memory that the parent sees, where there is one.
        self.cells: Cells = array("Q", [0])
        self._reserved = 0
        self._read: dict[str, RunOptions] = {}

    def reserve(self, slots: int) -> int:
        """Cells for so many slots; the first one's index."""
        first = self._reserved
        self._reserved += slots
        if isinstance(self.cells, array):
            self.cells.extend([0] * slots)
        return first

    # Opening: from bytes to a run, or to what becomes of a job that cannot be run.

    def open(self, delivery: Delivery) -> Run | Settlement:
        """The run of this delivery; a settlement when it must not, or cannot, be run here."""
        if delivery.crashes >= self.app.settings.max_crashes:
            return self.judging.bury(delivery, "crashed", None, counts=False)
        try:
            task_name, arguments, given, _ = self.app.codec.read_body(delivery.body)
            task = self.app.tasks[task_name]
            options = self._options(task, delivery.queue, given) if given else DEFAULT_OPTIONS
        except (UnknownVersion, UnknownTask) as error:
            reason = "unknown_task" if isinstance(error, UnknownTask) else "unknown_version"
            return self.judging.park(delivery, error, reason)
        except Exception as error:  # whatever the bytes made of the options, too
            return self.judging.bury(delivery, "undecodable", error, counts=False)
        if delivery.crashes and options.at_most_once:
            return self.judging.bury(delivery, "crashed", None, counts=False)
        run = Run(delivery, task, options, arguments, self.app)
        if delivery.crashes >= ALONE_FROM and self.pen is not None and self.pen.takes(task):
            run.keep_alone()
        if run.on_loop and options.isolate is not None and self.pen is not None:
            run.on_loop = False  # asked for by a sender that could not know the task to be async: the pen runs it, too
        return run

    def _options(self, task: AnyTask, queue: str, given: Mapping[str, object]) -> RunOptions:
        """The options in a body; for a job of a sender that did not know the task, over those of its declaration."""
        if given.get(PARTIAL):
            declared = resolve(queue, self.app.settings, *self.app.levels(task, queue, {}))
            return RunOptions.of(declared).overridden({word: given[word] for word in given if word != PARTIAL})
        form = repr(given)
        options = self._read.get(form)
        if options is None:
            if len(self._read) >= OPTIONS_KEPT:
                self._read.clear()
            options = self._read[form] = DEFAULT_OPTIONS.overridden(given)
        return options

    # Running: the same steps for both kinds of function, but for the call itself.

    def call(self, run: Run, enter_async: Callable[[ExitStack, AbstractAsyncContextManager[object]], None]) -> Outcome:
        """Run a plain function in the calling thread. Never raises: however it ends is an outcome."""
        if run.cause is not None:
            return self.stopped(run)  # it was asked to while it stood in line
        self.cells[run.cell] = run.seq
        if self.pen is not None and run.isolated:
            return self._isolated(self.pen, run)
        if (unfit := self._prepare(run)) is not None:
            return unfit
        try:
            self._begin(run)
            if not self.app.arounds.job and not run.options.interrupt:
                return Succeeded(run.task_object.function(*run.args, **run.kwargs))
            with self._wrapped(run, enter_async), interruptible(run):
                return Succeeded(run.task_object.function(*run.args, **run.kwargs))
            return Succeeded(None)  # a wrapper swallowed the error, and so chose success
        except BaseException as error:
            return self._outcome(run, error)

    async def acall(self, run: Run) -> Outcome:
        """Run an `async def` function on the running loop. Never raises."""
        self.cells[run.cell] = run.seq
        if (unfit := self._prepare(run)) is not None:
            return unfit
        try:
            self._begin(run)
            function = cast("Callable[..., Awaitable[object]]", run.task_object.function)  # Task.is_async said so
            if not self.app.arounds.job:
                return Succeeded(await function(*run.args, **run.kwargs))
            async with await self._awrapped(run):
                return Succeeded(await function(*run.args, **run.kwargs))
            return Succeeded(None)  # a wrapper swallowed the error, and so chose success
        except BaseException as error:
            return self._outcome(run, error)

    def _isolated(self, pen: Pen, run: Run) -> Outcome:
        """Run it in a process of its own, while the calling thread waits."""
        try:
            return pen.call(run)
        except BaseException as error:  # a defect of ours must not lose the run
            logger.exception("pen_failed", extra={"job": run.id, "task": run.task})
            return self._outcome(run, error)

    def _prepare(self, run: Run) -> Unfit | None:
        """Read and bind the arguments; what becomes of a run that cannot be called with them."""
        task = run.task_object
        try:
            run.args, run.kwargs = self.app.codec.read_arguments(run.arguments, task.types)
            task.bind(run.args, run.kwargs)
        except ArgumentsError as error:
            return Unfit(error, "arguments")
        except BaseException as error:  # a stranger's code runs in there: annotations, dataclasses, models
            return Unfit(error, "undecodable")
        return None

    def _begin(self, run: Run) -> None:
        run.begin(self.app.clock.monotonic())
        set_current_job(run)
        if self.app.signals.job_started.receivers:
            emit(self.app.signals.job_started, self.app, run=run)

    def _wrapped(
        self, run: Run, enter_async: Callable[[ExitStack, AbstractAsyncContextManager[object]], None]
    ) -> ExitStack:
        """What is wrapped around jobs, entered."""
        with ExitStack() as stack:
            for factory in self.app.arounds.job:
                manager = factory(run)
                if isinstance(manager, AbstractAsyncContextManager):
                    enter_async(stack, manager)
                else:
                    stack.enter_context(cast("AbstractContextManager[object]", manager))
            return stack.pop_all()

    async def _awrapped(self, run: Run) -> AsyncExitStack:
        """The same on the running loop."""
        async with AsyncExitStack() as stack:
            for factory in self.app.arounds.job:
                manager = factory(run)
                if isinstance(manager, AbstractAsyncContextManager):
                    await stack.enter_async_context(manager)
                else:
                    stack.enter_context(cast("AbstractContextManager[object]", manager))
            return stack.pop_all()

    def _outcome(self, run: Run, error: BaseException) -> Outcome:
        """What the error means. A run that let the request to stop pass ends as what it was asked for."""
        cancelled = isinstance(error, CancelledError)
        if not run.cause and cancelled:
            # Somebody else cancelled it, a library's own timeout perhaps: an error like any other.
            return Failed(RuntimeError("the run was cancelled from within").with_traceback(error.__traceback__))
        if not (run.cause and (cancelled or isinstance(error, StopRequested))):
            return outcome_of(error)
        match run.cause:
            case StopCause.CANCEL:
                return outcome_of(Cancelled("it was asked to stop"))
            case StopCause.TIMEOUT:
                return outcome_of(self.timed_out(run))
            case StopCause.SHUTDOWN | StopCause.LOST:
                return HandedBack()

    def stopped(self, run: Run) -> Outcome:
        """The outcome of a run that was asked to stop before its first step."""
        return self._outcome(run, CancelledError())

    def timed_out(self, run: Run) -> RunTimeout:
        """The error of a run that took too long."""
        limit = run.options.timeout.total_seconds() if run.options.timeout else 0.0
        return RunTimeout(f"{run.task} took longer than its timeout of {limit:g} s")

    def judge(self, run: Run, outcome: Outcome) -> Settlement:
        """What becomes of the job. Never raises: a run that has ended must be settled."""
        return self.judging.judge(run, outcome)
