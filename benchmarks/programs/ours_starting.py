"""How long until something is there: the import, the help text, a worker's first job."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.programs.common import report, spec, until


def main() -> None:
    """spec: times (of each, interleaved)."""
    options = spec()
    os.environ["BENCH_BROKER"] = options["url"]
    found: dict[str, list[float]] = {}
    for i in range(options["times"] + 1):
        once = {
            "bare_ms": run("-c", "pass"),
            "import_ms": run("-c", "import taskforge"),
            "help_ms": run("-m", "taskforge", "--help"),
            "first_job_ms": first_job(Path(options["scratch"]) / f"one-{i}", "--alone"),
            "first_job_under_parent_ms": first_job(Path(options["scratch"]) / f"two-{i}", "--processes", "2"),
        }
        for name, seconds in once.items() if i else ():  # the first time writes bytecode
            found.setdefault(name, []).append(seconds * 1e3)
    medians = {name: statistics.median(values) for name, values in found.items()}
    report({**medians, "import_over_bare_ms": medians["import_ms"] - medians["bare_ms"]})


def run(*arguments: str) -> float:
    """Seconds a fresh interpreter takes for this."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=20)
    return time.perf_counter() - start


def first_job(path: Path, *how: str) -> float:
    """Seconds from starting `taskforge worker` to the run of a job that waited for it."""
    app = ["-m", "taskforge", "-A", "benchmarks.programs.started_app"]
    _call([*app, "enqueue", "first", str(path)])
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *app, "worker", *how], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: path.exists() and path.read_text(), 15, "the first job")
        return float(path.read_text()) - start
    finally:
        process.terminate()
        process.wait(15)


def _call(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=20)


if __name__ == "__main__":
    main()
