"""Jobs that arrive whether or not the worker keeps up, at a share of its best rate: how late each starts."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.common import check, percentile, report, settle_down, spec, until

context = multiprocessing.get_context("fork")
#: A client that has fallen behind sends at most this many jobs at once.
BATCH = 250
#: The client looks this often whether jobs are due (seconds).
TICK = 0.001


def main() -> None:
    """spec: broker, n (to find the rate), share, seconds."""
    options = spec()
    rate = context.Pipe()
    finding = context.Process(target=find_rate, args=(options, rate[1]), daemon=True)
    finding.start()
    assert rate[0].poll(60)
    offered = rate[0].recv() * options["share"]
    finding.join(10)
    n = int(offered * options["seconds"])
    here, there = context.Pipe()
    client = context.Process(target=send, args=(options, n, offered, there), daemon=True)
    client.start()
    assert here.poll(10)
    here.recv()
    app = ours.make_app(options, "stamp")
    settle_down()
    with app.worker(threads=8):
        time.sleep(0.3)
        here.send("go")
        until(lambda: len(ours.ran) >= n, options["seconds"] * 3 + 20, f"{n} jobs")
    late = here.recv()
    check(ours.ran, n)
    ours.check_succeeded(app, n)
    after = ours.started_after[n // 10 :]  # the first tenth warms up
    shares = {f"start_p{share * 100:g}_ms": percentile(after, share) * 1e3 for share in (0.5, 0.95, 0.99)}
    report({**shares, "start_worst_ms": max(after) * 1e3, "offered_rate": offered, "client_late_ms": late * 1e3})


def find_rate(options: Any, pipe: Any) -> None:
    """The rate of preloaded jobs, in a process of its own."""
    app = ours.make_app(options, "stamp")
    n = options["n"]
    ours.preload(app, "stamp", n, text="0".ljust(64))
    settle_down()
    worker = app.worker(threads=8, burst=True)
    start = time.perf_counter()
    worker.start()
    assert worker.wait(50)
    seconds = time.perf_counter() - start
    worker.stop()
    check(ours.ran, n)
    pipe.send(n / seconds)


def send(options: Any, n: int, rate: float, pipe: Any) -> None:
    """Enqueue each job at its time, or as soon after as can be; its age counts from its time."""
    app = ours.make_app(options, "stamp")
    task = app.by_name("stamp")
    app.broker.open()
    pipe.send("up")
    pipe.recv()
    sent, latest, start = 0, 0.0, time.monotonic()
    while sent < n:
        due = min(n, int((time.monotonic() - start) * rate))
        if due == sent:
            time.sleep(TICK)
            continue
        batch = range(sent, min(due, sent + BATCH))
        latest = max(latest, time.monotonic() - start - sent / rate)
        task.enqueue_many([(i, 2, f"{start + i / rate:.6f}".ljust(64)) for i in batch])
        sent = batch.stop
    pipe.send(latest)


if __name__ == "__main__":
    main()
