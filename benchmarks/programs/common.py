"""What the programs share: the spec they are given, the report they give, and looking at processes and at Redis."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from benchmarks.floor.wire import Wire

TEXT = "x" * 64
#: What a taskforge process sends to Redis; everything else in INFO commandstats comes from inside its scripts.
SENT = {
    "evalsha",
    "eval",
    "script|load",
    "blpop",
    "ping",
    "subscribe",
    "unsubscribe",
    "waitaof",
    "wait",
    "client|unblock",
}


def spec() -> Any:
    """The options of this run."""
    return json.loads(sys.argv[1])


def report(numbers: Mapping[str, float]) -> None:
    """The last thing a program says."""
    print(json.dumps(numbers), flush=True)


def check(ran: Sequence[int], n: int) -> None:
    """Every job ran exactly once."""
    if len(ran) != n or sorted(ran) != list(range(n)):
        raise AssertionError(f"{len(ran)} runs of {len(set(ran))} different jobs, of {n}")


def cpu() -> float:
    """Seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mib(pid: int) -> float:
    """What a process holds in memory."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True, timeout=10)
    return int(done.stdout) / 1024


def settle_down() -> None:
    """What the preparations left behind is not the contestant's to look through for garbage, as `taskforge worker` has
    it, too.
    """
    gc.collect()
    gc.freeze()


def run_on_loop(main: Coroutine[object, object, None]) -> None:
    """On uvloop where it is installed."""
    if importlib.util.find_spec("uvloop"):
        importlib.import_module("uvloop").run(main)
    else:
        asyncio.run(main)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all stays below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latencies(seconds: Sequence[float], warm_up: int = 20) -> dict[str, float]:
    """Percentiles in microseconds; the first few are left out."""
    rest = seconds[warm_up:]
    found = {f"p{share * 100:g}_us": percentile(rest, share) * 1e6 for share in (0.5, 0.95, 0.99)}
    return {**found, "p99_ms": found["p99_us"] / 1e3}


def until(condition: Callable[[], object], within: float, what: str) -> None:
    """Return as soon as `condition()` holds; TimeoutError when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(0.002)


class Redis:
    """A look at the server itself, past any proxy."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)

    def info(self) -> dict[str, str]:
        """INFO everything."""
        text = self.wire.call("INFO", "everything").decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def cpu(self) -> float:
        """Seconds of CPU that the server's main thread has used."""
        info = self.info()
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    def commands(self) -> int:
        """Commands served so far, those of scripts included."""
        return int(self.info()["total_commands_processed"])

    def sent(self) -> int:
        """Commands that clients have sent: those that only they send, and no script."""
        stats = [line.split(",")[0] for name, line in self.info().items() if name.removeprefix("cmdstat_") in SENT]
        return sum(int(calls.removeprefix("calls=")) for calls in stats)

    def memory(self) -> int:
        """Bytes in use."""
        return int(self.info()["used_memory"])

    def scripts(self) -> tuple[int, float]:
        """Script calls so far, and the microseconds they took."""
        line = self.info().get("cmdstat_evalsha", "calls=0,usec=0")
        found = dict(part.split("=") for part in line.split(","))
        return int(found["calls"]), float(found["usec"])
