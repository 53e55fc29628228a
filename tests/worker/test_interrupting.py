"""An exception in the thread of a run: in its function, once, and nowhere else."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from taskforge import JobState, StopRequested, Taskforge
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
    monkeypatch.setattr(interrupting, "SPARED", frozenset())
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
    strays: list[BaseException] = []

    @app.task(interrupt=True)
    def quick(n: int) -> int:
        while n % 20 == 0:  # these go on until they are struck
            pass
        return sum(list(range(n)))

    def hook(told: threading.ExceptHookArgs) -> None:
        strays.append(told.exc_value or told.exc_type())

    before, threading.excepthook = threading.excepthook, hook
    runs = [run_of(app, quick, n) for n in range(2_000)]
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
    assert all(isinstance(threads.ended[run], Dropped) for run in runs[::20])


def test_a_run_that_speaks_to_the_broker_is_interrupted_after_it_has_spoken(app: Taskforge, threads: Threads) -> None:
    inside, may_end = threading.Event(), threading.Event()
    seen: list[bool] = []

    @app.task(interrupt=True)
    def speaks() -> None:
        def call() -> None:
            inside.set()
            seen.append(may_end.wait(20))

        app.client.read(call)
        seen.append(False)  # never: it is raised as soon as the call is over

    run = run_of(app, speaks)
    threads.start(run)
    inside.wait(20)

    run.request_stop(StopCause.CANCEL)
    may_end.set()

    assert isinstance(threads.wait(run), Dropped)
    assert seen == [True]


def test_a_run_is_not_interrupted_while_it_holds_what_others_need(app: Taskforge, threads: Threads) -> None:
    inside, may_end = threading.Event(), threading.Event()
    written: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            inside.set()
            while not may_end.is_set():
                pass
            written.append(record.getMessage())

    log = logging.getLogger("of a task")
    log.addHandler(slow := Slow())

    @app.task(interrupt=True)
    def logs() -> None:
        log.warning("whole")
        for _ in itertools.count():
            pass

    run = run_of(app, logs)
    threads.start(run)
    inside.wait(20)

    run.request_stop(StopCause.CANCEL)
    may_end.set()

    assert isinstance(threads.wait(run), Dropped)
    assert written == ["whole"]
    log.removeHandler(slow)


def test_an_error_of_a_call_to_the_broker_is_not_replaced_by_the_interruption(app: Taskforge) -> None:
    run = run_of(app, app.task(interrupt=True, name="task")(lambda: None))

    def call() -> None:
        run.request_stop(StopCause.CANCEL)
        raise KeyError("of the call")

    caught: list[BaseException] = []

    def function() -> None:
        try:
            app.client.read(call)
        except KeyError as error:
            caught.append(error)
        for _ in itertools.count():
            pass

    with pytest.raises(StopRequested), interruptible(run):
        function()

    assert len(caught) == 1


def test_a_run_that_is_interrupted_by_a_shutdown_is_handed_back() -> None:
    going = threading.Event()

    with Taskforge("parts", broker="memory://", grace=0, stop_grace=20) as app:

        @app.task(interrupt=True)
        def spin() -> None:
            going.set()
            for _ in itertools.count():
                pass

        with app.worker():
            job = spin.enqueue()
            going.wait(20)

        assert (job.state(), job.info().attempts) == (JobState.READY, 0)
