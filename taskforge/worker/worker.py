"""Worker: builds the parts of one process, and takes them through start, drain and stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from taskforge.brokers.resend import reach
from taskforge.checks import checked_queue_name
from taskforge.errors import AppError
from taskforge.outcome import Failed, HandedBack
from taskforge.run import Run, StopCause
from taskforge.settings import listed
from taskforge.signals import emit
from taskforge.worker.exchanger import LAST_EXCHANGE, Exchanger
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.keeper import Keeper
from taskforge.worker.loopwatch import LoopWatch
from taskforge.worker.pen import Pen
from taskforge.worker.quota import Quota, size_of
from taskforge.worker.relations import Relations
from taskforge.worker.runner import Runner
from taskforge.worker.shared import ChildState, Shared
from taskforge.worker.slots import Slots
from taskforge.worker.stacks import log_stacks
from taskforge.worker.wrapped import Wrapped

if TYPE_CHECKING:
    from taskforge.app import Taskforge

logger = logging.getLogger("taskforge.worker")

#: At a hurried stop, runs that can end at once get this long (seconds).
HURRIED_GRACE = 0.5
#: An event loop that does not turn for this long (seconds) never will: the run that blocks it is given up.
LOOP_PATIENCE = 30.0
#: How long (seconds) idle processes of the pen, and threads that only hear and tell, may take to end.
HELPERS_END = 3.0
#: What is wrapped around a worker has this long (seconds) to be left where runs are given up: the loop may be blocked.
WRAPPERS_END = 3.0
#: How long (seconds) the loops may take to end once they were told to.
LOOPS_END = LAST_EXCHANGE + 10.0


class Worker:
    """Runs jobs in this process: `with app.worker(threads=8): …`, or `async with`.

    `queues` are served strictly in this order; by default all that the app knows, taking turns. `threads` and
    `slots` default to the settings.
    With `burst` it ends by itself when no job of its queues is ready and none is running here; delayed jobs are left.
    It also ends once it has run `max_jobs`, or has held no job for `max_idle` seconds.
    Leaving the `with` claims nothing more, gives running jobs `grace` to finish, asks the others to stop, and waits
    for those that do not: a thread cannot be ended safely, and its lease is kept as long.
    """

    def __init__(
        self,
        app: Taskforge,
        *,
        queues: Sequence[str] = (),
        threads: int | None = None,
        slots: int | None = None,
        burst: bool = False,
        max_jobs: int | None = None,
        max_idle: float | None = None,
        shared: Shared | None = None,
    ) -> None:
        app.load()
        self.app, self.settings, self.burst = app, app.settings, burst
        asked = [checked_queue_name(name) for name in dict.fromkeys(listed("queues", queues))]
        self.queues = asked or app.queue_names()
        sizes = (size_of("threads", threads, self.settings.threads), size_of("slots", slots, self.settings.slots))
        runner = Runner(app)
        # Queues that somebody wrote in an order are served in it; the others take turns, so that none starves.
        self.slots = Slots(
            sizes, self.queues, self._kinds, in_order=bool(asked), ahead=self.settings.claim_ahead.total_seconds()
        )
        self.exchanger = Exchanger(app, app.broker, runner, self.slots, self.queues, burst)
        self.runner = runner
        self.relations = Relations(self, shared)
        self.exchanger.quota = Quota.of(max_jobs, max_idle)
        self.loop = LoopExecutor(sizes[1], runner, self.exchanger.done, self._loop_failed)
        self.threads = ThreadExecutor(sizes[0], runner, self.loop, self.exchanger.done)
        self.exchanger.threads, self.exchanger.loop = self.threads, self.loop
        self.keeper = Keeper(app.broker, app.codec, self.settings, app.clock, self.slots, self.queues, self._overstayed)
        self.keeper.warden.on_round = self.relations.turned
        self.keeper.warden.loop = LoopWatch(app, self.loop, LOOP_PATIENCE, self._overstayed, self._loop_failed)
        runner.judging.colleagues = self.relations.enrolment.colleagues
        self.pen = runner.pen = Pen(app, runner.stopped)
        self.overstaying: set[Run] = set()
        self.resting = self.restart = False
        self.ending = threading.Event()
        self.hurry = threading.Event()
        self._loops = [
            threading.Thread(target=self._exchange, name="taskforge-exchanger", daemon=True),
            threading.Thread(target=self.keeper.run, name="taskforge-keeper", daemon=True),
        ]
        self._wrapped = Wrapped(self.loop)

    @property
    def healthy(self) -> bool:
        """False once a run overstays its timeout, or the loop that talks to the broker has failed."""
        return not self.overstaying and self.exchanger.failure is None

    def start(self, patience: float | None = None) -> None:
        """Enter what is wrapped around workers, then begin to claim. Raises what a wrapper raises, and
        BrokerUnavailable when the broker does not answer for `patience` seconds (`call_timeout`).

        One worker at a time per app and process: its exchanger waits on the app's own broker.
        """
        if self.app.working:
            raise AppError(f"{self.app!r} has a worker in this process already; give that one more threads or queues")
        self.app.working = True
        try:
            self._start(self.settings.call_timeout.total_seconds() if patience is None else patience)
        except BaseException:
            self.app.working = False
            raise

    def _start(self, patience: float) -> None:
        app = self.app
        self.relations.announce()
        reach(app.broker, patience)
        self.relations.enrolment.beat()
        self.loop.start()
        try:
            self.pen.start()
            self._wrapped.enter(app.arounds.worker, app)
        except BaseException:
            self._wrapped.close()
            self.pen.stop(0)
            self.loop.stop(HURRIED_GRACE)
            raise
        self.threads.start()
        for loop in self._loops:
            loop.start()
        self.relations.start()
        logger.info("worker_started", extra={"queues": self.queues, "threads": self.slots.sizes[0]})
        emit(self.app.signals.worker_started, self.app, worker=self)

    @property
    def name(self) -> str:
        """What this process is known by: to the broker, to operators, and beside each job that it runs."""
        return self.exchanger.persistence.name

    def quiet(self) -> None:
        """Take no new jobs until told to resume; those that run go on."""
        self.exchanger.quiet()
        self.resting = True

    def resume(self) -> None:
        """Take jobs again."""
        if self.overstaying or self.ending.is_set():
            return  # it is to be replaced, or ends
        self.resting = False
        self.exchanger.resume()

    def wait(self, timeout: float | None = None) -> bool:
        """Until it should end (asked to, done in burst mode, failed, or a run overstays); False after `timeout`
        seconds.
        """
        return self.ending.wait(timeout)

    def stop(self, *, kill: bool = False) -> list[Run]:
        """Drain, hand back, let go; the runs that would not end.

        With `kill` those are settled as well, as the very last thing: the process must end at once. Else they are
        waited for.
        """
        self.ending.set()
        self.relations.state(ChildState.DRAINING)
        self.exchanger.drain()
        logger.info("worker_draining", extra={"running": len(self.slots)})
        emit(self.app.signals.worker_draining, self.app, worker=self)
        self._wait_for_runs(self.settings.grace.total_seconds())
        for run in self._running():
            run.request_stop(StopCause.SHUTDOWN)
        self._wait_for_runs(max(HURRIED_GRACE, self.settings.stop_grace.total_seconds()), hurried=HURRIED_GRACE)
        left = self._running() + [run for run in self.overstaying if not run.ended]
        if left and kill:
            self._abandon(left)
            return left
        if not kill:
            self._wait_for_threads()
        self._let_go()
        return left

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self.exchanger.failure is not None:
            raise self.exchanger.failure

    async def __aenter__(self) -> Worker:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # The steps behind.

    def _kinds(self, queue: str) -> list[bool]:
        """Whether async, for each task whose jobs go to this queue unless a call says otherwise."""
        return [task.is_async for task in self.app.tasks if self.app.queue_of(task, {}) == queue]

    # What others ask of it.

    def silence(self) -> float:
        """Seconds since the broker last answered."""
        return self.exchanger.persistence.silence()

    def dump(self, why: str = "asked") -> None:
        """Log what every thread and every coroutine does now, with its job."""
        log_stacks(self, why)

    def _exchange(self) -> None:
        self.exchanger.run()
        if self.exchanger.failure is not None:
            self.relations.state(ChildState.FAILED)
        self.ending.set()

    def _loop_failed(self, error: Exception) -> None:
        """The event loop is broken, and the runs on it with it: this process can only end."""
        logger.critical("loop_failed", exc_info=error)
        self.exchanger.failure = self.exchanger.failure or error
        self.ending.set()

    def _overstayed(self, run: Run) -> None:
        """A run ignores its timeout. This process cannot end its thread: it must end itself, or at least say so."""
        if run in self.overstaying:
            return
        self.overstaying.add(run)
        logger.error("run_overstays", extra={"job": run.id, "task": run.task, "queue": run.queue})
        if self.relations.shared is None:
            self.ending.set()
            return
        self.quiet()  # until its parent has another in its place
        self.relations.state(ChildState.REPLACE_ME)

    def _running(self) -> list[Run]:
        return [run for run in self.slots.runs() if not run.ended and run not in self.overstaying]

    def _wait_for_runs(self, grace: float, hurried: float = 0.0) -> None:
        """Until nothing runs but what overstays, or for `grace` seconds; only `hurried` ones once there is a hurry."""
        start = time.monotonic()
        while self._running() and self.exchanger.failure is None:
            limit = hurried if self.hurry.is_set() else grace
            rest = start + limit - time.monotonic()
            if rest <= 0:
                return
            self.exchanger.empty.wait(min(rest, 0.05))

    def _wait_for_threads(self) -> None:
        while any(not run.ended for run in self.slots.runs()) and self.exchanger.failure is None:
            self.exchanger.empty.wait(0.1)

    def _abandon(self, left: Sequence[Run]) -> None:
        """End the jobs of runs that are about to end with the process. Nothing may come after: they still run."""
        self.pen.stop(0)
        try:
            self._wrapped.close(WRAPPERS_END)
        except Exception:  # it ends with the process; the jobs must be settled all the same
            logger.exception("wrapper_not_left")
        emit(self.app.signals.worker_stopped, self.app, worker=self)
        for run in left:
            if run in self.overstaying:
                self.exchanger.done(run, Failed(self.runner.timed_out(run), "timeout"))
            elif self.relations.shared is None or run.options.at_most_once:  # which must not go back: it has begun
                self.exchanger.done(run, HandedBack())
            else:
                self.runner.cells[run.cell] = 0  # without blame: its parent gives it back once this process is gone
        self.exchanger.stop()
        self._loops[0].join(LOOPS_END)

    def _let_go(self) -> None:
        self.exchanger.stop()
        self._loops[0].join(LOOPS_END)
        self.keeper.stop()
        self._loops[1].join(LOOPS_END)
        self.relations.stop(HELPERS_END)
        self.threads.stop(HURRIED_GRACE)
        self.pen.stop(HELPERS_END)
        self._wrapped.close()
        self.loop.stop(HURRIED_GRACE)
        self.app.working = False
        logger.info("worker_stopped")
        emit(self.app.signals.worker_stopped, self.app, worker=self)
