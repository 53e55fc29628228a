"""Worker processes that stand still and come back: what they held belongs to others by then."""

from __future__ import annotations

import signal
import time

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew, kill
from tests.servers import wait_until

ONE_ENGINE = True
#: Seconds.
LEASE = 1
#: Seconds within which a bell that was heard in vain is made good for: idle workers look by themselves every two.
LOOKS = 2.0
#: What a busy machine may add to that.
SLACK = 8.0


def test_a_worker_frozen_past_its_lease_is_refused_when_it_comes_back(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=LEASE)
    frozen = crew.start("--threads", "1", lease=LEASE)
    job = program.hold.enqueue(0.2)
    crew.all("began")

    kill(frozen.pid, signal.SIGSTOP)
    crew.start("--threads", "1", lease=LEASE)
    result = job.result(PATIENCE)
    before = job.info()
    kill(frozen.pid, signal.SIGCONT)
    crew.all("ended", 2)
    crew.all("refused")

    assert (result, before.crashes, job.info()) == ("again", 1, before)
    assert len(crew.all("succeeded")) == 1
    assert frozen.poll() is None


def test_a_worker_frozen_past_its_lease_goes_on_with_other_jobs_afterwards(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=LEASE)
    frozen = crew.start("--threads", "1", lease=LEASE)
    program.hold.enqueue(0.1)
    crew.all("succeeded")

    kill(frozen.pid, signal.SIGSTOP)
    waiting = program.hold.enqueue_many([(0.0,)] * 5)
    wait_until(lambda: app.inspector.counts("default").ready == 5, PATIENCE)
    kill(frozen.pid, signal.SIGCONT)

    assert [job.result(PATIENCE) for job in waiting] == ["first"] * 5
    assert [job.info().crashes for job in waiting] == [0] * 5


def test_a_job_starts_though_the_worker_that_waited_longest_is_frozen(crew: Crew, app: Taskforge) -> None:
    workers = [crew.start("--threads", "1") for _ in range(2)]
    wait_until(lambda: _at_work(crew) == {each.pid for each in workers}, PATIENCE, "both at work")
    waits = []

    for frozen in workers:  # one of them is the one that a bell would wake
        kill(frozen.pid, signal.SIGSTOP)
        enqueued = time.clock_gettime(time.CLOCK_MONOTONIC)
        job = program.hold.enqueue(0.0)
        job.result(PATIENCE)
        kill(frozen.pid, signal.SIGCONT)
        [began] = crew.ledger.of(job.id, "began")
        assert began.pid != frozen.pid
        waits.append(began.at - enqueued)

    assert max(waits) < LOOKS + SLACK


def _at_work(crew: Crew) -> set[int]:
    """The processes that have run something by now, having been given some more to do."""
    for job in program.hold.enqueue_many([(0.05,)] * 4):
        job.result(PATIENCE)
    return {line.pid for line in crew.ledger.lines("began")}
