"""Many jobs that fall due in the same millisecond: at what rate they run then, and how long Redis stalls meanwhile."""

from __future__ import annotations

import multiprocessing
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.floor.wire import Wire
from benchmarks.programs import ours
from benchmarks.programs.common import Redis, check, report, settle_down, spec, until

context = multiprocessing.get_context("fork")
#: Jobs a second that a client surely enqueues: how far ahead the moment must lie.
SURELY = 40_000


def main() -> None:
    """spec: n, due (False: ready at once)."""
    options = spec()
    n = options["n"]
    watch = Redis(options["direct"])
    watch.wire.call("CONFIG", "SET", "slowlog-log-slower-than", "1000")
    watch.wire.call("CONFIG", "SET", "slowlog-max-len", "1000")
    app = ours.make_app(options, "noop")
    moment = datetime.now(UTC) + timedelta(seconds=n / SURELY + 1)
    using: dict[str, Any] = {"at": moment} if options["due"] else {}
    ours.preload(app, "noop", n, **using)
    assert not options["due"] or datetime.now(UTC) < moment, "enqueuing took longer than the delay"
    settle_down()
    watch.wire.call("SLOWLOG", "RESET")
    here, there = context.Pipe()
    pinger = context.Process(target=ping, args=(options["direct"], there), daemon=True)
    pinger.start()
    assert here.poll(10)
    here.recv()
    server = watch.cpu()
    with app.worker(threads=8):
        start = time.monotonic()
        if options["due"]:
            start += (moment - datetime.now(UTC)).total_seconds()
        until(lambda: len(ours.ran) >= n, n / 10_000 + n / SURELY + 20, f"{n} jobs")
        seconds = time.monotonic() - start
    here.send("report")
    assert here.poll(10)
    stall = here.recv()
    check(ours.ran, n)
    slowest = max((entry[2] for entry in watch.wire.call("SLOWLOG", "GET", "1000")), default=1000)
    cost = (watch.cpu() - server) / n * 1e6
    report({"rate": n / seconds, "ping_worst_ms": stall * 1e3, "slowest_command_ms": slowest / 1e3, "redis_us": cost})


def ping(port: int, pipe: Any) -> None:
    """The longest of many pings, in a process of its own."""
    wire, longest, done = Wire(port), 0.0, threading.Event()
    pipe.send("up")

    def listen() -> None:
        pipe.recv()
        done.set()

    threading.Thread(target=listen, daemon=True).start()
    while not done.is_set():
        start = time.monotonic()
        wire.call("PING")
        longest = max(longest, time.monotonic() - start)
        time.sleep(0.0005)
    pipe.send(longest)


if __name__ == "__main__":
    main()
