"""What jobs, backlogs, idle workers and starting cost."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size

NAMES = {"redis": "Redis", "sqlite": "SQLite"}


def cases(size: Size) -> list[Case]:
    """Redis per job, growth, many due at once, a fleet, an idle worker, starting, verbs; none in the short form."""
    if size.quick:
        return []
    return [
        redis(),
        *(growth(broker, state) for broker in ("redis", "sqlite") for state in ("ready", "delayed")),
        due(),
        fleet(),
        idle("redis"),
        idle("sqlite"),
        starting(),
        verbs(),
    ]


def redis() -> Case:
    """Memory and CPU of Redis per job."""
    contestants = tuple(
        Contestant(who, "redis_cost", {"broker": "redis", "who": who, "n": 100_000}) for who in ("floor", "ours")
    )
    figures = (
        Figure("memory per queued job", "ours.bytes", unit="bytes", bound=Bound(330, at_most=True)),
        Figure("CPU of Redis per job, enqueue and process", "ours.both_us", unit="µs", bound=Bound(8, at_most=True)),
        Figure("CPU of Redis per job, of the floor's", "ours.both_us", "floor.both_us"),
    )
    return Case("cost.redis", "what a job costs Redis", contestants, figures)


def growth(broker: str, state: str) -> Case:
    """Jobs that overtake a backlog of a thousand, and of a million."""
    server = "plain" if broker == "redis" else "none"
    spec = {"broker": broker, "state": state, "n": 20_000}
    contestants = tuple(
        Contestant(name, "ours_growth", {**spec, "backlog": backlog}, server)
        for name, backlog in (("few", 1_000), ("many", 1_000_000))
    )
    figures = [
        Figure(
            "time per job, a million against a thousand", "many.wall_us", "few.wall_us", bound=Bound(1.3, at_most=True)
        )
    ]
    if broker == "redis":
        bound = Bound(1.3, 1.6, at_most=True)
        figures.append(
            Figure("CPU of Redis per job, a million against a thousand", "many.redis_us", "few.redis_us", bound=bound)
        )
    title = f"10⁶ jobs {state} against 10³, {NAMES[broker]}"
    return Case(f"cost.growth-{broker}-{state}", title, contestants, tuple(figures), rounds=3, limit=120)


def due() -> Case:
    """A million jobs due in one millisecond."""
    ten = Bound(10, at_most=True)
    contestants = tuple(
        Contestant(name, "ours_due", {"broker": "redis", "n": 1_000_000, "due": name == "due"})
        for name in ("ready", "due")
    )
    figures = (
        Figure("longest wait of a PING", "due.ping_worst_ms", unit="ms", bound=ten),
        Figure("slowest command, by Redis's slow log", "due.slowest_command_ms", unit="ms", bound=ten),
        Figure("rate, of as many ready ones", "due.rate", "ready.rate", bound=Bound(0.95, 0.65)),
    )
    note = (
        "A PING waits for its own process, too, where client, worker and Redis share two cores; the slow log has "
        "what single commands took inside Redis."
    )
    title = "10⁶ jobs due in the same millisecond"
    return Case("cost.due", title, contestants, figures, rounds=2, limit=240, note=note)


def fleet() -> Case:
    """Fifty processes of 8 threads, and one."""
    spec = {"broker": "redis", "jobs": 20_000}
    contestants = (
        Contestant("one", "ours_fleet", {**spec, "processes": 1, "jobs": 2_000}),
        Contestant("fifty", "ours_fleet", {**spec, "processes": 50}),
    )
    three = Bound(3, at_most=True)
    figures = (
        Figure("connections per process, idle", "fifty.connections_idle", unit="each", bound=three),
        Figure("connections per process, loaded", "fifty.connections_loaded", unit="each", bound=three),
        Figure(
            "commands per job, 50 idle workers against one",
            "fifty.commands_per_job",
            "one.commands_per_job",
            bound=Bound(1.3, at_most=True),
        ),
    )
    note = (
        "Commands per job are those that clients and workers send, from enqueue to settlement, less what the idle "
        "fleet sends anyway."
    )
    return Case("cost.fleet", "50 processes of 8 threads", contestants, figures, rounds=2, limit=120, note=note)


def idle(broker: str) -> Case:
    """One idle worker."""
    server = "plain" if broker == "redis" else "none"
    figures = [
        Figure("CPU", "ours.cpu_percent", unit="% of a core", bound=Bound(0.5, at_most=True)),
        Figure("memory", "ours.memory_mib", unit="MiB", bound=Bound(45, at_most=True)),
    ]
    if broker == "redis":
        figures.append(Figure("commands", "ours.sent_per_s", unit="a second", bound=Bound(2, at_most=True)))
    note = (
        "`taskforge worker --alone`, watched for 12 s. Commands are those it sends; commands_per_s has those "
        "inside scripts, too."
    )
    contestants = (Contestant("ours", "ours_idle", {"broker": broker}, server),)
    return Case(
        f"cost.idle-{broker}", f"an idle worker, {NAMES[broker]}", contestants, tuple(figures), rounds=3, note=note
    )


def starting() -> Case:
    """Import, help, first job."""
    figures = (
        Figure(
            "import taskforge, over the bare interpreter",
            "ours.import_over_bare_ms",
            unit="ms",
            bound=Bound(40, at_most=True),
        ),
        Figure("taskforge --help", "ours.help_ms", unit="ms", bound=Bound(150, at_most=True)),
        Figure(
            "worker start to first job, one process", "ours.first_job_ms", unit="ms", bound=Bound(400, at_most=True)
        ),
        Figure(
            "the same, under a parent of two",
            "ours.first_job_under_parent_ms",
            unit="ms",
            bound=Bound(400, 800, at_most=True),
        ),
    )
    contestants = (Contestant("ours", "ours_starting", {"times": 5}),)
    return Case("cost.starting", "starting", contestants, figures, rounds=3, limit=90)


def verbs() -> Case:
    """One timing per Lua script and SQL verb."""
    contestants = (
        Contestant("Redis", "ours_verbs", {"broker": "redis"}),
        Contestant("SQLite", "ours_verbs", {"broker": "sqlite"}, "none"),
    )
    note = "µs a call: as the caller waits for it, and, on Redis, what the script took by Redis's own clock."
    return Case("cost.verbs", "every verb", contestants, (), rounds=3, note=note)
