"""Who is given which jobs."""

from __future__ import annotations

from datetime import timedelta

from taskforge.brokers.protocol import BATCH, BATCH_BYTES, Demand
from taskforge.brokers.stamp import Sender
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import MINUTE, OTHER, QUEUE, SECOND, Rig, ack, demand, new_job, requeue


class Claiming(Suite):
    def test_a_delivery_carries_what_a_run_needs(self, rig: Rig) -> None:
        rig.broker.enqueue([new_job("a", body=b"the body", priority=3)], rig.stamp())
        enqueued = rig.clock.now()
        rig.clock.advance(2)

        delivery = rig.claim_one()

        assert (delivery.queue, delivery.id, delivery.body, delivery.priority) == (QUEUE, "a", b"the body", 3)
        assert (delivery.attempts, delivery.crashes, delivery.enqueued_at) == (0, 0, enqueued)

    def test_a_claimed_job_is_running_under_a_lease(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.claim_one()

        record = rig.record("a")
        assert record.state is JobState.RUNNING
        assert record.started_at == rig.clock.now()
        assert record.lease_until == rig.clock.now() + MINUTE

    def test_equal_priorities_are_served_first_come_first_served(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3")
        rig.enqueue("4")
        rig.clock.advance(1)
        rig.enqueue("5", "6")

        assert rig.claimed_ids(2) == ["1", "2"]
        assert rig.claimed_ids(10) == ["3", "4", "5", "6"]

    def test_higher_priorities_go_first(self, rig: Rig) -> None:
        for priority in [0, -100, 100, 5, -5, 0]:
            rig.enqueue(f"{priority} early", priority=priority)
            rig.enqueue(f"{priority} late", priority=priority)

        order = [delivery.priority for delivery in rig.claim(100)]

        assert order == sorted(order, reverse=True)

    def test_a_late_job_of_higher_priority_overtakes(self, rig: Rig) -> None:
        rig.enqueue("patient", priority=1)
        rig.clock.advance(3600)
        rig.enqueue("urgent", priority=2)

        assert rig.claimed_ids() == ["urgent", "patient"]

    def test_a_job_is_given_to_one_worker_only(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3")

        mine, yours = rig.claim(2), rig.another().exchange(demand(2, QUEUE), (), Sender().stamp()).deliveries

        assert [delivery.id for delivery in mine + yours] == ["1", "2", "3"]
        assert rig.claim(1) == []

    def test_no_demand_claims_nothing(self, rig: Rig) -> None:
        rig.enqueue("a")

        for nothing in [Demand(), Demand((0,), ((QUEUE, (0,)),)), Demand((5,), ()), Demand((5,), ((QUEUE, ()),))]:
            assert rig.broker.exchange(nothing, (), rig.stamp()).deliveries == []

        assert rig.state("a") is JobState.READY

    def test_queues_are_served_in_the_order_of_the_demand(self, rig: Rig) -> None:
        rig.enqueue("m1", "m2", "m3", queue=QUEUE)
        rig.enqueue("p1", "p2", "p3", queue=OTHER, priority=100)

        first = rig.broker.exchange(demand(2, OTHER, QUEUE), (), rig.stamp()).deliveries
        then = rig.broker.exchange(demand(3, OTHER, QUEUE), (), rig.stamp()).deliveries

        assert [delivery.id for delivery in first] == ["p1", "p2"]
        assert [(delivery.queue, delivery.id) for delivery in then] == [(OTHER, "p3"), (QUEUE, "m1"), (QUEUE, "m2")]

    def test_a_claim_takes_a_place_in_every_pool_its_queue_may_need(self, rig: Rig) -> None:
        rig.enqueue("m1", "m2", "m3", queue=QUEUE)
        rig.enqueue("p1", "p2", "p3", queue=OTHER)
        both_then_first = Demand(free=(3, 1), queues=((QUEUE, (0, 1)), (OTHER, (0,))))

        claimed = rig.broker.exchange(both_then_first, (), rig.stamp()).deliveries

        assert [delivery.id for delivery in claimed] == ["m1", "p1", "p2"]

    def test_a_queue_whose_pool_is_full_is_passed_by(self, rig: Rig) -> None:
        rig.enqueue("m1", queue=QUEUE)
        rig.enqueue("p1", queue=OTHER)

        claimed = rig.broker.exchange(Demand((0, 2), ((QUEUE, (0,)), (OTHER, (1,)))), (), rig.stamp()).deliveries

        assert [delivery.id for delivery in claimed] == ["p1"]

    def test_a_claim_brings_no_more_than_a_batch_and_says_so(self, rig: Rig) -> None:
        ids = [f"{n:03}" for n in range(BATCH + 10)]
        rig.enqueue(*ids[:BATCH])
        rig.enqueue(*ids[BATCH:])

        first, then = rig.exchange(1000), rig.exchange(1000)

        assert [delivery.id for delivery in first.deliveries + then.deliveries] == ids
        assert (len(first.deliveries), first.more, then.more) == (BATCH, True, False)

    def test_a_claim_brings_no_more_bytes_than_a_batch_and_leaves_the_rest_ready(self, rig: Rig) -> None:
        body = bytes(BATCH_BYTES // 5)
        for n in range(12):
            rig.broker.enqueue([new_job(f"{n:02}", body=body)], rig.stamp())

        first = rig.exchange(100)

        assert first.more
        assert 0 < sum(len(delivery.body) for delivery in first.deliveries) <= BATCH_BYTES
        assert rig.inspector.counts(QUEUE).ready == 12 - len(first.deliveries)
        rest = [id for _ in range(12) for id in rig.claimed_ids()]
        assert [delivery.id for delivery in first.deliveries] + rest == [f"{n:02}" for n in range(12)]

    def test_one_exchange_settles_and_claims_what_it_made_ready(self, rig: Rig) -> None:
        rig.enqueue("a", "b")
        a, b = rig.claim(2)

        answer = rig.exchange(5, requeue(a, 0), ack(b, then=[new_job("c")]))

        assert {delivery.id for delivery in answer.deliveries} == {"a", "c"}

    def test_nothing_waits_for_time_in_an_empty_queue(self, rig: Rig) -> None:
        assert rig.exchange(1).next_due is None

    def test_ready_jobs_wait_for_no_time(self, rig: Rig) -> None:
        rig.enqueue("a")

        assert rig.exchange(0).next_due is None

    def test_a_worker_is_told_when_the_next_job_falls_due(self, rig: Rig) -> None:
        rig.enqueue("later", delay=30)
        rig.enqueue("sooner", delay=20)
        rig.clock.advance(5)

        assert rig.exchange(1).next_due == timedelta(seconds=15)

    def test_a_worker_is_told_when_the_next_lease_runs_out(self, rig: Rig) -> None:
        rig.enqueue("running")
        rig.claim_one()
        rig.enqueue("delayed", delay=600)
        rig.clock.advance(5)

        assert rig.exchange(1).next_due == 55 * SECOND

    def test_the_next_due_is_the_soonest_of_all_queues_asked(self, rig: Rig) -> None:
        rig.enqueue("m", queue=QUEUE, delay=30)
        rig.enqueue("p", queue=OTHER, delay=10)

        assert rig.broker.exchange(demand(1, QUEUE, OTHER), (), rig.stamp()).next_due == 10 * SECOND
