"""Enqueue n jobs one by one, in batches, or from concurrent coroutines: taskforge."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import TEXT, Redis, cpu, report, run_on_loop, settle_down, spec


def main() -> None:
    """spec: broker, n, how (one, batch, concurrent), size of a batch or of a gather."""
    options = spec()
    n, how, size = options["n"], options["how"], options.get("size", 1)
    app = ours.make_app(options, "noop")
    task = app.by_name("noop")
    app.broker.open()
    watch = Redis(options["direct"]) if "direct" in options else None
    settle_down()
    server, memory = (watch.cpu(), watch.memory()) if watch else (0.0, 0)
    used, start = cpu(), time.perf_counter()
    if how == "concurrent":
        run_on_loop(concurrently(task, n, size))
    elif how == "batch":
        for i in range(0, n, size):
            task.enqueue_many([(k, 2, TEXT) for k in range(i, i + size)])
    else:
        for i in range(n):
            task.enqueue(i, 2, TEXT)
    seconds, used = time.perf_counter() - start, cpu() - used
    found = {"rate": n / seconds, "client_us": used / n * 1e6}
    if watch:
        found |= {"redis_us": (watch.cpu() - server) / n * 1e6, "bytes": (watch.memory() - memory) / n}
    assert app.inspector.counts(ours.QUEUE).ready == n
    app.close()
    report(found)


async def concurrently(task: Any, n: int, size: int) -> None:
    """`size` coroutines at a time, each with one job."""
    for i in range(0, n, size):
        await asyncio.gather(*(task.aenqueue(k, 2, TEXT) for k in range(i, i + size)))


if __name__ == "__main__":
    main()
