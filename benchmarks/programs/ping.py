"""What a round trip takes with and without the proxy: whether it adds what it should."""

from __future__ import annotations

import statistics
import time

from benchmarks.floor.wire import Wire
from benchmarks.programs.common import report, spec

PINGS = 300


def main() -> None:
    """Median of either way, and the difference."""
    options = spec()
    slow, direct = (_median(Wire(options[name])) for name in ("port", "direct"))
    report({"direct_ms": direct, "through_proxy_ms": slow, "added_ms": slow - direct})


def _median(wire: Wire) -> float:
    times = []
    for _ in range(PINGS):
        start = time.perf_counter()
        wire.call("PING")
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
