"""What a parent has the broker asked: jobs given back, pressure, and the number of children that follows from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from taskforge import Taskforge
from taskforge.brokers.inspecting import Pressure
from taskforge.brokers.protocol import Demand, Holding
from taskforge.brokers.stamp import Sender
from taskforge.scaling import CALM, ROUND, Goal
from taskforge.testing.faults import FlakyBroker
from taskforge.worker.parent.child import Child
from taskforge.worker.parent.errands import Death, Errands
from taskforge.worker.parent.orphans import sweep
from taskforge.worker.parent.scaler import Scaler
from taskforge.worker.shared import Figures
from tests.servers import wait_until

LIMIT = 25.0


@pytest.fixture
def app() -> Iterator[Taskforge]:
    with Taskforge("errands", broker="memory://", lease=600) as app:

        @app.task(name="work")
        def work() -> None: ...

        yield app


def claimed(app: Taskforge, count: int) -> tuple[str, list[Holding]]:
    """A sender that has claimed so many new jobs, and what it holds; the first of them has begun."""
    app.by_name("work").enqueue_many([()] * count)
    sender = Sender()
    demand = Demand((count,), (("default", (0,)),))
    deliveries = app.broker.exchange(demand, [], sender.stamp()).deliveries
    return sender.id, [Holding(d.queue, d.id, d.number, started=n == 0) for n, d in enumerate(deliveries)]


def death(name: str, held: list[Holding]) -> Death:
    return Death(name, 4711, 2.5, "was ended by SIGSEGV", held)


def test_what_a_dead_child_held_goes_back_and_who_had_begun_has_a_crash_and_a_note(app: Taskforge) -> None:
    name, held = claimed(app, 3)
    errands = Errands(app, ["default"], lambda: None)

    errands.release(death(name, held))
    errands.close()

    assert app.inspector.counts("default").ready == 3
    begun, *others = [app.job(holding.id).info() for holding in held]
    assert [each.crashes for each in (begun, *others)] == [1, 0, 0]
    assert begun.errors[0].type == "crashed"
    assert "its worker process 4711 on " in begun.errors[0].message
    assert begun.errors[0].message.endswith("was ended by SIGSEGV after 2.5 s")


def test_a_broker_that_is_away_is_waited_for(app: Taskforge) -> None:
    name, held = claimed(app, 1)
    flaky = FlakyBroker(app.broker)
    flaky.lose_request("release")
    flaky.lose_reply("release")
    app.client.broker = flaky
    errands = Errands(app, ["default"], lambda: None)

    errands.release(death(name, held))
    wait_until(lambda: app.inspector.counts("default").ready == 1, LIMIT)
    errands.close()

    assert app.job(held[0].id).info().crashes == 1


def test_a_parent_that_ends_does_not_wait_for_a_broker_for_ever(
    app: Taskforge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge.worker.parent.errands.LAST_ERRANDS", 0.05)
    name, held = claimed(app, 1)
    flaky = FlakyBroker(app.broker)
    flaky.lose_request("release", 1_000_000)
    app.client.broker = flaky
    errands = Errands(app, ["default"], lambda: None)

    errands.release(death(name, held))
    errands.close()

    assert app.inspector.counts("default").running == 1, "its lease gives it back"


# Scaling


class Asked:
    """Errands in whose place the test says what presses."""

    def __init__(self) -> None:
        self.pressure: Pressure | None = None
        self.times = 0

    def ask_pressure(self, goal: Goal) -> None:
        self.times += 1


def child(pid: int, figures: Figures) -> Child:
    return cast("Child", SimpleNamespace(pid=pid, serves=True, shared=SimpleNamespace(figures=figures)))


def test_it_asks_once_a_round_and_changes_nothing_before_the_answer() -> None:
    asked = Asked()
    scaler = Scaler(Goal(0, 4), 0, 8.0, cast("Errands", asked))

    wanted = [scaler.round([], now) for now in (0.0, 1.0, ROUND - 0.1, ROUND)]

    assert (wanted, asked.times) == ([0, 0, 0, 0], 2)


def test_a_job_that_waits_has_it_want_one_and_none_that_does_has_it_want_the_least_again() -> None:
    asked = Asked()
    scaler = Scaler(Goal(0, 4), 0, 8.0, cast("Errands", asked))

    asked.pressure = Pressure(ready=1)
    up = scaler.round([], 0.0)
    idle = []
    for round_ in range(1, CALM + 2):
        asked.pressure = Pressure()
        idle.append(scaler.round([child(1, Figures(done=1, seconds=0.1))], round_ * ROUND))

    assert (up, idle[0], idle[-1]) == (1, 1, 0)


def test_throughput_is_what_ended_since_the_last_round_whoever_has_come_or_gone() -> None:
    scaler = Scaler(Goal(0, 4), 2, 8.0, cast("Errands", Asked()))

    first = scaler._throughput([child(1, Figures(done=50, seconds=5.0))], 0.0)
    second = scaler._throughput([child(1, Figures(done=60, seconds=7.0)), child(2, Figures(done=10))], 10.0)
    third = scaler._throughput([child(2, Figures(done=10))], 20.0)

    assert (first, second, third) == (50 / ROUND, 2.0, 0.0)


# Orphans


ADOPTER = """
import os, subprocess, sys, time
from taskforge.worker.parent.orphans import adopt, reap
assert adopt()
said = subprocess.run(["sh", "-c", "sleep 0.05 & echo $!"], stdout=subprocess.PIPE, text=True).stdout
orphan = int(said)
ours = subprocess.Popen(["sh", "-c", "exit 7"])
while os.path.exists(f"/proc/{orphan}"):
    reap([ours.pid])
    ours.poll()
    time.sleep(0.01)
assert ours.wait() == 7, "left to who has started it"
"""


def test_orphans_of_our_children_become_ours_and_are_reaped() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTER], capture_output=True, text=True, timeout=LIMIT)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_session_is_swept_empty_and_others_are_let_be() -> None:
    with (
        subprocess.Popen(["sh", "-c", "sleep 600 & exec sleep 600"], start_new_session=True) as leader,
        subprocess.Popen(["sleep", "600"], start_new_session=True) as other,
    ):
        leader.kill()
        leader.wait()

        wait_until(lambda: sweep(leader.pid), LIMIT)

        assert other.poll() is None
        os.kill(other.pid, 9)


def test_a_dead_child_is_struck_off_the_register(app: Taskforge) -> None:
    name, held = claimed(app, 1)
    for each in (name, "another"):
        app.broker.register.beat(each, b"card", timedelta(minutes=1), [])
    errands = Errands(app, ["default"], lambda: None)

    errands.release(death(name, held))
    errands.close()

    assert [living for living, _ in app.broker.register.cards()] == ["another"]
