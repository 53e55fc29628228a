"""Preloaded no-op jobs, one process: what a queue costs per job and nothing else."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size


def cases(size: Size) -> list[Case]:
    """Threads on both brokers, async def, and without claim-ahead."""
    many, fewer = size.of(100_000, 50_000), size.of(50_000, 20_000)
    return [
        beside_the_floor("redis", "redis", "no-op, 8 threads, Redis", Bound(0.5, 0.3), n=many),
        beside_the_floor("sqlite", "sqlite", "no-op, 8 threads, SQLite", Bound(0.3, 0.25), n=many),
        beside_the_floor("async", "redis", "no-op, async def on uvloop, Redis", Bound(0.5, 0.35), n=many, task="anoop"),
        beside_the_floor(
            "no-ahead", "redis", "no-op, 8 slots, no claim-ahead, Redis", Bound(0.6, 0.5), n=fewer, ahead=False
        ),
        beside_the_floor(
            "no-ahead-sqlite", "sqlite", "no-op, 8 slots, no claim-ahead, SQLite", None, n=fewer, ahead=False
        ),
    ]


def beside_the_floor(key: str, broker: str, title: str, bound: Bound | None, **options: object) -> Case:
    """The same jobs on the floor and on taskforge."""
    server = "plain" if broker == "redis" else "none"
    spec = {"broker": broker, **options}
    figures = [
        Figure("rate, of the floor's", "ours.rate", "floor.rate", bound=bound),
        Figure("rate", "ours.rate", unit="jobs/s"),
        Figure("worker's CPU per job", "ours.worker_us", unit="µs"),
    ]
    if broker == "redis":
        figures.append(Figure("CPU of Redis per job, of the floor's", "ours.redis_us", "floor.redis_us"))
    contestants = (
        Contestant("floor", "floor_throughput", spec, server),
        Contestant("ours", "ours_throughput", spec, server),
    )
    return Case(f"throughput.{key}", title, contestants, tuple(figures))
