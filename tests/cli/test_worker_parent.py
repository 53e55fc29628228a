"""`taskforge worker`: what it refuses, its signals, and what its parent does for the processes and jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from taskforge import JobState, Taskforge
from tests.cli.harness import LIMIT, Run, alive, pids, process
from tests.servers import wait_until

MORE = '''

@app.task(name="shop.leave")
def leave() -> None:
    """Start a program, and hang."""
    import subprocess

    program = subprocess.Popen(["sleep", "600"])
    (HERE / "left").write_text(str(program.pid))
    time.sleep(60)

@app.task(name="shop.hog")
def hog() -> None:
    """Hold the interpreter in a C function, the first time."""
    import ctypes

    if not (HERE / "hogged").exists():
        (HERE / "hogged").touch()
        ctypes.PyDLL(None).sleep(60)
'''


@pytest.fixture
def module(module: str, folder: Path) -> str:
    """The shop's module, with tasks that misbehave more."""
    with (folder / f"{module}.py").open("a") as file:
        file.write(MORE)
    return module


def _started(folder: Path, count: int) -> list[int]:
    wait_until(lambda: len(pids(folder)) >= count, LIMIT, f"{count} worker processes")
    return pids(folder)


def _held(folder: Path, count: int = 1) -> list[int]:
    wait_until(lambda: len(pids(folder, "held")) >= count, LIMIT, f"{count} runs of shop.hold")
    return pids(folder, "held")


# What is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--autoscale", "1..2", "--processes", "2"], "--autoscale and --processes contradict each other"),
        (["--autoscale", "0..2", "--burst"], "--autoscale and --burst contradict"),
        (["--autoscale", "3..1"], "from 3 to 1 processes is no range"),
        (["--autoscale", "-1..3"], "is no range of processes"),
        (["--autoscale", "many"], "is no range of processes"),
        (["--alone", "--processes", "2"], "--alone and --processes contradict"),
        (["--alone", "--reload"], "--alone and --reload contradict"),
        (["--reload", "--burst"], "--reload and --burst contradict"),
        (["--max-memory-per-child", "much"], "must be a number of bytes"),
        (["--stop-within", "20"], "lower --grace, or have the service manager wait longer"),
        (["--grace", "60", "--stop-within", "60"], "is killed after 60"),
        (["--liveness-file", "/no/such/folder/file"], "liveness file '/no/such/folder/file' cannot be written"),
        (["--health-port", "70000"], "ports are numbers up to 65535"),
        (["--deaf-after", "0"], "is not in the range"),
        (["--max-jobs", "0"], "is not in the range"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused_at_start(run: Run, options: list[str], says: str) -> None:
    said = run("worker", *options)

    assert said.code == 2
    assert says in " ".join(said.err.split())


def test_a_health_port_that_is_taken_is_refused(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]

        said = run("worker", "--processes", "1", "--health-port", str(port))

    assert said.code == 2
    assert f"the health port {port}" in said.err


def test_reload_without_its_library_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)

    said = run("worker", "--processes", "1", "--reload")

    assert said.code == 2
    assert "pip install 'taskforge[reload]'" in said.err


def test_a_limit_of_memory_that_no_process_fits_in_ends_the_parent_with_2(folder: Path, module: str) -> None:
    with process(folder, "-A", module, "worker", "--processes", "1", "--max-memory-per-child", "1MB") as parent:
        assert parent.end() == 2

    assert "raise --max-memory-per-child" in parent.said


# Signals, in one process


