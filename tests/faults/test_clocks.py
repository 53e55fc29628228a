"""Clocks that are stepped while workers run: the worker's own, and the one that the broker goes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskforge import Taskforge
from tests.faults import program
from tests.faults.clocks import BrokersClock, step
from tests.faults.crew import PATIENCE, Crew

ONE_ENGINE = True
HOUR = 3600.0
#: Seconds.
LEASE = 1.5


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that tells by how much a clock is off."""
    file = tmp_path / "clock"
    step(file, 0)
    return file


def test_a_worker_whose_own_clock_is_stepped_goes_on_as_if_nothing_had_been(
    crew: Crew, app: Taskforge, clock: Path
) -> None:
    app.configure(lease=LEASE)
    crew.start("--threads", "8", env={program.WORKERS_CLOCK: str(clock)}, lease=LEASE)
    held = program.hold.enqueue_many([(LEASE * 1.3,)] * 2)
    crew.all("began", 2)

    more = []
    for seconds in (HOUR, -HOUR):
        step(clock, seconds)
        more += [program.retried.enqueue(1), program.delayed.using(delay=0.1).enqueue(1), program.coroutine.enqueue(1)]
        assert [job.result(PATIENCE) for job in more[-3:]] == [1, None, None]
    results = [job.result(PATIENCE) for job in held]

    assert results == ["first"] * len(held)
    assert len(crew.all("began")) == len(held) + len(more) + 2  # two were to fail once
    assert not any(job.info().crashes for job in (*held, *more))
    assert crew.ledger.count("refused") == 0


def test_no_lease_is_lost_when_the_brokers_clock_is_stepped_forth_and_back(
    crew: Crew, app: Taskforge, clock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.configure(lease=LEASE)
    monkeypatch.setattr(app, "clock", BrokersClock(clock))
    app.close()  # the broker is opened anew, with that clock
    crew.start("--threads", "8", env={program.BROKERS_CLOCK: str(clock)}, lease=LEASE)
    held = program.hold.enqueue_many([(LEASE * 1.6,)] * 4)
    crew.all("began", 4)

    for seconds in (2 * HOUR, 0.0, -2 * HOUR):
        step(clock, seconds)
        more = program.slow.enqueue_many([(0,), (1,)])
        assert [job.result(PATIENCE) for job in more] == [0, 1]
    results = [job.result(PATIENCE) for job in held]

    assert results == ["first"] * len(held)
    assert len(crew.all("began")) == len(held) + 6
    assert not any(job.info().crashes for job in held)
    assert crew.ledger.count("refused") == 0
