"""Measures what waits in an app's queues and who works on it: what an outside scaler is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from taskforge.app import Taskforge
from taskforge.brokers.inspecting import Pressure
from taskforge.scaling import Goal, Load, drain_time, needed
from taskforge.workers import WorkerCard, WorkerState, read_cards


@dataclass(frozen=True, slots=True)
class Figures:
    """What waits and who works, in one queue or in all. Spans are seconds.

    `backlog` is `ready`, the jobs that could run now, and `soon`, the delayed ones that fall due within the drain time
    that is aimed at. `oldest_age` is how long the longest waiting ready job has been ready, 0 where none is. `busy` are
    jobs that run, `throughput` how many a second end of late. `drain_time` is how long the `workers`, the processes
    that take jobs, will need for the backlog; None where that cannot be told. `wanted` is how many there should be.
    """

    backlog: int
    ready: int
    soon: int
    oldest_age: float
    busy: int
    throughput: float
    drain_time: float | None
    workers: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The figures of an app's queues at one moment. `total.wanted` is for processes that serve all of the queues, a
    queue's own for processes that serve only that one. `drain_goal` is the drain time that is aimed at (seconds).
    """

    app: str
    at: datetime
    drain_goal: float
    total: Figures
    queues: Mapping[str, Figures]


def measure(app: Taskforge, goal: Goal, queues: Sequence[str] = ()) -> Scale:
    """The figures of these queues, or of all that the app names. One call for each queue, and one for the register.

    Raises BrokerUnavailable when the broker does not answer in time.
    """
    names = sorted(queues or app.queue_names())
    pressures = pressures_of(app, names, goal)
    cards = app.client.read(partial(read_cards, app.codec, app.broker.register))
    working = [card for card in cards if card.state is WorkerState.RUNNING]
    loads = {name: _load(app, {name: pressures[name]}, working, pressures) for name in names}
    total = _load(app, pressures, working, pressures)
    return Scale(
        app=app.name,
        at=app.clock.now(),
        drain_goal=goal.drain,
        total=_figures(goal, total),
        queues={name: _figures(goal, load) for name, load in loads.items()},
    )


def pressures_of(app: Taskforge, queues: Iterable[str], goal: Goal) -> dict[str, Pressure]:
    """What presses on each of these queues, with what falls due within the goal's drain time."""
    within = timedelta(seconds=goal.drain)
    return {name: app.client.read(partial(app.inspector.pressure, name, within)) for name in queues}


def together(pressures: Iterable[Pressure]) -> Pressure:
    """What presses on all of these queues. What schedules will enqueue soon is to be added here, once there are any."""
    parts = list(pressures)
    oldest = [part.oldest for part in parts if part.oldest is not None]
    return Pressure(
        ready=sum(part.ready for part in parts),
        oldest=max(oldest, default=None),
        soon=sum(part.soon for part in parts),
        running=sum(part.running for part in parts),
    )


def places_of(app: Taskforge, queues: Iterable[str], threads: int, slots: int) -> int:
    """How many jobs of these queues a process may run at once, that has so many threads and slots in all: what it has
    for the kinds of tasks, plain or async, that the app sends there.
    """
    served = frozenset(queues)
    kinds = {task.is_async for task in app.tasks if app.queue_of(task, {}) in served}
    if kinds == {False}:
        return threads
    return max(0, slots - threads) if kinds == {True} else slots


def load_of(
    pressure: Pressure, *, busy: int, processes: int, places: float, throughput: float, per_job: float | None = None
) -> Load:
    """What presses, and the processes that work on it, as the policy takes them; see `scaling.Load`."""
    oldest = None if pressure.oldest is None else pressure.oldest.total_seconds()
    return Load(pressure.ready, pressure.soon, oldest, busy, processes, places, throughput, per_job)


def _load(
    app: Taskforge, part: Mapping[str, Pressure], working: Sequence[WorkerCard], every: Mapping[str, Pressure]
) -> Load:
    """The load of some queues; `every` queue's pressure tells which share of its work a process does for them."""
    cards = [card for card in working if not part.keys().isdisjoint(card.queues)]
    pressure = together(part.values())
    slots = sum(card.slots for card in cards)
    times = [card.seconds_per_job for card in cards if card.seconds_per_job > 0]
    return load_of(
        pressure,
        # Some of the running ones stand in line still, and some may be held by workers that are no more.
        busy=min(pressure.running, slots) if cards else pressure.running,
        processes=len(cards),
        places=sum(places_of(app, part, card.threads, card.slots) for card in cards) / len(cards) if cards else 1.0,
        throughput=sum(card.jobs_per_second * _share(card, part, every) for card in cards),
        per_job=sum(times) / len(times) if times else None,
    )


def _share(card: WorkerCard, part: Mapping[str, Pressure], every: Mapping[str, Pressure]) -> float:
    """Which part of a process's jobs is of these queues, to judge by what is there: cards tell only the whole."""
    weights = {name: 1 + every[name].running + every[name].ready for name in card.queues if name in every}
    return sum(weight for name, weight in weights.items() if name in part) / (sum(weights.values()) or 1)


def _figures(goal: Goal, load: Load) -> Figures:
    takes = drain_time(load)
    return Figures(
        backlog=load.ready + load.soon,
        ready=load.ready,
        soon=load.soon,
        oldest_age=round(load.oldest or 0.0, 3),
        busy=load.busy,
        throughput=round(float(load.throughput), 3),
        drain_time=None if takes is None else round(takes, 3),
        workers=load.processes,
        wanted=needed(goal, load),
    )
