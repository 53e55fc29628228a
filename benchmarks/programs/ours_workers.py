"""What worker processes do together, and when one is killed, asked or replaced: `taskforge worker`, from outside."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.programs.common import percentile, report, spec, until
from benchmarks.programs.ours import sqlite_url

#: Of the jobs of a rate, the first and the last part are left out: processes start, and run dry, one after the other.
EDGE = 0.05


def main() -> None:
    """spec: broker, what (rate, killed, cancel, renewed), and what that takes."""
    options = spec()
    os.environ["BENCH_BROKER"] = options["url"] if options["broker"] == "redis" else sqlite_url(options)
    app = importlib.import_module("benchmarks.programs.workers_app").app
    report({"rate": rate, "killed": killed, "cancel": cancel, "renewed": renewed}[options["what"]](app, options))


def rate(app: Any, options: Any) -> dict[str, float]:
    """spec: task, n, worker (arguments). Jobs a second, while all processes have some."""
    n = options["n"]
    call = app.by_name(options["task"])
    for first in range(0, n, 1_000):
        call.enqueue_many([(i,) for i in range(first, min(n, first + 1_000))])
    with worker(*options["worker"]):
        seen: list[tuple[float, int]] = []
        deadline = time.monotonic() + 50
        while not seen or seen[-1][1] > n * EDGE:
            counts = app.inspector.counts("default")
            seen.append((time.monotonic(), counts.ready + counts.running))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen[-1][1]} of {n} jobs are left")
            time.sleep(0.1)
    start = next(i for i, (_, left) in enumerate(seen) if left < n * (1 - EDGE))
    (began, most), (ended, least) = seen[start], seen[-1]
    return {"rate": (most - least) / (ended - began)}


def killed(app: Any, options: Any) -> dict[str, float]:
    """spec: times. A child that runs a job is killed: until another has its place, and until the job runs again."""
    replaced, again = [], []
    with worker("--processes", "2", "-c", "1") as parent:
        until(lambda: len(app.workers()) == 2, 10, "two processes")
        for turn in range(options["times"]):
            path = Path(options["scratch"]) / f"held-{turn}"
            job = app.by_name("hold").enqueue(str(path))
            until(lambda p=path: p.exists() and p.read_text(), 10, "the job")
            pid, before = int(path.read_text().split()[1]), children(parent.pid)
            at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(lambda b=before: len(set(children(parent.pid)) - set(b)) == 1, 10, "the next process")
            names = {card.pid for card in app.workers()}
            until(lambda n=names: {card.pid for card in app.workers()} - n, 10, "its card")
            replaced.append(time.monotonic() - at)
            until(lambda p=path: len(p.read_text().splitlines()) == 2, 10, "the job's second run")
            again.append(float(path.read_text().splitlines()[1].split()[0]) - at)
            job.cancel()
            until(lambda j=job: j.state().ended, 10, "the end of the job")
    return {"replaced_ms": max(replaced) * 1e3, "again_ms": max(again) * 1e3}


def cancel(app: Any, options: Any) -> dict[str, float]:
    """spec: times. From cancel() here until the job there sees it."""
    took = []
    with worker("--processes", "1"):
        for _ in range(options["times"]):
            job = app.by_name("heed").enqueue()
            until(lambda j=job: j.state() == "running", 10, "the job")
            time.sleep(0.005)  # it is in its wait by now
            at = time.monotonic()
            job.cancel()
            took.append(job.result(10) - at)
    return {"p50_ms": percentile(took, 0.5) * 1e3, "p99_ms": percentile(took, 0.99) * 1e3}


def renewed(app: Any, options: Any) -> dict[str, float]:
    """spec: seconds. Jobs come steadily while SIGHUP replaces every process: the longest wait, less the longest one of
    as long a time before.
    """
    waits: list[float] = []
    with worker("--processes", "2") as parent:
        until(lambda: len(app.workers()) == 2, 10, "two processes")
        for part in ("before", "during"):
            path = Path(options["scratch"]) / part
            old = children(parent.pid)
            if part == "during":
                parent.send_signal(signal.SIGHUP)
            handles = list(steadily(app, path, options["seconds"]))
            count = len(handles)
            until(lambda p=path, n=count: len(p.read_text().splitlines()) == n, 20, "all jobs")
            waits.append(max(map(float, path.read_text().split())))
        until(lambda: not set(old) & set(children(parent.pid)), 20, "the end of the old processes")
        until(lambda: all(handle.state().ended for handle in handles), 10, "all settlements")
        spent = sum(handle.info().attempts - 1 for handle in handles)
    return {"extra_ms": max(0.0, waits[1] - waits[0]) * 1e3, "attempts": spent}


def steadily(app: Any, path: Path, seconds: float) -> Iterator[Any]:
    """A hundred jobs a second."""
    start = time.monotonic()
    for i in range(int(seconds * 100)):
        time.sleep(max(0.0, start + i / 100 - time.monotonic()))
        yield app.by_name("note").enqueue(str(path), time.monotonic())


@contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`taskforge worker` with these arguments; told to end, at last."""
    command = [sys.executable, "-m", "taskforge", "-A", "benchmarks.programs.workers_app", "worker", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def children(pid: int) -> Sequence[int]:
    """The processes that this one has started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, timeout=10).stdout
    return [int(line) for line in found.split()]


if __name__ == "__main__":
    main()
