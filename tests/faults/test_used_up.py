"""Tasks that use up what their process needs: its file descriptors, its interpreter."""

from __future__ import annotations

import resource

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew

ONE_ENGINE = True
#: File descriptors that a worker may have: its own, and room for some dozens.
FILES = 80
#: Seconds.
LEASE = 1.5


def test_a_worker_goes_on_when_a_task_gives_the_file_descriptors_back(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=LEASE)
    worker = crew.start("--threads", "4", lease=LEASE)
    program.hold.enqueue(LEASE * 0.4).result(PATIENCE)  # long enough for it to have all its connections
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FILES, FILES))

    greedy = program.use_up_files.enqueue(LEASE * 1.2)
    crew.all("began", 2)
    meanwhile = program.retried.enqueue_many([(number,) for number in range(20)])
    results = [job.result(PATIENCE) for job in meanwhile]

    assert results == list(range(20))
    assert 0 < greedy.result(PATIENCE) < FILES
    assert not any(job.info().crashes for job in (greedy, *meanwhile))
    assert worker.poll() is None


def test_nobody_else_loses_a_job_to_a_task_that_keeps_the_interpreter(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=LEASE)
    hogged = crew.start("--threads", "1", lease=LEASE)
    hog = program.hog.enqueue(LEASE * 1.5)
    crew.all("began")

    crew.start("--threads", "4", lease=LEASE)
    meanwhile = program.retried.enqueue_many([(number,) for number in range(20)])
    results = [job.result(PATIENCE) for job in meanwhile]
    outcome = hog.result(PATIENCE)

    assert results == list(range(20))
    assert outcome == "again"
    assert hog.info().crashes == 1
    assert hogged.poll() is None or hogged.wait(PATIENCE) >= 0
