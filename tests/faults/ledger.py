"""The ledger: what runs wrote down, a file per process, a line at a time, so that the death of a process loses none."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: The environment variable that names the folder.
FOLDER = "FAULTS_LEDGER"


class Line(NamedTuple):
    """`what` happened to the job at `at`, in monotonic seconds, which all processes of a machine share.

    `process` tells processes apart whose `pid` is the same, one after the other.
    """

    what: str
    id: str
    process: str
    at: float

    @property
    def pid(self) -> int:
        return int(self.process.partition("-")[0])


def identity(pid: int) -> str:
    """A name that a process shares with none before it, where the system tells when each was started."""
    try:
        return f"{pid}-{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return f"{pid}-0"


@cache
def _book(folder: str, pid: int) -> int:
    return os.open(Path(folder) / identity(pid), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)


def write_down(what: str, job_id: str) -> None:
    """One line, written at once: it is there even if the process dies in the next moment."""
    # The system's own clock, in case a test has changed Python's.
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    os.write(_book(os.environ[FOLDER], os.getpid()), f"{what} {job_id} {now:.4f}\n".encode())


class Ledger:
    """The folder, read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, *whats: str) -> Iterator[Line]:
        """Every line, or those with one of these words; process by process, each in its order."""
        for path in sorted(self.folder.iterdir()):
            with path.open() as file:
                for line in file:
                    if line.endswith("\n"):  # the last line of a process that could write no more may be a part of one
                        what, job_id, at = line.split()
                        if not whats or what in whats:
                            yield Line(what, job_id, path.name, float(at))

    def of(self, job_id: str, *whats: str) -> list[Line]:
        """The lines of one job, in the order of time."""
        return sorted((line for line in self.lines(*whats) if line.id == job_id), key=lambda line: line.at)

    def tail(self, pid: int) -> str:
        """What a process wrote last."""
        path = self.folder / identity(pid)
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1000))
            return file.read().decode()

    def count(self, *whats: str) -> int:
        return sum(1 for _ in self.lines(*whats))
