"""Worker processes that stand still and come back: what they held belongs to others by then."""

from __future__ import annotations

import time

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew
from tests.servers import wait_until

ONE_ENGINE = True
#: Seconds.
LEASE = 1
#: Seconds within which a bell that was heard in vain is made good for: idle workers look by themselves every two.
LOOKS = 2.0
#: What a busy machine may add to that.
SLACK = 8.0


def test_a_worker_frozen_past_its_lease_is_refused_when_it_comes_back_and_goes_on(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=LEASE)
    worker = crew.start("--threads", "1", lease=LEASE)
    job = program.hold.enqueue(1.0)
    crew.all("began")

    with crew.frozen(worker):
        other = crew.start("--threads", "1", lease=LEASE)
        result = job.result(PATIENCE)
        before = job.info()
    crew.all("ended", 2)
    crew.all("refused")
    crew.all("succeeded")
    other.kill()
    next_result = program.hold.enqueue(0.0).result(PATIENCE)

    assert (result, before.crashes, job.info()) == ("again", 1, before)
    assert [line.pid for line in crew.ledger.of(job.id, "succeeded")] == [other.pid]
    assert next_result == "first"


def test_a_job_starts_though_the_worker_that_waited_longest_is_frozen(crew: Crew, app: Taskforge) -> None:
    workers = [crew.start("--threads", "1") for _ in range(2)]
    wait_until(lambda: _at_work(crew) == {each.pid for each in workers}, PATIENCE, "both at work")
    waits = []

    for worker in workers:  # one of them is the one that a bell would wake
        with crew.frozen(worker):
            enqueued = time.clock_gettime(time.CLOCK_MONOTONIC)
            job = program.hold.enqueue(0.0)
            job.result(PATIENCE)
        [began] = crew.ledger.of(job.id, "began")
        assert began.pid != worker.pid
        waits.append(began.at - enqueued)

    assert max(waits) < LOOKS + SLACK


def _at_work(crew: Crew) -> set[int]:
    """The processes that have run something by now, having been given some more to do."""
    for job in program.hold.enqueue_many([(0.05,)] * 4):
        job.result(PATIENCE)
    return {line.pid for line in crew.ledger.lines("began")}
