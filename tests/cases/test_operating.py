"""Cancelling, mending and looking, from outside."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from taskforge import Cancellation, JobCancelled, JobState, Retry, Taskforge, current_job
from tests.cases.apps import MakeApp, Watch, wait_for, wait_for_state
from tests.servers import wait_until


def test_a_cancelled_waiting_job_never_runs(app: Taskforge) -> None:
    runs: list[str] = []
    app.task(name="note")(lambda what: runs.append(what))
    ready, delayed = app.enqueue("note", "ready"), app.by_name("note").using(delay=0.2).enqueue("delayed")
    watch = Watch(app)

    said = [ready.cancel(), delayed.cancel(), ready.cancel()]
    with app.worker():
        app.by_name("note").using(delay=0.3).enqueue("later")
        watch.wait("job_succeeded")

    assert said == [Cancellation.CANCELLED, Cancellation.CANCELLED, Cancellation.ENDED]
    assert runs == ["later"]
    assert (ready.info().state, ready.info().reason) == (JobState.CANCELLED, "requested")
    with pytest.raises(JobCancelled, match="requested"):
        delayed.result(5)


def test_a_running_job_is_asked_to_stop_and_ends_as_cancelled(apps: MakeApp) -> None:
    app = apps(lease=1)
    began = threading.Event()

    @app.task
    def heed() -> None:
        began.set()
        assert current_job().wait_stop(20)
        current_job().raise_if_stopped()

    with app.worker():
        job = heed.enqueue()
        wait_for(began)
        said, asked = job.cancel(), job.info()
        with pytest.raises(JobCancelled):
            job.result(10)

    assert said is Cancellation.REQUESTED
    assert (asked.state, asked.stop_requested) in ((JobState.RUNNING, True), (JobState.CANCELLED, False))
    assert (job.info().state, job.info().reason) == (JobState.CANCELLED, "requested")


def test_a_running_async_job_is_cancelled(apps: MakeApp) -> None:
    app = apps(lease=1)
    watch, cleaned_up = Watch(app), threading.Event()

    @app.task
    async def sleep() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cleaned_up.set()

    with app.worker():
        job = sleep.enqueue()
        watch.wait("job_started")
        job.cancel()
        with pytest.raises(JobCancelled):
            job.result(10)

    assert cleaned_up.is_set()


def test_a_run_that_ignores_its_cancellation_and_returns_has_succeeded(apps: MakeApp) -> None:
    app = apps(lease=1)
    began, go_on = threading.Event(), threading.Event()

    @app.task
    def deaf() -> str:
        began.set()
        wait_for(go_on)
        return "done"

    with app.worker():
        job = deaf.enqueue()
        wait_for(began)
        job.cancel()
        go_on.set()
        assert job.result(10) == "done"


def test_a_cancelled_run_that_fails_is_not_tried_again(apps: MakeApp) -> None:
    app = apps(lease=1)
    began, go_on = threading.Event(), threading.Event()

    @app.task(retry=Retry(attempts=9))
    def failing() -> None:
        began.set()
        wait_for(go_on)
        raise OSError("no")

    with app.worker():
        job = failing.enqueue()
        wait_for(began)
        job.cancel()
        go_on.set()
        with pytest.raises(JobCancelled):
            job.result(10)


def test_redrive_runs_a_dead_job_again_with_all_its_attempts(app: Taskforge) -> None:
    broken = True
    attempts: list[int] = []

    @app.task(retry=Retry(attempts=2, backoff=lambda attempt, error: 0.0))
    def work() -> str:
        attempts.append(current_job().attempt)
        if broken:
            raise OSError("no")
        return "done"

    watch = Watch(app)
    with app.worker():
        job = work.enqueue()
        watch.wait("job_buried")
        broken = False
        assert job.redrive()
        result = job.result(10)
        assert not job.redrive(), "it has succeeded"

    assert (result, attempts) == ("done", [1, 2, 1])


def test_promote_makes_a_delayed_job_ready_now(app: Taskforge) -> None:
    app.task(name="note")(lambda: "ran")

    with app.worker():
        job = app.by_name("note").using(delay=600).enqueue()
        assert job.promote()
        assert job.result(10) == "ran"
        assert not job.promote()


def test_a_job_that_waited_past_its_expiry_is_cancelled_and_never_runs(app: Taskforge) -> None:
    runs: list[int] = []
    app.task(name="note")(lambda: runs.append(1))
    job = app.by_name("note").using(expires=0.05).enqueue()
    wait_until(lambda: past_expiry(app, job.id))

    with app.worker(), pytest.raises(JobCancelled, match="expired"):
        job.result(10)

    assert runs == []


def test_progress_shows_while_a_job_runs(app: Taskforge) -> None:
    go_on = threading.Event()

    @app.task
    def work() -> None:
        current_job().progress(3, 10, "a third")
        wait_for(go_on)

    with app.worker():
        job = work.enqueue()
        wait_until(lambda: job.info().progress is not None, 10, "progress")
        progress = job.info().progress
        go_on.set()
        job.result(10)

    assert progress is not None
    assert (progress.done, progress.total, progress.note) == (3, 10, "a third")
    assert job.info().progress is None


def test_info_tells_everything_about_a_job(app: Taskforge) -> None:
    app.task(name="note", headers={"tenant": "acme"})(lambda a, b: None)

    info = app.by_name("note").using(priority=7, headers={"trace": "1"}).enqueue(1, b="two").info()

    assert (info.task, info.queue, info.state, info.priority) == ("note", "default", JobState.READY, 7)
    assert (list(info.args or ()), info.kwargs) == ([1], {"b": "two"})
    assert info.headers == {"tenant": "acme", "trace": "1"}
    assert (info.started_at, info.ended_at, info.errors, info.reason) == (None, None, (), None)


def test_a_known_id_changes_nothing_and_names_the_job_that_stands_for_it(app: Taskforge) -> None:
    note = app.task(name="note")(lambda what: what)

    first, second = note.using(job_id="mine").enqueue("first"), note.using(job_id="mine").enqueue("second")
    with app.worker():
        result = second.result(10)
    third = note.using(job_id="mine").enqueue("third")

    assert (first.new, second.new, third.new) == (True, False, False)
    assert (result, second.id) == ("first", "mine")
    assert third.state() is JobState.SUCCEEDED


def test_a_running_jobs_priority_can_be_changed_for_its_next_run(app: Taskforge) -> None:
    began, go_on = threading.Event(), threading.Event()

    @app.task(retry=Retry(attempts=2, backoff=lambda attempt, error: 300.0))
    def failing() -> None:
        began.set()
        wait_for(go_on)
        raise OSError("no")

    with app.worker():
        job = failing.enqueue()
        wait_for(began)
        assert job.set_priority(9)
        go_on.set()
        wait_for_state(job, JobState.DELAYED)

    assert job.info().priority == 9


def past_expiry(app: Taskforge, job_id: str) -> bool:
    record = app.inspector.get("default", job_id)
    assert record is not None
    assert record.expires_at is not None
    return datetime.now(UTC) > record.expires_at
