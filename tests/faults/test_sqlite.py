"""What may become of the file that an SQLite broker keeps its jobs in: no room to grow, locked by somebody else."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from taskforge import BrokerError, JobHandle, Taskforge
from tests.faults import program
from tests.faults.crew import PATIENCE, Crew
from tests.servers import wait_until

#: Seconds for which a file stays locked, several times as long as a call tries.
LOCKED = 2.0


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """Worker processes on a file."""
    crew = Crew(f"sqlite:///{tmp_path / 'jobs.db'}", tmp_path)
    yield crew
    crew.close()


def test_a_worker_lives_through_a_full_disk_and_settles_afterwards(crew: Crew, app: Taskforge, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        crew.url = f"sqlite:///{disk.folder / 'jobs.db'}"
        app.configure(broker=crew.url, call_timeout=1)
        worker = crew.start("--threads", "4")
        program.hold.enqueue(0.0).result(PATIENCE)
        held = program.hold.enqueue_many([(0.5,)] * 4)
        crew.all("began", 5)

        disk.fill(worker.pid)
        confirmed = _enqueue_until_refused()
        crew.all("ended", 5)
        disk.empty(worker.pid)

        assert [job.result(PATIENCE) for job in held] == ["first"] * len(held)
        assert all(job.result(PATIENCE) is None for job in confirmed)
        wait_until(lambda: not app.inspector.counts("slow").ready, PATIENCE, "the end of all jobs")
        assert worker.poll() is None
        assert not any(job.info().crashes for job in held)
        app.close()
        crew.close()


def _enqueue_until_refused() -> list[JobHandle[None]]:
    """Delayed jobs with much to keep, as many as there is room for."""
    done: list[JobHandle[None]] = []
    for number in range(10_000):
        try:
            done.append(program.delayed.using(headers={"ballast": "x" * 4000}).enqueue(number))
        except BrokerError:
            return done
    raise AssertionError("the disk has room for anything")


def test_a_worker_waits_while_another_process_has_the_file_locked(crew: Crew, app: Taskforge, tmp_path: Path) -> None:
    worker = crew.start("--threads", "4", call_timeout=0.5)
    program.hold.enqueue(0.0).result(PATIENCE)
    held = program.hold.enqueue_many([(0.2,)] * 4)
    crew.all("began", 5)

    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        crew.all("ended", 5)
        threading.Event().wait(LOCKED)
        settled = crew.ledger.count("succeeded")
        other.execute("rollback")

    assert settled == 1
    assert [job.result(PATIENCE) for job in held] == ["first"] * len(held)
    assert not any(job.info().crashes for job in held)
    assert worker.poll() is None


class Disk:
    """A small file system, to be filled and emptied. `size`: its bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, _worker: int) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def empty(self, _worker: int) -> None:
        self._ballast.unlink()


class Limit(Disk):
    """Where no file system may be made: a worker and this process whose files may not grow any more."""

    def fill(self, worker: int) -> None:
        largest = max(each.stat().st_size for each in self.folder.iterdir() if each.is_file())
        for pid in (worker, os.getpid()):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    def empty(self, worker: int) -> None:
        for pid in (worker, os.getpid()):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A file system of 4 MB, in memory, where this user may make one; else the like of it."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if os.geteuid() or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        yield Limit(folder)
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
