"""Isolated runs in real workers: what dies in them stays in them, and nothing of them outlives its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge import Fixed, JobFailed, JobState, Retry, Taskforge
from tests.servers import wait_until
from tests.worker import penned
from tests.worker.test_pen import lives

ROOT = Path(__file__).parents[2]
ONE_ENGINE = True
#: Beyond any load of the machine (seconds).
LONG = 30.0

SCRIPT = """
import os, sys
from taskforge import Taskforge

app = Taskforge("script", broker="sqlite:///jobs.db")

@app.task(isolate=True)
def where() -> int:
    print("a task prints this")
    return os.getpid()

def main():
    with app.worker(threads=1):
        job = where.enqueue()
        print(job.result(30) != os.getpid(), where.name)
"""


@pytest.fixture
def app(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Taskforge]:
    """The app on this broker, with a worker in this process."""
    monkeypatch.setenv("PENNED_BROKER", broker_url)
    before = penned.app.settings
    penned.app.configure(broker=broker_url, stop_grace=1)
    with penned.app.worker(threads=3):
        yield penned.app
    penned.app.close()
    penned.app.configure(broker="memory://", stop_grace=before.stop_grace)


def test_isolated_jobs_end_as_others_do(app: Taskforge) -> None:
    pid = penned.where.enqueue().result(LONG)[0]
    broken = penned.fail.using(retry=Retry(attempts=2, backoff=Fixed(0))).enqueue("why")

    with pytest.raises(JobFailed, match=r"tests\.worker\.penned\.Custom: why"):
        broken.result(LONG)
    assert pid != os.getpid()
    assert [error.attempt for error in broken.info().errors] == [1, 2]


def test_a_child_enqueues_over_a_connection_of_its_own(app: Taskforge) -> None:
    job_id = penned.enqueue.enqueue().result(LONG)

    assert app.job(job_id).result(LONG) == 3


def test_a_run_that_kills_its_process_three_times_is_dead_and_each_death_is_told(app: Taskforge) -> None:
    job = penned.die.enqueue("segfault")
    neighbour = penned.sleep.enqueue(0.5)

    with pytest.raises(JobFailed) as failed:
        job.result(LONG)

    info = job.info()
    assert (failed.value.reason, info.attempts) == ("crashed", 0)
    assert [error.message.partition(",")[0] for error in info.errors] == [
        "the isolated run ended its process: SIGSEGV"
    ] * 3
    assert neighbour.result(LONG) == "slept"


def test_a_run_that_overstays_its_timeout_is_killed_and_its_worker_goes_on(app: Taskforge) -> None:
    job = penned.stubborn.using(timeout=0.5, retry=Retry(attempts=1)).enqueue()

    wait_until(lambda: job.state() is JobState.RUNNING, LONG)
    with pytest.raises(JobFailed) as failed:
        job.result(LONG)

    assert (failed.value.reason, "took longer than its timeout of 0.5 s" in str(failed.value)) == ("timeout", True)
    assert penned.add.enqueue(1, 2).result(LONG) == 3


@pytest.mark.parametrize("task", ["parent_of", "hold"])
def test_nothing_outlives_a_worker_that_is_killed(tmp_path: Path, task: str) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    app = Taskforge("penned", broker=url)
    job = app.enqueue(f"tests.worker.penned.{task}", str(tmp_path))
    worker = subprocess.Popen(
        [sys.executable, "-m", "taskforge", "-A", "tests.worker.penned", "worker", "--processes", "1"],
        cwd=ROOT,
        env={**os.environ, "PENNED_BROKER": url},
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: job.info().progress is not None, LONG)
    pids = (tmp_path / "pids").read_text().split()

    worker.send_signal(signal.SIGKILL)
    worker.wait(LONG)

    wait_until(lambda: not [pid for pid in pids if lives(pid)], LONG)
    app.close()


def test_a_script_has_isolated_tasks_too_and_what_they_print_goes_to_stderr(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT + "\nif __name__ == '__main__':\n    main()\n")

    assert (done.stdout, done.returncode) == ("True program.where\n", 0)
    assert "a task prints this" in done.stderr


def test_a_script_that_would_start_a_worker_in_every_child_is_told(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT + "\nmain()\n")

    assert done.returncode == 1
    assert "put what the program runs under `if __name__ == '__main__':`" in done.stderr


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(text)
    return subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
