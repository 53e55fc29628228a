"""Workers that die, freeze or are cut off, and what becomes of their jobs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

import pytest

from taskforge import BrokerUnavailable, JobFailed, JobState
from taskforge.brokers.protocol import Extension
from taskforge.job import Delivery
from taskforge.testing import FlakyBroker
from tests.cases import program
from tests.cases.apps import MakeApp, Watch, around_broker, claim_and_die, wait_for
from tests.cases.processes import Workers

ONE_ENGINE = True


class CutOff(FlakyBroker):
    """Its keeper's beats do not arrive until `cut` is taken back."""

    cut = True

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        if self.cut:
            raise BrokerUnavailable("extend: cut off on purpose")
        return super().extend(deliveries)


def test_the_jobs_of_a_killed_worker_run_again_elsewhere_with_one_crash_counted(workers: Workers) -> None:
    workers.app.configure(lease=1)
    killed = workers.start("--threads", "4", lease=1)
    jobs = program.hang_at_first.enqueue_many([()] * 4)
    workers.wait_for("began", 4)

    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    watch = Watch(workers.app)
    with workers.app.worker():
        results = [job.result(20) for job in jobs]

    assert results == ["run 2"] * 4
    assert sorted(watch.ids("job_succeeded")) == sorted(job.id for job in jobs)
    assert [(job.info().crashes, [error.type for error in job.info().errors]) for job in jobs] == [(1, ["lost"])] * 4
    assert workers.app.inspector.counts("default").succeeded == 4


def test_a_job_longer_than_its_lease_runs_once_while_the_keeper_is_healthy(apps: MakeApp) -> None:
    first, second = apps(lease=1), apps(lease=1)
    watches = [Watch(app) for app in (first, second)]
    enough = threading.Event()
    for app in (first, second):
        app.task(name="long")(lambda: enough.wait(3) or "done")

    with first.worker(), second.worker():
        job = first.enqueue("long")
        result = job.result(15)

    assert result == "done"
    assert sum(len(watch.of("job_started")) for watch in watches) == 1
    assert job.info().crashes == 0


def test_the_settlement_of_a_worker_whose_lease_ran_out_is_refused_and_changes_nothing(apps: MakeApp) -> None:
    cut_off, healthy = apps(lease=0.5), apps(lease=0.5)
    around_broker(cut_off, CutOff)
    late, watch = Watch(cut_off), Watch(healthy)
    began, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        wait_for(go_on)
        return "late"

    cut_off.task(name="job")(slow)
    healthy.task(name="job")(lambda: "in time")
    with cut_off.worker(threads=1):
        job = cut_off.enqueue("job")
        wait_for(began)
        with healthy.worker():
            watch.wait("job_succeeded")
        before = job.info()
        go_on.set()
        late.wait("lease_lost")

    assert job.result(5) == "in time"
    assert job.info() == before
    assert before.crashes == 1
    assert late.of("job_succeeded") == []


@pytest.mark.parametrize("how", ["raises", "retries"])
def test_a_late_failure_changes_nothing_either(apps: MakeApp, how: str) -> None:
    cut_off, healthy = apps(lease=0.5), apps(lease=0.5, attempts=1 if how == "raises" else 5)
    around_broker(cut_off, CutOff)
    late, watch = Watch(cut_off), Watch(healthy)
    began, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        wait_for(go_on)
        raise OSError("late")

    cut_off.task(name="job")(slow)
    healthy.task(name="job")(lambda: "in time")
    with cut_off.worker(threads=1):
        job = cut_off.enqueue("job")
        wait_for(began)
        with healthy.worker():
            watch.wait("job_succeeded")
        before = job.info()
        go_on.set()
        late.wait("lease_lost")

    assert (job.info(), before.state) == (before, JobState.SUCCEEDED)


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_late_settlement_does_not_end_the_run_that_another_worker_has_begun(apps: MakeApp, how: str) -> None:
    cut_off, healthy = apps(lease=0.5), apps(lease=0.5)
    around_broker(cut_off, CutOff)
    late, watch = Watch(cut_off), Watch(healthy)
    began, go_on, finish = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        wait_for(go_on)
        if how == "raises":
            raise OSError("late")
        return "late"

    def second_run() -> str:
        wait_for(finish)
        return "in time"

    cut_off.task(name="job")(slow)
    healthy.task(name="job")(second_run)
    with cut_off.worker(threads=1):
        job = cut_off.enqueue("job")
        wait_for(began)
        with healthy.worker():
            watch.wait("job_started")
            go_on.set()
            late.wait("lease_lost")
            meanwhile = job.info()
            finish.set()
            result = job.result(10)

    assert (meanwhile.state, meanwhile.attempts) == (JobState.RUNNING, 0)
    assert [error.type for error in meanwhile.errors] == ["lost"]
    assert result == "in time"
    assert watch.of("lease_lost") == []


def test_a_worker_that_learns_of_a_lost_lease_asks_its_run_to_stop(apps: MakeApp) -> None:
    cut_off, healthy = apps(lease=0.5), apps(lease=0.5)
    broker = around_broker(cut_off, CutOff)
    watch, late = Watch(healthy), Watch(cut_off)
    began, told = threading.Event(), threading.Event()

    @cut_off.task(name="job")
    def slow() -> None:
        began.set()
        run = late.of("job_started")[0].facts["run"]
        if run.wait_stop(10):
            told.set()

    healthy.task(name="job")(lambda: "in time")
    with cut_off.worker(threads=1) as worker:
        job = cut_off.enqueue("job")
        wait_for(began)
        with healthy.worker():
            watch.wait("job_succeeded")
        broker.cut = False
        wait_for(told)
        late.wait("lease_lost")
        assert worker.healthy

    assert job.result(5) == "in time"


def test_a_job_whose_worker_died_between_claim_and_start_is_not_lost(apps: MakeApp) -> None:
    app = apps(lease=0.5)
    app.task(name="job")(lambda: "done")
    job = app.enqueue("job")
    claim_and_die(app)

    with app.worker():
        result = job.result(10)

    assert result == "done"
    assert job.info().crashes == 1


def test_a_job_that_crashed_three_times_is_dead(apps: MakeApp) -> None:
    app = apps(lease=0.5)
    runs: list[int] = []
    app.task(name="poison")(lambda: runs.append(1))
    job = app.enqueue("poison")
    for _ in range(3):
        claim_and_die(app)

    with app.worker(), pytest.raises(JobFailed) as caught:
        job.result(10)

    assert caught.value.reason == "crashed"
    assert (job.info().crashes, job.info().attempts, runs) == (3, 0, [])


def test_a_crashed_jobs_retries_are_all_left(apps: MakeApp) -> None:
    app = apps(lease=0.5, attempts=1)
    app.task(name="job")(lambda: "done")
    job = app.enqueue("job")
    for _ in range(2):
        claim_and_die(app)

    with app.worker():
        assert job.result(10) == "done"
