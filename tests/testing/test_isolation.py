"""An app under test goes nowhere but to its private broker, and is afterwards what it was."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import redis

from taskforge import AppError, JobNotFound, JobState, Retry, Run, Taskforge
from taskforge.clock import SystemClock
from taskforge.testing import FakeClock, under_test


def test_the_app_is_afterwards_what_it_was(app: Taskforge) -> None:
    @app.task
    def note() -> None: ...

    before = dict(vars(app))
    with under_test(app) as kit:
        assert app.broker.describe() == "memory://"
        note.enqueue()
        kit.run_until_idle()

    assert {name: value for name, value in vars(app).items() if before[name] is not value}.keys() == {"tasks"}
    assert list(app.tasks) == [note]
    app.configure(threads=2)  # it has not used its broker


def test_jobs_that_waited_in_the_apps_own_broker_still_do() -> None:
    app = Taskforge("photos", broker="memory://")

    @app.task
    def note() -> None: ...

    job = note.enqueue()
    with under_test(app) as kit:
        assert kit.run_until_idle() == []
        with pytest.raises(JobNotFound):
            app.job(job.id, "default").state()

    assert job.state() is app.job(job.id).state() is JobState.READY


def test_the_app_is_what_it_was_after_an_error_too(app: Taskforge) -> None:
    with pytest.raises(ZeroDivisionError), under_test(app):
        1 / 0  # noqa: B018  # the error is what is wanted

    assert app.settings.broker == "sqlite:////nowhere/production.db"


def test_nothing_is_known_of_the_jobs_of_another_test(app: Taskforge) -> None:
    @app.task
    def note() -> None: ...

    with under_test(app):
        job = note.enqueue()

    with under_test(app) as kit:
        assert kit.jobs() == []
        with pytest.raises(JobNotFound):
            app.job(job.id, "default").state()


def test_tasks_and_wrappers_of_one_test_are_gone_in_the_next(app: Taskforge) -> None:
    def one() -> None:
        @app.task(name="note")
        def note() -> None: ...

        @app.around_job
        def span(run: Run) -> Iterator[None]:
            yield

        @app.around_worker
        def pool(app: Taskforge) -> Iterator[None]:
            yield

    def two() -> None:
        @app.task(name="note")
        def note() -> None: ...

    for declare in (one, two):
        with under_test(app):
            declare()

    assert (len(app.tasks), app.arounds.job, app.arounds.worker) == (0, [], [])


def test_what_a_module_declares_when_a_test_imports_it_stays(app: Taskforge) -> None:
    module = types.ModuleType("shop")
    module.app = app  # type: ignore[attr-defined]  # a module made here

    with under_test(app):
        exec("@app.task\ndef note(): ...", module.__dict__)

    assert [task.name for task in app.tasks] == ["shop.note"]


def test_the_clock_starts_now_and_stands_still(app: Taskforge) -> None:
    with under_test(app) as kit:
        assert timedelta(0) <= datetime.now(UTC) - kit.clock.now() < timedelta(minutes=1)
        assert (app.clock, kit.clock.now()) == (kit.clock, kit.clock.now())
        assert isinstance(kit.clock, FakeClock)


def test_in_real_time_a_worker_runs_the_jobs(app: Taskforge) -> None:
    @app.task(retry=Retry(attempts=1))
    def note() -> str:
        return "done"

    with under_test(app, real_time=True) as kit, app.worker(threads=1):
        assert isinstance(app.clock, SystemClock)
        assert note.enqueue().result(timeout=30) == "done"
        with pytest.raises(AppError, match="runs in real time here"):
            _ = kit.clock


def test_an_app_whose_worker_runs_is_left_alone() -> None:
    app = Taskforge("photos", broker="memory://")

    with app.worker(threads=1), pytest.raises(AppError, match="stop that one before testing"):
        under_test(app).__enter__()


def test_an_app_that_wants_more_of_its_broker_can_be_tested() -> None:
    app = Taskforge("photos", broker="redis://nowhere", durability="disk")

    with under_test(app) as kit:
        assert kit.run_until_idle() == []

    assert app.settings.durability == "disk"


def test_results_can_be_read_however_far_the_clock_has_moved(app: Taskforge) -> None:
    @app.task
    def note() -> str:
        return "done"

    with under_test(app) as kit:
        job = note.enqueue()
        brief = note.using(keep_result=60).enqueue()
        kit.run_until_idle()
        kit.run_until_idle(within=timedelta(days=100))

        assert job.result() == "done"
        with pytest.raises(JobNotFound):
            brief.result()


def test_on_redis_nothing_of_others_is_touched_and_nothing_stays(app: Taskforge, redis_url: str) -> None:
    @app.task
    def note() -> None: ...

    with closing(redis.Redis.from_url(redis_url)) as client:
        client.set("tf:photos:queues", "somebody else's")

        with under_test(app, broker=redis_url) as kit:
            note.enqueue()
            kit.run_until_idle()
            note.enqueue_many([() for _ in range(1_500)])
            inside = client.dbsize()

        assert inside > 1
        assert client.keys() == [b"tf:photos:queues"]


def test_two_apps_are_tested_side_by_side() -> None:
    one, two = Taskforge("one"), Taskforge("two")

    @one.task(name="first")
    def first() -> None:
        second.enqueue()

    @two.task(name="second")
    def second() -> None: ...

    with under_test(one) as kit, under_test(two) as other:
        first.enqueue()
        assert [run.task for run in kit.run_until_idle()] == ["first"]
        assert [run.task for run in other.run_until_idle()] == ["second"]
