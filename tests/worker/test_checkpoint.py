"""checkpoint(): where a run may stop, and its job's next run goes on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from taskforge import (
    EncodeError,
    Fixed,
    JobFailed,
    JobState,
    PayloadTooLarge,
    Retry,
    Taskforge,
    WouldBlock,
    current_job,
)
from tests.servers import wait_until


def test_a_failed_runs_successor_goes_on_where_it_stood(sqlite_url: str) -> None:
    assert walked(sqlite_url) == [0, 1, 2, 3, 4, 5]


def test_a_failed_runs_successor_goes_on_where_it_stood_on_redis(redis_url: str) -> None:
    assert walked(redis_url) == [0, 1, 2, 3, 4, 5]


def walked(url: str) -> list[int]:
    """The steps of a job whose runs fail twice on the way."""
    with Taskforge("checkpoints", broker=url, lease=10) as app:
        done: list[int] = []

        @app.task(retry=Retry(attempts=3, backoff=Fixed(0)))
        def walk() -> list[int]:
            job = current_job()
            start = job.checkpointed() or 0
            assert isinstance(start, int)
            for step in range(start, 6):
                done.append(step)
                job.checkpoint(step + 1)
                if step in (1, 3) and job.attempt <= 2 and step > start:
                    raise OSError("the net is down")
            return done

        with app.worker(threads=1):
            return walk.enqueue().result(timeout=20)


def test_a_shutdown_takes_a_run_at_its_checkpoint_and_the_next_worker_goes_on_from_it() -> None:
    with Taskforge("checkpoints", broker="memory://", lease=10, grace=0) as app:
        begun = threading.Event()
        starts: list[object] = []

        @app.task
        async def count() -> object:
            job = current_job()
            starts.append(await job.acheckpointed())
            for step in range(10_000) if len(starts) == 1 else ():
                job.checkpoint({"step": step})
                begun.set()
                await asyncio.sleep(0.001)
            return starts[-1]

        with app.worker():
            handle = count.enqueue()
            assert begun.wait(10)
        assert (handle.state(), handle.info().attempts) == (JobState.READY, 0)
        with app.worker():
            resumed = handle.result(timeout=10)

    assert starts[0] is None
    assert isinstance(resumed, dict)
    assert list(resumed) == ["step"]


def test_a_run_that_is_asked_to_stop_stops_at_its_checkpoint(app: Taskforge) -> None:
    begun = threading.Event()

    @app.task
    def turn() -> None:
        while True:
            begun.set()
            current_job().checkpoint()

    with app.worker():
        job = turn.enqueue()
        assert begun.wait(10)
        job.cancel()

        wait_until(lambda: job.state() is JobState.CANCELLED, 10)


def test_what_is_kept_shows_beside_the_progress_and_neither_wipes_the_other(app: Taskforge) -> None:
    go_on = threading.Event()

    @app.task
    def walk() -> None:
        job = current_job()
        job.checkpoint("page 7")
        job.progress(7, 10, "pages")
        go_on.wait(10)

    with app.worker():
        job = walk.enqueue()
        wait_until(lambda: (seen := job.info().progress) is not None and seen.done == 7, 10)
        seen = job.info().progress
        go_on.set()
        job.result(timeout=10)

    assert seen is not None
    assert (seen.done, seen.total, seen.note, seen.checkpoint) == (7, 10, "pages", "page 7")


@pytest.mark.parametrize(("value", "error"), [(object(), EncodeError), ("x" * 70_000, PayloadTooLarge)])
def test_what_cannot_be_kept_is_refused_where_it_is_written(
    app: Taskforge, value: object, error: type[Exception]
) -> None:
    @app.task(retry=Retry(attempts=1))
    def keep() -> None:
        current_job().checkpoint(value)

    with app.worker():
        job = keep.enqueue()
        with pytest.raises(JobFailed, match=f"{error.__name__}.*checkpoint"):
            job.result(timeout=10)


def test_reading_it_in_a_coroutine_has_a_twin(app: Taskforge) -> None:
    @app.task(retry=Retry(attempts=1))
    async def read() -> None:
        current_job().checkpointed()

    with app.worker():
        job = read.enqueue()
        with pytest.raises(JobFailed, match=WouldBlock.__name__):
            job.result(timeout=10)
