"""`taskforge worker` as its own process, and as a parent of several."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from taskforge import JobState, Taskforge
from tests.cli.harness import LIMIT, alive, pids, process
from tests.servers import wait_until

#: Short leases, so that the job of a killed process comes back while a test waits.
SHORT_LEASE = {"TASKFORGE_LEASE": "1"}


def _running(app: Taskforge, job_id: str) -> None:
    wait_until(lambda: app.job(job_id).state() is JobState.RUNNING, LIMIT, "the job running")


def _held(folder: Path, count: int = 1) -> list[int]:
    """The processes that began to hold, once there are so many."""
    wait_until(lambda: len(pids(folder, "held")) >= count, LIMIT, f"{count} runs of shop.hold")
    return pids(folder, "held")


def _children(folder: Path, count: int) -> list[int]:
    wait_until(lambda: len(pids(folder)) >= count, LIMIT, f"{count} worker processes")
    return pids(folder)


# One process


def test_a_burst_runs_what_is_ready_and_ends_with_0(folder: Path, module: str, app: Taskforge) -> None:
    jobs = [app.enqueue("shop.add", 1), app.enqueue("shop.write", "x"), app.enqueue("shop.aadd", 1)]
    later = app.by_name("shop.add").using(delay=600).enqueue(1)

    with process(folder, "-A", module, "worker", "--burst", "--alone") as worker:
        assert worker.end() == 0, worker.said

    assert [job.state() for job in jobs] == [JobState.SUCCEEDED] * 3
    assert later.state() is JobState.DELAYED


def test_a_burst_of_failing_jobs_ends_with_0_too(folder: Path, module: str, app: Taskforge) -> None:
    app.enqueue("shop.fail")

    with process(folder, "-A", module, "worker", "--burst", "--alone") as worker:
        assert worker.end() == 0

    assert "job_buried" in worker.said


def test_the_banner_says_what_will_run_where(folder: Path, module: str) -> None:
    with process(folder, "worker", "-A", module, "-Q", "files,default", "-c", "3", "--burst", "--alone") as worker:
        assert worker.end() == 0

    for text in (
        f"shop ({module})",
        f"sqlite:///{folder / 'jobs.db'}",
        "files, default",
        "shop.add",
        "1 (this one), each with 3 threads and 100",
        "4 attempts",
        "Ready (pid",
    ):
        assert text in worker.said


def test_options_and_the_app_come_from_the_environment(folder: Path, module: str) -> None:
    env = {"TASKFORGE_APP": module, "TASKFORGE_WORKER_THREADS": "5", "TASKFORGE_WORKER_BURST": "1"}

    with process(folder, "worker", env={**env, "TASKFORGE_WORKER_ALONE": "1"}) as worker:
        assert worker.end() == 0

    assert "each with 5 threads" in worker.said


def test_a_setting_in_the_environment_counts_unless_an_option_is_given(folder: Path, module: str) -> None:
    env = {"TASKFORGE_THREADS": "6"}

    with process(folder, "-A", module, "worker", "--burst", "--alone", env=env) as worker:
        worker.end()
    with process(folder, "-A", module, "worker", "--burst", "--alone", "-c", "2", env=env) as other:
        other.end()

    assert "each with 6 threads" in worker.said
    assert "each with 2 threads" in other.said


def test_only_the_named_queues_are_served(folder: Path, module: str, app: Taskforge) -> None:
    file, other = app.enqueue("shop.write", "x"), app.enqueue("shop.add", 1)

    with process(folder, "-A", module, "worker", "-Q", "files", "--burst", "--alone") as worker:
        assert worker.end() == 0

    assert (file.state(), other.state()) == (JobState.SUCCEEDED, JobState.READY)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_an_idle_worker_ends_with_0_when_told_to(folder: Path, module: str, signum: int) -> None:
    with process(folder, "-A", module, "worker", "--alone") as worker:
        _children(folder, 1)
        worker.until("worker_started")

        worker.send(signum)

        assert worker.end() == 0, worker.said


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_one_signal_lets_what_runs_finish_and_claims_nothing_more(
    folder: Path, module: str, app: Taskforge, signum: int
) -> None:
    with process(folder, "-A", module, "worker", "--alone", "-c", "1") as worker:
        held = app.enqueue("shop.hold")
        _held(folder)
        worker.send(signum)
        worker.until("worker_draining")
        later = app.enqueue("shop.add", 1)

        (folder / "go").touch()

        assert worker.end() == 0, worker.said
    assert held.result(0) == "held"
    assert later.state() is JobState.READY


@pytest.mark.parametrize("stubborn", [False, True], ids=["willing", "stubborn"])
def test_a_second_signal_hands_back_at_once_and_without_blame(
    folder: Path, module: str, app: Taskforge, stubborn: bool
) -> None:
    with process(folder, "-A", module, "worker", "--alone", "-c", "1") as worker:
        held = app.enqueue("shop.hold", stubborn=stubborn)
        _held(folder)

        worker.send(signal.SIGTERM)
        worker.until("worker_draining")
        worker.send(signal.SIGTERM)

        # A willing run ends when it is asked to; a stubborn one has to be abandoned, and that is told.
        assert worker.end(10) == (1 if stubborn else 0), worker.said
    info = held.info()
    assert (info.state, info.attempts, info.crashes) == (JobState.READY, 0, 0)


def test_grace_ends_a_stubborn_run_and_hands_its_job_back(folder: Path, module: str, app: Taskforge) -> None:
    env = {"TASKFORGE_GRACE": "0.1", "TASKFORGE_STOP_GRACE": "0.1"}
    with process(folder, "-A", module, "worker", "--alone", "-c", "1", env=env) as worker:
        held = app.enqueue("shop.hold", stubborn=True)
        _held(folder)

        worker.send(signal.SIGTERM)

        assert worker.end(10) == 1
    assert held.info().state is JobState.READY
    assert "runs_abandoned" in worker.said
    assert held.id in worker.said


def test_a_killed_workers_job_runs_again_elsewhere(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--alone", env=SHORT_LEASE) as worker:
        held = app.enqueue("shop.hold")
        _held(folder)
        worker.send(signal.SIGKILL)
        worker.end()
    (folder / "go").touch()

    with process(folder, "-A", module, "worker", "--alone", env=SHORT_LEASE):
        assert held.result(LIMIT) == "held"

    assert (held.info().crashes, len(pids(folder, "held"))) == (1, 2)


# A parent with several


def test_a_burst_of_two_processes_runs_everything_once_and_ends_with_0(
    folder: Path, module: str, app: Taskforge
) -> None:
    jobs = app.by_name("shop.write").enqueue_many([(f"f{n}",) for n in range(50)])

    with process(folder, "-A", module, "worker", "--burst", "--processes", "2") as worker:
        assert worker.end() == 0, worker.said

    assert [job.state() for job in jobs] == [JobState.SUCCEEDED] * 50
    assert len(set(pids(folder))) == 2
    assert worker.said.count("Ready (pid") == 1, "one banner, the parent's"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_parent_passes_one_signal_on_and_ends_with_0(folder: Path, module: str, app: Taskforge, signum: int) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1") as parent:
        jobs = [app.enqueue("shop.hold"), app.enqueue("shop.hold")]
        _held(folder, 2)

        parent.send(signum)
        parent.until("worker_draining")
        (folder / "go").touch()

        assert parent.end() == 0, parent.said
        assert not any(alive(pid) for pid in pids(folder))
    assert [job.result(0) for job in jobs] == ["held", "held"]


def test_a_parent_passes_the_second_signal_on_and_ends_with_1(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1") as parent:
        jobs = [app.enqueue("shop.hold", stubborn=True) for _ in range(2)]
        _held(folder, 2)

        parent.send(signal.SIGTERM)
        parent.until("worker_draining")
        parent.send(signal.SIGTERM)

        assert parent.end(12) == 1, parent.said
    assert [job.info().state for job in jobs] == [JobState.READY] * 2
    assert [job.info().attempts for job in jobs] == [0, 0]


def test_a_child_killed_with_9_is_replaced_and_its_job_runs_again(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1", env=SHORT_LEASE) as parent:
        first = _children(folder, 2)
        held = app.enqueue("shop.hold")
        (victim,) = _held(folder)

        os.kill(victim, signal.SIGKILL)

        _children(folder, 3)
        (folder / "go").touch()
        assert held.result(LIMIT) == "held"
        assert held.info().crashes == 1
        assert victim in first
        parent.send(signal.SIGTERM)
        assert parent.end() == 0, parent.said
    assert "worker_process_ended" in parent.said
    assert "exit_code=-9" in parent.said


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_a_child_that_ended_alone_is_replaced(folder: Path, module: str, how: int) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2") as parent:
        victim = _children(folder, 2)[0]
        parent.until("worker_started")

        os.kill(victim, how)

        assert len(_children(folder, 3)) == 3


def test_a_parent_whose_children_die_at_start_gives_up_with_1_and_a_reason(folder: Path, module: str) -> None:
    source = (folder / f"{module}.py").read_text()
    (folder / "dying.py").write_text(
        source + "\n@app.around_worker\ndef broken(app):\n    raise ConnectionError('no database')\n    yield\n"
    )

    with process(folder, "-A", "dying", "worker", "--processes", "2") as parent:
        assert parent.end() == 1

    assert "no database" in parent.said
    assert "workers_keep_dying" in parent.said


def test_one_process_that_cannot_enter_its_wrapper_says_so_and_ends(folder: Path, module: str) -> None:
    (folder / "dying.py").write_text(
        "from taskforge import Taskforge\napp = Taskforge('shop')\n"
        "@app.around_worker\ndef broken(app):\n    raise ConnectionError('no database')\n    yield\n"
    )

    with process(folder, "-A", "dying", "worker", "--alone") as worker:
        assert worker.end() not in (0, 2, 3)

    assert "ConnectionError: no database" in worker.said


def test_children_end_by_themselves_when_their_parent_is_killed_with_9(
    folder: Path, module: str, app: Taskforge
) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1") as parent:
        children = _children(folder, 2)
        held = app.enqueue("shop.hold")
        _held(folder)

        parent.send(signal.SIGKILL)
        parent.end()
        (folder / "go").touch()

        wait_until(lambda: not any(alive(pid) for pid in children), 10, "the end of the orphans")
    assert held.result(0) == "held", "what ran was finished first"


def test_children_end_soon_after_their_parent_even_if_a_run_is_stubborn(
    folder: Path, module: str, app: Taskforge
) -> None:
    env = {"TASKFORGE_GRACE": "0.5", "TASKFORGE_STOP_GRACE": "0.1"}
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1", env=env) as parent:
        children = _children(folder, 2)
        held = app.enqueue("shop.hold", stubborn=True)
        _held(folder)

        parent.send(signal.SIGKILL)
        parent.end()

        wait_until(lambda: not any(alive(pid) for pid in children), 10, "the end of the orphans")
    assert held.info().state is JobState.READY


def test_what_must_not_run_twice_is_dead_and_not_handed_back_when_its_worker_has_to_give_it_up(
    folder: Path, module: str, app: Taskforge
) -> None:
    env = {"TASKFORGE_GRACE": "0.5", "TASKFORGE_STOP_GRACE": "0.1"}
    with process(folder, "-A", module, "worker", "--processes", "1", "-c", "1", env=env) as parent:
        _children(folder, 1)
        once = app.by_name("shop.hold").using(at_most_once=True).enqueue(stubborn=True)
        _held(folder)

        parent.send(signal.SIGTERM)
        parent.end()

    assert (once.info().state, once.info().reason) == (JobState.DEAD, "shutdown")


# Tasks that break their process


@pytest.mark.parametrize("which", ["sqlite", "redis"])
def test_a_task_that_closes_every_file_loses_nothing(
    folder: Path, module: str, app: Taskforge, which: str, request: pytest.FixtureRequest
) -> None:
    if which == "redis":
        url = request.getfixturevalue("a_redis_url")
        app.configure(broker=url)
    env = {"TASKFORGE_LEASE": "2", "TASKFORGE_BROKER": app.broker_url}
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "2", env=env) as parent:
        _children(folder, 2)
        bad = app.enqueue("shop.close_files")
        plain = app.by_name("shop.add").enqueue_many([(n,) for n in range(20)])
        asynchronous = app.by_name("shop.aadd").enqueue_many([(n,) for n in range(20)])

        def ended() -> bool:
            return all(job.state().ended for job in [*plain, *asynchronous])

        wait_until(ended, LIMIT, f"the end of the jobs beside it; {app.inspector.counts('default')}")

        assert [job.result(1) for job in [*plain, *asynchronous]] == [*range(1, 21), *range(1, 21)]
        later = app.by_name("shop.aadd").enqueue_many([(n,) for n in range(20)])
        assert [job.result(LIMIT) for job in later] == list(range(1, 21))
        assert bad.result(LIMIT) is None
        parent.send(signal.SIGTERM)
        assert parent.end() in (0, 1)
    if which == "sqlite":
        import sqlite3

        with sqlite3.connect(folder / "jobs.db") as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.close()
