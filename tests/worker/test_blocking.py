"""Runs that keep others from going on, in a real worker: one that blocks the loop, one that holds the interpreter."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskforge import JobState, Retry, Run, Taskforge, current_job
from taskforge.worker import loopwatch, warden
from tests.servers import wait_until

#: Beyond any load of the machine (seconds).
LONG = 40.0


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told, and forgiven, after seconds is so after tenths."""
    monkeypatch.setattr(loopwatch, "BLOCKED", 0.3)
    monkeypatch.setattr(loopwatch, "TOLD_AFTER", 0.5)
    monkeypatch.setattr(warden, "HELD_UP", 0.3)
    monkeypatch.setattr("taskforge.worker.worker.WRAPPERS_END", 0.3)


def test_a_coroutine_that_blocks_its_loop_is_named_with_its_stack_and_its_neighbour_is_not_timed_out(
    app: Taskforge, watchful: None
) -> None:
    enough, going = threading.Event(), threading.Event()
    told: list[tuple[Run | None, str]] = []

    def tell(_: Taskforge, *, run: Run | None, seconds: float, stack: str) -> None:
        told.append((run, stack))

    @app.task(retry=Retry(attempts=1))
    async def blocks() -> None:
        going.set()
        enough.wait(LONG)

    @app.task(timeout=3, retry=Retry(attempts=1))
    async def neighbour() -> str:
        await asyncio.sleep(0.1)
        while not going.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return "in time"

    app.signals.loop_blocked.connect(tell)
    with app.worker() as worker:
        job = neighbour.enqueue()
        wait_until(lambda: job.state() is JobState.RUNNING, LONG, "the neighbour's run")
        late = blocks.enqueue()
        try:
            wait_until(lambda: told, LONG, "the blocked loop being told of")
            [run] = [run for run in worker.slots.runs() if run.id == job.id]
            wait_until(lambda: time.monotonic() > run.due + 0.5, LONG, "the neighbour's timeout having passed")
        finally:
            enough.set()
        result = job.result(timeout=LONG)

    [(run_told, stack)] = told
    assert result == "in time"
    assert run_told is not None
    assert run_told.id == late.id
    assert "enough.wait(LONG)" in stack


def test_a_blocked_loop_keeps_its_process_from_nothing_but_itself(watchful: None) -> None:
    enough = threading.Event()
    app = Taskforge("parts", broker="memory://", grace=0, stop_grace=0.1)

    @app.around_worker
    @asynccontextmanager
    async def resource(_: Taskforge) -> AsyncIterator[None]:
        yield

    @app.task(timeout=0.3, retry=Retry(attempts=1))
    async def blocks() -> None:
        enough.wait(LONG)

    with app:
        worker = app.worker()
        worker.start()
        job = blocks.enqueue()
        ended = worker.wait(LONG)

        left = worker.stop(kill=True)
        state, reason = job.state(), job.info().reason
        enough.set()
        worker.stop()  # what a process would not live to see

    assert ended
    assert [run.id for run in left] == [job.id]
    assert (state, reason) == (JobState.DEAD, "timeout")


def test_what_a_thread_held_the_interpreter_is_seen_and_forgiven_its_neighbours(
    app: Taskforge, watchful: None, caplog: pytest.LogCaptureFixture
) -> None:
    going, held = threading.Event(), threading.Event()

    @app.task
    def holds() -> None:
        going.wait(LONG)
        ctypes.PyDLL(None).usleep(2_000_000)  # a call into C that keeps the interpreter's lock
        held.set()

    @app.task(timeout=1.9, retry=Retry(attempts=1))
    def neighbour() -> str:
        going.set()
        held.wait(LONG)
        return "timed out" if current_job().wait_stop(0.3) else "in time"

    with app.worker(threads=2) as worker:
        late = holds.enqueue()
        result = neighbour.enqueue().result(timeout=LONG)
        late.result(timeout=LONG)

    told = [record.__dict__ for record in caplog.records if record.message == "process_held_up"]
    longest = max(told, key=lambda facts: facts["seconds"])
    assert result == "in time"
    assert longest["seconds"] > 1.0
    assert any(late.id in job for job in longest["jobs"])
    assert worker.keeper.warden.held_ups == len(told)
