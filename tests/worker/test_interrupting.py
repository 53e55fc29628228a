"""An exception in the thread of a run: in its function, once, and nowhere else."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from taskforge import StopRequested, Taskforge
from taskforge.outcome import Dropped, Outcome, Succeeded
from taskforge.run import Run, StopCause
from taskforge.worker import interrupting
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.interrupting import interruptible
from taskforge.worker.runner import Runner
from tests.servers import wait_until
from tests.worker.deliveries import run_of


class Threads:
    """Runs in two threads, and how they ended."""

    def __init__(self, app: Taskforge) -> None:
        self.ended: dict[Run, Outcome] = {}
        runner = Runner(app)
        self.executor = ThreadExecutor(2, runner, LoopExecutor(1, runner, self.done, print), self.done)
        self.executor.start()

    def done(self, run: Run, outcome: Outcome) -> None:
        run.end(time.monotonic())
        self.ended[run] = outcome

    def start(self, *runs: Run) -> None:
        self.executor.submit(runs, time.monotonic())

    def wait(self, run: Run) -> Outcome:
        wait_until(lambda: run in self.ended, 20, "the run's end")
        return self.ended[run]


@pytest.fixture
def threads(app: Taskforge) -> Iterator[Threads]:
    threads = Threads(app)
    yield threads
    threads.executor.stop(10)


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can: what may come between two steps does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_run_that_never_looks_is_interrupted(app: Taskforge, threads: Threads) -> None:
    going = threading.Event()

    @app.task(interrupt=True)
    def spin() -> None:
        going.set()
        for _ in itertools.count():
            pass

    run = run_of(app, spin)
    threads.start(run)
    going.wait(20)

    run.request_stop(StopCause.CANCEL)

    outcome = threads.wait(run)
    assert isinstance(outcome, Dropped)
    assert outcome.reason == "requested"


def test_a_run_without_the_option_is_not_interrupted(app: Taskforge, threads: Threads) -> None:
    going, enough = threading.Event(), threading.Event()

    @app.task
    def spin() -> str:
        going.set()
        while not enough.is_set():
            pass
        return "to its end"

    run = run_of(app, spin)
    threads.start(run)
    going.wait(20)
    run.request_stop(StopCause.CANCEL)
    enough.set()

    assert threads.wait(run) == Succeeded("to its end")


def test_a_run_is_interrupted_once(app: Taskforge, threads: Threads) -> None:
    struck: list[bool] = []
    going, enough = threading.Event(), threading.Event()

    @app.task(interrupt=True)
    def spin() -> str:
        while not enough.is_set():
            try:
                going.set()
                while not enough.is_set():
                    pass
            except StopRequested:
                struck.append(True)
        return "to its end"

    run = run_of(app, spin)
    threads.start(run)
    going.wait(20)
    run.request_stop(StopCause.TIMEOUT)
    wait_until(lambda: struck, 20, "the exception")

    for cause in (StopCause.CANCEL, StopCause.SHUTDOWN, StopCause.LOST):
        run.request_stop(cause)
    enough.set()

    assert threads.wait(run) == Succeeded("to its end")
    assert struck == [True]


def test_a_run_that_was_asked_before_it_could_be_told_is_interrupted_at_its_first_step(app: Taskforge) -> None:
    run = run_of(app, app.task(interrupt=True, name="task")(lambda: None))
    run.request_stop(StopCause.CANCEL)

    with pytest.raises(StopRequested), interruptible(run):
        for _ in itertools.count():
            pass


def test_what_has_not_struck_when_the_function_ends_is_taken_back_and_nothing_is_fired_any_more(
    app: Taskforge, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired: list[object] = []
    monkeypatch.setattr(interrupting, "_raise_in", lambda thread, what: fired.append(what))
    task = app.task(interrupt=True, name="task")(lambda: None)
    first, second = run_of(app, task), run_of(app, task)

    with interruptible(first):
        first.request_stop(StopCause.CANCEL)
    with interruptible(second):
        pass
    first.request_stop(StopCause.LOST)
    second.request_stop(StopCause.CANCEL)

    assert fired == [StopRequested, interrupting._NULL]


def test_of_thousands_of_quick_runs_only_those_that_were_asked_are_struck_and_only_inside(
    app: Taskforge, threads: Threads, impatient: None
) -> None:
    inside: set[int] = set()
    strays: list[BaseException] = []

    @app.task(interrupt=True)
    def quick(n: int) -> int:
        me = threading.get_ident()
        inside.add(me)
        try:
            return sum(range(n % 300))
        finally:
            inside.discard(me)

    def hook(told: threading.ExceptHookArgs) -> None:
        strays.append(told.exc_value or told.exc_type())

    before, threading.excepthook = threading.excepthook, hook
    runs = [run_of(app, quick, n) for n in range(3_000)]
    asked, spared = runs[::2], set(runs[1::2])
    try:
        threads.start(*runs)
        for run in asked:
            wait_until(lambda run=run: run.started is not None or run in threads.ended, 20, "its turn")  # type: ignore[misc]
            run.request_stop(StopCause.CANCEL)
        wait_until(lambda: len(threads.ended) == len(runs), 40, "all ends")
    finally:
        threading.excepthook = before

    assert strays == []
    assert all(thread.is_alive() for thread in threads.executor._threads)
    assert all(isinstance(threads.ended[run], Succeeded) for run in spared)
    assert all(isinstance(threads.ended[run], Succeeded | Dropped) for run in asked)
    assert any(isinstance(threads.ended[run], Dropped) for run in asked)
