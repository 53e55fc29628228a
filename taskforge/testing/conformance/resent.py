"""What a claim that is sent again brings: the jobs that it still holds, and no others."""

from __future__ import annotations

from taskforge.brokers.stamp import Sender
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    MINUTE,
    OTHER,
    QUEUE,
    Rig,
    ack,
    demand,
    new_job,
)


class ResentClaims(Suite):
    def test_a_claim_sent_again_keeps_its_first_lease(self, rig: Rig) -> None:
        rig.enqueue("a")
        stamp, claimed_at = rig.stamp(), rig.clock.now()
        rig.broker.exchange(demand(1, QUEUE), (), stamp)
        rig.clock.advance(5)

        rig.broker.exchange(demand(1, QUEUE), (), stamp)

        assert rig.record("a").lease_until == claimed_at + MINUTE

    def test_a_claim_sent_again_names_the_lost(self, rig: Rig) -> None:
        rig.enqueue("kept", "settled", "taken")
        stamp = rig.stamp()
        kept, settled, _ = rig.broker.exchange(demand(3, QUEUE), (), stamp).deliveries
        other = rig.another()
        other.exchange(demand(0, QUEUE), [ack(settled)], Sender().stamp())
        for _ in range(5):
            _let_time_pass(rig, 14)
            rig.broker.extend([kept])
        _claim_elsewhere(rig, "taken")

        again = rig.broker.exchange(demand(3, QUEUE), (), stamp)

        assert [(delivery.id, delivery.number) for delivery in again.deliveries] == [("kept", kept.number)]
        assert set(again.lost) == {(QUEUE, "settled"), (QUEUE, "taken")}

    def test_a_claim_sent_again_claims_nothing_more(self, rig: Rig) -> None:
        rig.enqueue("a")
        stamp = rig.stamp()
        rig.broker.exchange(demand(5, QUEUE), (), stamp)
        rig.another().enqueue([new_job("b")], Sender().stamp())

        again = rig.broker.exchange(demand(5, QUEUE), (), stamp)

        assert [delivery.id for delivery in again.deliveries] == ["a"]
        assert rig.state("b") is JobState.READY

    def test_a_claim_over_several_queues_is_answered_again_as_a_whole(self, rig: Rig) -> None:
        rig.enqueue("m1", "m2", queue=QUEUE)
        rig.enqueue("p1", "p2", queue=OTHER)
        stamp = rig.stamp()
        first = rig.broker.exchange(demand(3, QUEUE, OTHER), (), stamp)

        again = rig.broker.exchange(demand(3, QUEUE, OTHER), (), stamp)

        assert [delivery.id for delivery in first.deliveries] == ["m1", "m2", "p1"]
        assert (again.deliveries, again.lost) == (first.deliveries, ())
        assert rig.state("p2", OTHER) is JobState.READY


def _let_time_pass(rig: Rig, seconds: float) -> None:
    """Time passes without a call of the rig's own sender, whose last answer is to be asked for again."""
    mine, rig.sender = rig.sender, Sender()
    rig.pass_time(seconds)
    rig.sender = mine


def _claim_elsewhere(rig: Rig, id: str) -> None:
    (delivery,) = rig.another().exchange(demand(1, QUEUE), (), Sender().stamp()).deliveries
    assert delivery.id == id
