"""Names and options on their way from the sender to the worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from taskforge import (
    JobFailed,
    JobState,
    Keep,
    Retry,
    Taskforge,
    current_job,
)
from tests.cases.apps import MakeApp, Watch, wait_for_state

ONE_ENGINE = True


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
