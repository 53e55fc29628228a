"""The app of the benchmarks: what its tasks do is as little, and as countable, as the floor's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskforge import Args, Taskforge
from taskforge.settings import Settings

#: What ran, by index; how long after its enqueue each started, and how long it kept its slot (seconds).
ran: list[int] = []
started_after: list[float] = []
slots_used: list[float] = []


def noop(i: int, b: int, text: str) -> None:
    ran.append(i)


async def anoop(i: int, b: int, text: str) -> None:
    ran.append(i)


def burn(i: int, b: int, text: str) -> None:
    """200 µs of this thread's CPU."""
    end = time.thread_time_ns() + 200_000
    while time.thread_time_ns() < end:
        pass
    ran.append(i)


def nap(i: int, b: int, text: str) -> None:
    """10 ms of waiting, as for a network."""
    start = time.perf_counter()
    time.sleep(0.010)
    ran.append(i)
    slots_used.append(time.perf_counter() - start)


def slow(i: int, b: int, text: str) -> None:
    """30 ms of waiting."""
    time.sleep(0.030)
    ran.append(i)


def rest(i: int, b: int, text: str) -> None:
    """Of a backlog: not counted among what ran."""


def stamp(i: int, b: int, text: str) -> None:
    started_after.append(time.monotonic() - float(text))
    ran.append(i)


def add(i: int, b: int, text: str) -> int:
    ran.append(i)
    return i + 1


TASKS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (noop, anoop, burn, nap, slow, rest, stamp, add)
}
QUEUE = "default"


def make_app(options: Any, *tasks: str) -> Any:
    """An app on the broker of this run, with these of the tasks. `ahead` False switches claim-ahead off."""
    settings: dict[str, Any] = {"broker": options["url"] if options["broker"] == "redis" else sqlite_url(options)}
    if not options.get("ahead", True) and "claim_ahead" in Settings.__dataclass_fields__:
        settings["claim_ahead"] = 0
    app = Taskforge("bench", **settings)
    for name in tasks:
        app.task(name=name)(TASKS[name])
    return app


def sqlite_url(options: Any) -> str:
    """A file of this run."""
    return f"sqlite:///{Path(options['scratch']) / 'taskforge.db'}"


def preload(app: Any, task: str, n: int, text: str = "x" * 64, first: int = 0, **using: object) -> None:
    """Enqueue n jobs, a thousand a call."""
    call = app.by_name(task)
    if using:
        call = call.using(**using)
    for i in range(first, first + n, 1000):
        call.enqueue_many([(k, 2, text) for k in range(i, min(first + n, i + 1000))])


def args(i: int) -> Args:
    """The arguments of one job."""
    return Args(i, 2, "x" * 64)


def check_succeeded(app: Any, n: int) -> None:
    """Nothing is left but succeeded jobs, of which the queue keeps a thousand."""
    counts = app.inspector.counts(QUEUE)
    others = (counts.ready, counts.delayed, counts.blocked, counts.running, counts.dead, counts.cancelled)
    kept = min(n, app.settings.finished_count)
    # Of 1,000 and more a broker may trim 2 % at once, so that it need not do so each time.
    assert 0.98 * kept <= counts.succeeded <= kept, counts
    assert sum(others) == 0, counts
