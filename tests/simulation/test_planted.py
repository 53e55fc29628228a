"""The simulation finds bugs: each is planted in a broker, and some seed must show it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from taskforge.brokers.protocol import Broker
from taskforge.testing.simulation import Failure, replay, search, shrink, simulate
from tests.simulation.plants import Ajar, Blaming, Careless, Childless, Forgiving, Greedy, Unfenced, Unnumbered, planted

#: Within so many seeds a planted bug must be found; every one that is planted here is found within a few hundred.
SEEDS = 10_000
#: Lines that tell a shrunk failure.
READABLE = 60


def found(bug: Callable[[Broker], Broker]) -> Failure:
    failure = search(range(SEEDS), planted(bug))
    assert failure is not None, f"no seed below {SEEDS:,} finds it"
    return failure


def test_a_settlement_without_its_fencing_check_is_found() -> None:
    failure = found(Unfenced)

    assert "was accepted, though" in failure.why


def test_an_enqueue_without_its_number_is_found() -> None:
    failure = found(Unnumbered)

    assert "sent again" in failure.why or "second time" in failure.why


@pytest.mark.parametrize("bug", [Greedy, Blaming, Careless, Childless, Forgiving, Ajar])
def test_other_bugs_are_found_too(bug: Callable[[Broker], Broker]) -> None:
    assert found(bug).why


@pytest.mark.parametrize("bug", [Unfenced, Unnumbered])
def test_what_is_found_shrinks_to_a_short_story_that_can_be_repeated(bug: Callable[[Broker], Broker]) -> None:
    broker = planted(bug)
    failures = list(islice(filter(None, (simulate(seed, broker) for seed in range(SEEDS))), 3))

    shrunk = [shrink(failure, broker, tries=300) for failure in failures]

    # Not each comes down to its essence within so few tries, but one of them does.
    assert min(each.steps for each in shrunk) <= READABLE
    for short, failure in zip(shrunk, failures, strict=True):
        assert short.kind == failure.kind
        assert short.steps <= failure.steps
        assert replay(short.choices, broker) == short