def test_quit_hands_back_at_once(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--alone", "-c", "1") as worker:
        held = app.enqueue("shop.hold", stubborn=True)
        _held(folder)

        worker.send(signal.SIGQUIT)

        assert worker.end(12) == 1, worker.said
    info = held.info()
    assert (info.state, info.attempts, info.crashes) == (JobState.READY, 0, 0)


def test_tstp_rests_until_cont(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--alone") as worker:
        worker.until("worker_started")
        worker.send(signal.SIGTSTP)
        worker.until("worker_rests resting=True")
        job = app.enqueue("shop.add", 1)
        with pytest.raises(TimeoutError):
            job.result(0.3)

        worker.send(signal.SIGCONT)

        assert job.result(LIMIT) == 2


def test_hup_has_one_process_begin_anew_after_it_has_finished(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--alone", "-c", "1") as worker:
        held = app.enqueue("shop.hold")
        _held(folder)

        worker.send(signal.SIGHUP)
        worker.until("worker_draining")
        (folder / "go").touch()

        assert len(set(_started(folder, 2))) == 1, "the same process"
        assert held.result(LIMIT) == "held"
        worker.send(signal.SIGTERM)
        assert worker.end() == 0, worker.said


@pytest.mark.parametrize("who", ["--alone", "--processes=1"])
def test_usr1_has_all_stacks_logged_with_their_jobs(folder: Path, module: str, app: Taskforge, who: str) -> None:
    with process(folder, "-A", module, "worker", who) as worker:
        held = app.enqueue("shop.hold")
        _held(folder)

        worker.send(signal.SIGUSR1)

        worker.until(f"runs job {held.id}")
        worker.until("in hold")
        (folder / "go").touch()
        assert held.result(LIMIT) == "held"


# A parent


def test_hup_replaces_every_process_and_no_job_is_lost_or_tried_twice(
    folder: Path, module: str, app: Taskforge
) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "2") as parent:
        old = _started(folder, 2)[:2]
        held = app.enqueue("shop.hold")
        _held(folder)

        parent.send(signal.SIGHUP)
        new = _started(folder, 4)[2:]
        jobs = app.by_name("shop.write").enqueue_many([(f"f{n}",) for n in range(20)])
        parent.until(f"pid={old[1]}")
        (folder / "go").touch()

        assert held.result(LIMIT) == "held"
        assert {job.result(LIMIT) for job in jobs} <= {*old, *new}
        wait_until(lambda: not any(alive(pid) for pid in old), LIMIT, "the end of the old ones")
        parent.send(signal.SIGTERM)
        assert parent.end() == 0, parent.said
    assert {job.info().attempts for job in [held, *jobs]} == {1}


def test_the_jobs_of_a_killed_process_run_elsewhere_long_before_their_leases_end(
    folder: Path, module: str, app: Taskforge
) -> None:
    env = {"TASKFORGE_LEASE": "600"}
    with process(folder, "-A", module, "worker", "--processes", "2", "-c", "1", env=env) as parent:
        _started(folder, 2)
        held = app.enqueue("shop.hold")
        [victim] = _held(folder)

        os.kill(victim, signal.SIGKILL)

        _held(folder, 2)
        (folder / "go").touch()
        assert held.result(LIMIT) == "held"
        parent.send(signal.SIGTERM)
        assert parent.end() == 0, parent.said
    [error] = held.info().errors
    assert (held.info().crashes, error.type) == (1, "crashed")
    assert f"its worker process {victim} on " in error.message
    assert "was ended by SIGKILL after" in error.message


def test_what_a_run_has_started_dies_with_its_process(folder: Path, module: str, app: Taskforge) -> None:
    with process(folder, "-A", module, "worker", "--processes", "1") as parent:
        [child] = _started(folder, 1)
        app.enqueue("shop.leave")
        wait_until(lambda: (folder / "left").exists() and (folder / "left").read_text(), LIMIT)
        left = int((folder / "left").read_text())

        os.kill(child, signal.SIGKILL)

        parent.until("jobs_given_back")
        assert not alive(left)


def test_a_run_that_holds_the_interpreter_is_shown_and_its_process_killed_before_its_lease_ends(
    folder: Path, module: str, app: Taskforge, a_redis_url: str
) -> None:
    app.configure(broker=a_redis_url)  # a file could be locked meanwhile
    env = {"TASKFORGE_LEASE": "3", "TASKFORGE_BROKER": a_redis_url}
    with process(folder, "-A", module, "worker", "--processes", "1", env=env) as parent:
        [child] = _started(folder, 1)
        job = app.enqueue("shop.hog")

        assert job.result(LIMIT) is None
        parent.until(f"worker_process_killed pid={child}")
        parent.send(signal.SIGTERM)
        assert parent.end() == 0, parent.said
    assert "worker_process_silent" in parent.said
    assert "in hog" in parent.said, "the stack"
    assert job.info().crashes == 1


def test_a_bound_on_jobs_is_one_for_all_processes(folder: Path, module: str, app: Taskforge) -> None:
    app.by_name("shop.add").enqueue_many([(n,) for n in range(10)])

    with process(folder, "-A", module, "worker", "--processes", "2", "--max-jobs", "5") as parent:
        assert parent.end() == 0, parent.said

    assert app.inspector.counts("default").ready == 5


def test_processes_that_have_idled_long_enough_end_and_so_does_their_parent(folder: Path, module: str) -> None:
    with process(folder, "-A", module, "worker", "--processes", "2", "--max-idle", "0.2") as parent:
        assert parent.end() == 0, parent.said


def test_autoscaling_from_zero_starts_a_process_when_a_job_waits(folder: Path, module: str, app: Taskforge) -> None:
    job = app.enqueue("shop.add", 1)

    with process(folder, "-A", module, "worker", "--autoscale", "0..2") as parent:
        assert job.result(LIMIT) == 2
        assert "workers_scaled wanted=1 before=0" in parent.said
        parent.send(signal.SIGTERM)
        assert parent.end() == 0, parent.said


@pytest.mark.parametrize("who", ["--alone", "--processes=1"])
def test_health_is_served_and_the_liveness_file_touched(folder: Path, module: str, who: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answer(path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    options = ["--health-port", str(port), "--health-host", "127.0.0.1", "--liveness-file", "alive"]
    with process(folder, "-A", module, "worker", who, *options) as worker:
        worker.until("worker_started")
        os.utime(folder / "alive", (1, 1))

        wait_until(lambda: answer("/readyz")[0] == 200, LIMIT)
        wait_until(lambda: (folder / "alive").stat().st_mtime > 1, LIMIT)
        assert answer("/healthz")[0] == 200
        assert answer("/scale")[1]["app"] == "shop"
        worker.send(signal.SIGTSTP)
        wait_until(lambda: answer("/readyz")[0] == 503, LIMIT)
        assert answer("/healthz")[0] == 200


def test_code_that_changes_has_the_processes_replaced(folder: Path, module: str, app: Taskforge) -> None:
    (folder / "watchfiles.py").write_text(
        "import os, time\n"
        "def watch(*paths, stop_event):\n"
        "    while not stop_event.is_set():\n"
        "        if os.path.exists('changed'):\n"
        "            os.unlink('changed')\n"
        "            yield {(1, 'shop.py')}\n"
        "        time.sleep(0.02)\n"
    )
    with process(folder, "-A", module, "worker", "--processes", "1", "--reload") as parent:
        [old] = _started(folder, 1)
        parent.until("worker_started")

        (folder / "changed").touch()

        _, new = _started(folder, 2)
        wait_until(lambda: not alive(old), LIMIT)
        assert app.enqueue("shop.write", "x").result(LIMIT) == new
