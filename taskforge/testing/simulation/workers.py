"""What is simulated: worker processes made of the real parts, and clients that go through the real client."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import cast

from taskforge.brokers.protocol import Demand
from taskforge.errors import BrokerUnavailable
from taskforge.outcome import Failed, HandedBack
from taskforge.run import Run, StopCause
from taskforge.testing.simulation.choices import Stream
from taskforge.testing.simulation.program import GRACE, QUEUES, STOP_GRACE
from taskforge.testing.simulation.scene import Scene
from taskforge.testing.simulation.scheduler import Process, Unplugged, Violation
from taskforge.worker.exchanger import Exchanger
from taskforge.worker.executors import ThreadExecutor
from taskforge.worker.keeper import Keeper
from taskforge.worker.line import Line
from taskforge.worker.runner import Runner
from taskforge.worker.slots import Slots

#: Threads of a worker, and how often (seconds) its keeper looks: seldom, for time passes in large steps here.
THREADS, KEEPER_PACE = 2, 2.0
#: How likely it is that so many jobs may be claimed ahead.
AHEAD = (6, 2, 1)


class Executor:
    """Takes the place of the thread executor: each slot is an actor."""

    def __init__(self, worker: Worker, scene: Scene) -> None:
        self.line = Line()
        self._worker, self._scheduler, self._runs = worker, scene.scheduler, scene.runs
        self._bell = 0

    def submit(self, runs: Sequence[Run], now: float) -> None:
        """Put these in line, and wake the slots."""
        for run in runs:
            run.handed_out = now
        self.line.add(runs)
        self._bell += len(runs)

    def slot(self) -> None:
        """What one thread does."""
        while True:
            self._scheduler.sleep(None, lambda: self._bell > 0)
            self._bell -= 1
            while (run := self.line.next()) is not None:
                self._scheduler.sleep(0, lambda: True)
                outcome = self._worker.runner.call(run, _no_async)
                if not self._worker.alive:
                    return
                self._runs.end(self._worker, run, outcome)
                self._worker.exchanger.done(run, outcome)


class DrawnSlots(Slots):
    """Slots whose claim-ahead is drawn rather than earned, and whose runs have an order."""

    choices: Stream

    def demand(self, now: float) -> Demand:
        """Now and then a job or two beyond the free slots."""
        ahead = self.choices.pick(AHEAD)
        plain = super().demand(now)
        return plain._replace(ahead=dict.fromkeys(QUEUES, ahead)) if ahead else plain

    def runs(self) -> list[Run]:
        return sorted(super().runs(), key=lambda run: (run.id, run.delivery.number))

    def fresh(self) -> list[Run]:
        return sorted(super().fresh(), key=lambda run: (run.id, run.delivery.number))


class Worker(Process):
    """A worker process."""

    def __init__(self, name: str, scene: Scene) -> None:
        super().__init__(name)
        self.scheduler = scene.scheduler
        self.connection = scene.connect(self)
        app = scene.app
        self.runner = Runner(app)
        self.slots = DrawnSlots((THREADS, 0), QUEUES, lambda queue: [False], in_order=False)
        self.slots.choices = scene.choices.stream(name)
        self.exchanger = Exchanger(app, self.connection, self.runner, self.slots, QUEUES, burst=False)
        self.executor = Executor(self, scene)
        self.exchanger.threads = cast("ThreadExecutor", self.executor)
        self.keeper = Keeper(self.connection, app.codec, app.settings, app.clock, self.slots, QUEUES, self._overstayed)
        self._overstaying: set[Run] = set()
        self._stopping = False
        self._exchanged = False
        self.scheduler.spawn(self, "exchanger", self._exchange)
        self.scheduler.spawn(self, "keeper", self._keep)
        for number in range(THREADS):
            self.scheduler.spawn(self, f"slot {number}", self.executor.slot)

    def stop(self) -> None:
        """Begin an orderly end."""
        if not self._stopping:
            self._stopping = True
            self.scheduler.spawn(self, "main thread", self._stop)

    def _exchange(self) -> None:
        self.exchanger.run()
        self._exchanged = True
        error = self.exchanger.failure
        if error is not None and self.alive and not isinstance(error, Unplugged | BrokerUnavailable):
            raise Violation(f"{self}: its exchanger failed") from error

    def _keep(self) -> None:
        while True:
            self.scheduler.sleep(KEEPER_PACE)
            self.keeper.tick(self.scheduler.clock.monotonic())

    def _overstayed(self, run: Run) -> None:
        self._overstaying.add(run)
        self.stop()

    def _stop(self) -> None:
        """The steps of taskforge.worker.Worker.stop, without its threads."""
        self.exchanger.drain()
        self._wait_for_runs(GRACE)
        for run in self._running():
            run.request_stop(StopCause.SHUTDOWN)
        self._wait_for_runs(STOP_GRACE)
        self.ending = True
        for run in self._running() + sorted(self._overstaying, key=lambda run: run.id):
            if not run.ended:
                late = Failed(self.runner.timed_out(run), "timeout")
                self.exchanger.done(run, late if run in self._overstaying else HandedBack())
        self.exchanger.stop()
        self.scheduler.sleep(60, lambda: self._exchanged)
        self.alive = False

    def _running(self) -> list[Run]:
        return [run for run in self.slots.runs() if not run.ended and run not in self._overstaying]

    def _wait_for_runs(self, grace: float) -> None:
        self.scheduler.sleep(grace, lambda: not self._running())


def _no_async(stack: ExitStack, manager: AbstractAsyncContextManager[object]) -> None:
    raise AssertionError("nothing is wrapped around jobs here")
