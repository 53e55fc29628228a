"""What a run can see, what is wrapped around it, and what signals tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context

import pytest

from taskforge import (
    AppError,
    EncodeError,
    Fixed,
    JobFailed,
    JobState,
    Retry,
    Run,
    Taskforge,
    current_job,
)
from tests.cases.apps import Watch

ONE_ENGINE = True


# What a run sees.


def test_a_run_sees_its_job(app: Taskforge) -> None:
    seen: list[Run] = []

    @app.task(queue="photos", priority=3, headers={"tenant": "acme"})
    def look() -> tuple[int, int, str]:
        run = current_job()
        seen.append(run)
        return run.attempt, run.priority, run.headers["tenant"]

    with app.worker():
        job = look.enqueue()
        result = job.result(10)

    [run] = seen
    assert list(result) == [1, 3, "acme"]
    assert (run.id, run.queue, run.task) == (job.id, "photos", look.name)
    assert run.enqueued_at == job.info().enqueued_at


def test_an_async_run_sees_its_own_job_among_many(app: Taskforge) -> None:
    @app.task
    async def who() -> str:
        before = current_job().id
        await asyncio.sleep(0.01)
        assert current_job().id == before
        return before

    with app.worker():
        jobs = who.enqueue_many([()] * 10)
        assert [job.result(10) for job in jobs] == [job.id for job in jobs]


def test_outside_a_run_there_is_no_current_job() -> None:
    with pytest.raises(AppError, match="outside a run"):
        Context().run(current_job)


def test_a_result_that_cannot_travel_ends_the_job_with_that_reason_after_one_run(app: Taskforge) -> None:
    runs: list[int] = []

    @app.task(retry=Retry(attempts=5, backoff=Fixed(0)))
    def odd() -> object:
        runs.append(1)
        return object()

    with app.worker(), pytest.raises(JobFailed) as caught:
        odd.enqueue().result(10)

    assert (caught.value.reason, runs) == ("result", [1])
    assert caught.value.error_type.endswith(EncodeError.__name__)


# Wrappers.


def test_around_job_wraps_every_run_in_order_and_sees_errors(app: Taskforge) -> None:
    said: list[str] = []

    @app.around_job
    @contextmanager
    def outer(run: Run) -> Iterator[None]:
        said.append(f"outer {run.attempt}")
        try:
            yield
        except OSError as error:
            said.append(f"outer saw {error}")
            raise

    @app.around_job
    def inner(run: Run) -> Iterator[None]:
        said.append("inner")
        yield
        said.append("inner is done")

    @app.task(retry=Retry(attempts=1))
    def fail(error: bool) -> None:
        said.append("run")
        if error:
            raise OSError("no")

    with app.worker(threads=1):
        fail.enqueue(False).result(10)
        with pytest.raises(JobFailed):
            fail.enqueue(True).result(10)

    assert said == ["outer 1", "inner", "run", "inner is done", "outer 1", "inner", "run", "outer saw no"]


def test_an_async_around_job_wraps_both_kinds_of_functions(app: Taskforge) -> None:
    said: list[str] = []

    @app.around_job
    async def span(run: Run) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        said.append("in")
        yield
        await asyncio.sleep(0)
        said.append("out")

    app.task(name="plain")(lambda: said.append("plain"))

    @app.task(name="async")
    async def wait_async() -> None:
        said.append("async")

    with app.worker():
        app.enqueue("plain").result(10)
        app.enqueue("async").result(10)

    assert said == ["in", "plain", "out", "in", "async", "out"]


def test_an_around_job_that_fails_before_the_run_fails_the_run(app: Taskforge) -> None:
    runs: list[int] = []

    @app.around_job
    def refuse(run: Run) -> AbstractContextManager[None]:
        raise PermissionError("not today")

    app.task(name="note", retry=Retry(attempts=1))(lambda: runs.append(1))
    with app.worker(), pytest.raises(JobFailed, match="not today"):
        app.enqueue("note").result(10)

    assert runs == []


def test_around_worker_wraps_the_life_of_a_worker(app: Taskforge) -> None:
    said: list[str] = []

    @app.around_worker
    def engine(given: Taskforge) -> Iterator[None]:
        assert given is app
        said.append("up")
        yield
        said.append("down")

    @app.around_worker
    async def client(given: Taskforge) -> AsyncIterator[None]:
        said.append("async up")
        yield
        said.append("async down")

    app.task(name="note")(lambda: said.append("run"))
    with app.worker():
        app.enqueue("note").result(10)

    assert said == ["up", "async up", "run", "async down", "down"]


def test_an_around_worker_that_fails_stops_the_worker_with_its_error_and_claims_nothing(app: Taskforge) -> None:
    said: list[str] = []

    @app.around_worker
    def first(given: Taskforge) -> Iterator[None]:
        said.append("up")
        yield
        said.append("down")

    @app.around_worker
    def engine(given: Taskforge) -> Iterator[None]:
        raise ConnectionError("no database")
        yield

    app.task(name="note")(lambda: None)
    job = app.enqueue("note")
    with pytest.raises(ConnectionError, match="no database"), app.worker():
        raise AssertionError("it began")

    assert job.state() is JobState.READY
    assert said == ["up", "down"]


# Signals.


def test_signals_tell_a_jobs_life(app: Taskforge) -> None:
    watch = Watch(app)

    @app.task(retry=Retry(attempts=2, backoff=Fixed(0)))
    def flaky() -> str:
        if current_job().attempt == 1:
            raise OSError("no")
        return "done"

    with app.worker():
        job = flaky.enqueue()
        job.result(10)
        watch.wait("job_succeeded")

    told = ["job_enqueued", "job_started", "job_retried", "job_succeeded"]
    assert [watch.ids(name) for name in told] == [[job.id], [job.id] * 2, [job.id], [job.id]]
    assert [len(watch.of(f"worker_{what}")) for what in ("started", "draining", "stopped")] == [1, 1, 1]
    assert watch.of("job_enqueued")[0].facts["task"] == flaky.name


def test_a_receiver_that_fails_is_felt_by_nobody(app: Taskforge) -> None:
    def broken(sender: object, **facts: object) -> None:
        raise RuntimeError("receiver")

    for signal in (app.signals.job_enqueued, app.signals.job_started, app.signals.job_succeeded):
        signal.connect(broken)
    app.task(name="note")(lambda: "done")

    with app.worker():
        assert app.enqueue("note").result(10) == "done"
        assert app.enqueue("note").result(10) == "done"
