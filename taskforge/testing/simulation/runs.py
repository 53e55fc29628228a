"""Which runs are under way, in all workers: none may be there that must not."""

from __future__ import annotations

from taskforge.app import Taskforge
from taskforge.run import Run, StopCause
from taskforge.testing.simulation.ledger import Ledger
from taskforge.testing.simulation.scheduler import Process, Scheduler, Violation
from taskforge.testing.simulation.trace import Trace


class Runs:
    """Which runs are under way, in all processes."""

    def __init__(self, scheduler: Scheduler, ledger: Ledger, trace: Trace) -> None:
        self._scheduler, self._ledger, self._trace = scheduler, ledger, trace
        self._under_way: list[tuple[Process, Run]] = []
        self._begun: set[tuple[str, int]] = set()
        #: What went wrong when a run began: to be raised outside of it, where no handler of a run can catch it.
        self.violation: Violation | None = None

    def started(self, app: Taskforge, run: Run) -> None:
        """Receives the signal: a task's function is about to be called."""
        actor = self._scheduler.current
        assert actor is not None
        try:
            self._begin(actor.process, run)
        except Violation as violation:
            self.violation = violation

    def _begin(self, worker: Process, run: Run) -> None:
        entry = self._ledger.entry(run.id)
        number, called = run.delivery.number, entry.delivery(run.delivery.number)
        self._trace.say(worker.name, f"runs {called}: {run.task}")
        if (run.id, number) in self._begun:
            raise Violation(f"{called} runs a second time")
        if run.cause is StopCause.LOST:
            raise Violation(f"{called} begins to run, though its worker knows that the lease is lost")
        if number in entry.settled:
            raise Violation(f"{called} runs, though it was settled before")
        for other, earlier in self._under_way:
            if earlier.id == run.id and other.alive and not other.ending and number not in entry.lapsed:
                before = earlier.delivery.number
                if before not in entry.lapsed:
                    raise Violation(f"{called} runs while {entry.delivery(before)} runs and keeps its lease")
        self._begun.add((run.id, number))
        self._under_way.append((worker, run))

    def of(self, worker: Process) -> list[Run]:
        """Those that have begun in this process, and not ended."""
        return [run for process, run in self._under_way if process is worker]

    def end(self, worker: Process, run: Run, how: object) -> None:
        """The function has come to its end."""
        self._under_way = [each for each in self._under_way if each[1] is not run]
        called = self._ledger.entry(run.id).delivery(run.delivery.number)
        self._trace.say(worker.name, f"ends {called}: {type(how).__name__}")
