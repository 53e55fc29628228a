"""A worker inside this process: starting, ending, slots and timeouts."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from taskforge import (
    Fixed,
    JobFailed,
    JobState,
    Retry,
    SettingsError,
    Taskforge,
    current_job,
)
from tests.cases.apps import MakeApp, Watch, wait_for

ONE_ENGINE = True


# Starting and ending.


def test_a_with_runs_jobs_and_ends(app: Taskforge) -> None:
    app.task(name="add")(lambda a, b: a + b)

    before = set(threading.enumerate())
    with app.worker(threads=2):
        result = app.enqueue("add", 1, b=2).result(10)

    assert result == 3
    assert [t.name for t in set(threading.enumerate()) - before if t.name not in ("taskforge-watch",)] == []


def test_an_async_with_runs_jobs_and_leaves_the_loop_free(app: Taskforge) -> None:
    @app.task
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    async def main() -> int:
        async with app.worker():
            job = await add.aenqueue(1, 2)
            return await job.aresult(10)

    assert asyncio.run(main()) == 3


def test_burst_ends_when_nothing_is_ready_and_leaves_delayed_jobs(app: Taskforge) -> None:
    children: list[int] = []
    child = app.task(name="child")(lambda: children.append(1))

    @app.task
    def parent() -> None:
        child.enqueue()

    parent.enqueue_many([()] * 20)
    later = child.using(delay=600).enqueue()
    with app.worker(burst=True) as worker:
        assert worker.wait(20)

    assert len(children) == 20
    assert later.state() is JobState.DELAYED


def test_burst_waits_for_what_it_runs(app: Taskforge) -> None:
    @app.task
    async def slow() -> None:
        await asyncio.sleep(0.3)

    job = slow.enqueue()
    with app.worker(burst=True) as worker:
        assert worker.wait(10)
        assert job.state() is JobState.SUCCEEDED


def test_a_worker_serves_only_its_queues(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)
    mine, foreign = app.by_name("note").using(queue="mine").enqueue(), app.by_name("note").enqueue()

    with app.worker(queues=["mine"], burst=True) as worker:
        assert worker.wait(10)

    assert (mine.state(), foreign.state()) == (JobState.SUCCEEDED, JobState.READY)


def test_a_worker_without_threads_is_refused(app: Taskforge) -> None:
    with pytest.raises(SettingsError, match="threads"):
        app.worker(threads=0)


# Slots.


def test_a_worker_holds_no_more_jobs_than_it_has_slots_whatever_their_kinds(app: Taskforge) -> None:
    go_on, watch = threading.Event(), Watch(app)
    app.task(name="plain")(lambda: wait_for(go_on))

    @app.task(name="async")
    async def wait_async() -> None:
        await asyncio.get_running_loop().run_in_executor(None, wait_for, go_on)

    for _ in range(6):
        app.enqueue("plain")
        app.enqueue("async")
    with app.worker(threads=2, slots=2):
        # A queue of both kinds claims only what fits whichever kind comes: two, then one, then no plain slot is left.
        watch.wait("job_started", 3)
        counts = app.inspector.counts("default")
        go_on.set()
        watch.wait("job_succeeded", 12)

    assert (counts.running, counts.ready) == (3, 9)
    assert (len(watch.of("job_started")), watch.of("job_handed_back")) == (12, [])


def test_all_slots_of_one_kind_being_taken_does_not_stop_a_queue_of_the_other(app: Taskforge) -> None:
    go_on, watch = threading.Event(), Watch(app)
    app.task(name="plain", queue="plain")(lambda: wait_for(go_on))

    @app.task(name="async", queue="async")
    async def quick() -> str:
        return "quick"

    with app.worker(threads=1, slots=1):
        app.enqueue("plain")
        watch.wait("job_started")
        assert app.enqueue("async").result(10) == "quick"
        go_on.set()


def test_async_jobs_run_side_by_side(app: Taskforge) -> None:
    inside: list[int] = []
    everyone = asyncio.Event()

    @app.task
    async def meet() -> None:
        inside.append(1)
        if len(inside) == 20:
            everyone.set()
        await asyncio.wait_for(everyone.wait(), 10)

    with app.worker(slots=20):
        jobs = meet.enqueue_many([()] * 20)
        for job in jobs:
            job.result(15)

    assert len(inside) == 20


# Timeouts.


def test_an_async_run_is_cancelled_at_its_timeout(app: Taskforge) -> None:
    cleaned_up = threading.Event()

    @app.task(timeout=0.1, retry=Retry(attempts=1))
    async def sleep() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cleaned_up.set()

    with app.worker(), pytest.raises(JobFailed) as caught:
        sleep.enqueue().result(10)

    assert (caught.value.reason, cleaned_up.is_set()) == ("timeout", True)
    assert "0.1 s" in caught.value.error_message


def test_a_thread_is_asked_to_stop_at_its_timeout(app: Taskforge) -> None:
    seen: list[bool] = []

    @app.task(timeout=0.1, retry=Retry(attempts=2, backoff=Fixed(0)))
    def heed() -> None:
        seen.append(current_job().should_stop)
        seen.append(current_job().wait_stop(20))
        current_job().raise_if_stopped()

    with app.worker(), pytest.raises(JobFailed) as caught:
        heed.enqueue().result(10)

    assert caught.value.reason == "timeout"
    assert seen == [False, True, False, True], "a timeout is retried like any error"


def test_a_run_that_ends_well_after_its_timeout_has_succeeded(app: Taskforge) -> None:
    @app.task(timeout=0.1)
    def late() -> str:
        assert current_job().wait_stop(20)
        return "done"

    with app.worker():
        assert late.enqueue().result(10) == "done"


def test_a_thread_that_overstays_turns_its_worker_unhealthy_and_keeps_its_lease(apps: MakeApp) -> None:
    app, second = apps(stop_grace=0.1, lease=0.5), apps(lease=0.5)
    watch, go_on = Watch(app), threading.Event()
    app.task(name="deaf", timeout=0.1)(lambda: wait_for(go_on))
    second.task(name="deaf")(lambda: "overlapping")

    with app.worker(threads=1) as worker:
        job = app.enqueue("deaf")
        watch.wait("job_started")
        with second.worker():
            assert worker.wait(10)
            healthy = worker.healthy
            assert not go_on.wait(1), "two leases long"
            go_on.set()
            result = job.result(10)

    assert not healthy
    assert (result, job.info().crashes) == ("done", 0)


def test_no_timeout_must_be_said_and_then_holds(app: Taskforge) -> None:
    deadlines: list[datetime | None] = []
    task = app.task(name="task")(lambda: deadlines.append(current_job().deadline))

    with app.worker(threads=1):
        task.enqueue().result(10)
        task.using(timeout=None).enqueue().result(10)

    assert deadlines[0] is not None
    assert 1790 < (deadlines[0] - datetime.now(UTC)).total_seconds() < 1800
    assert deadlines[1] is None
