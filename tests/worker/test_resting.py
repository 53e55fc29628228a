"""A worker that rests, that may take on only so much, and what it is known by."""

from __future__ import annotations

import pytest

from taskforge import JobState, SettingsError, Taskforge
from taskforge.brokers.protocol import Demand
from taskforge.worker.exchanger import TEND_EVERY
from taskforge.worker.quota import Quota
from tests.servers import wait_until
from tests.worker.test_exchanger import Rounds


@pytest.fixture
def rounds(app: Taskforge) -> Rounds:
    app.task(name="note")(lambda: None)
    rounds = Rounds(app)
    rounds.clock.wait = lambda event, timeout: event.is_set()  # type: ignore[method-assign]  # nobody waits here
    return rounds


def test_a_resting_worker_claims_nothing_and_hands_back_what_stands_in_line(app: Taskforge, rounds: Rounds) -> None:
    jobs = app.by_name("note").enqueue_many([()] * 3)
    rounds.tick()
    running = rounds.start()

    rounds.exchanger.quiet()
    rounds.tick(3)

    assert [job.state() for job in jobs] == [JobState.RUNNING, JobState.READY, JobState.READY]
    assert (jobs[1].info().crashes, jobs[1].info().attempts) == (0, 0)
    assert not running.should_stop


def test_a_resting_worker_still_settles_and_looks_after_its_queues(app: Taskforge, rounds: Rounds) -> None:
    job = app.enqueue("note")
    rounds.tick()
    rounds.exchanger.quiet()

    rounds.finish(1)
    rounds.tick()
    calls = len(rounds.broker.asked)
    rounds.clock.advance(TEND_EVERY + 1)
    rounds.tick()

    assert job.state() is JobState.SUCCEEDED
    assert len(rounds.broker.asked) == calls + 1
    assert rounds.exchanger.persistence.silence() < 1


def test_a_worker_that_resumes_claims_again(app: Taskforge, rounds: Rounds) -> None:
    rounds.exchanger.quiet()
    job = app.enqueue("note")
    rounds.tick(2)
    assert job.state() is JobState.READY

    rounds.exchanger.resume()
    rounds.tick()

    assert job.state() is JobState.RUNNING


def test_a_worker_may_take_on_so_many_jobs_whatever_their_kind() -> None:
    quota, demand = Quota(jobs=3), Demand((8, 8), (("a", (0,)), ("b", (1,)), ("c", (0, 1))), {"a": 50})

    first = quota.bounded(demand)
    quota.claimed(2)
    second = quota.bounded(demand)

    assert first == Demand((8, 8, 3), (("a", (0, 2)), ("b", (1, 2)), ("c", (0, 1, 2))))
    assert second.free[2] == 1
    assert Quota().bounded(demand) is demand


@pytest.mark.parametrize(("threads", "jobs"), [(1, 3), (8, 3)])
def test_a_worker_ends_once_it_has_run_as_many_jobs_as_it_may(app: Taskforge, threads: int, jobs: int) -> None:
    ran: list[int] = []
    app.task(name="count")(lambda n: ran.append(n))
    handles = app.by_name("count").enqueue_many([(n,) for n in range(10)])

    with app.worker(threads=threads, max_jobs=jobs) as worker:
        assert worker.wait(10)

    assert sorted(ran) == list(range(jobs))
    assert [handle.state() for handle in handles[jobs:]] == [JobState.READY] * (10 - jobs)


def test_a_worker_ends_once_it_has_been_idle_for_as_long_as_it_may(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)
    job = app.enqueue("note")

    with app.worker(max_idle=0.2) as worker:
        assert worker.wait(10)

    assert job.state() is JobState.SUCCEEDED


def test_idleness_counts_from_the_last_job(app: Taskforge) -> None:
    quota = Quota(idle=5)

    ends = [
        quota.spent(holding, now) for holding, now in [(False, 0), (False, 4), (True, 4.5), (False, 6), (False, 10)]
    ]

    assert ends == [False] * 5
    assert quota.patience(10) == 1
    assert quota.spent(False, 11)


@pytest.mark.parametrize("bounds", [{"max_jobs": 0}, {"max_jobs": -1}, {"max_idle": 0}])
def test_a_bound_that_leaves_no_room_is_refused_by_name(app: Taskforge, bounds: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(bounds))} must be more than 0"):
        app.worker(**bounds)


def test_a_worker_is_known_by_the_name_that_stands_beside_its_jobs(app: Taskforge) -> None:
    app.task(name="look")(lambda: wait_until(lambda: handle.info().worker is not None) or handle.info().worker)

    with app.worker() as worker:
        handle = app.enqueue("look")

        assert handle.result(timeout=10) == worker.name
