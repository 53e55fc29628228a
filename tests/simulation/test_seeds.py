"""Simulations of the brokers as they are: every promise is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskforge.testing.simulation import search, simulate
from taskforge.testing.simulation.opening import opener

ROOT = Path(__file__).parents[2]
#: A part of the 10,000 that the gate runs by the command.
SEEDS, SEEDS_ON_REDIS = range(500), range(100)

#: What must come to pass in one simulation or another, or they would show nothing.
EVENTS = [
    "loses the request",
    "loses the reply",
    "brings a late",
    "crashes",
    "is frozen",
    "is cut off",
    "is told to stop",
    "clock jump by -",
    "sent again: nothing changes",
    "refuses, for it comes too late",
    "its lease ran out",
    "does not extend the lease",
    "has succeeded",
    "is retried",
    "snoozes",
    "is handed back",
    "is dead (error)",
    "is dead (timeout)",
    "is cancelled (discarded)",
    "is cancelled (requested)",
    "enqueued on success",
    "cancel of job 1: requested",
    "cancel of job 1: cancelled",
    "redrive of job 1: True",
    "promote of job 1: True",
    "gives up: whether it was enqueued is unknown",
]

_DIGEST = """
import hashlib
from taskforge.testing.simulation import simulate
traces = []
for seed in range(20):
    simulate(seed, show=traces.append)
print(hashlib.sha256("".join(traces).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def traces() -> list[str]:
    """What happened under each of the seeds."""
    found: list[str] = []
    for seed in SEEDS:
        failure = simulate(seed, show=found.append)
        assert failure is None, f"seed {seed}:\n{failure}"
    return found


def test_no_seed_breaks_a_promise_in_memory(traces: list[str]) -> None:
    assert len(traces) == len(SEEDS)


def test_no_seed_breaks_a_promise_on_redis(redis_url: str) -> None:
    failure = search(SEEDS_ON_REDIS, opener(redis_url))

    assert failure is None, f"seed {failure.seed}:\n{failure}"


def test_everything_that_can_happen_does(traces: list[str]) -> None:
    everything = "\n".join(traces)

    assert not [event for event in EVENTS if event not in everything]


@pytest.mark.parametrize("hashes", ["1", "2"])
def test_a_seed_is_the_same_simulation_in_any_process(traces: list[str], hashes: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    command = [sys.executable, "-c", _DIGEST]
    there = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)

    assert there.stdout.strip() == hashlib.sha256("".join(traces[:20]).encode()).hexdigest()


def test_seeds_differ(traces: list[str]) -> None:
    assert len(set(traces)) == len(traces)
