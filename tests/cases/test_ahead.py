"""What becomes of jobs that a worker holds beyond its free slots, and what it never holds."""

from __future__ import annotations

import threading
import time

from taskforge import JobState, Taskforge, current_job
from tests.cases import program
from tests.cases.apps import MakeApp, Watch, wait_for
from tests.cases.processes import PATIENCE, Workers
from tests.servers import wait_until

ONE_ENGINE = True

BEFORE, AFTER = 2_000, 500


def test_a_crash_counts_against_none_of_the_jobs_that_were_claimed_ahead(workers: Workers) -> None:
    workers.app.configure(lease=1, finished_count=10_000)
    program.quick.enqueue_many([()] * BEFORE)
    program.kill_at_first.enqueue()
    program.quick.enqueue_many([()] * AFTER)

    workers.start("--threads", "2", lease=1, finished_count=10_000).wait(PATIENCE)
    held = workers.app.inspector.counts("default").running
    with workers.app.worker(threads=2):
        wait_until(lambda: ended(workers.app) == BEFORE + 1 + AFTER, PATIENCE, "all having ended")

    crashed = [crashes for crashes in crashes_of(workers.app) if crashes]
    assert held > 2 + 1  # the slots, and more
    assert len(crashed) <= 2  # the slots, at most
    assert workers.app.inspector.counts("default").dead == 0


def ended(app: Taskforge) -> int:
    return app.inspector.counts("default").succeeded


def crashes_of(app: Taskforge) -> list[int]:
    """The crashes of each succeeded job."""
    pages = (app.inspector.list("default", JobState.SUCCEEDED, at, 1_000) for at in range(0, ended(app), 1_000))
    return [record.crashes for page in pages for record in page]


def test_at_a_stop_what_was_claimed_ahead_is_started_elsewhere_within_a_second_and_in_its_order(apps: MakeApp) -> None:
    app, second = apps(grace=0), apps()
    stuck, order, first_elsewhere = threading.Semaphore(0), list[str](), list[float]()

    def quick() -> None:
        return None

    def heed() -> None:
        stuck.release()
        current_job().wait_stop(20)

    def elsewhere() -> None:
        first_elsewhere.append(time.monotonic())
        order.append(current_job().id)

    app.task(name="quick")(quick)
    app.task(name="heed")(heed)
    second.task(name="quick")(elsewhere)
    app.by_name("quick").enqueue_many([()] * BEFORE)
    app.by_name("heed").enqueue_many([()] * 2)
    rest = app.by_name("quick").enqueue_many([()] * AFTER)

    with app.worker(threads=2):
        for _ in range(2):
            assert stuck.acquire(timeout=PATIENCE)
        stopped = time.monotonic()
    with second.worker(threads=1, burst=True) as worker:
        assert worker.wait(PATIENCE)

    assert first_elsewhere[0] - stopped < 1
    assert order == [job.id for job in rest]


def test_behind_slow_jobs_an_urgent_one_gets_the_next_free_slot(app: Taskforge) -> None:
    watch = Watch(app)
    began = threading.Event()

    @app.task
    def slow() -> None:
        threading.Event().wait(0.03)

    @app.task
    def urgent() -> None:
        began.set()

    slow.enqueue_many([()] * 400)
    with app.worker(threads=8) as worker:
        watch.wait("job_succeeded", 100)
        most = max(len([run for run in worker.slots.runs() if not run.ended]) for _ in range(100))
        before = len(watch.of("job_started"))
        urgent.using(priority=10).enqueue()
        wait_for(began)
        between = watch.of("job_started")[before:]

    assert most <= 8
    # Whatever was claimed before it came has a slot already, and so begins at once.
    assert next(at for at, event in enumerate(between) if event.facts["run"].task == urgent.name) <= 8


def test_quick_jobs_keep_all_slots_busy(app: Taskforge) -> None:
    span, slots, count = 0.01, 16, 800

    @app.task(keep_result=False)
    def wait() -> None:
        threading.Event().wait(span)

    wait.enqueue_many([()] * count)
    with app.worker(threads=slots, burst=True) as worker:
        began = time.monotonic()
        assert worker.wait(PATIENCE)
        took = time.monotonic() - began

    # A benchmark measures how well; here it is only that slots do not wait for round trips one by one.
    assert took < 3 * span * count / slots
