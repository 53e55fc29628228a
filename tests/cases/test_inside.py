"""A worker inside this process, and what a run can see and do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest

from taskforge import (
    AppError,
    EncodeError,
    Fixed,
    JobFailed,
    JobState,
    Keep,
    Retry,
    Run,
    SettingsError,
    Taskforge,
    current_job,
)
from tests.cases.apps import MakeApp, Watch, wait_for, wait_for_state

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
        current_job()


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


# Names and options.


def test_a_job_by_name_takes_the_options_of_its_workers_declaration(apps: MakeApp) -> None:
    sender, worker_app = apps(), apps()
    seen: list[tuple[datetime | None, object]] = []

    @worker_app.task(name="elsewhere", retry=Retry(attempts=1), timeout=5, keep_result=False, headers={"a": "1"})
    def elsewhere(fail: bool) -> str:
        seen.append((current_job().deadline, dict(current_job().headers)))
        if fail:
            raise OSError("no")
        return "a result"

    with worker_app.worker(threads=1):
        with pytest.raises(JobFailed):
            sender.enqueue("elsewhere", True).result(10)
        kept = sender.enqueue("elsewhere", False).result(10)
        overridden = sender.by_name("elsewhere").using(keep_result=60, headers={"b": "2"}).enqueue(fail=False)
        result = overridden.result(10)

    deadline, headers = seen[-1]
    assert deadline is not None
    assert (deadline - datetime.now(UTC)).total_seconds() < 5
    assert headers == {"a": "1", "b": "2"}
    assert (kept, result) == (None, "a result")


def test_a_renamed_tasks_old_jobs_run_under_its_alias(apps: MakeApp) -> None:
    old, new = apps(), apps()
    old.task(name="old.name")(lambda: "old")
    job = old.enqueue("old.name")
    new.task(name="new.name", aliases=["old.name"])(lambda: "new")

    with new.worker():
        assert job.result(10) == "new"


def test_a_job_of_an_unknown_task_waits_for_a_worker_that_knows_it(apps: MakeApp) -> None:
    old, new = apps(), apps()
    watch = Watch(old)

    job = new.enqueue("brand.new")
    with old.worker():
        watch.wait("job_snoozed")
    parked = job.info()
    new.task(name="brand.new")(lambda: "done")
    job.promote()
    with new.worker():
        result = job.result(10)

    assert (parked.state, parked.attempts, parked.crashes) == (JobState.DELAYED, 0, 0)
    assert "brand.new" in parked.errors[-1].message
    assert result == "done"


def test_arguments_that_do_not_fit_are_kept_marked_and_can_be_seen(apps: MakeApp) -> None:
    sender, app = apps(), apps()
    app.task(name="add")(lambda a, b: a + b)

    with app.worker(), pytest.raises(JobFailed) as caught:
        sender.enqueue("add", 1).result(10)
    job = sender.job(caught.value.job_id)

    assert caught.value.reason == "arguments"
    assert list(job.info().args or ()) == [1]


def test_a_queues_defaults_count_for_its_jobs(app: Taskforge) -> None:
    app.queue("photos", retry=Retry(attempts=1), keep=Keep(count=2), priority=4)
    app.task(name="note", queue="photos", keep_result=False)(lambda fail: fail and 1 / 0)
    watch = Watch(app)

    with app.worker():
        failing = app.enqueue("note", True)
        with pytest.raises(JobFailed):
            failing.result(10)
        for _ in range(5):
            app.enqueue("note", False)
        watch.wait("job_succeeded", 5)

    assert (failing.info().attempts, failing.info().priority) == (1, 4)
    assert app.inspector.counts("photos").succeeded == 2


def test_aenqueue_and_enqueue_make_the_same_jobs(app: Taskforge) -> None:
    add = app.task(name="add")(lambda a, b=0: a + b)

    async def main() -> list[str]:
        jobs = [await add.aenqueue(1, b=2), *(await add.aenqueue_many([(1,), (2, 3)]))]
        jobs.append(await app.aenqueue("add", 5))
        return [job.id for job in jobs]

    ids = asyncio.run(main())
    with app.worker():
        assert [app.job(id).result(10) for id in ids] == [3, 1, 5, 5]


def test_a_sync_enqueue_in_a_running_loop_works_and_warns(app: Taskforge) -> None:
    note = app.task(name="note")(lambda: None)

    async def main() -> str:
        with pytest.warns(RuntimeWarning, match="aenqueue") as warned:
            job = note.enqueue()
        assert warned[0].filename == __file__
        return job.id

    wait_for_state(app.job(asyncio.run(main())), JobState.READY)
