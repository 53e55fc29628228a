"""Worker processes that are replaced under load: no job is lost, none runs twice, none waits for it."""

from __future__ import annotations

import signal

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew, children, kill
from tests.servers import wait_until

ONE_ENGINE = True
#: Seconds: nobody waits here for a lease to run out.
LEASE = 600
#: Jobs at a time, and processes.
JOBS, PROCESSES = 25, 2


def _one_of_each(crew: Crew, ids: set[str]) -> None:
    """Each has run exactly once."""
    crew.all("succeeded", len(ids))
    assert sorted(line.id for line in crew.ledger.lines("began") if line.id in ids) == sorted(ids)


def test_a_renewal_under_load_costs_no_job_and_no_attempt(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", processes=PROCESSES, lease=LEASE)
    jobs = program.slow.enqueue_many([(n,) for n in range(JOBS)])
    crew.all("began")
    old = set(children(parent.pid))

    parent.send_signal(signal.SIGHUP)
    while old & set(children(parent.pid)):
        jobs += program.slow.enqueue_many([(n,) for n in range(JOBS)])
        assert [job.result(PATIENCE) for job in jobs[-JOBS:]] == list(range(JOBS))

    _one_of_each(crew, {job.id for job in jobs})
    assert {job.info().attempts for job in jobs} == {1}
    wait_until(lambda: len(children(parent.pid)) == PROCESSES, PATIENCE, "as many as before")


def test_children_that_have_run_their_share_are_replaced_again_and_again(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", "--max-jobs-per-child", "10", processes=PROCESSES, lease=LEASE)
    ids: set[str] = set()

    while len({line.process for line in crew.ledger.lines("succeeded")}) < PROCESSES + 2:
        jobs = program.slow.enqueue_many([(n,) for n in range(JOBS)])
        assert [job.result(PATIENCE) for job in jobs] == list(range(JOBS))
        ids |= {job.id for job in jobs}

    _one_of_each(crew, ids)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(PATIENCE) == 0, crew.log()


def test_everybody_who_is_killed_at_once_is_replaced_at_once(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", processes=PROCESSES, lease=LEASE)
    for _ in range(2):
        program.call_the_roll.enqueue_many([()] * PROCESSES)
        wait_until(lambda: len(children(parent.pid)) == PROCESSES, PATIENCE, "its children")
        for child in children(parent.pid):
            kill(child)

    assert program.slow.enqueue(7).result(PATIENCE) == 7
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(PATIENCE) == 0, crew.log()
