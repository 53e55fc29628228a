"""Worker processes: together, under a parent, killed, asked to stop, replaced; and very many coroutines in one."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size

NAMES = {"redis": "Redis", "sqlite": "SQLite"}


def cases(size: Size) -> list[Case]:
    """All on both brokers; none in the short form."""
    if size.quick:
        return []
    made = [case(broker) for case in (together, parent, killed, cancelled, renewed) for broker in NAMES]
    return [*made, many("redis"), many("sqlite")]


def together(broker: str) -> Case:
    """Two processes against one."""
    spec = {"what": "rate", "broker": broker, "task": "burn", "n": 20_000}
    one = Contestant("one", "ours_workers", {**spec, "worker": ["--processes", "1"]}, _server(broker))
    two = Contestant("two", "ours_workers", {**spec, "worker": ["--processes", "2"]}, _server(broker))
    figures = (
        Figure("rate of two processes, of that of one", "two.rate", "one.rate", bound=Bound(1.8)),
        Figure("rate of one", "one.rate", unit="jobs/s"),
    )
    title = f"jobs of 200 µs of CPU, two processes against one, {NAMES[broker]}"
    note = "Client, parent and broker share the machine's cores with them."
    return Case(f"workers.two-{broker}", title, (one, two), figures, rounds=3, note=note)


def parent(broker: str) -> Case:
    """A process under a parent against one without."""
    spec = {"what": "rate", "broker": broker, "task": "noop", "n": 200_000}
    alone = Contestant("alone", "ours_workers", {**spec, "worker": ["--alone"]}, _server(broker))
    under = Contestant("under a parent", "ours_workers", {**spec, "worker": ["--processes", "1"]}, _server(broker))
    figures = (
        Figure("rate under a parent, of that without", "under a parent.rate", "alone.rate", bound=Bound(0.97)),
        Figure("rate without", "alone.rate", unit="jobs/s"),
    )
    title = f"no-op jobs, one process under a parent against one without, {NAMES[broker]}"
    return Case(f"workers.parent-{broker}", title, (alone, under), figures, rounds=5)


def killed(broker: str) -> Case:
    """kill -9."""
    figures = (
        Figure(
            "until another has its place, worst of 5", "ours.replaced_ms", unit="ms", bound=Bound(1_000, at_most=True)
        ),
        Figure(
            "until its job runs elsewhere, worst of 5", "ours.again_ms", unit="ms", bound=Bound(2_000, at_most=True)
        ),
    )
    spec = {"what": "killed", "broker": broker, "times": 5}
    title = f"a process that runs a job is killed, {NAMES[broker]}"
    return Case(f"workers.killed-{broker}", title, (_ours(spec),), figures, rounds=3)


def cancelled(broker: str) -> Case:
    """From one process to a run in another."""
    figures = (
        Figure("until the run sees it, p99", "ours.p99_ms", unit="ms", bound=Bound(50, at_most=True)),
        Figure("until the run sees it, p50", "ours.p50_ms", unit="ms"),
    )
    spec = {"what": "cancel", "broker": broker, "times": 300}
    return Case(f"workers.cancel-{broker}", f"cancel by id, {NAMES[broker]}", (_ours(spec),), figures, rounds=3)


def renewed(broker: str) -> Case:
    """SIGHUP."""
    figures = (
        Figure("longest extra wait of a job", "ours.extra_ms", unit="ms", bound=Bound(1_000, at_most=True)),
        Figure("attempts spent", "ours.attempts", unit="", bound=Bound(0, at_most=True)),
    )
    spec = {"what": "renewed", "broker": broker, "seconds": 6}
    title = f"all processes replaced by SIGHUP under 100 jobs a second, {NAMES[broker]}"
    return Case(f"workers.renewed-{broker}", title, (_ours(spec),), figures, rounds=3)


def many(broker: str) -> Case:
    """10,000 coroutines."""
    figures = (
        Figure("CPU of keeping leases", "ours.core_percent", unit="% of a core", bound=Bound(1, at_most=True)),
        Figure("leases lost", "ours.lost", unit="", bound=Bound(0, at_most=True)),
    )
    ours = Contestant("ours", "ours_many", {"broker": broker, "n": 10_000, "seconds": 35}, _server(broker))
    title = f"10,000 async jobs running at once, {NAMES[broker]}"
    return Case(f"workers.many-{broker}", title, (ours,), figures, rounds=1, limit=150)


def _server(broker: str) -> str:
    return "plain" if broker == "redis" else "none"


def _ours(spec: dict[str, object]) -> Contestant:
    return Contestant("ours", "ours_workers", spec, _server(str(spec["broker"])))
