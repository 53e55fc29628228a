"""Stopping workers, in the middle of their work."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable

import pytest

from taskforge import JobState, current_job
from taskforge.task import AnyTask
from tests.cases import program
from tests.cases.apps import MakeApp, Watch, wait_for, wait_for_state
from tests.cases.processes import PATIENCE, Workers
from tests.servers import wait_until

ONE_ENGINE = True


def test_a_run_that_is_stopped_goes_back_without_blame_and_continues_within_a_second(apps: MakeApp) -> None:
    app, second = apps(grace=0), apps()
    began = threading.Event()
    again: list[float] = []

    @app.task(name="job")
    def heed() -> None:
        began.set()
        current_job().wait_stop(20)
        current_job().raise_if_stopped()

    second.task(name="job")(lambda: again.append(time.monotonic()))
    with app.worker():
        job = app.enqueue("job")
        wait_for(began)
    stopped = time.monotonic()
    after_stop = job.info()
    with second.worker():
        job.result(10)

    assert (after_stop.state, after_stop.attempts, after_stop.crashes) == (JobState.READY, 0, 0)
    assert after_stop.errors == ()
    assert again[0] - stopped < 1


def test_a_handed_back_job_keeps_its_place(apps: MakeApp) -> None:
    app = apps(grace=0)
    began, order = threading.Event(), []

    @app.task
    def heed(name: str) -> None:
        if not began.is_set():
            began.set()
            current_job().wait_stop(20)
            current_job().raise_if_stopped()
        order.append(name)

    with app.worker(threads=1):
        heed.enqueue_many([("first",), ("second",), ("third",)])
        wait_for(began)
    with app.worker(threads=1, burst=True) as worker:
        assert worker.wait(10)

    assert order == ["first", "second", "third"]


def test_a_running_job_may_finish_within_the_grace_and_nothing_new_is_begun(apps: MakeApp) -> None:
    app = apps(grace=10)
    watch, began, go_on = Watch(app), threading.Event(), threading.Event()

    @app.task
    def held() -> str:
        began.set()
        wait_for(go_on)
        return "done"

    with app.worker(threads=1) as worker:
        running, waiting = held.enqueue(), held.enqueue()
        wait_for(began)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        watch.wait("worker_draining")
        go_on.set()
        stopping.join(10)

    assert running.result(1) == "done"
    assert (waiting.state(), len(watch.of("job_started"))) == (JobState.READY, 1)


def test_an_async_run_is_cancelled_at_shutdown_and_handed_back(apps: MakeApp) -> None:
    app = apps(grace=0)
    watch = Watch(app)
    cancelled = threading.Event()

    @app.task
    async def sleep() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.set()

    with app.worker():
        job = sleep.enqueue()
        watch.wait("job_started")

    assert cancelled.is_set()
    assert (job.state(), job.info().attempts) == (JobState.READY, 0)


@pytest.mark.parametrize(
    ("sent", "task"),
    [(signal.SIGTERM, program.heed), (signal.SIGINT, program.heed), (signal.SIGTERM, program.aheed)],
    ids=["SIGTERM-threads", "SIGINT-threads", "SIGTERM-async"],
)
def test_a_signal_lets_a_worker_process_finish_what_runs(workers: Workers, task: AnyTask, sent: signal.Signals) -> None:
    process = workers.start("--threads", "1", "--slots", "1")
    running = task.enqueue(0.7)
    workers.wait_for("began")
    waiting = task.enqueue(0.7)

    process.send_signal(sent)

    assert process.wait(PATIENCE) == 0, workers.log()
    assert (running.state(), waiting.state()) == (JobState.SUCCEEDED, JobState.READY)
    assert len(workers.lines("began")) == 1


@pytest.mark.parametrize("task", [program.heed, program.aheed], ids=["threads", "async"])
def test_a_second_signal_hands_back_at_once(workers: Workers, task: AnyTask) -> None:
    process = workers.start()
    job = task.enqueue(60)
    workers.wait_for("began")

    begun = time.monotonic()
    send_twice(process.send_signal, workers)

    assert process.wait(PATIENCE) == 0, workers.log()
    assert time.monotonic() - begun < 10
    assert (job.state(), job.info().attempts, job.info().crashes) == (JobState.READY, 0, 0)
    assert workers.lines("ended") == []


def test_a_second_signal_ends_even_a_run_that_does_not_listen(workers: Workers) -> None:
    process = workers.start()
    job = program.hold.enqueue(60)
    workers.wait_for("began")

    send_twice(process.send_signal, workers)

    assert process.wait(PATIENCE) == 1, "runs were abandoned"
    assert (job.state(), job.info().attempts, job.info().crashes) == (JobState.READY, 0, 0)


def test_a_parent_passes_signals_on_and_waits_for_its_children(workers: Workers) -> None:
    parent = workers.start("--threads", "1", processes=2)
    jobs = program.heed.enqueue_many([(0.7,), (0.7,)])
    began = workers.wait_for("began", 2)

    parent.send_signal(signal.SIGTERM)

    assert parent.wait(PATIENCE) == 0, workers.log()
    assert [job.state() for job in jobs] == [JobState.SUCCEEDED] * 2
    assert len({process for _, _, process in began}) == 2


def test_children_end_when_their_parent_is_killed(workers: Workers) -> None:
    parent = workers.start("--threads", "1", processes=2)
    wait_until(lambda: workers.log().count("worker_started") == 2, PATIENCE, "both children starting")
    job = program.heed.enqueue(0.7)
    workers.wait_for("began")

    parent.send_signal(signal.SIGKILL)
    parent.wait(PATIENCE)

    wait_for_state(job, JobState.SUCCEEDED, PATIENCE)
    wait_until(lambda: workers.log().count("worker_stopped") == 2, PATIENCE, "both children ending")


def test_a_job_whose_thread_overstays_ends_as_timed_out_with_its_process_and_never_overlaps(workers: Workers) -> None:
    first = workers.start("--threads", "1", stop_grace=0.3, grace=0.3)
    job = program.overstay.enqueue(60)

    assert first.wait(PATIENCE) == 1, workers.log()
    after_first = job.info()
    second = workers.start("--threads", "1", stop_grace=0.3, grace=0.3)
    assert second.wait(PATIENCE) == 1, workers.log()

    assert (after_first.state, after_first.attempts, after_first.crashes) == (JobState.READY, 1, 0)
    assert (job.info().state, job.info().reason, job.info().attempts) == (JobState.DEAD, "timeout", 2)
    assert "RunTimeout" in job.info().errors[-1].type
    began = workers.lines("began")
    assert len({process for _, _, process in began}) == len(began) == 2


def send_twice(send: Callable[[int], None], workers: Workers) -> None:
    """Two SIGTERMs, the second once the first has been understood: signals of one kind may else merge."""
    send(signal.SIGTERM)
    wait_until(lambda: "worker_draining" in workers.log(), PATIENCE, "draining")
    send(signal.SIGTERM)
