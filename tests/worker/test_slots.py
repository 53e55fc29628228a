"""A worker's places: how many are free, and what it may claim into them."""

from __future__ import annotations

from taskforge import Taskforge
from taskforge.brokers.protocol import Demand
from taskforge.worker.slots import LOOP, THREADS, Slots
from tests.worker.deliveries import run_of

NOW = 1_000.0
PLAIN, ASYNC, MIXED, UNKNOWN = "plain", "async", "mixed", "unknown"
KINDS = {PLAIN: [False, False], ASYNC: [True], MIXED: [True, False], UNKNOWN: list[bool]()}


def slots(threads: int = 2, loop: int = 3, *queues: str) -> Slots:
    return Slots((threads, loop), queues or tuple(KINDS), lambda queue: KINDS[queue])


def test_a_queue_needs_the_pools_of_its_tasks_and_both_while_that_is_unknown() -> None:
    assert dict(slots().demand(NOW).queues) == {
        PLAIN: (THREADS,),
        ASYNC: (LOOP,),
        MIXED: (THREADS, LOOP),
        UNKNOWN: (THREADS, LOOP),
    }


def test_a_run_takes_a_place_of_its_kind_and_gives_it_back(app: Taskforge) -> None:
    places = slots()
    task = app.task(name="plain", queue=PLAIN)(lambda: None)
    plain = run_of(app, task)

    places.take([plain])
    while_running = (places.demand(NOW).free, places.runs(), len(places))
    places.end([plain], NOW)
    while_settled = (places.demand(NOW).free, places.runs())
    places.let_go([plain])

    assert while_running == ((1, 3), [plain], 1)
    assert while_settled == ((2, 3), [plain])  # its slot is free, its lease is still ours to keep
    assert places.runs() == []


def test_what_is_held_beyond_the_slots_is_counted(app: Taskforge) -> None:
    places = slots(1)
    task = app.task(name="plain", queue=PLAIN)(lambda: None)

    places.take([run_of(app, task), run_of(app, task), run_of(app, task)])

    assert places.demand(NOW).free == (-2, 3)
    assert (places.surplus(THREADS), places.surplus(LOOP)) == (2, 0)


def test_with_one_pool_full_a_mixed_queue_is_asked_for_nothing(app: Taskforge) -> None:
    places = slots(1, 3, MIXED)
    task = app.task(name="plain", queue=MIXED)(lambda: None)
    places.take([run_of(app, task)])

    assert places.demand(NOW).nothing


def test_a_queue_that_brought_an_unexpected_kind_is_mixed_from_then_on(app: Taskforge) -> None:
    places = slots(2, 3, PLAIN)

    async def odd() -> None: ...

    places.take([run_of(app, app.task(name="odd")(odd).using(queue=PLAIN))])

    assert places.demand(NOW) == Demand((2, 2), ((PLAIN, (THREADS, LOOP)),))
