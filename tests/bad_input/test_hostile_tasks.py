"""Tasks that do what no task should: the job ends with a reason, and the worker goes on."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from taskforge import Fail, JobState, RetryLater, Snooze, Taskforge
from tests.bad_input.harness import LIMIT, an_app, assert_alive, run_ready
from tests.servers import wait_until


@pytest.fixture
def app() -> Iterator[Taskforge]:
    with an_app() as app:
        app.task(name="shop.add")(lambda a: a + 1)
        yield app


class Stop(BaseException):
    """An error that `except Exception` does not see."""


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("I will not")

    __repr__ = __str__


class MuteForGood(Exception):
    """An error whose text ends the program."""

    def __str__(self) -> str:
        sys.exit(7)


class NoText(Exception):
    """An error whose text is none."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # what this is about


def _exit() -> None:
    sys.exit(3)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _base() -> None:
    raise Stop("on purpose")


def _deep() -> None:
    _deep()


def _deep_in_a_list() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    repr(nested)


def _mute() -> None:
    raise Mute


def _mute_for_good() -> None:
    raise MuteForGood


def _no_text() -> None:
    raise NoText


def _long() -> None:
    raise ValueError("x" * 10_000_000)


def _surrogates() -> None:
    raise ValueError("\udcff\x00")


def _group() -> None:
    raise ExceptionGroup("both", [ValueError(1), OSError(2)])


def _chain() -> None:
    error = ValueError("a loop")
    error.__cause__ = error
    raise error


def _generator_exit() -> None:
    raise GeneratorExit


def _stop_iteration() -> None:
    raise StopIteration


def _snooze_nonsense() -> None:
    raise Snooze(-5)


def _cancelled() -> None:
    raise asyncio.CancelledError


HOSTILE = {
    _exit: "SystemExit",
    _interrupt: "KeyboardInterrupt",
    _base: "Stop",
    _deep: "RecursionError",
    _deep_in_a_list: "RecursionError",
    _mute: "Mute",
    _mute_for_good: "MuteForGood",
    _no_text: "NoText",
    _long: "ValueError",
    _surrogates: "ValueError",
    _group: "ExceptionGroup",
    _chain: "ValueError",
    _generator_exit: "GeneratorExit",
    _stop_iteration: "StopIteration",
    _snooze_nonsense: "ValueError",
    _cancelled: "RuntimeError",  # nobody asked it to stop: it must not end as cancelled
}


@pytest.mark.parametrize("function, kind", HOSTILE.items(), ids=[each.__name__ for each in HOSTILE])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_run_that_raises_anything_is_told_of_and_the_worker_goes_on(
    app: Taskforge, function: Callable[[], None], kind: str, is_async: bool
) -> None:
    async def asynchronous() -> None:
        function()

    task = app.task(name="shop.hostile")(asynchronous if is_async else function)
    bad = task.enqueue()
    good = app.enqueue("shop.add", 1)

    with app.worker(threads=1, slots=1) as worker:
        assert good.result(LIMIT) == 2
        second = app.enqueue("shop.add", 2)
        assert second.result(LIMIT) == 3
        wait_until(lambda: bad.info().errors, LIMIT, "the error's record")

    assert_alive(worker)
    info = bad.info()
    # A coroutine cannot raise StopIteration (PEP 479).
    wanted = "RuntimeError" if is_async and kind == "StopIteration" else kind
    assert info.errors[0].type.rpartition(".")[2] == wanted
    assert info.state in (JobState.DELAYED, JobState.DEAD)
    assert info.attempts == 1


@pytest.mark.parametrize("function", [_exit, _interrupt, _base], ids=lambda each: each.__name__)
def test_what_is_no_exception_is_not_tried_again(app: Taskforge, function: Callable[[], None]) -> None:
    job = app.task(name="shop.hostile")(function).enqueue()

    run_ready(app)

    assert (job.info().state, job.info().reason) == (JobState.DEAD, "error")


def test_a_long_error_text_is_kept_in_part(app: Taskforge) -> None:
    job = app.task(name="shop.hostile")(_long).enqueue()

    run_ready(app)

    assert 0 < len(job.info().errors[0].message) <= 1_024


@pytest.mark.parametrize("choice", [Fail, RetryLater, Snooze])
def test_a_choice_raised_with_nothing_or_nonsense_is_an_error_of_the_task(
    app: Taskforge, choice: Callable[[object], BaseException]
) -> None:
    def hostile() -> None:
        raise choice(object())

    job = app.task(name="shop.hostile")(hostile).enqueue()

    run_ready(app)

    assert job.info().errors
    assert job.info().state in (JobState.DELAYED, JobState.DEAD)


def test_a_task_that_returns_what_it_should_have_awaited_is_told_of(app: Taskforge) -> None:
    async def later() -> int:
        return 1

    def hostile() -> object:
        coroutine = later()
        coroutine.close()
        return coroutine

    job = app.task(name="shop.hostile")(hostile).enqueue()

    run_ready(app)

    assert job.info().reason == "result"


def test_a_wrapper_around_a_job_that_fails_fails_the_run_and_not_the_worker(app: Taskforge) -> None:
    @app.around_job
    def broken(run: object) -> Iterator[None]:
        raise ConnectionError("no tenant")
        yield

    job = app.enqueue("shop.add", 1)

    run_ready(app)

    assert job.info().errors[0].message == "no tenant"


def test_a_wrapper_that_is_no_context_manager_fails_the_run_and_not_the_worker(app: Taskforge) -> None:
    app.around_job(lambda run: 5)
    job = app.enqueue("shop.add", 1)

    run_ready(app)

    assert job.info().errors[0].type == "builtins.TypeError"


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_wrapper_around_the_worker_that_cannot_enter_stops_it_with_its_error(app: Taskforge, is_async: bool) -> None:
    def broken(app: Taskforge) -> Iterator[None]:
        raise ConnectionError("no database")
        yield

    async def abroken(app: Taskforge) -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    app.around_worker(abroken if is_async else broken)
    job = app.enqueue("shop.add", 1)
    before = threading.enumerate()

    with pytest.raises(ConnectionError, match="no database"), app.worker():
        raise AssertionError("it started")

    assert job.state() is JobState.READY, "nothing was claimed"
    wait_until(lambda: not set(threading.enumerate()) - set(before), LIMIT, "the end of the worker's threads")


def test_wrappers_that_were_entered_are_left_when_a_later_one_cannot_enter(app: Taskforge) -> None:
    left: list[str] = []

    @app.around_worker
    def fine(app: Taskforge) -> Iterator[None]:
        try:
            yield
        finally:
            left.append("fine")

    @app.around_worker
    def broken(app: Taskforge) -> Iterator[None]:
        raise ConnectionError("no database")
        yield

    with pytest.raises(ConnectionError), app.worker():
        raise AssertionError("it started")

    assert left == ["fine"]


def test_a_receiver_of_a_signal_that_raises_is_logged_and_not_felt(
    app: Taskforge, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    for signal in (app.signals.job_enqueued, app.signals.job_started, app.signals.job_succeeded):
        signal.connect(broken)
    job = app.enqueue("shop.add", 1)

    run_ready(app)

    assert job.result(0) == 2
    assert sum(record.message == "signal_receiver_failed" for record in caplog.records) == 3
