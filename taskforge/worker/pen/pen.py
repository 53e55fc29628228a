"""Pen: gives each isolated run a child process, and says how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from taskforge.app import Taskforge
from taskforge.errors import AppError, DecodeError, MemoryExceeded, PayloadError, ProcessDied
from taskforge.failure import CarriedError
from taskforge.isolate import Isolate
from taskforge.outcome import Crashed, Failed, HandedBack, Outcome
from taskforge.run import Run
from taskforge.signals import emit
from taskforge.sizes import told
from taskforge.task import AnyTask, module_name
from taskforge.worker.pen.children import Children
from taskforge.worker.pen.forms import jobs_from_plain, outcome_from_plain, progress_from_plain
from taskforge.worker.pen.home import home_of, in_child
from taskforge.worker.pen.process import Child, StartFailed

logger = logging.getLogger("taskforge.worker")

#: A child that is not ready by then (seconds) hangs in its import.
START_LIMIT = 60.0
#: So many children in a row may be killed at their start before a pen gives up.
ACCIDENTS = 3
#: A run that was asked to stop is killed this much (seconds) before `stop_grace` has passed, or a quarter of it:
#: so that it has ended when the worker looks.
HEADWAY = 0.25
#: A run that is to be alone has a child that runs nothing before or after it.
ALONE = 1


class Pen:
    """One per worker. `stopped` says how a run ends that was asked to stop, and was killed.

    `spare` is how many children are kept ready beside those that were used already.
    """

    def __init__(self, app: Taskforge, stopped: Callable[[Run], Outcome], *, spare: int = 1) -> None:
        self.app, self._stopped = app, stopped
        self.children = Children(spare)
        grace = app.settings.stop_grace.total_seconds()
        self._patience = grace - min(HEADWAY, grace / 4)

    def start(self) -> None:
        """Begin. If tasks of the app ask for isolation, the first child is ready when this returns.

        Raises AppError when it cannot be, or when a task's memory limit is below what an idle child needs.
        """
        if in_child():
            raise AppError(
                "importing the app starts a worker, in a process for isolated runs, too: put what the program runs "
                "under `if __name__ == '__main__':`"
            )
        self.children.start(home_of(self.app))
        asked = {task.name: task.options.get("isolate") for task in self.app.tasks}
        limits = {name: isolate.memory for name, isolate in asked.items() if isinstance(isolate, Isolate)}
        if not limits:
            return
        try:
            if self.children.home is None:
                raise StartFailed(self._why_none())
            child = self._first()
            for name, memory in limits.items():
                _check_memory(name, memory, child)
        except StartFailed as failed:
            self.stop(0)
            raise AppError(f"no process for isolated runs: {_said(failed.error)}") from failed.error

    def _first(self) -> Child:
        """The first child, ready. One that a signal ended at its start, as when memory is short, has a successor."""
        for _ in range(ACCIDENTS):
            child = self.children.first()
            try:
                child.wait_ready(START_LIMIT)
                return child
            except StartFailed as failed:
                if not isinstance(failed.error, ProcessDied):
                    raise
                self.children.withdraw(child)
                died = failed
        raise died

    def takes(self, task: AnyTask) -> bool:
        """Whether a child could find this task: its app and its function stand where importing puts them."""
        return self.children.home is not None and "<locals>" not in getattr(task.function, "__qualname__", "")

    def call(self, run: Run) -> Outcome:
        """Run it in a child; blocks until that has ended, or is dead. Never raises for what a run or a child does."""
        isolate = run.options.isolate or Isolate()
        reuse, memory = ALONE if run.alone else isolate.reuse, isolate.memory
        assert not isinstance(memory, str)  # checked when the task was declared, or the body read
        try:
            while True:
                child = self._ready(run, reuse, memory)
                try:
                    outcome = self._converse(child, run, self._begin(child, run, memory))
                    break
                except OSError:  # it died while it was idle: not this run's doing
                    self.children.let_go(child, 0.0)
                except BaseException:  # a defect of ours
                    self.children.let_go(child, 0.0)
                    raise
        except StartFailed as failed:
            if run.should_stop:
                return self._stopped(run)
            return HandedBack() if self.children.stopping else Failed(failed.error)
        finally:
            run.on_stop = None
        self._put_back(child, run, reuse, outcome)
        return outcome

    def stop(self, timeout: float) -> None:
        """Kill what runs, and what has not ended in `timeout` seconds. Jobs whose runs are killed are handed back."""
        self.children.stop(timeout)

    def _ready(self, run: Run, reuse: int, memory: int | None) -> Child:
        """A child for this run. Raises StartFailed when there is none, or the run is asked to stop before."""
        if self.children.home is None:
            raise StartFailed(self._why_none())
        run.on_stop = self.children.look_again
        child = self.children.take(reuse, memory, lambda: run.should_stop)
        if child is None:
            raise StartFailed(AppError("the worker is stopping"))
        run.on_stop = child.kill
        try:
            if run.should_stop:
                child.kill()
            child.wait_ready(START_LIMIT)
            _check_memory(run.task, memory, child)
        except StartFailed as failed:
            self._report(failed, run)
            self.children.let_go(child, 0.0)
            raise
        self.children.broken = False
        return child

    def _begin(self, child: Child, run: Run, memory: int | None) -> int:
        """Hand it the run, whose time counts from now; the number by which it will speak of it."""
        run.on_stop = partial(self._ask, child, run)
        number = child.begin(run, module_name(run.task_object.function), memory)
        if run.started is None:
            run.begin(self.app.clock.monotonic())
            emit(self.app.signals.job_started, self.app, run=run)
        if run.should_stop:
            self._ask(child, run)
        elif memory is not None:
            self.children.look_again()
        return number

    def _converse(self, child: Child, run: Run, number: int) -> Outcome:
        """Hear what it says of the run, until its end or its own. Raises OSError when it never began it."""
        try:
            while True:
                match child.receive():
                    case ["ended", int(ended), outcome, then] if ended == number:
                        run.then = jobs_from_plain(then)
                        return outcome_from_plain(outcome)
                    case ["progress", int(of), *said] if of == number:
                        run.latest_progress = progress_from_plain(said)
                    case ["progress", *_]:
                        continue  # the last word of an earlier run
                    case other:
                        raise DecodeError(f"not a message from a child: {other[0]!r}")
        except ConnectionResetError:  # something was sent that it has not read: the run, or a request to stop it
            if run.should_stop or child.exceeded or self.children.stopping:
                return self._died(child, run)
            raise
        except (EOFError, OSError, PayloadError):
            return self._died(child, run)
        finally:
            child.end()

    def _died(self, child: Child, run: Run) -> Outcome:
        """It is dead, or has lost its voice, which is as good: what that means."""
        how = child.bury()
        if child.exceeded:
            limit, held = told(child.memory or 0), told(child.exceeded)
            return Failed(MemoryExceeded(f"{run.task} may take {limit}, and had taken {held}: {how}"), "memory")
        if run.should_stop:
            return self._stopped(run)
        if self.children.stopping:
            return HandedBack()
        return Crashed(ProcessDied(f"the isolated run ended its process: {how}"))

    def _ask(self, child: Child, run: Run) -> None:
        child.ask(run, self._patience)
        self.children.look_again()

    def _put_back(self, child: Child, run: Run, reuse: int, outcome: Outcome) -> None:
        """Free it for others; unless it has run enough, or what it holds is in doubt."""
        interrupted = run.should_stop or (isinstance(outcome, Failed) and outcome.reason == "memory")
        if interrupted or child.jobs >= reuse or isinstance(outcome, Crashed):
            self.children.let_go(child)
        else:
            self.children.put_back(child)

    def _report(self, failed: StartFailed, run: Run) -> None:
        """Say it once, not for every run that meets it; and have no spares started meanwhile."""
        if run.should_stop or self.children.stopping:
            return
        level = logging.DEBUG if self.children.broken else logging.ERROR
        self.children.broken = True
        logger.log(level, "isolated_process_not_started", extra={"task": run.task, "error": _said(failed.error)})

    def _why_none(self) -> AppError:
        return AppError(
            f"{self.app!r} is in no module's global variable, where a process of its own could import it: put "
            "app = Taskforge(…) at the top of a module"
        )


def _check_memory(task: str, memory: int | str | None, child: Child) -> None:
    """Raise StartFailed for a limit that leaves no room."""
    if isinstance(memory, int) and memory < child.needs:
        raise StartFailed(
            AppError(
                f"{task} is isolated with memory={told(memory)}, but with this app's code a process needs "
                f"{told(child.needs)} before it runs anything: raise the limit"
            )
        )


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, AppError | CarriedError) else f"{type(error).__name__}: {error}"
