"""How much of its past a queue keeps."""

from __future__ import annotations

import pytest

from taskforge.brokers.protocol import SENDER_AGE
from taskforge.brokers.stamp import Sender
from taskforge.job import JobState
from taskforge.settlement import Ack
from taskforge.testing.conformance.base import SMALL, Suite
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
    cancel,
    new_job,
    requeue,
)

ENDED = [JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED]


class Keeping(Suite):
    @pytest.mark.parametrize("state", ENDED)
    def test_what_has_aged_out_is_not_seen_even_before_it_is_swept(self, rig: Rig, state: JobState) -> None:
        rig.broker.announce([QUEUE])
        rig.bring("a", state)
        rig.clock.advance(3599)
        assert rig.state("a") is state

        rig.clock.advance(2)

        assert rig.inspector.get(QUEUE, "a") is None
        assert rig.inspector.list(QUEUE, state) == []
        assert rig.inspector.find("a") == []
        assert rig.inspector.counts(QUEUE) == rig.inspector.counts("a queue never used")

    def test_a_result_is_kept_for_its_own_time(self, rig: Rig) -> None:
        rig.enqueue("with", "without")
        with_result, without = rig.claim(2)

        rig.settle(
            Ack(with_result, keep=MINUTE, took=SECOND, result=b"r", keep_result=HOUR),
            Ack(without, keep=MINUTE, took=SECOND, result=None, keep_result=HOUR),
        )

        assert rig.record("with").kept_until == rig.clock.now() + HOUR
        assert rig.record("without").kept_until == rig.clock.now() + MINUTE
        rig.clock.advance(61)
        rig.touch()
        assert (rig.state("with"), rig.state("without")) == (JobState.SUCCEEDED, None)

    def test_a_job_kept_for_no_time_is_gone_when_it_ends(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        a, b, c = rig.claim(3)

        assert rig.settle(ack(a, keep=NO_TIME), bury(b, keep=NO_TIME), cancel(c, keep=NO_TIME)) == frozenset()

        assert [rig.state(id) for id in "abc"] == [None, None, None]

    def test_succeeded_jobs_without_result_are_bounded_by_count(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(9)])

        for n, delivery in enumerate(rig.claim(9)):
            rig.settle(ack(delivery, keep=HOUR + n * SECOND))
        rig.touch()

        assert rig.listed(JobState.SUCCEEDED) == ["8", "7", "6", "5", "4"]
        assert rig.inspector.counts(QUEUE).succeeded == SMALL.finished

    def test_cancelled_jobs_are_bounded_by_count_apart_from_succeeded_ones(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(14)])
        deliveries = rig.claim(14)

        rig.settle(*[ack(delivery) for delivery in deliveries[:5]])
        for n, delivery in enumerate(deliveries[5:]):
            rig.settle(cancel(delivery, keep=HOUR + n * SECOND))
        rig.touch()

        counts = rig.inspector.counts(QUEUE)
        assert (counts.succeeded, counts.cancelled) == (5, 5)
        assert rig.state("5") is None
        assert rig.state("13") is JobState.CANCELLED

    def test_dead_jobs_are_bounded_by_count(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(9)])

        for n, delivery in enumerate(rig.claim(9)):
            rig.settle(bury(delivery, keep=HOUR + n * SECOND))
        rig.touch()

        assert set(rig.listed(JobState.DEAD)) == {"4", "5", "6", "7", "8"}

    def test_results_are_bounded_by_count_apart_from_jobs_without(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(12)])
        deliveries = rig.claim(12)

        rig.settle(*[ack(delivery) for delivery in deliveries[:3]])
        for n, delivery in enumerate(deliveries[3:]):
            rig.settle(ack(delivery, result=b"r", keep=HOUR + n * SECOND))
        rig.touch()

        assert set(rig.listed(JobState.SUCCEEDED)) == {"0", "1", "2", "7", "8", "9", "10", "11"}

    def test_results_are_bounded_by_their_bytes(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue("1", "2", "3", "4")

        for n, delivery in enumerate(rig.claim(4)):
            rig.settle(ack(delivery, result=bytes(4_000), keep=HOUR + n * SECOND))
        rig.touch()

        assert set(rig.listed(JobState.SUCCEEDED)) == {"3", "4"}

    def test_the_soonest_to_expire_goes_first_whatever_ended_first(self, small_rig: Rig) -> None:
        rig = small_rig
        keeps = [HOUR, MINUTE, 2 * HOUR, 2 * MINUTE, 3 * HOUR, 4 * HOUR, 5 * HOUR]
        rig.enqueue(*[str(n) for n in range(7)])

        for keep, delivery in zip(keeps, rig.claim(7), strict=True):
            rig.settle(ack(delivery, keep=keep))
        rig.touch()

        assert set(rig.listed(JobState.SUCCEEDED)) == {"0", "2", "4", "5", "6"}

    def test_jobs_cancelled_from_outside_are_bounded_too(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(9)])

        rig.inspector.cancel(QUEUE, [str(n) for n in range(9)], HOUR, rig.stamp())
        rig.touch()

        assert rig.inspector.counts(QUEUE).cancelled == SMALL.finished

    def test_jobs_that_expired_are_bounded_too(self, small_rig: Rig) -> None:
        rig = small_rig
        rig.enqueue(*[str(n) for n in range(9)], expires=5 * SECOND)

        rig.clock.advance(6)
        rig.touch()
        rig.touch()

        assert rig.inspector.counts(QUEUE).cancelled == SMALL.finished

    def test_when_everything_has_ended_and_aged_out_nothing_stays(self, rig: Rig) -> None:
        rig.broker.announce([QUEUE, OTHER])
        self._live_through_everything(rig)

        rig.sender = Sender()
        rig.clock.advance(3 * 24 * 3600)
        for _ in range(5):
            rig.clock.advance(SENDER_AGE)
            rig.touch(QUEUE)
            rig.touch(OTHER)

        assert self.leftovers(rig.broker) == []

    def _live_through_everything(self, rig: Rig) -> None:
        """At least one job through every state and every way to end."""
        rig.enqueue("acked", "result", "buried", "ended", "failing", "requeued", "crashing", "redriven", "marked")
        acked, result, buried, ended, failing, requeued, _, redriven, marked = rig.claim(9)
        rig.broker.report(acked, b"1 of 2")
        rig.broker.report(result, b"1 of 2")
        rig.settle(
            ack(acked, then=[new_job("child", QUEUE), new_job("child", OTHER)]),
            ack(result, result=b"r"),
            bury(buried, error=b"why"),
            cancel(ended),
            bury(redriven, error=b"why"),
            requeue(failing, 5, error=b"why"),
            requeue(requeued, 0),
        )
        rig.inspector.cancel(QUEUE, ["marked"], HOUR, rig.stamp())
        rig.settle(requeue(marked, 5))
        rig.inspector.redrive(QUEUE, ["redriven"], rig.stamp(), body=b"mended")
        rig.enqueue("expired", "cancelled", "purged", "promoted", delay=600, expires=MINUTE)
        rig.inspector.cancel(QUEUE, ["cancelled"], HOUR, rig.stamp())
        rig.inspector.promote(QUEUE, ["promoted"], rig.stamp())
        rig.inspector.reprioritise(QUEUE, ["promoted", "crashing"], 5, rig.stamp())
        waiter = rig.broker.waiter()
        waiter.watch(QUEUE, "purged")
        waiter.close()
        rig.lapse()
        for queue in (QUEUE, OTHER):
            while deliveries := rig.claim(10, queue):
                rig.settle(*[ack(delivery) for delivery in deliveries])
