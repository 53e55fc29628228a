"""Memory that a child and its parent both see."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge.brokers.protocol import Holding
from taskforge.errors import TaskforgeError
from taskforge.job import Delivery
from taskforge.worker import shared as module
from taskforge.worker.shared import Asked, ChildState, Figures, Shared

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def delivery(job_id: str, queue: str = "default", number: int = 1) -> Delivery:
    return Delivery(queue, job_id, number, b"", 0, 0, 0, NOW)


@pytest.fixture
def pair() -> Iterator[tuple[Shared, Shared]]:
    """What the parent has, and what its child attaches."""
    parent = Shared.create(cells=4)
    child = Shared.attach(os.dup(parent.fd))
    yield parent, child
    child.close()
    parent.close()


Pair = tuple[Shared, Shared]


def test_before_the_child_has_said_anything_it_starts_and_holds_nothing(pair: Pair) -> None:
    parent, _ = pair

    assert (parent.name(), parent.state, parent.holdings()) == ("", ChildState.STARTING, [])
    assert (parent.beat_age(time.monotonic()), parent.figures, parent.asked()) == (None, Figures(), Asked())


def test_what_the_child_says_the_parent_sees(pair: Pair) -> None:
    parent, child = pair

    child.publish("höst.12.cafe")
    child.state = ChildState.REPLACE_ME
    child.figures = Figures(7, 1.5, 2, 3, 108, 1 << 33, 0.25, 61.0)
    child.ask("restart", 1_700_000_000_000)
    child.beat()

    assert (parent.name(), parent.state) == ("höst.12.cafe", ChildState.REPLACE_ME)
    assert parent.figures == Figures(7, 1.5, 2, 3, 108, 1 << 33, 0.25, 61.0)
    assert parent.asked() == Asked(shutdown=0, restart=1_700_000_000_000)
    age = parent.beat_age(time.monotonic() + 10)
    assert age is not None
    assert 10 <= age < 20


def test_the_parent_tells_runs_that_have_begun_from_those_that_have_not(pair: Pair) -> None:
    parent, child = pair

    first = child.claimed([delivery("a", number=5), delivery("b", "mail", 6)])
    second = child.claimed([delivery("c", number=7)])
    child.cells[2] = first + 1
    child.cells[0] = second
    child.cells[0] = 0

    assert (first, second) == (1, 3)
    assert parent.holdings() == [
        Holding("default", "c", 7, started=False),
        Holding("mail", "b", 6, started=True),
        Holding("default", "a", 5, started=False),
    ]
    assert parent.running() == [Holding("mail", "b", 6, started=True)]


def test_what_has_ended_leaves_the_log_and_what_is_held_stays(pair: Pair) -> None:
    parent, child = pair
    old = delivery("old", number=1)
    first = child.claimed([old])
    child.cells[3] = first
    held = {first: old}
    child.held = lambda: list(held.items())

    numbers = [child.claimed([delivery(f"job-{n}", number=n) for n in range(100)]) for _ in range(100)]

    holdings = parent.holdings()
    assert numbers == list(range(2, 10_002, 100))
    assert Holding("default", "old", 1, started=True) in holdings
    assert 0 < len(holdings) < 10_000
    assert len(parent.running()) == 1


def test_as_much_as_it_has_places_is_held_through_any_number_of_turns() -> None:
    parent = Shared.create(cells=2_000)
    held = {n: delivery("x" * 98 + f"{n:02}"[-2:], "q" * 200, n) for n in range(1, 2_001)}
    parent.held = lambda: list(held.items())

    for _ in range(3):
        parent.claimed(list(held.values()))
        parent._turn()

    assert len({holding.number for holding in parent.holdings()}) == 2_000
    parent.close()


def test_more_than_there_is_room_for_is_left_to_the_leases() -> None:
    parent = Shared.create(cells=1)
    many = [delivery(f"{n:090}", "q" * 200, n) for n in range(20_000)]
    parent.held = lambda: [(n + 1, each) for n, each in enumerate(many)]

    first = parent.claimed(many)
    second = parent.claimed(many[:1])

    assert (first, second) == (1, 20_001)
    assert len(parent.holdings()) < 20_000
    parent.close()


@given(
    st.lists(
        st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5), st.integers(0, 2**63 - 1)))
    ),
    st.booleans(),
)
def test_any_queue_and_any_id_comes_out_as_it_went_in(claims: list[list[tuple[str, str, int]]], turned: bool) -> None:
    parent = Shared.create(cells=1)
    deliveries = [[delivery(job_id, queue, number) for queue, job_id, number in claim] for claim in claims]

    firsts = [parent.claimed(claim) for claim in deliveries]
    every = [(n + 1, each) for n, each in enumerate(each for claim in deliveries for each in claim)]
    if turned:
        parent.held = lambda: every
        parent._turn()

    assert parent.holdings() == [Holding(d.queue, d.id, d.number, started=False) for _, d in reversed(every)]
    assert firsts == [1 + sum(len(claim) for claim in deliveries[:at]) for at in range(len(deliveries))]
    parent.close()


def test_a_claim_that_was_cut_short_by_death_is_not_read(pair: Pair) -> None:
    parent, child = pair
    child.claimed([delivery("whole")])
    used = child._at

    child._view[used : used + 8] = b"\xff" * 8  # the rest was never written, nor counted in

    assert [holding.id for holding in parent.holdings()] == ["whole"]


def test_memory_of_another_release_is_refused() -> None:
    parent = Shared.create(cells=1)
    parent._words[0] = module._MAGIC + 1

    with pytest.raises(TaskforgeError, match="another release"):
        Shared.attach(os.dup(parent.fd))
    parent.close()


@pytest.mark.parametrize("turned", [False, True])
def test_what_must_not_run_twice_counts_as_begun_also_once_it_has_ended(pair: Pair, turned: bool) -> None:
    parent, child = pair
    once, often = delivery("once"), delivery("often", number=7)
    first = child.claimed([once, often])
    child.held = lambda: [(first, module.marked(once)), (first + 1, often)]

    child.begun([(first, once)])
    if turned:
        child._turn()

    assert sorted(parent.holdings()) == [Holding("default", "often", 7, False), Holding("default", "once", 1, True)]
    assert parent.running() == []
    child.cells[0] = first
    assert [each.id for each in parent.running()] == ["once"]
