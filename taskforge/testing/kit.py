"""An app under test: on a private broker, under a clock that the test moves; as it was before when the test ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from taskforge.app import Taskforge
from taskforge.brokers import open_broker
from taskforge.brokers.moments import moment, stamped
from taskforge.client import Client, refuse_in_loop
from taskforge.clock import SystemClock
from taskforge.errors import AppError
from taskforge.registry import Registry
from taskforge.retry import Seconds
from taskforge.task import Call
from taskforge.testing.clock import FakeClock
from taskforge.testing.driving import MAX_RUNS, Drive, checked_span
from taskforge.testing.faults import FlakyBroker
from taskforge.testing.finished import FinishedRun, raise_first
from taskforge.testing.leftovers import check_leftovers
from taskforge.testing.matching import Expected, complaint, fits_options
from taskforge.testing.recording import EnqueuedJob, Recorder
from taskforge.testing.storage import Storage, storage_of

P = ParamSpec("P")
R = TypeVar("R")


#: How long (seconds) what ended can be read: a test that moves the clock by days wants to look at results after that.
KEPT = 365 * 24 * 3600
#: What is different under test: nothing waits for a worker of a newer version, and memory has no durability to ask for.
_SETTINGS: Mapping[str, object] = {
    "result_age": KEPT,
    "finished_age": KEPT,
    "dead_age": KEPT,
    "unknown_task_age": 0,
    "durability": "default",
}


class RunUntilIdle(Protocol):
    """`Kit.run_until_idle` as the fixture of that name gives it."""

    def __call__(
        self, *, within: Seconds | None = None, raise_errors: bool = True, max_runs: int = MAX_RUNS
    ) -> list[FinishedRun]: ...


class Kit:
    """What a test does with its app. Made by `under_test(app)`, or by the pytest fixture `taskforge_kit`.

    `broker` is a FlakyBroker around the private one: `kit.broker.lose_reply("enqueue")`.
    """

    def __init__(self, app: Taskforge, broker: FlakyBroker, recorder: Recorder, storage: Storage) -> None:
        self.app, self.broker = app, broker
        self._recorder, self._storage = recorder, storage

    def __repr__(self) -> str:
        return f"<Kit of {self.app!r}>"

    @property
    def clock(self) -> FakeClock:
        """The app's time, which stands still until it is moved. AppError if the app runs in real time."""
        clock = self.app.clock
        if not isinstance(clock, FakeClock):
            raise AppError(
                f"{self.app!r} runs in real time here, for a worker with threads of its own: wait for its jobs with "
                "job.result(timeout=10), or let the test run them itself, without a worker"
            )
        return clock

    def jobs(self, call: Call[..., object] | str | None = None, *, queue: str | None = None) -> list[EnqueuedJob]:
        """What was enqueued so far, whether it has run or not, in the order of its coming.

        Of this task, or name of one, and in this queue. Of `task.using(…)`: with these options.
        """
        jobs = [EnqueuedJob.read(self.app, job) for job in self._recorder.jobs if queue in (None, job.queue)]
        if call is None:
            return jobs
        if isinstance(call, str):
            return [job for job in jobs if job.task == call]
        return [job for job in jobs if fits_options(self.app, call, job)]

    def forget_jobs(self) -> None:
        """Let `jobs` and `assert_enqueued` see only what is enqueued from now on."""
        self._recorder.forget()

    def assert_enqueued(self, call: Call[P, R], /, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob:
        """A job that `call.enqueue(*args, **kwargs)` would make was enqueued; the first such.

        `call` is a task, or `task.using(delay=60)`: options that are given there must be the job's, others may be
        anything. An argument may be a matcher, as unittest.mock.ANY. Raises AssertionError that shows what was enqueued
        instead, the nearest first.
        """
        __tracebackhide__ = True
        expected, jobs = Expected(self.app, call, args, kwargs), self.jobs()
        for job in jobs:
            if not expected.differences(job):
                return job
        raise AssertionError(complaint(self.app, expected, jobs))

    def run_until_idle(
        self, *, within: Seconds | None = None, raise_errors: bool = True, max_runs: int = MAX_RUNS
    ) -> list[FinishedRun]:
        """Run every job here and now, delayed and retried ones, too; the runs, in their order.

        Moves the clock to whatever falls due next until nothing waits; or, with `within`, by just so many seconds, and
        leaves what falls due later. One job runs at a time, in the calling thread. When all is done, the error of a
        job that died is raised, unless `raise_errors` is False. Raises NeverIdle after `max_runs` runs or two years of
        the clock; WouldBlock inside a running event loop, where `arun_until_idle` is the way.
        """
        __tracebackhide__ = True
        refuse_in_loop("run_until_idle()", "arun_until_idle()")
        drive = Drive(self.app, self.clock, max_runs)
        drive.run(self._queues, checked_span(within))
        if raise_errors:
            raise_first(drive.dead())
        return drive.runs

    async def arun_until_idle(
        self, *, within: Seconds | None = None, raise_errors: bool = True, max_runs: int = MAX_RUNS
    ) -> list[FinishedRun]:
        """`run_until_idle` without blocking the event loop: the jobs run in a thread, `async def` on a loop there."""
        run = partial(self.run_until_idle, within=within, raise_errors=raise_errors, max_runs=max_runs)
        return await asyncio.to_thread(run)

    def assert_no_leftovers(self) -> None:
        """Nothing stays in the broker once every job has ended and aged out; LeftOver (an AssertionError) if it does.

        For the end of a test: jobs that wait are cancelled, and the clock moves by years.
        """
        __tracebackhide__ = True
        check_leftovers(self.app, self.clock, self._storage, self._queues())

    def _queues(self) -> list[str]:
        """Those the app names, and those that jobs went to."""
        return sorted({*self.app.queue_names(), *self._recorder.queues})


@contextmanager
def under_test(
    app: Taskforge, *, broker: str = "memory://", real_time: bool = False, **settings: object
) -> Iterator[Kit]:
    """Give an app a private broker and a FakeClock that starts now; inside the `with`, everything of it goes there.

    What ended is kept for a year, unless a task or a queue says otherwise, for tests move the clock far; and no job
    waits for another worker that might know its task. Afterwards the app is what it was: its settings, its broker, its
    clock, and without the tasks and wrappers that were made inside functions meanwhile.

    `broker` may be a URL of another broker: there the app gets a prefix of its own, and on Redis its keys are removed
    in the end. With `real_time` the app keeps the system's clock, for `app.worker()`. Every other keyword is a setting
    for the time of the `with`. Raises AppError while a worker of the app runs in this process.
    """
    if app.working:
        raise AppError(f"{app!r} has a worker in this process: stop that one before testing the app")
    before, forget_local = dict(vars(app)), _forget_local(app)
    prefix = f"tf-test:{secrets.token_hex(6)}"
    try:
        app._client = None
        app.clock = SystemClock() if real_time else FakeClock(_present())
        app.configure(broker=broker, prefix=prefix, **{**_SETTINGS, **settings})
        opened = open_broker(app.broker_url, app._broker_settings())
        recorder, storage = Recorder(opened), storage_of(opened, prefix)
        flaky = FlakyBroker(recorder)
        app._client = client = Client(flaky, app.settings)
        try:
            yield Kit(app, flaky, recorder, storage)
        finally:
            storage.clear()
            client.close()
    finally:
        vars(app).update(before)
        app.desk.forget()
        forget_local()


def _present() -> datetime:
    """Now, in whole milliseconds, so that nothing is lost on the way through a broker."""
    return stamped(moment(datetime.now(UTC)))


def _forget_local(app: Taskforge) -> Callable[[], None]:
    """What takes those tasks and wrappers from the app that were, since this call, made inside a function.

    What a module declares when it is first imported meanwhile stays: it will not be imported again.
    """
    tasks, jobs, workers = list(app.tasks), list(app.arounds.job), list(app.arounds.worker)

    def forget() -> None:
        registry, app.tasks = app.tasks, Registry()
        for task in registry:
            if task in tasks or not _is_local(task.function):
                app.tasks.add(task)
        for known, wrappers in ((jobs, app.arounds.job), (workers, app.arounds.worker)):
            wrappers[:] = [each for each in wrappers if each in known or not _is_local(each)]

    return forget


def _is_local(function: Callable[..., object]) -> bool:
    return "<locals>" in getattr(function, "__qualname__", "")
