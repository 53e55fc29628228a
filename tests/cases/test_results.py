"""What a handle tells about a job, and when it gives up."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from taskforge import (
    AmbiguousJob,
    JobNotFound,
    JobState,
    ResultExpired,
    Retry,
    Taskforge,
    WouldBlock,
    current_job,
)
from tests.cases.apps import MakeApp, Watch, wait_for
from tests.servers import wait_until

UNKNOWN = "nobody-knows-this-one"


def test_the_result_of_an_unknown_id_is_not_waited_for(app: Taskforge) -> None:
    for job in (app.job(UNKNOWN), app.job(UNKNOWN, queue="default")):
        for ask in (lambda job=job: job.result(30), job.state, job.info, job.cancel, job.redrive, job.promote):
            with pytest.raises(JobNotFound, match=UNKNOWN) as caught:
                ask()
            assert not isinstance(caught.value, ResultExpired)


def test_a_timeout_ends_the_waiting_and_not_the_job(app: Taskforge) -> None:
    go_on = threading.Event()
    app.task(name="slow")(lambda: wait_for(go_on))
    watch = Watch(app)

    with app.worker():
        job = app.enqueue("slow")
        watch.wait("job_started")
        with pytest.raises(TimeoutError) as caught:
            job.result(timeout=0.1)
        while_waiting = job.state()
        go_on.set()
        result = job.result(10)

    assert type(caught.value) is TimeoutError
    assert job.id in str(caught.value)
    assert (while_waiting, result) == (JobState.RUNNING, "done")


def test_a_timeout_of_zero_reads_what_is_there(app: Taskforge) -> None:
    app.task(name="note")(lambda: 7)

    job = app.enqueue("note")
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    with app.worker(burst=True) as worker:
        assert worker.wait(10)

    assert job.result(timeout=0) == 7


def test_a_result_that_aged_out_says_so(apps: MakeApp) -> None:
    app, reader = apps(), apps()
    app.task(name="note", keep_result=0.05, keep=0.05)(lambda: 7)

    with app.worker():
        job = app.enqueue("note")
        wait_until(lambda: aged_out(app, job.id), 10, "the job ageing out")

        with pytest.raises(ResultExpired, match=job.id):
            job.result(5)
    with pytest.raises(JobNotFound, match=job.id):
        reader.job(job.id).result(5)


def test_a_result_that_is_not_wanted_is_not_kept(app: Taskforge) -> None:
    app.task(name="note", keep_result=False)(lambda: 7)

    with app.worker():
        job = app.enqueue("note")
        assert job.result(10) is None

    assert job.state() is JobState.SUCCEEDED


def test_results_keep_their_types_for_those_who_know_the_task(app: Taskforge) -> None:
    value = {"when": [1, 2.5, None, True, b"bytes", "text"], "nested": {"a": (1, 2)}}
    app.task(name="echo")(lambda given: given)

    with app.worker():
        result = app.enqueue("echo", value).result(10)

    assert result == value


def test_result_waits_through_retries(app: Taskforge) -> None:
    runs: list[int] = []

    @app.task(retry=Retry(attempts=3, backoff=lambda attempt, error: 0.05))
    def flaky() -> int:
        runs.append(1)
        if len(runs) < 3:
            raise OSError
        return len(runs)

    with app.worker():
        assert flaky.enqueue().result() == 3


def test_a_waiting_caller_is_told_at_once(app: Taskforge) -> None:
    app.task(name="note")(lambda: time.monotonic())
    ended: list[float] = []

    with app.worker():
        app.enqueue("note").result(10)
        for _ in range(5):
            ran = app.enqueue("note").result(10)
            assert isinstance(ran, float)
            ended.append(time.monotonic() - ran)

    assert min(ended) < 0.5, "results come by reading again only"


def test_many_callers_may_wait_for_one_job(app: Taskforge) -> None:
    go_on, results = threading.Event(), list[object]()
    app.task(name="slow")(lambda: wait_for(go_on))
    job = app.enqueue("slow")
    waiting = [threading.Thread(target=lambda: results.append(app.job(job.id).result(20))) for _ in range(4)]

    for thread in waiting:
        thread.start()
    with app.worker():
        go_on.set()
        for thread in waiting:
            thread.join(20)

    assert results == ["done"] * 4


def test_an_id_finds_its_job_without_the_queue_and_two_of_one_id_must_be_told_apart(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)
    for queue in ("one", "two"):
        app.by_name("note").using(queue=queue, job_id="twin").enqueue()
    app.by_name("note").using(queue="one", job_id="single").enqueue()

    assert app.job("single").info().queue == "one"
    with pytest.raises(AmbiguousJob, match=r"(?s)one.*two"):
        app.job("twin").state()
    assert app.job("twin", queue="two").state() is JobState.READY


def test_waiting_calls_are_refused_in_a_running_loop_and_name_their_twins(app: Taskforge) -> None:
    note = app.task(name="note")(lambda: 7)

    async def ask() -> list[str]:
        job = await note.aenqueue()
        said = []
        for ask in (job.result, job.state, job.info, job.cancel, job.redrive, job.promote):
            with pytest.raises(WouldBlock) as caught:
                ask()
            said.append(str(caught.value))
        assert await job.aresult(10) == 7
        assert await job.astate() is JobState.SUCCEEDED
        assert (await job.ainfo()).task == "note"
        return said

    with app.worker():
        said = asyncio.run(ask())

    for twin, text in zip(("aresult", "astate", "ainfo", "acancel", "aredrive", "apromote"), said, strict=True):
        assert f"{twin}()" in text


def test_aresult_times_out_and_many_wait_side_by_side(app: Taskforge) -> None:
    go_on = threading.Event()

    @app.task
    async def double(number: int) -> int:
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return 2 * number

    async def main() -> list[int]:
        jobs = await double.aenqueue_many([(number,) for number in range(50)])
        with pytest.raises(TimeoutError):
            await jobs[0].aresult(0.1)
        go_on.set()
        return list(await asyncio.gather(*(job.aresult(20) for job in jobs)))

    with app.worker():
        assert asyncio.run(main()) == [2 * number for number in range(50)]


def test_an_enqueue_inside_a_run_is_immediate_and_one_on_success_waits_for_it(app: Taskforge) -> None:
    notified: list[str] = []
    fail = True

    @app.task
    def notify(what: str) -> None:
        notified.append(what)

    @app.task(retry=Retry(attempts=1))
    def work() -> str:
        notify.enqueue("at once")
        job = current_job().enqueue_on_success(notify.using(priority=3), "on success")
        if fail:
            raise OSError("failed")
        return job.id

    watch = Watch(app)
    with app.worker():
        failing = work.enqueue()
        watch.wait("job_buried")
        watch.wait("job_succeeded", 1)
        after_failure = list(notified)
        fail = False
        assert failing.redrive()
        child = app.job(str(failing.result(10)))
        child.result(10)
        watch.wait("job_succeeded", 4)

    assert after_failure == ["at once"]
    assert sorted(notified) == ["at once", "at once", "on success"]
    assert child.info().priority == 3


def aged_out(app: Taskforge, job_id: str) -> bool:
    return app.inspector.get("default", job_id) is None
