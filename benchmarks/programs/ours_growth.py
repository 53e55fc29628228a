"""Enqueue and run jobs that overtake a backlog: what a job costs, however long the backlog is."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import Redis, check, report, settle_down, spec, until


def main() -> None:
    """spec: broker, n, backlog, state (ready, delayed)."""
    options = spec()
    n, backlog = options["n"], options["backlog"]
    app = ours.make_app(options, "noop", "rest")
    waiting: dict[str, Any] = {"delay": 86_400} if options["state"] == "delayed" else {"priority": -50}
    ours.preload(app, "rest", backlog, **waiting)
    watch = Redis(options["direct"]) if "direct" in options else None
    settle_down()
    server, start = watch.cpu() if watch else 0.0, time.perf_counter()
    ours.preload(app, "noop", n)
    enqueued = time.perf_counter()
    worker = app.worker(threads=8)
    worker.start()
    until(lambda: len(ours.ran) >= n, 60, f"{n} jobs")
    done = time.perf_counter()
    used = watch.cpu() - server if watch else 0.0
    worker.stop()
    check(ours.ran, n)
    counts = app.inspector.counts(ours.QUEUE)
    assert getattr(counts, options["state"]) >= backlog - 1_000, counts
    found = {"wall_us": (done - start) / n * 1e6, "enqueue_us": (enqueued - start) / n * 1e6}
    found["process_us"] = (done - enqueued) / n * 1e6
    report({**found, "redis_us": used / n * 1e6} if watch else found)
    app.close()


if __name__ == "__main__":
    main()
