"""A worker with nothing to do, started from the command line: its CPU, its commands and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.programs.common import Redis, report, resident_mib, spec, until

WARM_UP, WINDOW = 3.0, 12.0


def main() -> None:
    """spec: broker (redis, sqlite)."""
    options = spec()
    on_redis = options["broker"] == "redis"
    url = options["url"] if on_redis else f"sqlite:///{Path(options['scratch']) / 'idle.db'}"
    watch = Redis(options["direct"]) if on_redis else None
    worker = ["-m", "taskforge", "-A", "benchmarks.programs.started_app", "worker", "--alone"]
    process = subprocess.Popen(
        [sys.executable, *worker], env={**os.environ, "BENCH_BROKER": url}, stderr=subprocess.PIPE, text=True
    )
    lines: Iterable[str] = process.stderr or []
    until(lambda: process.poll() is not None or "Ready" in next(iter(lines), ""), 10, "the worker ready")
    time.sleep(WARM_UP)
    used, start = cpu_of(process.pid), time.monotonic()
    sent, commands = (watch.sent(), watch.commands()) if watch else (0, 0)
    time.sleep(WINDOW)
    seconds = time.monotonic() - start
    found = {"cpu_percent": (cpu_of(process.pid) - used) / seconds * 100, "memory_mib": resident_mib(process.pid)}
    if watch:
        found["sent_per_s"] = (watch.sent() - sent) / seconds
        found["commands_per_s"] = (watch.commands() - commands - 2) / seconds  # less our own looks
    process.kill()
    report(found)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of another process and all its threads; by Linux's schedstat, which counts nanoseconds."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


if __name__ == "__main__":
    main()
