"""Claiming beyond the free slots."""

from __future__ import annotations

from taskforge.brokers.protocol import Demand, Exchange
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import OTHER, QUEUE, Rig, ack, hand_back


def reach(rig: Rig, free: int, ahead: int, *queues: str) -> Exchange:
    """Claim into so many free slots, and so many beyond them from QUEUE."""
    wanted = tuple((queue, (0,)) for queue in queues or (QUEUE,))
    return rig.broker.exchange(Demand((free,), wanted, {QUEUE: ahead}), [], rig.stamp())


def ids(exchange: Exchange) -> list[str]:
    return [delivery.id for delivery in exchange.deliveries]


class ClaimingAhead(Suite):
    def test_as_many_are_claimed_as_are_free_and_earned(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c", "d")

        assert ids(reach(rig, 1, 2)) == ["a", "b", "c"]

    def test_what_is_held_beyond_the_slots_already_counts_against_what_is_earned(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c", "d")

        assert ids(reach(rig, -2, 2)) == []
        assert ids(reach(rig, -2, 3)) == ["a"]

    def test_a_queue_that_has_earned_nothing_gets_free_slots_only(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        rig.enqueue("x", "y", queue=OTHER)

        assert ids(reach(rig, 2, 1, OTHER, QUEUE)) == ["x", "y", "a"]
        assert ids(reach(rig, -1, 5, OTHER)) == []

    def test_what_one_queue_claims_ahead_leaves_no_free_slot_to_the_next(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        rig.enqueue("x", queue=OTHER)

        assert ids(reach(rig, 2, 1, QUEUE, OTHER)) == ["a", "b", "c"]

    def test_a_queue_with_jobs_and_no_room_is_told_of(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        rig.enqueue("x", queue=OTHER)

        assert reach(rig, 2, 1, QUEUE, OTHER).starved == {OTHER}
        assert reach(rig, -1, 0, QUEUE, OTHER).starved == {OTHER}
        assert reach(rig, -2, 2, OTHER).starved == {OTHER}
        rig.enqueue("d")
        assert reach(rig, -3, 2).starved == {QUEUE}
        assert reach(rig, 2, 0, QUEUE, OTHER).starved == frozenset()
        assert reach(rig, 0, 0, QUEUE, OTHER).starved == frozenset()

    def test_a_job_claimed_ahead_whose_lease_runs_out_counts_no_crash(self, rig: Rig) -> None:
        rig.enqueue("in a slot", "ahead")
        reach(rig, 1, 1)

        rig.lapse()

        assert [rig.record(id).crashes for id in ("in a slot", "ahead")] == [1, 0]
        assert rig.listed(JobState.READY) == ["in a slot", "ahead"]

    def test_an_extended_job_has_begun_however_it_was_claimed(self, rig: Rig) -> None:
        rig.enqueue("ahead")
        [delivery] = reach(rig, 0, 1).deliveries

        rig.broker.extend([delivery])
        rig.lapse()

        assert rig.record("ahead").crashes == 1

    def test_a_job_that_was_lost_ahead_is_claimed_into_a_free_slot_only(self, rig: Rig) -> None:
        rig.enqueue("a", "b")
        reach(rig, 0, 1)
        rig.lapse()

        beyond = ids(reach(rig, 0, 2))
        into = ids(reach(rig, 1, 0))

        assert (beyond, into) == ([], ["a"])

    def test_the_second_loss_of_it_counts_a_crash(self, rig: Rig) -> None:
        rig.enqueue("a")
        reach(rig, 0, 1)
        rig.lapse()
        reach(rig, 1, 0)

        rig.lapse()

        assert rig.record("a").crashes == 1

    def test_a_claim_ahead_ends_before_a_job_that_has_crashed(self, rig: Rig) -> None:
        rig.enqueue("a", "crashed", "c")
        rig.settle(hand_back(reach(rig, 1, 0).deliveries[0]))
        [first, crashed] = reach(rig, 2, 0).deliveries
        rig.settle(hand_back(first))
        rig.lapse()
        assert rig.record(crashed.id).crashes == 1

        assert ids(reach(rig, 1, 5)) == ["a"]
        assert ids(reach(rig, 1, 5)) == ["crashed", "c"]

    def test_a_job_claimed_ahead_is_handed_back_to_its_place_without_blame(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        [_, ahead] = reach(rig, 1, 1).deliveries

        rig.settle(hand_back(ahead))

        assert rig.listed(JobState.READY) == ["b", "c"]
        assert (rig.record("b").attempts, rig.record("b").crashes) == (0, 0)
        assert ids(reach(rig, 0, 2)) == ["b", "c"]

    def test_a_job_claimed_ahead_is_settled_like_any_other(self, rig: Rig) -> None:
        rig.enqueue("a")
        [delivery] = reach(rig, 0, 1).deliveries

        assert rig.settle(ack(delivery)) == frozenset()
        assert rig.state("a") is JobState.SUCCEEDED
