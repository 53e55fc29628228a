"""The loop that ends runs which take too long, and forgives them the time that was not theirs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from taskforge.clock import Clock
from taskforge.run import Run, StopCause
from taskforge.settings import Settings
from taskforge.worker.dues import Dues
from taskforge.worker.loopwatch import LoopWatch
from taskforge.worker.slots import Slots

logger = logging.getLogger("taskforge.worker")

#: Time between two rounds (seconds): how late a timeout may be noticed.
PACE = 0.25
#: A round that comes later than this (seconds) finds that the process was held up: something held the interpreter, or
#: the process or the whole machine stood still.
HELD_UP = 1.0
#: How many jobs are listed that may have held it.
SUSPECTS = 10


class Warden:
    """Runs on a thread of its own, which never waits for the broker.

    `adopted` is told of the runs that have been here for a round: most are gone by then, and cost next to nothing.
    """

    def __init__(
        self,
        slots: Slots,
        clock: Clock,
        settings: Settings,
        overstayed: Callable[[Run], None],
        adopted: Callable[[Sequence[Run]], None],
    ) -> None:
        self.slots, self.clock, self._overstayed, self._adopted = slots, clock, overstayed, adopted
        self.stop_grace = settings.stop_grace.total_seconds()
        #: Watches the event loop, where there is one.
        self.loop: LoopWatch | None = None
        #: Called in each round: the interpreter turns.
        self.on_round: Callable[[], None] = lambda: None
        #: How often, and for how many seconds altogether, the process was held up.
        self.held_ups, self.held_up_for = 0, 0.0
        self._young: Sequence[Run] = ()
        self._dues = Dues(slots.holds)
        self._not_begun: list[Run] = []
        self._asked: dict[Run, float] = {}

    def run(self, stop: threading.Event, pace: float = PACE) -> None:
        """Until told to stop."""
        before = self.clock.monotonic()
        while not self.clock.wait(stop, pace):
            now = self.clock.monotonic()
            try:
                if now - before - pace > HELD_UP:
                    self.held_up(now - before - pace, now)
                self.tick(now)
            except Exception:
                logger.exception("warden_stumbled")
            before = self.clock.monotonic()

    def tick(self, now: float) -> None:
        """One round at this moment (monotonic seconds)."""
        self.on_round()
        self._adopt(now)
        if self._asked:
            self._asked = {run: at for run, at in self._asked.items() if self.slots.holds(run) and not run.ended}
        if self.loop is not None and (blocked := self.loop.tick(now)) is not None:
            runs = [run for run in self.slots.runs() if run.on_loop and run is not blocked.run]
            self._forgive(runs, blocked.seconds, now)
        for run in self._dues.take(now):
            self._look(run, now)

    def held_up(self, seconds: float, now: float) -> None:
        """The process stood still for so long, until now: no run could do anything meanwhile."""
        self.held_ups += 1
        self.held_up_for += seconds
        runs = self.slots.runs()
        suspects = [f"{run.id} ({run.task})" for run in runs if run.started is not None and not run.isolated]
        logger.warning("process_held_up", extra={"seconds": round(seconds, 3), "jobs": suspects[:SUSPECTS]})
        if self.loop is not None:
            self.loop.held_up(seconds)
        self._forgive(runs, seconds, now)

    def _adopt(self, now: float) -> None:
        """Take on the runs that have proved slow, and note when those that have begun are due."""
        fresh = self.slots.fresh()
        slow = [run for run in self._young if self.slots.holds(run)]
        slow += [run for run in fresh if run.started is not None and now - run.started > PACE]
        self._young = [run for run in fresh if run.started is None or now - run.started <= PACE]
        if slow:
            self._adopted(slow)
        waiting, self._not_begun = self._not_begun + slow, []
        for run in waiting:
            if run.started is not None:
                if run.due != float("inf"):
                    self._dues.add(run, run.due)
            elif self.slots.holds(run) and not run.ended:
                self._not_begun.append(run)

    def _look(self, run: Run, now: float) -> None:
        """Its moment has come: to be asked to stop, once; past the grace, to be called overstaying."""
        if run.ended:
            return
        if run not in self._asked and now < run.due:
            self._dues.add(run, run.due)  # it was forgiven some time
        elif self.loop is not None and run.on_loop and self.loop.excuses(run):
            self._dues.add(run, now)  # it cannot end: look again in the next round
        elif run not in self._asked:
            self._asked[run] = now
            logger.warning("run_timed_out", extra={"job": run.id, "task": run.task})
            run.request_stop(StopCause.TIMEOUT)
            self._dues.add(run, now + self.stop_grace)
        elif now - self._asked[run] > self.stop_grace and not run.isolated:  # whose process is killed by the pen
            self._overstayed(run)
            self._dues.add(run, now)
        else:
            self._dues.add(run, now)

    def _forgive(self, runs: Iterable[Run], seconds: float, now: float) -> None:
        """Let runs have the time that they did not get; those that were overdue before it are not excused."""
        for run in runs:
            if run in self._asked:
                self._asked[run] += seconds
            elif run.started is not None and run.due > now - seconds:
                run.due += min(seconds, now - run.started)
