"""What a process of its own costs a job."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size


def cases(size: Size) -> list[Case]:
    """On both brokers."""
    return [_case("redis", size), _case("sqlite", size)]


def _case(broker: str, size: Size) -> Case:
    spec = {"broker": broker, "n": size.of(10_000, 5_000), "trips": size.of(1_000, 300)}
    server = "plain" if broker == "redis" else "none"
    figures = (
        Figure("round trip p50, more than in a thread", "ours.more_us", unit="µs", bound=Bound(250, at_most=True)),
        Figure("round trip p50 in a thread", "ours.thread_us", unit="µs"),
        Figure("rate on one core", "ours.rate", unit="jobs/s", bound=Bound(3_000)),
    )
    note = (
        "Round trips of both kinds take turns in one worker. For the rate, worker and child share one core, and the "
        "broker, where it is a server, may have another."
    )
    name = "Redis" if broker == "redis" else "SQLite"
    title = f"isolated jobs, child reused, {name}"
    return Case(f"isolated.{broker}", title, (Contestant("ours", "ours_isolated", spec, server),), figures, note=note)
