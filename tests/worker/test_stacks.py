"""What every thread and every coroutine does, as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskforge import Taskforge
from taskforge.worker import Worker
from taskforge.worker.stacks import LISTED, SIZE, dump
from tests.servers import wait_until


@contextmanager
def working(app: Taskforge, leave: threading.Event, **sizes: int) -> Iterator[Worker]:
    with app.worker(**sizes) as worker:
        try:
            yield worker
        finally:
            leave.set()


def test_each_thread_is_told_with_its_job_and_where_it_is(app: Taskforge) -> None:
    leave, inside = threading.Event(), threading.Event()

    @app.task
    def stands_here() -> None:
        inside.set()
        leave.wait(30)

    with working(app, leave, threads=2, slots=1) as worker:
        job = stands_here.enqueue()
        inside.wait(30)

        told = dump(worker)

    [of_job] = [part for part in told.split("\nthread ") if job.id in part]
    assert f"runs job {job.id} ({stands_here.name})" in of_job
    assert "in stands_here" in of_job
    assert "leave.wait(30)" in of_job
    assert "taskforge-exchanger" in told
    assert "taskforge-keeper" in told


def test_each_coroutine_is_told_with_its_job_and_all_that_it_awaits(app: Taskforge) -> None:
    leave, inside = threading.Event(), threading.Event()

    async def innermost() -> None:
        inside.set()
        while not leave.is_set():
            await asyncio.sleep(0.01)

    @app.task
    async def outermost() -> None:
        await innermost()

    with working(app, leave) as worker:
        job = outermost.enqueue()
        inside.wait(30)

        told = dump(worker)

    [of_job] = [part for part in told.split("\ncoroutine ") if part.startswith(job.id)]
    assert f"{job.id} ({outermost.name}):" in of_job
    assert of_job.index("in outermost") < of_job.index("in innermost")


def test_coroutines_at_one_place_are_told_once_and_the_whole_is_bounded(app: Taskforge) -> None:
    leave = threading.Event()
    inside: list[bool] = []

    @app.task
    async def sleep() -> None:
        inside.append(True)
        while not leave.is_set():
            await asyncio.sleep(0.05)

    with working(app, leave, slots=300) as worker:
        sleep.enqueue_many([()] * 300)
        wait_until(lambda: len(inside) == 300, 30, "all of them sleeping")

        told = dump(worker)

    assert "coroutines " in told
    assert f" and {300 - LISTED} more" in told
    assert len(told) < SIZE


def test_a_dump_is_logged_as_one_event(app: Taskforge, caplog: pytest.LogCaptureFixture) -> None:
    with app.worker() as worker:
        worker.dump()

    [record] = [record for record in caplog.records if record.message == "stacks_dumped"]
    assert "thread MainThread" in record.__dict__["stacks"]
