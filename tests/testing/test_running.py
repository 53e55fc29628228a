"""run_until_idle: every job, by the worker's own parts, here and now."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import pytest

from taskforge import (
    AppError,
    EncodeError,
    Exponential,
    Fixed,
    JobFailed,
    JobState,
    Retry,
    RetryLater,
    Run,
    Snooze,
    Taskforge,
    WouldBlock,
    current_job,
)
from taskforge.brokers.protocol import Demand
from taskforge.brokers.stamp import Sender
from taskforge.testing import Kit, NeverIdle, under_test

HOUR, DAY = 3600, 24 * 3600


def test_a_delayed_job_runs_at_its_time_and_nobody_waits(app: Taskforge, kit: Kit) -> None:
    @app.task
    def late() -> None: ...

    start = kit.clock.now()
    late.using(delay=DAY).enqueue()

    [run] = kit.run_until_idle()

    assert (run.task, run.outcome, run.at) == (late.name, "succeeded", start + timedelta(days=1))


def test_a_failing_job_is_retried_by_its_own_rule(app: Taskforge, kit: Kit) -> None:
    @app.task(retry=Retry(attempts=3, backoff=Exponential(60, jitter="none")))
    def flaky() -> int:
        if current_job().attempt < 3:
            raise OSError("busy")
        return current_job().attempt

    start = kit.clock.now()
    job = flaky.enqueue()

    runs = kit.run_until_idle()

    assert [run.outcome for run in runs] == ["retried", "retried", "succeeded"]
    assert [(run.at - start).total_seconds() for run in runs] == [0, 60, 180]
    assert (runs[2].result, job.result(), job.info().attempts) == (3, 3, 3)


def test_what_jobs_enqueue_runs_too_in_whatever_queue(app: Taskforge, kit: Kit) -> None:
    @app.task
    async def child(name: str) -> str:
        return name

    @app.task
    def parent() -> None:
        child.using(queue="made for this").enqueue("at once")
        current_job().enqueue_on_success(child.using(queue="and this", delay=HOUR), "on success")

    parent.enqueue()

    runs = kit.run_until_idle()

    assert [run.result for run in runs] == [None, "at once", "on success"]


def test_one_job_runs_at_a_time_the_most_urgent_first(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note(name: str) -> None:
        if name == "first":
            note.using(priority=9).enqueue("urgent")

    for name in ("first", "second", "third"):
        note.enqueue(name)

    runs = kit.run_until_idle()

    assert [run.args for run in runs] == [("first",), ("urgent",), ("second",), ("third",)]


def test_jobs_run_in_the_calling_thread_and_no_other_is_started(app: Taskforge, kit: Kit) -> None:
    threads: list[tuple[threading.Thread, int]] = []

    @app.task
    def plain() -> None:
        threads.append((threading.current_thread(), threading.active_count()))

    @app.task
    async def asynchronous() -> None:
        threads.append((threading.current_thread(), threading.active_count()))

    before = threading.active_count()
    plain.enqueue()
    asynchronous.enqueue()

    kit.run_until_idle()

    assert threads == [(threading.current_thread(), before)] * 2


def test_with_a_span_only_what_falls_due_in_it_runs(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note(name: str) -> None: ...

    start = kit.clock.now()
    note.enqueue("now")
    note.using(delay=HOUR).enqueue("at the very end")
    later = note.using(delay=HOUR + 1).enqueue("later")

    runs = kit.run_until_idle(within=HOUR)

    assert [run.args for run in runs] == [("now",), ("at the very end",)]
    assert kit.clock.now() == start + timedelta(hours=1)
    assert later.state() is JobState.DELAYED


def test_a_span_passes_although_nothing_waits(kit: Kit) -> None:
    start = kit.clock.now()

    kit.run_until_idle(within=HOUR)

    assert kit.clock.now() == start + timedelta(hours=1)


def test_a_negative_span_is_refused(kit: Kit) -> None:
    with pytest.raises(ValueError, match="within must be 0 seconds or more, not -1"):
        kit.run_until_idle(within=-1)


# Errors


def test_the_error_of_a_job_that_died_is_raised_once_everything_else_has_run(app: Taskforge, kit: Kit) -> None:
    @app.task(retry=Retry(attempts=2, backoff=Fixed(HOUR)))
    def bad(number: int) -> None:
        raise ValueError(f"no {number}")

    @app.task
    def good() -> None: ...

    bad.enqueue(1)
    bad.enqueue(2)
    job = good.using(delay=DAY).enqueue()

    with pytest.raises(ValueError, match="no 1") as caught:
        kit.run_until_idle()

    assert job.state() is JobState.SUCCEEDED
    [first, second] = caught.value.__notes__
    assert "test_running.bad" in first
    assert "is dead (error) after attempt 2; run_until_idle(raise_errors=False) leaves it at that" in first
    assert second.endswith("is dead (error) after attempt 2: ValueError('no 2')")


def test_errors_stay_with_their_jobs_where_the_test_is_about_them(app: Taskforge, kit: Kit) -> None:
    @app.task(retry=Retry(attempts=1))
    def bad() -> None:
        raise ValueError("no")

    job = bad.enqueue()

    [run] = kit.run_until_idle(raise_errors=False)

    assert (run.outcome, run.reason, repr(run.error)) == ("dead", "error", "ValueError('no')")
    with pytest.raises(JobFailed, match="ValueError: no"):
        job.result()


def test_an_error_that_a_retry_heals_is_not_raised(app: Taskforge, kit: Kit) -> None:
    @app.task
    def flaky() -> None:
        if current_job().attempt == 1:
            raise RetryLater(5)

    flaky.enqueue()

    assert [run.outcome for run in kit.run_until_idle()] == ["retried", "succeeded"]


def test_a_job_of_a_task_nobody_knows_is_told_at_once(app: Taskforge, kit: Kit) -> None:
    start = kit.clock.now()
    app.enqueue("elsewhere.task")

    with pytest.raises(JobFailed, match="unknown_task.*no task is named 'elsewhere.task'"):
        kit.run_until_idle()

    assert kit.clock.now() - start < timedelta(minutes=1)


def test_what_cannot_travel_fails_as_in_production(app: Taskforge, kit: Kit) -> None:
    @app.task
    def show(thing: object) -> None: ...

    with pytest.raises(EncodeError, match="thing"):
        show.enqueue(threading.Lock())

    assert kit.run_until_idle() == []


def sync_interrupt() -> None:
    raise KeyboardInterrupt


async def async_interrupt() -> None:
    raise KeyboardInterrupt


async def async_signal() -> None:
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(60)


@pytest.mark.parametrize("function", [sync_interrupt, async_interrupt, async_signal])
def test_ctrl_c_in_a_task_is_the_persons_and_leaves_the_job_in_its_place(
    app: Taskforge, kit: Kit, function: Callable[[], object]
) -> None:
    job = app.task(function).enqueue()

    with pytest.raises(KeyboardInterrupt):
        kit.run_until_idle()

    assert (job.state(), job.info().attempts, job.info().crashes) == (JobState.READY, 0, 0)


def test_a_test_may_be_failed_from_inside_a_task(app: Taskforge, kit: Kit) -> None:
    @app.task
    def never() -> None:
        pytest.fail("it must not run")

    never.enqueue()

    with pytest.raises(pytest.fail.Exception, match="it must not run"):
        kit.run_until_idle()


def test_a_coroutine_that_cancels_itself_fails_like_any_other(app: Taskforge, kit: Kit) -> None:
    @app.task(retry=Retry(attempts=1))
    async def gives_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    gives_up.enqueue()

    with pytest.raises(RuntimeError, match="cancelled from within"):
        kit.run_until_idle()


# Jobs without end


def test_a_job_that_enqueues_itself_for_ever_is_named(app: Taskforge, kit: Kit) -> None:
    @app.task(name="photos.poll")
    def poll() -> None:
        poll.enqueue()

    @app.task
    def other() -> None: ...

    other.enqueue()
    poll.enqueue()

    with pytest.raises(NeverIdle, match=r"more than 50 runs, and no end; photos\.poll made 50 of them.*succeeded"):
        kit.run_until_idle(max_runs=50)

    assert [info.task for info in app.jobs(JobState.READY)] == ["photos.poll"]
    assert app.jobs(JobState.RUNNING) == []


def test_a_job_that_waits_for_years_is_named(app: Taskforge, kit: Kit) -> None:
    @app.task(name="photos.yearly")
    def yearly() -> None:
        raise Snooze(365 * DAY)

    job = yearly.enqueue()

    with pytest.raises(NeverIdle, match=f"not idle after two years.*photos.yearly {job.id} is delayed, due 20"):
        kit.run_until_idle()


def test_as_many_runs_as_are_allowed_are_no_error(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note(number: int) -> None: ...

    note.enqueue_many([(n,) for n in range(50)])

    assert len(kit.run_until_idle(max_runs=50)) == 50


# What stands around runs


def test_what_is_wrapped_around_workers_and_jobs_is_entered(app: Taskforge, kit: Kit) -> None:
    seen: list[str] = []

    @app.around_worker
    async def session(app: Taskforge) -> AsyncIterator[None]:
        seen.append("session")
        yield
        seen.append("closed")

    @app.around_worker
    def pool(app: Taskforge) -> Iterator[None]:
        seen.append("pool")
        yield
        seen.append("emptied")

    @app.around_job
    async def span(run: Run) -> AsyncIterator[None]:
        seen.append(f"span of {run.args[0]}")
        yield

    @app.task
    def plain(name: str) -> None:
        seen.append(name)

    @app.task
    async def asynchronous(name: str) -> None:
        seen.append(name)

    plain.enqueue("a")
    asynchronous.using(delay=1).enqueue("b")

    kit.run_until_idle()

    assert seen == ["session", "pool", "span of a", "a", "span of b", "b", "emptied", "closed"]


def test_a_worker_that_runs_already_is_not_joined(app: Taskforge) -> None:
    with under_test(app, real_time=True) as kit, app.worker():
        with pytest.raises(AppError, match="runs in real time here"):
            kit.run_until_idle()


def test_a_task_cannot_run_the_others_itself(app: Taskforge, kit: Kit) -> None:
    @app.task(retry=Retry(attempts=1))
    def impatient() -> None:
        kit.run_until_idle()

    impatient.enqueue()

    with pytest.raises(AppError, match="would be a second one"):
        kit.run_until_idle()


def test_inside_a_running_loop_the_twin_is_named_and_works(app: Taskforge, kit: Kit) -> None:
    @app.task
    async def asynchronous() -> str:
        return "done"

    async def steps() -> object:
        await asynchronous.aenqueue()
        with pytest.raises(WouldBlock, match="await …arun_until_idle"):
            kit.run_until_idle()
        [run] = await kit.arun_until_idle()
        return run.result

    assert asyncio.run(steps()) == "done"


# Accidents


@pytest.mark.parametrize("lose", ["lose_request", "lose_reply"])
@pytest.mark.parametrize("verb", ["enqueue", "exchange"])
def test_a_lost_message_costs_no_run_and_makes_none(app: Taskforge, kit: Kit, lose: str, verb: str) -> None:
    @app.task
    def note() -> None: ...

    getattr(kit.broker, lose)(verb)
    note.enqueue()

    runs = kit.run_until_idle()

    assert [run.outcome for run in runs] == ["succeeded"]
    assert len(kit.jobs(note)) == 1


def test_a_job_of_a_worker_that_died_runs_again_when_its_lease_has_run_out(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note() -> None: ...

    job = note.enqueue()
    app.broker.exchange(Demand((1,), (("default", (0,)),)), [], Sender().stamp())

    [run] = kit.run_until_idle()

    assert (run.outcome, job.info().crashes) == ("succeeded", 1)


def test_a_job_that_expires_before_it_is_due_never_runs(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note() -> None: ...

    job = note.using(delay=HOUR, expires=60).enqueue()

    assert kit.run_until_idle() == []
    assert (job.state(), job.info().reason) == (JobState.CANCELLED, "expired")


def live(app: Taskforge, url: str) -> None:
    """Retries, delays and results on another broker."""

    @app.task
    def flaky() -> str:
        if current_job().attempt == 1:
            raise RetryLater(HOUR)
        return "done"

    with under_test(app, broker=url) as kit:
        job = flaky.using(delay=DAY).enqueue()
        runs = kit.run_until_idle()
        assert [run.outcome for run in runs] == ["retried", "succeeded"]
        assert (job.result(), runs[1].at - runs[0].at) == ("done", timedelta(hours=1))


def test_a_file_does_the_same(app: Taskforge, sqlite_url: str) -> None:
    live(app, sqlite_url)


def test_redis_does_the_same(app: Taskforge, redis_url: str) -> None:
    live(app, redis_url)
