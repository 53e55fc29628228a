"""Runs every job of an app in the calling thread, and moves a FakeClock to what falls due next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import cast

from taskforge.app import Taskforge
from taskforge.brokers.protocol import CLOCK_JUMP, Broker, Demand, Exchange
from taskforge.brokers.stamp import Stamp
from taskforge.errors import AppError, JobFailed
from taskforge.info import read_error
from taskforge.job import Delivery, JobState
from taskforge.outcome import Failed, GivenUp, HandedBack, Outcome, Postponed, Succeeded
from taskforge.retry import Seconds, seconds
from taskforge.run import Run
from taskforge.settlement import Bury, Cancel, Requeue, Settlement
from taskforge.testing.clock import FakeClock
from taskforge.testing.finished import FinishedRun, fate_of
from taskforge.testing.inline import HereExecutor, HereLoop, interruption
from taskforge.testing.wrapping import BrokerWrapper
from taskforge.worker.exchanger import Exchanger
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.runner import Runner
from taskforge.worker.slots import Slots

#: More runs than this in one go, and some job is taken for one that never ends.
MAX_RUNS = 1_000
#: A job may be delayed by a year at most; who waits for longer waits again and again.
MAX_TIME = timedelta(days=2 * 366)
#: After a jump of its clock a broker takes nothing back for a quarter of a lease and this.
HOLD_EXTRA = timedelta(seconds=5)
#: The broker's smallest step of time.
TICK = timedelta(milliseconds=1)


class NeverIdle(AssertionError):
    """Jobs go on and on: one enqueues itself, snoozes or retries for ever."""


class _Watched(BrokerWrapper):
    """Notes what is settled, and how long until the next job falls due."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.settled: list[tuple[Settlement, bool]] = []
        self.next_due: timedelta | None = None

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        reply = super().exchange(demand, settlements, stamp)
        self.settled += [(each, index not in reply.refused) for index, each in enumerate(settlements)]
        self.next_due = reply.next_due
        return reply


