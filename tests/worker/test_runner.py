"""One delivery, from bytes to a settlement: every decision about its fate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from datetime import timedelta

import pytest

from taskforge import (
    Discard,
    Fail,
    Fixed,
    Retry,
    RetryLater,
    RunError,
    Snooze,
    StopRequested,
    Taskforge,
    current_job,
)
from taskforge.outcome import HandedBack, RunTimeout, Succeeded
from taskforge.run import Run, StopCause
from taskforge.settlement import Ack, Bury, Cancel, Requeue, Settlement
from taskforge.task import Task
from taskforge.worker.runner import Runner
from tests.worker.deliveries import delivery, run_of, with_body


@pytest.fixture
def runner(app: Taskforge) -> Runner:
    return Runner(app)


# Opening.


def test_what_can_be_run_is_a_run_with_its_arguments(app: Taskforge, runner: Runner) -> None:
    add = app.task(name="add")(lambda a, b: a + b)

    run = runner.open(delivery(app, add.using(timeout=7, headers={"k": "v"}), 1, 2, attempts=2))

    assert isinstance(run, Run)
    assert isinstance(runner.call(run, no_async), Succeeded)
    assert (list(run.args), dict(run.kwargs), run.attempt) == ([1, 2], {}, 3)
    assert (run.options.timeout, run.headers) == (timedelta(seconds=7), {"k": "v"})


def test_a_run_whose_lease_is_lost_while_it_stands_in_line_does_not_start(app: Taskforge, runner: Runner) -> None:
    called: list[str] = []
    run = run_of(app, app.task(name="task")(lambda: called.append("called")))

    run.request_stop(StopCause.LOST)
    outcome = runner.call(run, no_async)

    assert (called, outcome, run.started) == ([], HandedBack(), None)


@pytest.mark.parametrize("crashes", [3, 4, 100])
def test_what_crashed_too_often_is_buried_without_being_read(app: Taskforge, runner: Runner, crashes: int) -> None:
    task = app.task(name="task")(lambda: None)

    settled = runner.open(with_body(delivery(app, task, crashes=crashes), b"not even a body"))

    assert isinstance(settled, Bury)
    assert (settled.reason, settled.counts, settled.keep) == ("crashed", False, timedelta(days=30))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93", b"plain text", b"\x93\x01\xa4task\xc4\x01\xc1\x80"])
def test_what_cannot_be_decoded_is_buried_and_marked(app: Taskforge, runner: Runner, body: bytes) -> None:
    task = app.task(name="task")(lambda: None)

    settled = runner.open(with_body(delivery(app, task), body))

    assert isinstance(settled, Bury)
    assert (settled.reason, settled.counts) == ("undecodable", False)
    assert settled.error is not None


def test_arguments_that_do_not_fit_are_buried_and_marked(app: Taskforge, runner: Runner) -> None:
    app.task(name="task")(lambda a, b: None)

    run = runner.open(delivery(app, Taskforge("sender", broker="memory://").by_name("task"), 1))
    assert isinstance(run, Run)
    settled = runner.judge(run, runner.call(run, no_async))

    assert isinstance(settled, Bury)
    assert run.started is None
    assert (settled.reason, settled.counts) == ("arguments", False)
    assert "task(a, b)" in error_of(app, settled).message


@pytest.mark.parametrize(("age", "wait"), [(0, 1), (60, 30), (3600, 300)])
def test_an_unknown_task_is_parked_with_growing_delay(app: Taskforge, runner: Runner, age: float, wait: float) -> None:
    app.task(name="thumbnail")(lambda: None)

    settled = runner.open(delivery(app, app.by_name("thumbnial"), age=age))

    assert isinstance(settled, Requeue)
    assert settled.delay is not None
    assert settled.delay.total_seconds() == pytest.approx(wait, abs=1)
    assert not settled.counts
    assert "did you mean 'thumbnail'" in error_of(app, settled).message


def test_an_unknown_task_is_dead_after_a_day(app: Taskforge, runner: Runner) -> None:
    settled = runner.open(delivery(app, app.by_name("nobody.knows"), age=24 * 3600 + 1))

    assert isinstance(settled, Bury)
    assert settled.reason == "unknown_task"


# Judging.


def test_a_return_is_an_ack_with_the_result(app: Taskforge) -> None:
    settled = settlement(app, lambda: 7, {"keep": 60, "keep_result": 30})

    assert isinstance(settled, Ack)
    assert app.codec.read_plain(settled.result or b"") is not None
    assert (settled.keep, settled.keep_result) == (timedelta(seconds=60), timedelta(seconds=30))


@pytest.mark.parametrize("value", [None, 7])
def test_none_and_an_unwanted_result_are_not_stored(app: Taskforge, value: int | None) -> None:
    settled = settlement(app, lambda: value, {"keep_result": value is None})

    assert isinstance(settled, Ack)
    assert settled.result is None


def test_what_a_run_enqueues_on_success_goes_with_its_ack_only(app: Taskforge) -> None:
    other = app.task(name="other", queue="elsewhere")(lambda: None)

    def work(fail: bool) -> None:
        current_job().enqueue_on_success(other)
        if fail:
            raise OSError

    task = app.task(name="work")(work)
    succeeded, failed = judged(app, run_of(app, task, False)), judged(app, run_of(app, task, True))

    assert isinstance(succeeded, Ack)
    assert [job.queue for job in succeeded.then] == ["elsewhere"]
    assert isinstance(failed, Requeue)


def test_a_failure_with_attempts_left_is_requeued_and_counts(app: Taskforge) -> None:
    settled = settlement(app, raising(OSError("no")), {"retry": Retry(attempts=3, backoff=Fixed(7))}, attempts=1)

    assert isinstance(settled, Requeue)
    assert (settled.delay, settled.counts) == (timedelta(seconds=7), True)
    error = error_of(app, settled)
    assert (error.attempt, error.type, error.message) == (2, "builtins.OSError", "no")
    assert "raise error" in error.traceback


def test_the_last_attempts_failure_is_buried(app: Taskforge) -> None:
    settled = settlement(app, raising(OSError("no")), {"retry": Retry(attempts=3)}, attempts=2)

    assert isinstance(settled, Bury)
    assert (settled.reason, settled.counts) == ("error", True)


def test_a_callable_backoff_of_the_declaration_is_asked(app: Taskforge) -> None:
    asked: list[int] = []

    def backoff(attempt: int, error: BaseException) -> float:
        asked.append(attempt)
        return 42

    settled = settlement(app, raising(OSError("no")), {"retry": Retry(attempts=5, backoff=backoff)}, attempts=2)

    assert isinstance(settled, Requeue)
    assert (settled.delay, asked) == (timedelta(seconds=42), [3])


def test_a_calls_own_retry_is_not_overruled_by_the_declarations_callable(app: Taskforge) -> None:
    task = app.task(name="task", retry=Retry(attempts=5, backoff=lambda attempt, error: 42.0))(raising(OSError("no")))

    settled = judged(app, run_of(app, task.using(retry=Retry(attempts=9, backoff=Fixed(7)))))

    assert isinstance(settled, Requeue)
    assert settled.delay == timedelta(seconds=7)


@pytest.mark.parametrize("attempts", [0, 8])
def test_a_snooze_never_counts(app: Taskforge, attempts: int) -> None:
    settled = settlement(app, raising(Snooze(60)), {"retry": Retry(attempts=9)}, attempts=attempts)

    assert isinstance(settled, Requeue)
    assert (settled.delay, settled.counts, settled.error) == (timedelta(seconds=60), False, None)


def test_retry_later_counts_and_ends_with_the_attempts(app: Taskforge) -> None:
    retried = settlement(app, raising(RetryLater(60)), {"retry": Retry(attempts=2)}, attempts=0)
    last = settlement(app, raising(RetryLater(60)), {"retry": Retry(attempts=2)}, attempts=1)

    assert isinstance(retried, Requeue)
    assert (retried.delay, retried.counts) == (timedelta(seconds=60), True)
    assert isinstance(last, Bury)


def test_fail_is_buried_and_discard_cancelled(app: Taskforge) -> None:
    failed, discarded = settlement(app, raising(Fail("why"))), settlement(app, raising(Discard("why")))

    assert isinstance(failed, Bury)
    assert isinstance(discarded, Cancel)
    assert (failed.reason, discarded.reason) == ("error", "discarded")
    assert error_of(app, failed).message == error_of(app, discarded).message == "why"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (StopCause.CANCEL, Cancel),
        (StopCause.TIMEOUT, Requeue),
        (StopCause.SHUTDOWN, Requeue),
        (StopCause.LOST, Requeue),
    ],
)
def test_a_run_that_obeys_ends_as_what_it_was_asked_for(app: Taskforge, cause: StopCause, kind: type) -> None:
    task = app.task(name="task")(lambda: current_job().raise_if_stopped())
    run = run_of(app, task)
    run.request_stop(cause)

    settled = judged(app, run)

    assert isinstance(settled, kind)
    if isinstance(settled, Requeue):
        assert settled.counts is (cause is StopCause.TIMEOUT)
        assert (settled.delay is None) is (cause is not StopCause.TIMEOUT)


def test_a_stop_request_of_ones_own_making_is_an_error_like_any(app: Taskforge) -> None:
    settled = settlement(app, raising(StopRequested("nobody asked")), {"retry": Retry(attempts=1)})

    assert isinstance(settled, Bury)
    assert settled.reason == "error"


def test_a_timeout_that_is_named_never_is_dead_with_that_reason(app: Taskforge) -> None:
    task = app.task(name="task", timeout=5, retry=Retry(never=(RunTimeout,)))(lambda: current_job().raise_if_stopped())
    run = run_of(app, task)
    run.request_stop(StopCause.TIMEOUT)

    settled = judged(app, run)

    assert isinstance(settled, Bury)
    assert settled.reason == "timeout"
    assert "5 s" in error_of(app, settled).message


def test_a_handed_back_job_keeps_its_place_and_its_attempts(app: Taskforge, runner: Runner) -> None:
    task = app.task(name="task")(lambda: None)

    settled = runner.judge(run_of(app, task), HandedBack())

    assert isinstance(settled, Requeue)
    assert (settled.delay, settled.counts) == (None, False)


def test_a_result_that_cannot_travel_is_buried_for_it_would_end_so_again(app: Taskforge, runner: Runner) -> None:
    task = app.task(name="task", retry=Retry(attempts=9))(lambda: None)

    for value in (object(), "x" * 100_000):
        settled = runner.judge(run_of(app, task), Succeeded(value))
        assert isinstance(settled, Bury)
        assert (settled.reason, settled.counts) == ("result", True)


def test_a_run_that_takes_long_is_measured(app: Taskforge, runner: Runner) -> None:
    task = app.task(name="task")(lambda: None)
    run = run_of(app, task)

    outcome = runner.call(run, no_async)
    assert run.started is not None
    run.end(run.started + 2.5)

    settled = runner.judge(run, outcome)

    assert isinstance(settled, Ack)
    assert settled.took == timedelta(seconds=2.5)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def settlement(
    app: Taskforge, function: Callable[[], object], options: dict[str, object] | None = None, attempts: int = 0
) -> Settlement:
    """How a run of this function is settled."""
    name = f"task-{len(app.tasks)}"
    task: Task[[], object, object] = app.task(name=name, **(options or {}))(function)  # type: ignore[call-overload]
    return judged(app, run_of(app, task, attempts=attempts))


def judged(app: Taskforge, run: Run) -> Settlement:
    runner = Runner(app)
    return runner.judge(run, runner.call(run, no_async))


def no_async(stack: ExitStack, manager: AbstractAsyncContextManager[object]) -> None:
    raise AssertionError("nothing async here")


def error_of(app: Taskforge, settled: Settlement) -> RunError:
    assert not isinstance(settled, Ack)
    assert settled.error is not None
    attempt, at, kind, message, traceback = app.codec.read_plain(settled.error)  # type: ignore[misc]
    return RunError(attempt, at, kind, message, traceback)  # type: ignore[has-type]
