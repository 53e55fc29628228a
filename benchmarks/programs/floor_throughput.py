"""Preload n jobs, run and settle them all: the floor."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.floor import jobs, loop
from benchmarks.floor.redis_broker import RedisBroker
from benchmarks.floor.sqlite_broker import SqliteBroker
from benchmarks.floor.worker import Worker
from benchmarks.programs.common import Redis, check, cpu, report, run_on_loop, settle_down, spec


def main() -> None:
    """spec: broker, n; task, threads, ahead (0: as many jobs held as threads), loop (uvloop)."""
    options = spec()
    n, task, on_redis = options["n"], options.get("task", "noop"), options["broker"] == "redis"
    broker: RedisBroker | SqliteBroker
    if on_redis:
        broker, watch = RedisBroker(options["port"]), Redis(options["direct"])
    else:
        broker, watch = SqliteBroker(str(Path(options["scratch"]) / "floor.db")), None
    for i in range(0, n, 1000):
        broker.enqueue([jobs.new_job(k, task) for k in range(i, min(n, i + 1000))])
    settle_down()
    server = watch.cpu() if watch else 0.0
    used, start = cpu(), time.perf_counter()
    if task == "anoop":
        run_on_loop(loop.work(broker, options.get("port", 0), n))
    else:
        threads = options.get("threads", 8)
        depth = options.get("held", 4_000 if options.get("ahead", True) else threads)
        Worker(broker, threads, depth, stop_after=n).run()
    seconds, used = time.perf_counter() - start, cpu() - used
    found = {"rate": n / seconds, "worker_us": used / n * 1e6}
    if watch:
        found["redis_us"] = (watch.cpu() - server) / n * 1e6
    check(jobs.ran, n)
    left = broker.left()
    finished = left.pop("finished")
    assert (finished, broker.refused, sum(left.values())) == (min(n, 1000), 0, 0), left
    report(found)


if __name__ == "__main__":
    main()
