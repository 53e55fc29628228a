"""One delivery, step by step, and every decision about its fate."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from datetime import timedelta
from typing import Protocol, cast

from taskforge.around import Arounds
from taskforge.clock import Clock
from taskforge.codec import Codec
from taskforge.errors import ArgumentsError, PayloadError, StopRequested, UnknownTask, UnknownVersion
from taskforge.failure import ErrorText, lineage
from taskforge.info import pack_error
from taskforge.job import Delivery
from taskforge.options import RunOptions, resolve
from taskforge.outcome import (
    Cancelled,
    Dropped,
    Failed,
    GivenUp,
    HandedBack,
    Outcome,
    Postponed,
    RunTimeout,
    Succeeded,
    Unfit,
    outcome_of,
)
from taskforge.registry import Registry
from taskforge.retry import Retry, RetryRule
from taskforge.run import JobMaker, Run, StopCause, set_current_job
from taskforge.settings import Settings
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.signals import Signals, emit
from taskforge.submission import PARTIAL, Resolver
from taskforge.task import AnyTask

logger = logging.getLogger("taskforge.worker")

#: A job that this worker cannot run yet waits half its age again, within these bounds (seconds).
PARK_FIRST, PARK_LONGEST = 1.0, 300.0
#: The frames of a run's traceback that are the runner's own: `call` or `acall`.
FRAMES_ABOVE = 1
#: What a body without options means, and how many different sets of options are remembered: jobs of one task share one.
DEFAULT_OPTIONS = RunOptions()
OPTIONS_KEPT = 1_000
NO_TIME = timedelta(0)


class App(JobMaker, Resolver, Protocol):
    """The app, as far as the runner needs it."""

    settings: Settings
    clock: Clock
    codec: Codec
    tasks: Registry
    signals: Signals
    arounds: Arounds


class Runner:
    """Opens deliveries, runs them, and judges how they ended."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._read: dict[str, RunOptions] = {}

    # Opening: from bytes to a run, or to what becomes of a job that cannot be run.

    def open(self, delivery: Delivery) -> Run | Settlement:
        """The run of this delivery; a settlement when it must not, or cannot, be run here."""
        if delivery.crashes >= self.app.settings.max_crashes:
            return self._bury(delivery, "crashed", None, counts=False)
        try:
            task_name, arguments, given = self.app.codec.read_body(delivery.body)
            task = self.app.tasks[task_name]
            options = self._options(task, delivery.queue, given) if given else DEFAULT_OPTIONS
        except (UnknownVersion, UnknownTask) as error:
            return self._park(delivery, error)
        except Exception as error:  # whatever the bytes made of the options, too
            return self._bury(delivery, "undecodable", error, counts=False)
        return Run(delivery, task, options, arguments, self.app)

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

    def _park(self, delivery: Delivery, error: UnknownTask | UnknownVersion) -> Settlement:
        """Leave it to a worker that knows better; dead when none came in time."""
        age = self._age(delivery)
        if age > self.app.settings.unknown_task_age:
            return self._bury(
                delivery, "unknown_task" if isinstance(error, UnknownTask) else "unknown_version", error, counts=False
            )
        seconds = min(PARK_LONGEST, max(PARK_FIRST, age.total_seconds() / 2))
        logger.warning("job_parked", extra={"job": delivery.id, "queue": delivery.queue, "why": str(error)})
        keep = self.app.settings.finished_age
        return Requeue(delivery, timedelta(seconds=seconds), False, keep, self._error(delivery, error))

    # Running: the same steps for both kinds of function, but for the call itself.

    def call(self, run: Run, enter_async: Callable[[ExitStack, AbstractAsyncContextManager[object]], None]) -> Outcome:
        """Run a plain function in the calling thread. Never raises: however it ends is an outcome."""
        if (unfit := self._prepare(run)) is not None:
            return unfit
        try:
            self._begin(run)
            if not self.app.arounds.job:
                return Succeeded(run.task_object.function(*run.args, **run.kwargs))
            with self._wrapped(run, enter_async):
                return Succeeded(run.task_object.function(*run.args, **run.kwargs))
            return Succeeded(None)  # a wrapper swallowed the error, and so chose success
        except BaseException as error:
            return self._outcome(run, error)

    async def acall(self, run: Run) -> Outcome:
        """Run an `async def` function on the running loop. Never raises."""
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

    # Judging: from an outcome to what the broker is told.

    def judge(self, run: Run, outcome: Outcome) -> Settlement:
        """What becomes of the job. Never raises: a run that has ended must be settled."""
        try:
            return self._judge(run, outcome)
        except BaseException as error:
            logger.exception("outcome_not_judged", extra={"job": run.id, "task": run.task})
            return self._bury(run.delivery, "error", error, took=_took(run))

    def _judge(self, run: Run, outcome: Outcome) -> Settlement:
        delivery, options = run.delivery, run.options
        if run.cause is StopCause.CANCEL and isinstance(outcome, Failed | GivenUp | Postponed):
            outcome = Dropped("requested", outcome.error)  # it was to end, and has ended
        if isinstance(outcome, Succeeded):
            return self._ack(run, outcome.value)
        match outcome:
            case HandedBack():
                return Requeue(delivery, None, False, options.keep)
            case Dropped(reason, error):
                blob = self._error(delivery, error) if error else None
                return Cancel(delivery, reason, options.keep, _took(run), blob)
            case Unfit(error, reason):
                return self._bury(delivery, reason, error, counts=False)
            case GivenUp(error, reason):
                return self._bury(delivery, reason, error, took=_took(run))
            case Postponed(delay, counts, error):
                return self._postpone(run, delay, counts, error)
            case Failed(error, reason):
                return self._retry_or_bury(run, error, reason)

    def _ack(self, run: Run, value: object) -> Settlement:
        options, result = run.options, None
        if value is not None and options.keep_result is not None:
            try:
                result = self.app.codec.result(run.task, value, run.task_object.types)
            except PayloadError as error:
                # Running it again would end the same way, after all its work and side effects.
                return self._bury(run.delivery, "result", error, took=_took(run))
        return Ack(run.delivery, options.keep, _took(run), result, options.keep_result or NO_TIME, tuple(run.then))

    def _retry_or_bury(self, run: Run, error: BaseException, reason: str) -> Settlement:
        rule, age = run.options.retry, self._age(run.delivery)
        try:
            delay = rule.next_delay(run.attempt, lineage(error), error, age, self._own_backoff(run))
        except BaseException:  # SystemExit, too: a backoff may be any code
            logger.exception("backoff_failed", extra={"job": run.id, "task": run.task})
            delay = rule.next_delay(run.attempt, lineage(error), error, age)
        if delay is None:
            return self._bury(run.delivery, reason, error, took=_took(run))
        blob = self._error(run.delivery, error)
        return Requeue(run.delivery, timedelta(seconds=delay), True, run.options.keep, blob)

    def _own_backoff(self, run: Run) -> Callable[[int, BaseException], float | None] | None:
        """The callable backoff of the task's declaration, unless this job was given another retry."""
        declared = run.task_object.options.get("retry")
        if not isinstance(declared, Retry) or declared.travels or RetryRule.of(declared) != run.options.retry:
            return None
        return declared.backoff

    def _postpone(self, run: Run, delay: timedelta, counts: bool, error: BaseException) -> Settlement:
        rule = run.options.retry
        late = rule.within is not None and (self._age(run.delivery) + delay).total_seconds() > rule.within
        if counts and (run.attempt >= rule.attempts or late):
            return self._bury(run.delivery, "error", error, took=_took(run))
        blob = self._error(run.delivery, error) if counts else None
        return Requeue(run.delivery, delay, counts, run.options.keep, blob)

    def _bury(
        self,
        delivery: Delivery,
        reason: str,
        error: BaseException | None,
        *,
        counts: bool = True,
        took: timedelta = timedelta(0),
    ) -> Bury:
        blob = self._error(delivery, error) if error else None
        return Bury(delivery, reason, self.app.settings.dead_age, took, counts, blob)

    def _error(self, delivery: Delivery, error: BaseException) -> bytes:
        text = ErrorText.of(error, skip_frames=FRAMES_ABOVE if error.__traceback__ else 0)
        attempt, now = delivery.attempts + 1, self.app.clock.now()
        return pack_error(self.app.codec, attempt, now, text.type, text.message, text.traceback)

    def _age(self, delivery: Delivery) -> timedelta:
        """Since the job was enqueued. Both clocks matter only to seconds here."""
        return max(timedelta(0), self.app.clock.now() - delivery.enqueued_at)


def _took(run: Run) -> timedelta:
    return timedelta(0, run.took)
