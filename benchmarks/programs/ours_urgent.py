"""Urgent jobs behind a backlog of slow ones: how long until each starts, and how many jobs were claimed ahead."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.programs import ours
from benchmarks.programs.common import percentile, report, spec, until

THREADS, URGENT, SLOW_MS = 8, 30, 30


def main() -> None:
    """spec: broker, backlog."""
    options = spec()
    app = ours.make_app(options, "slow", "stamp")
    ours.preload(app, "slow", options["backlog"])
    task, most_running = app.by_name("stamp").using(priority=100), 0
    worker = app.worker(threads=THREADS)
    worker.start()
    until(lambda: len(ours.ran) > 3 * THREADS, 20, "the backlog under way")
    for i in range(URGENT):
        most_running = max(most_running, app.inspector.counts(ours.QUEUE).running)
        task.enqueue(i, 2, str(time.monotonic()).ljust(64))
        until(partial(started, i + 1), 20, "an urgent job started")
    assert app.inspector.counts(ours.QUEUE).ready > THREADS, "the backlog was too short"
    report(
        {
            "claimed_ahead": max(0, most_running - THREADS),
            "start_p50_ms": percentile(ours.started_after, 0.5) * 1e3,
            "start_worst_ms": max(ours.started_after) * 1e3,
        }
    )
    worker.stop()
    app.close()


def started(n: int) -> bool:
    return len(ours.started_after) >= n


if __name__ == "__main__":
    main()
