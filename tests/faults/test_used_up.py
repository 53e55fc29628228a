"""Tasks that use up what their process needs: its file descriptors, its interpreter."""

from __future__ import annotations

import resource

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew, children, living
from tests.servers import wait_until

ONE_ENGINE = True
#: File descriptors that a worker may have: its own, and room for some dozens.
FILES = 80
#: Seconds.
LEASE = 1.5
#: Seconds. Nobody waits for the end of it.
HOGGED = 60.0


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


def test_a_process_whose_interpreter_a_task_keeps_is_replaced_and_nobody_loses_a_job(
    crew: Crew, app: Taskforge
) -> None:
    app.configure(lease=LEASE)
    parent = crew.start("--threads", "4", processes=2, lease=LEASE)
    hog = program.hog.enqueue(HOGGED)
    kept = crew.all("began")[0].pid
    meanwhile = program.retried.enqueue_many([(number,) for number in range(20)])

    results = [job.result(PATIENCE) for job in meanwhile]
    outcome = hog.result(PATIENCE)

    assert results == list(range(20))
    assert (outcome, hog.info().crashes) == ("again", 1)
    assert kept not in [line.pid for line in crew.ledger.of(hog.id, "ended")]
    wait_until(lambda: len(children(parent.pid)) == 2 and kept not in living(), PATIENCE, "another in its place")
