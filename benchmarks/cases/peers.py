"""taskforge beside the other queues, each with the settings that its documentation gives for many small jobs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size

#: A slow peer's worker may take this long (seconds) for its jobs.
WITHIN = 60


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to run a peer. `n` jobs keep it busy for a few seconds; `bulk`: it can be handed many jobs at once."""

    name: str
    peer: str
    n: int
    options: tuple[tuple[str, object], ...] = ()
    bulk: bool = False
    #: Its usual way; the others are measured for throughput alone.
    usual: bool = True
    bound: Bound | None = None


RIVALS = (
    Rival("BullMQ, concurrency 100", "bullmq", 20_000, bulk=True, bound=Bound(5, 4)),
    Rival("Celery, prefork 2", "celery", 6_000, (("pool", "prefork"), ("concurrency", 2)), bound=Bound(60, 40)),
    Rival("Celery, 8 threads", "celery", 6_000, (("pool", "threads"), ("concurrency", 8)), usual=False),
    Rival("Dramatiq, 2 × 8 threads", "dramatiq", 12_000),
    Rival("Huey, 2 processes", "huey", 15_000, (("kind", "process"), ("workers", 2))),
    Rival("Huey, 8 threads", "huey", 15_000, (("kind", "thread"), ("workers", 8)), usual=False),
    Rival("RQ, 2 × SimpleWorker", "rq", 2_500, bulk=True),
    Rival("RQ, 2 × Worker (forks)", "rq", 400, (("simple", False),), usual=False),
    Rival("SAQ, concurrency 100", "saq", 8_000, bulk=True),
    Rival("Taskiq, list, 2 × 100", "taskiq", 12_000, (("kind", "list"),), bulk=True),
    Rival("Taskiq, stream, 2 × 100", "taskiq", 12_000, (("kind", "stream"),), usual=False),
)


def cases(size: Size, peers: Collection[str]) -> list[Case]:
    """Throughput, both ways of enqueuing, and idle start, beside the peers wanted; none in the short form."""
    rivals = [rival for rival in RIVALS if rival.peer in peers]
    if size.quick or not rivals:
        return []
    usual = [rival for rival in rivals if rival.usual]
    return [
        throughput(rivals),
        enqueue("peers.enqueue-one", "one by one, Redis", usual, 5_000, 1),
        enqueue("peers.enqueue-bulk", "many at once, Redis", [each for each in usual if each.bulk], 10_000, 1_000),
        start(usual),
    ]


def throughput(rivals: Collection[Rival]) -> Case:
    """Preloaded no-op jobs."""
    ours = Contestant("ours", "ours_throughput", {"broker": "redis", "n": 100_000})
    plain = Contestant("ours, no claim-ahead", "ours_throughput", {"broker": "redis", "n": 50_000, "ahead": False})
    found = [_rival(rival, {"case": "throughput", "n": rival.n, "within": WITHIN}) for rival in rivals]
    figures = [_times(rival, "ours.rate", f"{rival.name}.rate", rival.bound) for rival in rivals]
    note = (
        "Ours is one process with 8 threads and Python's GIL; peers run as many processes as named. Peers are timed "
        "from their first run to their last, ours from the start of the worker to the last settlement."
    )
    title = "preloaded no-op jobs beside the peers, Redis"
    return Case("peers.throughput", title, (ours, plain, *found), tuple(figures), rounds=3, limit=120, note=note)


def enqueue(key: str, title: str, rivals: Collection[Rival], n: int, batch: int) -> Case:
    """How fast one program hands jobs in."""
    how = "one" if batch == 1 else "batch"
    ours = Contestant(
        "ours", "ours_enqueue", {"broker": "redis", "how": how, "size": batch, "n": n * (1 if batch == 1 else 5)}
    )
    found = [_rival(rival, {"case": "enqueue", "n": n, "size": batch}) for rival in rivals]
    figures = [_times(rival, "ours.rate", f"{rival.name}.rate") for rival in rivals]
    note = "" if batch == 1 else "SAQ and Taskiq have no call for many jobs: theirs is a gather of 100 coroutines."
    return Case(
        key, f"enqueue {title}, beside the peers", (ours, *found), tuple(figures), rounds=3, limit=60, note=note
    )


def start(rivals: Collection[Rival]) -> Case:
    """How soon an idle worker starts a job."""
    n, pause = 60, 0.05
    ours = Contestant("ours", "ours_latency", {"broker": "redis", "case": "start", "n": n + 20, "pause": pause})
    found = [_rival(rival, {"case": "start", "n": n, "pause": pause}) for rival in rivals]
    figures = [Figure(f"p50, of {rival.name}", "ours.p50_us", f"{rival.name}.p50_us", bound=None) for rival in rivals]
    return Case(
        "peers.start", "an idle worker starts a job, beside the peers", (ours, *found), tuple(figures), rounds=3
    )


def _rival(rival: Rival, spec: dict[str, object]) -> Contestant:
    program = "program.cjs" if rival.peer == "bullmq" else "program.py"
    return Contestant(rival.name, program, {**spec, **dict(rival.options)}, peer=rival.peer)


def _times(rival: Rival, of: str, over: str, bound: Bound | None = None) -> Figure:
    return Figure(f"rate, of {rival.name}", of, over, bound=bound)
