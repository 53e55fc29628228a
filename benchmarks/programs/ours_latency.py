"""How soon an idle worker starts a job, and how soon its result is back: taskforge."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import TEXT, check, latencies, report, spec

context = multiprocessing.get_context("fork")


def main() -> None:
    """spec: broker, n, case (start, result), pause."""
    options = spec()
    n = options["n"]
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(options, there), daemon=True)
    process.start()
    assert here.poll(15)
    here.recv()
    time.sleep(0.3)  # until it listens
    app = ours.make_app(options, "stamp", "add")
    trips = starts(app, n, options["pause"]) if options["case"] == "start" else results(app, n)
    time.sleep(0.3)  # until the last one is settled
    here.send("report")
    assert here.poll(15)
    ran, started_after = here.recv()
    process.join(10)
    check(ran, n)
    if options["case"] == "start":
        ours.check_succeeded(app, n)
    report(latencies(started_after if options["case"] == "start" else trips))


def serve(options: Any, pipe: Connection) -> None:
    """The worker's process."""
    app = ours.make_app(options, "stamp", "add")
    with app.worker(threads=8):
        pipe.send("up")
        pipe.recv()
        pipe.send((ours.ran, ours.started_after))


def starts(app: Any, n: int, pause: float) -> list[float]:
    """Enqueue with pauses; the worker notes how old each job is when it starts."""
    task = app.by_name("stamp")
    for i in range(n):
        task.enqueue(i, 2, str(time.monotonic()).ljust(64))
        time.sleep(pause)
    return []


def results(app: Any, n: int) -> list[float]:
    """Enqueue and wait for the result, one after the other."""
    task = app.by_name("add")
    trips = []
    for i in range(n):
        start = time.monotonic()
        assert task.enqueue(i, 2, TEXT).result(10) == i + 1
        trips.append(time.monotonic() - start)
    return trips


if __name__ == "__main__":
    main()
