"""Every case, by family. A family is a module with `cases(size)`; adding one here is all it takes."""

from __future__ import annotations

from collections.abc import Collection

from benchmarks.cases import cost, enqueue, isolated, latency, load, throughput, workers
from benchmarks.cases import peers as beside_peers
from benchmarks.harness.model import Case, Size

FAMILIES = (throughput, enqueue, latency, load, isolated, workers, cost)


def every(size: Size, peers: Collection[str]) -> list[Case]:
    """All cases in the order in which they are measured and shown."""
    own = [case for family in FAMILIES for case in family.cases(size)]
    return [*own, *beside_peers.cases(size, peers)]
