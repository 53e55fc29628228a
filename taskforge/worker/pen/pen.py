"""Pen: keeps children for isolated runs, gives each run one, and says how it ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from taskforge.app import Taskforge
from taskforge.errors import AppError, DecodeError, MemoryExceeded, ProcessDied
from taskforge.isolate import Isolate
from taskforge.outcome import Crashed, Failed, Outcome
from taskforge.run import Run
from taskforge.signals import emit
from taskforge.sizes import told
from taskforge.task import AnyTask, module_name
from taskforge.worker.pen.forms import jobs_from_plain, outcome_from_plain
from taskforge.worker.pen.home import Home, home_of, in_child
from taskforge.worker.pen.limits import resident
from taskforge.worker.pen.process import Child, StartFailed

logger = logging.getLogger("taskforge.worker")

#: A child that is not ready by then (seconds) hangs in its import.
START_LIMIT = 60.0
#: How long (seconds) a child that is no longer needed may take to end.
PARTING = 5.0
#: A used child that nobody needed for this long (seconds) is let go.
IDLE_AGE = 60.0
#: While there is something to watch, a look at it this often (seconds): memory, overdue ends.
PACE = 0.05
#: A run that was asked to stop is killed this much (seconds) before `stop_grace` has passed, or a quarter of it:
#: so that it has ended when the worker looks.
HEADWAY = 0.25
#: A run alone, in a child that runs nothing before or after it.
ALONE = Isolate(reuse=1)


class Pen:
    """Children are started by one thread, which outlives them, and used by the threads that call.

    `stopped` says how a run ends that was asked to stop and did not say so itself. `spare` is how many children are
    kept that have not run anything yet, once there is a use for them.
    """

    def __init__(self, app: Taskforge, stopped: Callable[[Run], Outcome], *, spare: int = 1) -> None:
        self.app, self._stopped, self._spare = app, stopped, spare
        grace = app.settings.stop_grace.total_seconds()
        self._patience = grace - min(HEADWAY, grace / 4)
        self._changed = threading.Condition()
        # Under it: the children that wait, that run, and that may go; how many callers wait for one.
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._leaving: list[Child] = []
        self._waiting = 0
        self._wanted = self._broken = self._stopping = False
        self._home: Home | None = None
        self._thread = threading.Thread(target=self._tend, name="taskforge-pen", daemon=True)

    def start(self) -> None:
        """Begin. If tasks of the app ask for isolation, the first child is ready when this returns.

        Raises AppError when it cannot be, or when a task's memory limit is below what an idle child needs.
        """
        if in_child():
            raise AppError(
                "importing the app starts a worker, in a process for isolated runs, too: put what the program runs "
                "under `if __name__ == '__main__':`"
            )
        self._home = home_of(self.app)
        self._thread.start()
        limits = [task.options.get("isolate") for task in self.app.tasks]
        asked = [limit for limit in limits if isinstance(limit, Isolate)]
        if asked:
            self._begin_with(asked)

    def takes(self, task: AnyTask) -> bool:
        """Whether a child could find this task: its app and its function stand where importing puts them."""
        found = self._home is not None or home_of(self.app) is not None
        return found and "<locals>" not in getattr(task.function, "__qualname__", "")

    def call(self, run: Run) -> Outcome:
        """Run it in a child; blocks until that has ended, or is dead. Never raises for what a run or a child does."""
        isolate = ALONE if run.alone or run.options.isolate is None else run.options.isolate
        memory = run.options.isolate.memory if run.options.isolate else None
        assert not isinstance(memory, str)  # options are checked when a task is declared, or a body read
        try:
            child = self._take(run, isolate.reuse, memory)
            if child is None:
                return self._stopped(run)
            outcome = self._converse(child, run, memory)
        except StartFailed as failed:
            return self._stopped(run) if run.should_stop else Failed(failed.error)
        finally:
            run.on_stop = None
        self._put_back(child, isolate.reuse, spent=run.should_stop or isinstance(outcome, Failed) and _hurt(outcome))
        return outcome

    def stop(self, timeout: float) -> None:
        """Let the children go; those that run something, and all that do not end in `timeout` seconds, are killed."""
        with self._changed:
            self._stopping = True
            for child in self._busy:
                child.kill()
            for child in self._idle:
                child.dismiss(timeout)
            self._leaving += self._idle
            self._idle.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout + PARTING)

    # One run.

    def _take(self, run: Run, reuse: int, memory: int | None) -> Child | None:
        """A child that is ready for this run; None when the run is asked to stop first. Raises StartFailed."""
        run.on_stop = self._wake
        with self._changed:
            self._wanted = True
            self._waiting += 1
            self._changed.notify_all()
            try:
                while (child := self._pick(reuse, memory)) is None:
                    if run.should_stop:
                        return None
                    if self._stopping or not self._home:
                        raise StartFailed(self._why_none())
                    self._changed.wait()
            finally:
                self._waiting -= 1
            self._busy.add(child)
            self._changed.notify_all()  # a spare less
        run.on_stop = child.kill
        try:
            if run.should_stop:
                child.kill()
            child.wait_ready(START_LIMIT)
            if memory is not None and memory < child.needs:
                raise StartFailed(_too_little(run.task, memory, child.needs))
        except StartFailed as failed:
            self._report(failed, run)
            self._discard(child)
            raise
        self._broken = False
        return child

    def _pick(self, reuse: int, memory: int | None) -> Child | None:
        """The latest used one with the same limit, else a fresh one that is ready, else one that is starting."""
        for child in [each for each in self._idle if not each.is_alive() and each.ready]:
            self._idle.remove(child)
            self._leaving.append(child)
        used = [each for each in self._idle if 0 < each.jobs < reuse and each.memory == memory]
        fresh = [each for each in self._idle if not each.jobs]
        chosen = (used or [each for each in fresh if each.ready] or fresh or [None])[-1]
        if chosen is not None:
            self._idle.remove(chosen)
            chosen.memory = memory
        return chosen

    def _converse(self, child: Child, run: Run, memory: int | None) -> Outcome:
        """Hand it the run, hear what it says of it, until its end or its own."""
        run.begin(self.app.clock.monotonic())
        emit(self.app.signals.job_started, self.app, run=run)
        run.on_stop = partial(self._ask, child, run)
        try:
            number = child.begin(run, module_name(run.task_object.function), memory)
            if memory is not None:
                self._wake()
            if run.should_stop:
                self._ask(child, run)
            while True:
                match child.receive():
                    case ["ended", int(ended), outcome, then] if ended == number:
                        run.then = jobs_from_plain(then)
                        return outcome_from_plain(outcome)
                    case ["progress", int(of), (int() | float()) as done, total, str(note)] if of == number:
                        run.progress(done, total if isinstance(total, int | float) else None, note)
                    case ["progress", *_]:
                        continue  # the last word of an earlier run
                    case other:
                        raise DecodeError(f"not a message from a child: {other[0]!r}")
        except (EOFError, OSError, DecodeError):
            return self._died(child, run)
        finally:
            child.end()

    def _died(self, child: Child, run: Run) -> Outcome:
        """It is dead, or has lost its voice, which is the same: what that means."""
        how = child.bury()
        if child.exceeded:
            limit = told(child.memory or 0)
            return Failed(
                MemoryExceeded(f"{run.task} may take {limit}, and had taken {told(child.exceeded)}: {how}"), "memory"
            )
        if run.should_stop or self._stopping:
            return self._stopped(run)
        return Crashed(ProcessDied(f"the isolated run ended its process: {how}"))

    def _ask(self, child: Child, run: Run) -> None:
        child.ask(run, self._patience)
        self._wake()

    def _put_back(self, child: Child, reuse: int, spent: bool) -> None:
        """It is free again, or has run enough."""
        with self._changed:
            self._busy.discard(child)
            if spent or child.jobs >= reuse or self._stopping or not child.is_alive():
                child.dismiss(PARTING)
                self._leaving.append(child)
            else:
                child.idle_since = time.monotonic()
                self._idle.append(child)
            if self._waiting or self._leaving:
                self._changed.notify_all()

    def _discard(self, child: Child) -> None:
        child.kill()
        with self._changed:
            self._busy.discard(child)
            self._leaving.append(child)
            self._changed.notify_all()

    # The children.

    def _begin_with(self, asked: list[Isolate]) -> None:
        """Have one ready, and see whether it fits into every limit."""
        if self._home is None:
            raise AppError(self._why_none())
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            while not self._idle:
                self._changed.wait()
            child = self._idle[0]
        try:
            child.wait_ready(START_LIMIT)
            for limit in asked:
                if isinstance(limit.memory, int) and limit.memory < child.needs:
                    raise StartFailed(_too_little("a task", limit.memory, child.needs))
        except StartFailed as failed:
            self.stop(0)
            raise AppError(f"no process for isolated runs: {failed.error}") from failed.error

    def _report(self, failed: StartFailed, run: Run) -> None:
        """Once, not for every run that meets it; and no spares meanwhile."""
        if run.should_stop:
            return
        level = logging.DEBUG if self._broken else logging.ERROR
        self._broken = True
        logger.log(level, "isolated_process_not_started", extra={"task": run.task, "error": str(failed.error)})

    def _why_none(self) -> AppError:
        if self._stopping:
            return AppError("the worker is stopping")
        return AppError(
            f"{self.app!r} is in no module's global variable, where a process of its own could import it: an app with "
            "isolated tasks must be, as in app = Taskforge(…) at the top of a module"
        )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tend(self) -> None:
        """The thread that starts children, and ends those that are due; until stopped, and the last one is gone."""
        while True:
            with self._changed:
                missing = self._missing()
                if not missing:
                    if self._stopping and not self._leaving and not self._busy:
                        return
                    self._changed.wait(self._pause())
            if missing and self._home is not None:
                child = Child(self._home)
                with self._changed:
                    (self._leaving if self._stopping else self._idle).append(child)
                    self._changed.notify_all()
            self._look(time.monotonic())

    def _missing(self) -> bool:
        """Whether a child more is needed: each caller that waits gets one, and there are the spares."""
        if self._stopping or not self._wanted or self._home is None:
            return False
        fresh = sum(not child.jobs for child in self._idle)
        return fresh < self._waiting + (0 if self._broken else self._spare)

    def _pause(self) -> float:
        """How long nothing needs a look (seconds)."""
        watched = self._leaving or any(child.memory is not None for child in self._busy)
        overdue = any(child.kill_at < float("inf") for child in self._busy)
        return PACE if watched or overdue else IDLE_AGE / 4

    def _look(self, now: float) -> None:
        """Kill what is overdue or has grown too large; bury the dead; let go of the idle."""
        with self._changed:
            busy, leaving = list(self._busy), list(self._leaving)
            for child in [each for each in self._idle if each.jobs and now - each.idle_since > IDLE_AGE]:
                self._idle.remove(child)
                child.dismiss(PARTING)
                self._leaving.append(child)
        for child in busy:
            if child.memory is not None and child.run is not None and (held := resident(child.pid)) > child.memory:
                child.exceeded = held
                child.kill()
            if now >= child.kill_at or self._stopping:
                child.kill()
        for child in leaving:
            if now >= child.kill_at:
                child.kill()
        gone = {child for child in leaving if child.bury_if_dead()}
        if gone:
            with self._changed:
                self._leaving = [child for child in self._leaving if child not in gone]


def _hurt(failed: Failed) -> bool:
    """Whether the child has met its memory limit: what it holds is in doubt."""
    return failed.reason == "memory"


def _too_little(who: str, memory: int, needs: int) -> AppError:
    return AppError(
        f"{who} is isolated with memory={told(memory)}, and a process with this app's code needs {told(needs)} before "
        "it runs anything: raise the limit"
    )
