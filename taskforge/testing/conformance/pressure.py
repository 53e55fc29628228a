"""How much waits in a queue, and for how long."""

from __future__ import annotations

from datetime import timedelta

from taskforge.brokers.inspecting import Pressure
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    HOUR,
    MINUTE,
    NO_TIME,
    OTHER,
    QUEUE,
    SECOND,
    Rig,
    ack,
    bury,
    hand_back,
    new_job,
    requeue,
)


class Pressing(Suite):
    def test_an_unused_queue_is_under_no_pressure(self, rig: Rig) -> None:
        rig.enqueue("elsewhere", queue=OTHER)

        assert rig.inspector.pressure("unused", HOUR) == Pressure(0, None, 0, 0)

    def test_it_counts_what_is_ready_soon_due_and_running(self, rig: Rig) -> None:
        rig.enqueue(*[str(n) for n in range(10)])
        rig.settle(*[ack(delivery) for delivery in rig.claim(3)])
        rig.claim(2)
        rig.enqueue("soon", delay=60)
        rig.enqueue("later", delay=61)

        assert rig.inspector.pressure(QUEUE, MINUTE) == Pressure(5, NO_TIME, 1, 2)
        assert rig.inspector.pressure(QUEUE, HOUR).soon == 2
        assert rig.inspector.pressure(QUEUE, NO_TIME).soon == 0

    def test_the_oldest_is_as_old_as_its_wait(self, rig: Rig) -> None:
        rig.enqueue("old")
        rig.clock.advance(8)
        rig.enqueue("young")
        rig.clock.advance(2)

        assert rig.inspector.pressure(QUEUE, NO_TIME).oldest == 10 * SECOND
        rig.claim_one()
        assert rig.inspector.pressure(QUEUE, NO_TIME).oldest == 2 * SECOND
        rig.claim_one()
        assert rig.inspector.pressure(QUEUE, NO_TIME).oldest is None

    def test_a_job_that_was_delayed_waits_since_it_fell_due(self, rig: Rig) -> None:
        rig.enqueue("a", delay=50)
        rig.pass_time(53)

        assert _near(rig, 3)
        rig.pass_time(7)
        assert _near(rig, 10)

    def test_a_job_that_fell_due_is_ready_though_no_worker_has_looked(self, rig: Rig) -> None:
        rig.enqueue("a", "b", delay=50)
        rig.enqueue("later", delay=600)

        rig.clock.advance(3 * MINUTE)

        pressure = rig.inspector.pressure(QUEUE, HOUR)
        assert (pressure.ready, pressure.soon) == (2, 1)
        assert _near(rig, 130)
        rig.claim(1)
        assert _near(rig, 130)

    def test_a_job_that_failed_waits_since_its_retry_is_due(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.clock.advance(5)
        rig.settle(requeue(rig.claim_one(), 20))
        assert rig.inspector.pressure(QUEUE, MINUTE) == Pressure(0, None, 1, 0)

        rig.pass_time(24)

        assert _near(rig, 4)

    def test_a_job_that_is_retried_at_once_waits_since_then(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.pass_time(40)
        rig.settle(requeue(delivery, 0))

        rig.pass_time(4)

        assert _near(rig, 4)

    def test_a_job_that_was_handed_back_counts_from_when_it_took_its_place(self, rig: Rig) -> None:
        rig.enqueue("a", delay=5)
        rig.pass_time(5)
        delivery = rig.claim_one()
        rig.pass_time(20)

        rig.settle(hand_back(delivery))

        assert _near(rig, 20)

    def test_the_longest_wait_of_any_priority_counts(self, rig: Rig) -> None:
        rig.enqueue("low", priority=-100)
        rig.clock.advance(3)
        rig.enqueue("high", priority=100)
        rig.enqueue("middle", priority=0)
        rig.clock.advance(4)

        assert rig.inspector.pressure(QUEUE, NO_TIME) == Pressure(3, 7 * SECOND, 0, 0)
        rig.claim(2)
        assert rig.inspector.pressure(QUEUE, NO_TIME) == Pressure(1, 7 * SECOND, 0, 2)

    def test_a_job_of_another_priority_waits_since_it_took_its_new_place(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.pass_time(30)
        rig.inspector.reprioritise(QUEUE, ["a"], 5, rig.stamp())

        rig.pass_time(4)

        assert _near(rig, 4)

    def test_a_job_that_was_promoted_waits_since_then(self, rig: Rig) -> None:
        rig.enqueue("a", delay=600)
        rig.pass_time(30)
        rig.inspector.promote(QUEUE, ["a"], rig.stamp())

        rig.pass_time(4)

        assert _near(rig, 4)

    def test_a_redriven_job_waits_since_then(self, rig: Rig) -> None:
        rig.enqueue("a", delay=5)
        rig.pass_time(5)
        rig.settle(bury(rig.claim_one()))
        rig.pass_time(30)
        rig.inspector.redrive(QUEUE, ["a"], rig.stamp())

        rig.pass_time(4)

        assert _near(rig, 4)

    def test_a_long_body_waits_no_longer_than_a_short_one(self, rig: Rig) -> None:
        rig.enqueue("delayed", delay=5)
        rig.pass_time(20)
        rig.claim_one()
        rig.broker.enqueue([new_job("long", body=bytes(10_000))], rig.stamp())

        rig.clock.advance(4)

        assert rig.inspector.pressure(QUEUE, NO_TIME).oldest == 4 * SECOND

    def test_jobs_that_fell_due_one_after_the_other_each_wait_since_their_own_time(self, rig: Rig) -> None:
        for n in range(40):
            rig.enqueue(f"{n:02}", delay=10 + n)
        rig.pass_time(50)

        waits = []
        for _ in range(40):
            waits.append(rig.inspector.pressure(QUEUE, NO_TIME).oldest)
            rig.claim_one()

        assert all(wait and abs(wait - (40 - n) * SECOND) <= SECOND for n, wait in enumerate(waits)), waits

    def test_reading_it_changes_nothing(self, rig: Rig) -> None:
        rig.enqueue("a", delay=5)
        rig.clock.advance(6)
        before = rig.look()

        rig.inspector.pressure(QUEUE, HOUR)

        assert rig.look() == before


def _near(rig: Rig, seconds: float) -> bool:
    """Whether the oldest has waited so long, to about a second."""
    oldest = rig.inspector.pressure(QUEUE, NO_TIME).oldest
    return oldest is not None and abs(oldest - timedelta(seconds=seconds)) <= SECOND
