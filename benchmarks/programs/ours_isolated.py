"""The same job in a thread and in a process of its own: taskforge."""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import TEXT, report, settle_down, spec
from taskforge import Isolate, Taskforge

#: Where a child finds it; the broker of this run comes with the worker's settings.
app = Taskforge("bench")


@app.task(name="thread")
def thread(i: int, b: int, text: str) -> int:
    return i + 1


@app.task(name="isolated", isolate=Isolate(reuse=1_000_000))
def isolated(i: int, b: int, text: str) -> int:
    return i + 1


def main() -> None:
    """spec: broker, n, trips."""
    options = spec()
    app.configure(broker=options["url"] if options["broker"] == "redis" else ours.sqlite_url(options))
    found = trips(options["trips"])
    found["rate"] = rate(options["n"])
    check_succeeded(2 * options["trips"])
    app.close()
    report(found)


def trips(n: int) -> dict[str, float]:
    """Enqueue and wait for the result, by turns in a thread and isolated; medians."""
    took: dict[Any, list[float]] = {thread: [], isolated: []}
    with app.worker(threads=1):
        for i in range(n + 1):
            for task, times in took.items():
                start = time.perf_counter()
                assert task.enqueue(i, 2, TEXT).result(20) == i + 1
                times.append(time.perf_counter() - start)
    own, others = (statistics.median(times[1:]) * 1e6 for times in (took[isolated], took[thread]))
    return {"isolated_us": own, "thread_us": others, "more_us": own - others}


def rate(n: int) -> float:
    """Run n preloaded jobs, on one core."""
    for i in range(0, n, 1_000):
        isolated.using(keep_result=False).enqueue_many([(k, 2, TEXT) for k in range(i, min(n, i + 1_000))])
    settle_down()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    worker = app.worker(threads=2, burst=True)
    worker.start()  # returns when the first child is ready
    start = time.perf_counter()
    assert worker.wait(50), "the jobs have not run in time"
    seconds = time.perf_counter() - start
    worker.stop()
    return n / seconds


def check_succeeded(least: int) -> None:
    """Nothing is left but succeeded jobs: those with a result, and some of the others."""
    counts = app.inspector.counts(ours.QUEUE)
    others = (counts.ready, counts.delayed, counts.blocked, counts.running, counts.dead, counts.cancelled)
    assert counts.succeeded >= least, counts
    assert sum(others) == 0, counts


if __name__ == "__main__":
    main()
