"""The app that the programs about worker processes give to `taskforge -A`."""

from __future__ import annotations

import os
import time

from taskforge import Taskforge, current_job

app = Taskforge("workers", broker=os.environ["BENCH_BROKER"])


@app.task(name="noop")
def noop(i: int) -> None:
    pass


@app.task(name="burn")
def burn(i: int) -> None:
    """200 µs of this thread's CPU."""
    end = time.thread_time_ns() + 200_000
    while time.thread_time_ns() < end:
        pass


@app.task(name="note")
def note(path: str, since: float) -> None:
    """Say how long after `since` this runs."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{time.monotonic() - since}\n".encode())
    os.close(descriptor)


@app.task(name="hold")
def hold(path: str) -> None:
    """Say when and where this runs, and stay until asked to stop."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{time.monotonic()} {os.getpid()}\n".encode())
    os.close(descriptor)
    current_job().wait_stop(60)


@app.task(name="heed")
def heed() -> float:
    """When this is asked to stop."""
    job = current_job()
    while not job.wait_stop(30):
        continue
    return time.monotonic()
