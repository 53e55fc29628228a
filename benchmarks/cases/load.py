"""Jobs that do something, and conditions that are not ideal."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size


def cases(size: Size) -> list[Case]:
    """Waiting, computing, an urgent job, a slow network, an open loop; none in the short form."""
    if size.quick:
        return []
    return [
        *(waiting(broker) for broker in ("redis", "sqlite")),
        *(computing(broker) for broker in ("redis", "sqlite")),
        *(urgent(broker) for broker in ("redis", "sqlite")),
        network(),
        *(open_loop(broker) for broker in ("redis", "sqlite")),
    ]


def waiting(broker: str) -> Case:
    """10 ms of waiting in 16 slots."""
    spec = {"broker": broker, "task": "nap", "threads": 16, "n": 6_400}
    figures = (
        Figure("slots' time used", "ours.slots_percent", unit="%", bound=Bound(98)),
        Figure("rate (1,600 would be all)", "ours.rate", unit="jobs/s"),
    )
    return Case(
        f"load.waiting-{broker}",
        f"jobs of 10 ms of waiting, 16 slots, {NAMES[broker]}",
        (_ours("ours_throughput", spec),),
        figures,
        rounds=3,
    )


def computing(broker: str) -> Case:
    """200 µs of CPU."""
    spec = {"broker": broker, "task": "burn", "n": 10_000}
    floor = Contestant("floor", "floor_throughput", {**spec, "held": 100}, _server(broker))
    figures = (
        Figure("rate, of the floor's", "ours.rate", "floor.rate"),
        Figure("rate (5,000 would be all)", "ours.rate", unit="jobs/s"),
    )
    title = f"jobs of 200 µs of CPU, 8 threads, {NAMES[broker]}"
    return Case(f"load.computing-{broker}", title, (floor, _ours("ours_throughput", spec)), figures, rounds=3)


def urgent(broker: str) -> Case:
    """An urgent job behind jobs of 30 ms."""
    figures = (
        Figure("jobs claimed ahead, most at any time", "ours.claimed_ahead", unit="jobs", bound=Bound(0, at_most=True)),
        Figure("start p50 (the backlog's jobs take 30 ms)", "ours.start_p50_ms", unit="ms"),
        Figure("start, worst of 30", "ours.start_worst_ms", unit="ms"),
    )
    title = f"an urgent job behind a backlog of 30 ms jobs, 8 threads, {NAMES[broker]}"
    return Case(
        f"load.urgent-{broker}", title, (_ours("ours_urgent", {"broker": broker, "backlog": 600}),), figures, rounds=3
    )


def network() -> Case:
    """No-op jobs over a proxy that adds a millisecond a round trip, with an append-only file."""
    spec = {"broker": "redis", "n": 100_000}
    contestants = (
        Contestant("ours", "ours_throughput", spec, "slow"),
        Contestant("ours, direct", "ours_throughput", spec, "aof"),
        Contestant("floor", "floor_throughput", spec, "slow"),
        Contestant("ping", "ping", {}, "slow"),
    )
    figures = (
        Figure("rate", "ours.rate", unit="jobs/s", bound=Bound(70_000)),
        Figure("rate, of its own without the proxy", "ours.rate", "ours, direct.rate", bound=Bound(0.5)),
        Figure("rate, of the floor's over the same proxy", "ours.rate", "floor.rate"),
        Figure("what the proxy adds to a PING", "ping.added_ms", unit="ms"),
    )
    note = "All four with appendfsync everysec. The second bound stands in for the first where that is out of reach."
    return Case(
        "load.network",
        "no-op, 8 threads, 1 ms of latency added, AOF everysec",
        contestants,
        figures,
        rounds=3,
        note=note,
    )


def open_loop(broker: str) -> Case:
    """Arrivals at 70 % of the rate that preloaded jobs reach."""
    spec = {"broker": broker, "n": 60_000, "share": 0.7, "seconds": 3}
    figures = (
        Figure("start p99", "ours.start_p99_ms", unit="ms", bound=Bound(10, at_most=True)),
        Figure("start p50", "ours.start_p50_ms", unit="ms"),
        Figure("offered", "ours.offered_rate", unit="jobs/s"),
        Figure("the client's own worst lateness", "ours.client_late_ms", unit="ms"),
    )
    note = (
        "A job's age counts from when it should have been enqueued, so a client that is late is part of the figure. "
        "Client, worker and Redis share this machine's cores."
    )
    title = f"open loop at 70 % of the rate, {NAMES[broker]}"
    return Case(
        f"load.open-loop-{broker}", title, (_ours("ours_open_loop", spec),), figures, rounds=3, limit=90, note=note
    )


NAMES = {"redis": "Redis", "sqlite": "SQLite"}


def _server(broker: str) -> str:
    return "plain" if broker == "redis" else "none"


def _ours(program: str, spec: dict[str, object]) -> Contestant:
    return Contestant("ours", program, spec, _server(str(spec["broker"])))
