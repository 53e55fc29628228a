"""Very many coroutines at once: what keeping their leases costs the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.programs.common import report, spec, until
from benchmarks.programs.ours import make_app


def main() -> None:
    """spec: broker, n, seconds. The share of a core that the keeper and its warden take, with the default lease."""
    options = spec()
    app = make_app(options)
    waiting = {"n": 0}

    @app.task(name="wait", timeout=600)  # type: ignore[untyped-decorator]  # make_app's is any app
    async def wait() -> None:
        waiting["n"] += 1
        await asyncio.sleep(options["seconds"] + 60)

    n = options["n"]
    for _ in range(0, n, 1_000):
        app.by_name("wait").enqueue_many([()] * 1_000)
    worker = app.worker(threads=1, slots=n)
    worker.settings = worker.settings.changed({"grace": 0})
    spent = [timed(worker.keeper, "round"), timed(worker.keeper.warden, "tick")]
    with worker:
        until(lambda: waiting["n"] == n, 60, "all coroutines")
        before = sum(each["seconds"] for each in spent)
        time.sleep(options["seconds"])
        used = sum(each["seconds"] for each in spent) - before
        lost = sum(run.should_stop for run in worker.slots.runs())
        lapsed = n - app.inspector.counts("default").running
    report({"core_percent": 100 * used / options["seconds"], "lost": lost + lapsed})


def timed(owner: Any, name: str) -> dict[str, float]:
    """How many seconds of CPU this method takes from now on, in the thread that calls it."""
    spent = {"seconds": 0.0}
    method: Callable[..., object] = getattr(owner, name)

    def measured(*args: object) -> object:
        start = time.thread_time()
        try:
            return method(*args)
        finally:
            spent["seconds"] += time.thread_time() - start

    setattr(owner, name, measured)
    return spent


if __name__ == "__main__":
    main()
