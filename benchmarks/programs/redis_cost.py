"""What a job costs Redis: bytes while it is queued, and CPU time for handing it in, claiming it and settling it."""

from __future__ import annotations

from typing import Any

from benchmarks.floor import jobs
from benchmarks.floor.redis_broker import RedisBroker
from benchmarks.floor.worker import Worker
from benchmarks.programs import ours
from benchmarks.programs.common import Redis, check, report, spec


def main() -> None:
    """spec: who (ours, floor), n. Batches of 250, as a client of taskforge sends them."""
    options = spec()
    n, watch = options["n"], Redis(options["direct"])
    measure = floor if options["who"] == "floor" else taskforge
    report(measure(options, n, watch))


def floor(options: Any, n: int, watch: Redis) -> dict[str, float]:
    broker = RedisBroker(options["port"])
    before, memory = watch.cpu(), watch.memory()
    for i in range(0, n, 250):
        broker.enqueue([jobs.new_job(k) for k in range(i, i + 250)])
    between, memory = watch.cpu(), watch.memory() - memory
    Worker(broker, cap=250, stop_after=n).run()
    check(jobs.ran, n)
    return _costs(n, before, between, watch.cpu(), memory)


def taskforge(options: Any, n: int, watch: Redis) -> dict[str, float]:
    app = ours.make_app(options, "noop")
    app.broker.open()
    before, memory = watch.cpu(), watch.memory()
    ours.preload(app, "noop", n)
    between, memory = watch.cpu(), watch.memory() - memory
    worker = app.worker(threads=8, burst=True)
    worker.start()
    assert worker.wait(50)
    after = watch.cpu()
    worker.stop()
    check(ours.ran, n)
    return _costs(n, before, between, after, memory)


def _costs(n: int, before: float, between: float, after: float, memory: int) -> dict[str, float]:
    enqueue, process = (between - before) / n * 1e6, (after - between) / n * 1e6
    return {"enqueue_us": enqueue, "process_us": process, "both_us": enqueue + process, "bytes": memory / n}


if __name__ == "__main__":
    main()
