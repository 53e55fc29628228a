"""Worker processes that are killed: their jobs run again, once, and whoever is left goes on."""

from __future__ import annotations

import signal

from taskforge import Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew, children, descendants, kill, living
from tests.servers import wait_until

ONE_ENGINE = True
#: Seconds. Where a parent is left, nobody waits for a lease to run out; where all are gone, the jobs have to.
LEASE, SHORT = 120, 2
#: Of jobs under way when the fault comes, and of quick ones that go on beside them.
HELD, QUICK = 4, 40


def test_the_jobs_of_a_killed_child_run_again_beside_it_and_it_is_replaced(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", processes=2, lease=LEASE)
    held = program.hold.enqueue_many([(60.0,)] * HELD)
    began = crew.all("began", HELD)
    busy = began[0].pid
    cut_short = {line.id for line in began if line.pid == busy}

    kill(busy)
    results = {job.id: job.result(PATIENCE) for job in held if job.id in cut_short}

    assert set(results.values()) == {"again"}
    assert app.inspector.counts("default").running == HELD - len(cut_short)
    assert len(crew.all("succeeded", len(cut_short))) == len(cut_short)
    assert {job.id: job.info().crashes for job in held} == {job.id: int(job.id in cut_short) for job in held}
    wait_until(lambda: len(children(parent.pid)) == 2, PATIENCE, "two children")


def test_the_children_of_a_killed_parent_end_their_runs_and_go(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", processes=2, lease=LEASE)
    held = program.hold.enqueue_many([(0.5,)] * HELD)
    crew.all("began", HELD)
    orphans = set(descendants(parent.pid))

    kill(parent.pid)
    results = [job.result(PATIENCE) for job in held]

    assert results == ["first"] * HELD
    wait_until(lambda: not orphans & living(), PATIENCE, "the end of the children")
    assert len(crew.all("succeeded", HELD)) == len(crew.all("began", HELD)) == HELD


def test_what_a_whole_crew_held_runs_elsewhere_when_all_of_it_is_killed(crew: Crew, app: Taskforge) -> None:
    app.configure(lease=SHORT)
    parent = crew.start("--threads", "4", processes=2, lease=SHORT)
    held = program.hold.enqueue_many([(60.0,)] * HELD)
    crew.all("began", HELD)

    for pid in (parent.pid, *descendants(parent.pid)):
        kill(pid)
    crew.start("--threads", "4", lease=SHORT)
    results = [job.result(PATIENCE) for job in held]

    assert results == ["again"] * HELD
    assert [job.info().crashes for job in held] == [1] * HELD
    assert len(crew.all("began", 2 * HELD)) == 2 * HELD
    assert len(crew.all("succeeded", HELD)) == HELD


def test_a_task_that_kills_its_process_harms_nobody_else(crew: Crew, app: Taskforge) -> None:
    parent = crew.start("--threads", "4", processes=2, lease=LEASE)
    deadly = program.die_at_first.enqueue()
    quick = program.fast.enqueue_many([(number,) for number in range(QUICK)])

    assert deadly.result(PATIENCE) is None
    assert [job.result(PATIENCE) for job in quick] == [None] * QUICK
    assert deadly.info().crashes == 1
    assert [app.inspector.counts(queue).succeeded for queue in ("default", "quick")] == [1, QUICK]
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(PATIENCE) == 0