class Drive:
    """One `run_until_idle`: bursts of the worker's own loop, one job at a time, and steps of the clock between them."""

    def __init__(self, app: Taskforge, clock: FakeClock, max_runs: int) -> None:
        self.app, self.clock, self.max_runs = app, clock, max_runs
        self.runs: list[FinishedRun] = []
        self._broker = _Watched(app.broker)
        self._runner = Runner(app)
        self._ended: dict[Delivery, tuple[Run, Outcome]] = {}
        self._loop = HereLoop(self._runner, self._done)
        self._threads = HereExecutor(self._runner, self._loop, self._done)
        self._exchanger: Exchanger
        self._interruption: BaseException | None = None

    def run(self, queues: Callable[[], Sequence[str]], within: timedelta | None) -> None:
        """Until nothing waits, or the clock has moved by `within`. `queues` tells those to serve now.

        Raises NeverIdle when jobs go on for longer than is sensible, and what interrupts a run.
        """
        start = self.clock.now()
        end = start + (MAX_TIME if within is None else within)
        with self._ready():
            while True:
                while self._burst(queues()):
                    pass
                due = self._broker.next_due
                if due is None or self.clock.now() + due > end:
                    break
                self.clock.advance(self._step(due))
        if within is not None:
            self.clock.advance(max(end - self.clock.now(), timedelta(0)))
        elif due is not None:
            raise NeverIdle(f"not idle after two years of the fake clock; {self._waiting()}")

    def dead(self) -> list[FinishedRun]:
        """The jobs that died, and did not come back to life, each by its last run."""
        last = {(run.queue, run.id): run for run in self.runs}
        return [run for run in last.values() if run.outcome == "dead"]

    # The steps behind.

    def _step(self, due: timedelta) -> timedelta:
        """How far to move the clock. In one go, if it is far: but a broker that sees its clock jump takes nothing back
        for a while, and that while must pass in steps which are no jumps.
        """
        hold = self.app.settings.lease / 4 + HOLD_EXTRA
        return max(TICK, min(due, CLOCK_JUMP) if due <= hold else due)

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """What a worker does around its loops: its app is working, and what is wrapped around workers is entered."""
        if self.app.working:
            raise AppError(f"{self.app!r} has a worker in this process already: run_until_idle() would be a second one")
        self.app.load()
        self.app.working = True
        try:
            with ExitStack() as stack:
                stack.callback(self._loop.close)
                for factory in self.app.arounds.worker:
                    self._enter(stack, factory(self.app))
                yield
        finally:
            self.app.working = False

    def _enter(self, stack: ExitStack, manager: object) -> None:
        if isinstance(manager, AbstractAsyncContextManager):
            self._loop.wait_for(manager.__aenter__())
            stack.push(lambda kind, error, trace: self._loop.wait_for(manager.__aexit__(kind, error, trace)))
        else:
            stack.enter_context(cast("AbstractContextManager[object]", manager))

    def _burst(self, queues: Sequence[str]) -> bool:
        """Run what is ready in these queues; False when nothing was."""
        before = len(self.runs)
        # One slot in each pool: one job is claimed at a time, the best one.
        slots = Slots((1, 1), queues, lambda queue: (), in_order=False)
        self._exchanger = Exchanger(self.app, self._broker, self._runner, slots, queues, burst=True)
        # They are used like the worker's own: to hand out runs, and to look at what stands in line.
        self._exchanger.threads = cast("ThreadExecutor", self._threads)
        self._exchanger.loop = cast("LoopExecutor", self._loop)
        self._exchanger.run()
        self._note()
        if self._exchanger.failure is not None:
            raise self._exchanger.failure
        if self._interruption is not None:
            raise self._interruption
        if len(self.runs) > self.max_runs:
            raise NeverIdle(f"more than {self.max_runs:,} runs, and no end; {self._busiest()}")
        return len(self.runs) > before

    def _done(self, run: Run, outcome: Outcome) -> None:
        """A run has ended: settle it, and go no further if it was interrupted or was one too many."""
        self._interruption = interruption(outcome)
        if self._interruption is not None:
            outcome = HandedBack()
        self._ended[run.delivery] = (run, outcome)
        self._exchanger.done(run, outcome)
        if self._interruption is not None or len(self._ended) + len(self.runs) > self.max_runs:
            self._exchanger.stop()

    def _note(self) -> None:
        """Make records of what was settled."""
        for settlement, accepted in self._broker.settled:
            run, outcome = self._ended.pop(settlement.delivery, (None, None))
            if run is None and isinstance(settlement, Requeue):
                continue  # parked for a worker that knows its task: nothing ran
            self.runs.append(self._finished(settlement, accepted, run, outcome))
        self._broker.settled.clear()

    def _finished(
        self, settlement: Settlement, accepted: bool, run: Run | None, outcome: Outcome | None
    ) -> FinishedRun:
        delivery = settlement.delivery
        error = getattr(outcome, "error", None) if isinstance(outcome, Failed | GivenUp | Postponed) else None
        if error is None and isinstance(settlement, Bury):
            error = self._as_text(settlement)
        return FinishedRun(
            task=run.task if run else None,
            id=delivery.id,
            queue=delivery.queue,
            attempt=run.attempt if run else 0,
            args=tuple(run.args) if run else (),
            kwargs=run.kwargs if run else {},
            outcome=fate_of(settlement) if accepted else "refused",
            at=self.clock.now(),
            result=outcome.value if isinstance(outcome, Succeeded) else None,
            reason=settlement.reason if isinstance(settlement, Bury | Cancel) else None,
            error=error,
        )

    def _as_text(self, settlement: Bury) -> JobFailed:
        """The error of a job that died without a run, or not of what its run raised."""
        told = read_error(self.app.codec, settlement.error) if settlement.error is not None else None
        text = (told.type, told.message, told.traceback) if told else ("", "", "")
        return JobFailed(settlement.delivery.id, settlement.reason, *text)

    def _busiest(self) -> str:
        """Which task ran most, and what a person may do about it."""
        [(task, count)] = Counter(run.task for run in self.runs).most_common(1)
        last = next(run for run in reversed(self.runs) if run.task == task)
        return (
            f"{task} made {count:,} of them, the last one for job {last.id}, attempt {last.attempt}: {last.outcome}. "
            "Does it enqueue itself, snooze or retry for ever? run_until_idle(within=60) runs what falls due in a "
            f"minute, max_runs={self.max_runs * 10:_} allows more"
        )

    def _waiting(self) -> str:
        """Which jobs still wait."""
        jobs = [job for state in (JobState.DELAYED, JobState.RUNNING) for job in self.app.jobs(state, limit=5)]
        named = "; ".join(f"{job.task} {job.id} is {job.state}, due {job.due_at or job.lease_until}" for job in jobs)
        return f"what waits: {named}. run_until_idle(within=3600) runs what falls due in an hour"


def checked_span(within: Seconds | None) -> timedelta | None:
    """`within` as a span. Raises ValueError for one that is negative."""
    if within is None:
        return None
    if seconds(within) < 0:
        raise ValueError(f"within must be 0 seconds or more, not {within!r}")
    return timedelta(seconds=seconds(within))
