"""Failing, and running again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from taskforge import (
    Discard,
    Exponential,
    Fail,
    Fixed,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobState,
    Retry,
    RetryLater,
    Snooze,
    Taskforge,
    current_job,
)
from tests.cases.apps import Watch

ONE_ENGINE = True
AT_ONCE = Fixed(0)


def test_two_failures_a_second_apart_and_then_success(app: Taskforge) -> None:
    runs: list[tuple[int, float]] = []

    @app.task(retry=Retry(attempts=3, backoff=Fixed(1)))
    def flaky() -> str:
        runs.append((current_job().attempt, time.monotonic()))
        if len(runs) < 3:
            raise OSError(f"failure {len(runs)}")
        return "at last"

    with app.worker():
        job = flaky.enqueue()
        result = job.result(15)

    assert result == "at last"
    assert [attempt for attempt, _ in runs] == [1, 2, 3]
    gaps = [later[1] - earlier[1] for earlier, later in pairwise(runs)]
    assert min(gaps) >= 0.999, gaps
    assert [error.message for error in job.info().errors] == ["failure 1", "failure 2"]


def test_exponential_waits_double_and_the_broker_holds_them(app: Taskforge) -> None:
    waits = retries_of(app, Exponential(0.1, jitter="none"), attempts=4)

    assert waits == [0.1, 0.2, 0.4]


def test_full_jitter_stays_below_the_doubling_wait(app: Taskforge) -> None:
    waits = retries_of(app, Exponential(0.1, jitter="full"), attempts=4)

    assert all(0 <= wait <= whole for wait, whole in zip(waits, (0.1, 0.2, 0.4), strict=True)), waits


def test_equal_jitter_stays_in_the_upper_half_and_under_the_cap(app: Taskforge) -> None:
    waits = retries_of(app, Exponential(0.1, cap=0.15, jitter="equal"), attempts=4)

    assert all(whole / 2 <= wait <= whole for wait, whole in zip(waits, (0.1, 0.15, 0.15), strict=True)), waits


def test_a_job_whose_attempts_are_spent_is_dead_with_its_last_error(app: Taskforge) -> None:
    job = ended(app, raising(OSError("no")), Retry(attempts=3, backoff=AT_ONCE))

    info = job.info()
    assert (info.state, info.reason, info.attempts) == (JobState.DEAD, "error", 3)
    with pytest.raises(JobFailed, match="no") as caught:
        job.result(1)
    assert (caught.value.reason, caught.value.error_type) == ("error", "builtins.OSError")
    assert "raise error" in caught.value.traceback


def test_an_error_named_never_is_dead_after_one_run(app: Taskforge) -> None:
    job = ended(app, raising(KeyError("no")), Retry(attempts=9, backoff=AT_ONCE, never=(LookupError,)))

    assert (job.info().state, job.info().attempts) == (JobState.DEAD, 1)


def test_an_error_that_is_not_among_those_to_retry_is_dead_after_one_run(app: Taskforge) -> None:
    job = ended(app, raising(KeyError("no")), Retry(attempts=9, backoff=AT_ONCE, on=(OSError,)))

    assert (job.info().state, job.info().attempts) == (JobState.DEAD, 1)


def test_a_backoff_of_none_gives_up(app: Taskforge) -> None:
    asked: list[tuple[int, str]] = []

    def once(attempt: int, error: BaseException) -> float | None:
        asked.append((attempt, str(error)))
        return 0 if attempt == 1 else None

    job = ended(app, raising(OSError("no")), Retry(attempts=9, backoff=once))

    assert asked == [(1, "no"), (2, "no")]
    assert (job.info().state, job.info().attempts) == (JobState.DEAD, 2)


def test_a_backoff_that_itself_fails_is_replaced_and_felt_by_no_job(app: Taskforge) -> None:
    watch = Watch(app)

    def broken(attempt: int, error: BaseException) -> float | None:
        raise ZeroDivisionError

    app.task(name="fail", retry=Retry(attempts=2, backoff=broken))(raising(OSError("no")))
    with app.worker():
        job = app.enqueue("fail")
        watch.wait("job_retried")

        assert job.state() in (JobState.DELAYED, JobState.READY, JobState.RUNNING)


def test_no_retry_starts_after_its_deadline(app: Taskforge) -> None:
    job = ended(app, raising(OSError("no")), Retry(attempts=100, backoff=Fixed(0.15), within=timedelta(seconds=0.5)))

    info = job.info()
    assert info.state is JobState.DEAD
    assert 2 <= info.attempts <= 4, info.attempts


def test_a_deadline_counts_from_the_enqueue_of_the_job(app: Taskforge) -> None:
    app.task(name="fail", retry=Retry(attempts=100, backoff=AT_ONCE, within=0.2))(raising(OSError("no")))

    with app.worker():
        watch = Watch(app)
        job = app.by_name("fail").using(delay=0.3).enqueue()
        watch.wait("job_buried")

    assert job.info().attempts == 1


def test_snooze_spends_no_attempt(app: Taskforge) -> None:
    attempts: list[int] = []

    def sleepy() -> None:
        attempts.append(current_job().attempt)
        if len(attempts) < 4:
            raise Snooze(0.01)

    job = ended(app, sleepy, Retry(attempts=2))

    assert attempts == [1, 1, 1, 1]
    assert job.info().state is JobState.SUCCEEDED
    assert job.info().errors == ()


def test_retry_later_spends_an_attempt_and_waits_as_long_as_it_says(app: Taskforge) -> None:
    begun: list[float] = []

    def later() -> None:
        begun.append(time.monotonic())
        raise RetryLater(0.2, "busy")

    job = ended(app, later, Retry(attempts=2, backoff=Fixed(300)))

    assert (job.info().state, job.info().reason, job.info().attempts) == (JobState.DEAD, "error", 2)
    assert begun[1] - begun[0] >= 0.199
    assert "busy" in job.info().errors[-1].message


def test_fail_is_dead_at_once(app: Taskforge) -> None:
    job = ended(app, raising(Fail("no such customer")), Retry(attempts=9, backoff=AT_ONCE))

    assert (job.info().state, job.info().attempts) == (JobState.DEAD, 1)
    assert job.info().errors[-1].message == "no such customer"


def test_discard_ends_as_cancelled(app: Taskforge) -> None:
    job = ended(app, raising(Discard("nothing to do")), Retry(attempts=9, backoff=AT_ONCE))

    assert (job.info().state, job.info().reason) == (JobState.CANCELLED, "discarded")
    with pytest.raises(JobCancelled, match="discarded"):
        job.result(1)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")])
def test_a_task_cannot_take_its_worker_along(app: Taskforge, error: BaseException) -> None:
    app.task(name="fine")(lambda: "fine")

    job = ended(app, raising(error), Retry(attempts=1))
    with app.worker():
        after = app.enqueue("fine").result(10)

    assert job.state() is JobState.DEAD
    assert after == "fine"


def test_while_it_waits_for_a_retry_a_job_is_delayed_and_counted_as_retrying(app: Taskforge) -> None:
    app.task(name="fail", retry=Retry(attempts=2, backoff=Fixed(300)))(raising(OSError("no")))
    watch = Watch(app)

    with app.worker():
        job = app.enqueue("fail")
        watch.wait("job_retried")

    info, counts = job.info(), app.inspector.counts("default")
    assert (info.state, info.attempts) == (JobState.DELAYED, 1)
    assert info.due_at is not None
    assert 290 < (info.due_at - datetime.now(UTC)).total_seconds() <= 300
    assert (counts.delayed, counts.retrying) == (1, 1)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def ended(app: Taskforge, function: Callable[[], None], retry: Retry) -> JobHandle[object]:
    """A job of this function, once it has ended."""
    watch = Watch(app)
    app.task(name="task", retry=retry)(function)
    with app.worker():
        job = app.enqueue("task")
        try:
            job.result(15)
        except (JobFailed, JobCancelled):
            pass
        else:
            watch.wait("job_succeeded")
    return job


def retries_of(app: Taskforge, backoff: Exponential, attempts: int) -> list[float]:
    """The waits of a job that fails every time."""
    watch = Watch(app)
    app.task(name="fail", retry=Retry(attempts=attempts, backoff=backoff))(raising(OSError("no")))
    with app.worker():
        app.enqueue("fail")
        watch.wait("job_buried")
    waits = [event.facts["delay"].total_seconds() for event in watch.of("job_retried")]
    started = [event.at for event in watch.of("job_started")]
    for wait, begun, next_begun in zip(waits, started[:-1], started[1:], strict=True):
        assert next_begun - begun >= wait - 0.001, "a retry came early"
    return waits
