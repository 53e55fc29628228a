"""Preload n jobs, run and settle them all: taskforge."""

from __future__ import annotations

import time

from benchmarks.programs import ours
from benchmarks.programs.common import Redis, check, cpu, report, settle_down, spec


def main() -> None:
    """spec: broker, n; task, threads, ahead, slots."""
    options = spec()
    n, task = options["n"], options.get("task", "noop")
    app = ours.make_app(options, task)
    ours.preload(app, task, n)
    watch = Redis(options["direct"]) if "direct" in options else None
    settle_down()
    worker = app.worker(threads=options.get("threads", 8), slots=options.get("slots"), burst=True)
    server = watch.cpu() if watch else 0.0
    used, start = cpu(), time.perf_counter()
    worker.start()
    assert worker.wait(options.get("within", 50)), f"{len(ours.ran)} of {n} jobs ran in time"
    seconds, used = time.perf_counter() - start, cpu() - used
    found = {"rate": n / seconds, "worker_us": used / n * 1e6}
    if watch:
        found["redis_us"] = (watch.cpu() - server) / n * 1e6
    worker.stop()
    if ours.slots_used:
        found["slots_percent"] = sum(ours.slots_used) / (seconds * options["threads"]) * 100
    check(ours.ran, n)
    ours.check_succeeded(app, n)
    app.close()
    report(found)


if __name__ == "__main__":
    main()
