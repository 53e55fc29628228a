"""How soon an idle worker starts a job, and how soon a result is back."""

from __future__ import annotations

from benchmarks.harness.model import Bound, Case, Contestant, Figure, Size

#: Between two enqueues, so that the worker is idle again (seconds).
PAUSE = 0.005


def cases(size: Size) -> list[Case]:
    """Start and round trip on both brokers."""
    n = size.of(1_000, 250)
    near, tail = Bound(1.5, at_most=True), Bound(1.5, 3.0, at_most=True)
    start, result = "an idle worker starts a job", "round trip with result"
    return [
        _case("redis", "start", start, n, (_ratio(50, near), _ratio(99, tail))),
        _case("redis", "result", result, n, (_ratio(50, near),)),
        _case("sqlite", "start", start, n, (_ratio(50, Bound(2.0, at_most=True)), _own(99, Bound(5.0, at_most=True)))),
        _case("sqlite", "result", result, n, (_ratio(50, Bound(2.0, at_most=True)),)),
    ]


def _case(broker: str, case: str, title: str, n: int, figures: tuple[Figure, ...]) -> Case:
    spec = {"broker": broker, "case": case, "n": n, "pause": PAUSE}
    server = "plain" if broker == "redis" else "none"
    contestants = (
        Contestant("floor", "floor_latency", spec, server),
        Contestant("ours", "ours_latency", spec, server),
    )
    absolute = tuple(Figure(f"p{share}", f"ours.p{share}_us", unit="µs") for share in (50, 99))
    name = "Redis" if broker == "redis" else "SQLite"
    return Case(f"latency.{broker}-{case}", f"{title}, {name}", contestants, figures + absolute)


def _ratio(share: int, bound: Bound) -> Figure:
    return Figure(f"p{share}, of the floor's", f"ours.p{share}_us", f"floor.p{share}_us", bound=bound)


def _own(share: int, bound: Bound) -> Figure:
    return Figure(f"p{share}", f"ours.p{share}_ms", unit="ms", bound=bound)
