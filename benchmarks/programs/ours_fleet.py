"""Many worker processes on one Redis: connections each holds, and whether idle ones make a job dearer."""

from __future__ import annotations

import multiprocessing
import signal
import time
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import Redis, report, spec, until

context = multiprocessing.get_context("fork")
JOBS, PAUSE = 100, 0.02


def main() -> None:
    """spec: processes, jobs (of 10 ms, to keep them busy)."""
    options = spec()
    watch, app = Redis(options["direct"]), ours.make_app(options, "nap", "rest")
    app.by_name("rest").using(delay=3_600).enqueue(0, 2, "")
    own = clients(watch)
    fleet = [context.Process(target=serve, args=(options,), daemon=True) for _ in range(options["processes"])]
    for process in fleet:
        process.start()
    until(lambda: clients(watch) - own >= 2 * len(fleet), 30, "all workers connected")
    time.sleep(3)  # until the first beats of their keepers are over
    found = {"connections_idle": (clients(watch) - own) / len(fleet), **commands(app, watch, len(fleet))}
    ours.preload(app, "nap", options["jobs"])
    found["connections_loaded"] = max(while_busy(app, watch, 60)) / len(fleet) - own / len(fleet)
    for process in fleet:
        process.kill()
    report(found)


def serve(options: Any) -> None:
    """One worker process."""
    app = ours.make_app(options, "nap", "rest")
    with app.worker(threads=8):
        signal.pause()


def commands(app: Any, watch: Redis, workers: int) -> dict[str, float]:
    """What an idle fleet sends anyway, and what is sent besides for each job, from enqueue to settlement."""
    task = app.by_name("rest")
    before, start = watch.sent(), time.monotonic()
    time.sleep(JOBS * PAUSE)
    idle = (watch.sent() - before) / (time.monotonic() - start)
    before, start = watch.sent(), time.monotonic()
    for i in range(JOBS):
        task.enqueue(i, 2, "")
        time.sleep(PAUSE)
    busy = watch.sent() - before - idle * (time.monotonic() - start)
    return {"commands_per_job": busy / JOBS, "idle_commands_per_s_and_worker": idle / workers}


def while_busy(app: Any, watch: Redis, within: float) -> list[int]:
    """Connections, again and again, until every job has ended."""
    seen, deadline = [], time.monotonic() + within
    while (counts := app.inspector.counts(ours.QUEUE)).ready or counts.running:
        assert time.monotonic() < deadline, f"not done within {within} s: {counts}"
        seen.append(clients(watch))
        time.sleep(0.05)
    assert not counts.dead, counts
    return seen


def clients(watch: Redis) -> int:
    """Connections to the server."""
    return int(watch.info()["connected_clients"])


if __name__ == "__main__":
    main()
