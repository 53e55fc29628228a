"""Delayed jobs: when they start, in which order, and where they wait."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

from taskforge import JobHandle, JobState, Taskforge
from tests.cases.apps import MakeApp, Watch
from tests.servers import wait_until

ONE_ENGINE = True
#: Brokers count in whole milliseconds.
A_MILLISECOND = 0.001


def test_a_delayed_job_starts_on_time_and_never_early(app: Taskforge) -> None:
    due: dict[str, datetime] = {}
    started: dict[str, datetime] = {}

    @app.task
    def start(name: str) -> None:
        started[name] = datetime.now(UTC)

    with app.worker():
        jobs: list[JobHandle[None]] = []
        asked: dict[str, datetime] = {}
        for number in range(7):
            name, delay = str(number), 0.5 + number * 0.08
            asked[name] = datetime.now(UTC) + timedelta(seconds=delay - A_MILLISECOND)
            jobs.append(start.using(delay=delay).enqueue(name))
            at = jobs[-1].info().due_at
            assert at is not None
            due[name] = at
        for job in jobs:
            job.result(10)

    late = {name: (started[name] - due[name]).total_seconds() for name in due}
    assert min(late.values()) >= 0, late
    assert all(started[name] >= asked[name] for name in asked), late
    assert statistics.median(late.values()) < 0.05, late


def test_delayed_jobs_start_in_the_order_of_their_due_times(app: Taskforge) -> None:
    order: list[int] = []
    app.task(name="note")(lambda number: order.append(number))

    with app.worker(threads=1):
        watch = Watch(app)
        for number in reversed(range(12)):
            app.by_name("note").using(delay=0.1 + number * 0.05).enqueue(number)
        watch.wait("job_succeeded", 12)

    assert order == list(range(12))


def test_delays_that_fell_due_while_no_worker_was_up_are_worked_off_in_due_order(app: Taskforge) -> None:
    order: list[int] = []
    app.task(name="note")(lambda number: order.append(number))
    for number in (3, 1, 2):
        app.by_name("note").using(delay=number * 0.05).enqueue(number)
    wait_until(lambda: due(app) == 3)

    watch = Watch(app)
    with app.worker(threads=1):
        watch.wait("job_succeeded", 3)

    assert order == [1, 2, 3]


def test_no_delay_and_a_delay_of_zero_are_ready_at_once(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)

    plain, zero = app.enqueue("note"), app.by_name("note").using(delay=0).enqueue()
    past = app.by_name("note").using(at=datetime.now(UTC) - timedelta(days=1)).enqueue()

    assert [job.state() for job in (plain, zero, past)] == [JobState.READY] * 3


def test_a_short_delay_is_not_held_back_by_a_long_one(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)

    with app.worker(threads=1):
        watch = Watch(app)
        long = app.by_name("note").using(delay=300).enqueue()
        begun = time.monotonic()
        short = app.by_name("note").using(delay=0.2).enqueue()
        [event] = watch.wait("job_started")

    assert event.id == short.id
    assert event.at - begun < 1.5, "it waited for the worker to look by itself"
    assert long.state() is JobState.DELAYED


def test_a_delayed_job_is_held_by_no_worker_and_runs_once(apps: MakeApp) -> None:
    workers = [apps(lease=0.5), apps(lease=0.5)]
    watches = [Watch(app) for app in workers]
    for app in workers:
        app.task(name="note")(lambda: None)

    with workers[0].worker(), workers[1].worker():
        job = workers[0].by_name("note").using(delay=1.3).enqueue()
        while_waiting = job.info()
        job.result(10)

    assert (while_waiting.state, while_waiting.worker) == (JobState.DELAYED, None)
    assert sum(len(watch.of("job_started")) for watch in watches) == 1
    assert job.info().crashes == 0


def due(app: Taskforge) -> int:
    """How many delayed jobs are past their time."""
    delayed = app.inspector.list("default", JobState.DELAYED)
    return sum(record.due_at is not None and record.due_at <= datetime.now(UTC) for record in delayed)
