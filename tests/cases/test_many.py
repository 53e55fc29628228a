"""Many jobs through several processes."""

from __future__ import annotations

from collections import Counter

from taskforge.job import Counts
from tests.cases import program
from tests.cases.processes import Workers

ONE_ENGINE = True
JOBS = 20_000


def test_twenty_thousand_jobs_through_two_processes_run_once_each_and_leave_what_retention_says(
    workers: Workers,
) -> None:
    jobs = program.note.enqueue_many([()] * JOBS)

    process = workers.start("--burst", processes=2, finished_count=100)
    assert process.wait(60) == 0, workers.log()

    ran = Counter(job_id for _, job_id, _ in workers.lines("ran"))
    assert len(jobs) == JOBS
    assert ran == dict.fromkeys((job.id for job in jobs), 1)
    assert len({process for _, _, process in workers.lines("ran")}) == 2
    assert workers.app.inspector.counts("default") == Counts(succeeded=100)
