"""Enqueue n jobs one by one, in batches, or from concurrent coroutines: the floor."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.floor import jobs
from benchmarks.floor.loop import RedisSender, SqliteSender
from benchmarks.floor.redis_broker import RedisBroker
from benchmarks.floor.sqlite_broker import SqliteBroker
from benchmarks.programs.common import Redis, cpu, report, run_on_loop, settle_down, spec


def main() -> None:
    """spec: broker, n, how (one, batch, concurrent), size of a batch or of a gather."""
    options = spec()
    n, how, size = options["n"], options["how"], options.get("size", 1)
    broker: RedisBroker | SqliteBroker
    if options["broker"] == "redis":
        broker, watch = RedisBroker(options["port"]), Redis(options["direct"])
    else:
        broker, watch = SqliteBroker(str(Path(options["scratch"]) / "floor.db")), None
    settle_down()
    server, memory = (watch.cpu(), watch.memory()) if watch else (0.0, 0)
    used, start = cpu(), time.perf_counter()
    if how == "concurrent":
        run_on_loop(concurrently(broker, options, n, size))
    else:
        for i in range(0, n, size):
            broker.enqueue([jobs.new_job(k) for k in range(i, i + size)])
    seconds, used = time.perf_counter() - start, cpu() - used
    found = {"rate": n / seconds, "client_us": used / n * 1e6}
    if watch:
        found |= {"redis_us": (watch.cpu() - server) / n * 1e6, "bytes": (watch.memory() - memory) / n}
    left = broker.left()
    assert left["jobs"] == left["ready"] == n, left
    report(found)


async def concurrently(broker: RedisBroker | SqliteBroker, options: Any, n: int, size: int) -> None:
    """`size` coroutines at a time, each with one job."""
    sender: RedisSender | SqliteSender
    if isinstance(broker, RedisBroker):
        loop, sha = asyncio.get_running_loop(), broker.wire.load("enqueue")
        sender = (await loop.create_connection(lambda: RedisSender(sha), "127.0.0.1", options["port"]))[1]
    else:
        sender = SqliteSender(broker)

    async def enqueue(i: int) -> None:
        await sender.enqueue(jobs.new_job(i))

    for i in range(0, n, size):
        await asyncio.gather(*(enqueue(k) for k in range(i, i + size)))


if __name__ == "__main__":
    main()
