"""Which ready job runs next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskforge import Taskforge
from tests.cases.apps import Watch, wait_for


class Gate:
    """A task that holds the one slot of a worker until it is opened."""

    def __init__(self, app: Taskforge) -> None:
        self.app, self.order = app, list[object]()
        self.closed, self.opened = threading.Event(), threading.Event()
        app.task(name="note")(lambda what: self.order.append(what))

        @app.task(name="gate")
        def hold() -> None:
            self.closed.set()
            wait_for(self.opened)

    @contextmanager
    def holding(self) -> Iterator[Watch]:
        """A worker of one thread, held up inside, and let go after."""
        watch = Watch(self.app)
        with self.app.worker(threads=1):
            self.app.enqueue("gate")
            wait_for(self.closed)
            yield watch
            self.opened.set()

    def enqueue(self, what: object, **options: int) -> None:
        self.app.by_name("note").using(**options).enqueue(what)  # type: ignore[arg-type]


def test_higher_priority_runs_first(app: Taskforge) -> None:
    gate = Gate(app)
    for priority in (5, 10, 7):
        gate.enqueue(priority, priority=priority)

    with app.worker(threads=1, burst=True) as worker:
        assert worker.wait(10)

    assert gate.order == [10, 7, 5]


def test_within_one_priority_first_come_is_first_served(app: Taskforge) -> None:
    gate = Gate(app)
    for number in range(20):
        gate.enqueue(number)

    with app.worker(threads=1, burst=True) as worker:
        assert worker.wait(10)

    assert gate.order == list(range(20))


def test_an_urgent_job_behind_a_backlog_takes_the_next_free_slot(app: Taskforge) -> None:
    gate = Gate(app)

    with gate.holding() as watch:
        for number in range(50):
            gate.enqueue(number, priority=-5)
        gate.enqueue("urgent", priority=50)
        gate.opened.set()
        watch.wait("job_succeeded", 52)

    assert gate.order == ["urgent", *range(50)]


def test_a_changed_priority_counts_from_then_on(app: Taskforge) -> None:
    gate = Gate(app)
    jobs = [app.by_name("note").using(priority=1).enqueue(number) for number in range(3)]

    changed = jobs[2].set_priority(9)
    with app.worker(threads=1, burst=True) as worker:
        assert worker.wait(10)

    assert changed
    assert gate.order == [2, 0, 1]
    assert not jobs[0].set_priority(3), "it has ended"


def test_queues_are_served_in_the_order_they_were_given(app: Taskforge) -> None:
    gate = Gate(app)
    for queue in ("last", "first"):
        for number in range(2):
            app.by_name("note").using(queue=queue, priority=50 if queue == "last" else 0).enqueue(f"{queue} {number}")

    with app.worker(queues=["first", "last"], threads=1, burst=True) as worker:
        assert worker.wait(10)

    assert gate.order == ["first 0", "first 1", "last 0", "last 1"]


@pytest.mark.parametrize("priority", [-101, 101, 1.5, True, "high"])
def test_a_priority_that_is_none_is_refused_where_it_is_written(app: Taskforge, priority: object) -> None:
    Gate(app)

    with pytest.raises(ValueError, match="priority") as caught:
        app.enqueue("note", 1).set_priority(priority)  # type: ignore[arg-type]

    assert "-100 to 100" in str(caught.value)
