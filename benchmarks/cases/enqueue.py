"""How fast a program hands jobs in."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size

#: how → what is said of it, the size of a batch or a gather, jobs in full and quick.
HOWS = {
    "one": ("one by one", 1, 10_000, 4_000),
    "batch": ("batches of 1,000", 1_000, 100_000, 40_000),
    "concurrent": ("concurrent aenqueue, 100 at a time", 100, 50_000, 20_000),
}
#: (broker, how) → the share of the floor's rate.
BOUNDS = {
    ("redis", "one"): Bound(0.7, 0.6),
    ("redis", "batch"): Bound(0.5, 0.3),
    ("redis", "concurrent"): Bound(0.5, 0.35),
    ("sqlite", "one"): Bound(0.4),
    ("sqlite", "batch"): Bound(0.4, 0.25),
    ("sqlite", "concurrent"): Bound(0.4, 0.3),
}


def cases(size: Size) -> list[Case]:
    """Each way on each broker."""
    return [_case(size, broker, how) for broker in ("redis", "sqlite") for how in HOWS]


def _case(size: Size, broker: str, how: str) -> Case:
    title, batch, full, quick = HOWS[how]
    name = "Redis" if broker == "redis" else "SQLite"
    spec = {"broker": broker, "how": how, "size": batch, "n": size.of(full, quick)}
    server = "plain" if broker == "redis" else "none"
    figures = [
        Figure("rate, of the floor's", "ours.rate", "floor.rate", bound=BOUNDS[broker, how]),
        Figure("rate", "ours.rate", unit="jobs/s"),
        Figure("client's CPU per job", "ours.client_us", unit="µs"),
    ]
    if broker == "redis":
        figures.append(Figure("CPU of Redis per job, of the floor's", "ours.redis_us", "floor.redis_us"))
    contestants = (
        Contestant("floor", "floor_enqueue", spec, server),
        Contestant("ours", "ours_enqueue", spec, server),
    )
    return Case(f"enqueue.{broker}-{how}", f"{title}, {name}", contestants, tuple(figures))
