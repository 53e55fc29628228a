"""What the passing of time does to jobs: due times, leases, expiry, and clocks that jump."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskforge.job import Cancellation, JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import HOUR, MINUTE, OTHER, QUEUE, SECOND, Rig, ack, hand_back, new_job, requeue


class Passing(Suite):
    # Due times

    def test_a_delayed_job_runs_when_due_and_not_before(self, rig: Rig) -> None:
        rig.enqueue("a", delay=8)

        rig.clock.advance(7.999)
        assert rig.claimed_ids() == []
        rig.clock.advance(0.001)
        assert rig.claimed_ids() == ["a"]

    def test_a_short_delay_does_not_wait_behind_a_long_one(self, rig: Rig) -> None:
        rig.enqueue("long", delay=3600)
        rig.enqueue("short", delay=5)

        rig.clock.advance(5)

        assert rig.claimed_ids() == ["short"]

    def test_due_jobs_become_ready_in_the_order_of_their_due_times(self, rig: Rig) -> None:
        rig.enqueue("c", delay=3)
        rig.enqueue("a", delay=1)
        rig.enqueue("b", delay=2)
        rig.enqueue("ready")
        assert rig.listed(JobState.DELAYED) == ["a", "b", "c"]

        rig.clock.advance(5)

        assert rig.claimed_ids() == ["ready", "a", "b", "c"]

    def test_a_due_job_of_higher_priority_goes_before_ready_ones(self, rig: Rig) -> None:
        rig.enqueue("ready")
        rig.enqueue("due", delay=1, priority=1)

        rig.clock.advance(1)

        assert rig.claimed_ids() == ["due", "ready"]

    def test_a_crowd_that_falls_due_at_once_is_served_in_order(self, rig: Rig) -> None:
        moment = rig.clock.now() + 5 * SECOND
        ids = [f"{n:04}" for n in range(600)]
        for start in range(0, 600, 200):
            jobs = [new_job(id, at=moment - timedelta(milliseconds=600 - int(id))) for id in ids[start : start + 200]]
            rig.broker.enqueue(jobs[::-1], rig.stamp())
        rig.clock.advance(5)

        claimed: list[str] = []
        for _ in range(20):
            answer = rig.exchange(100)
            claimed += [delivery.id for delivery in answer.deliveries]

        assert claimed == ids

    # Leases

    def test_a_silent_workers_job_goes_to_another(self, rig: Rig) -> None:
        rig.enqueue("a")
        silent = rig.claim_one()

        rig.lapse()

        again = rig.claim_one()
        assert (again.id, again.attempts, again.crashes) == ("a", 0, 1)
        assert again.number > silent.number
        assert again.body == silent.body

    def test_a_lease_is_kept_until_it_runs_out(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.claim_one()

        rig.pass_time(59)
        assert rig.state("a") is JobState.RUNNING
        rig.pass_time(2)
        assert rig.state("a") is JobState.READY

    def test_a_reclaimed_job_goes_back_to_its_place(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3", "4")
        rig.enqueue("low", priority=-1)
        rig.claim(2)

        rig.lapse()

        assert rig.listed(JobState.READY) == ["1", "2", "3", "4", "low"]
        assert rig.claimed_ids() == ["1", "2", "3", "4", "low"]

    def test_an_expired_lease_is_reclaimed_by_the_very_exchange_that_claims_it(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.claim_one()
        rig.pass_time(58)

        rig.clock.advance(3)

        assert rig.claimed_ids() == ["a"]

    def test_crashes_add_up_apart_from_attempts(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, counts=True))

        for crashes in range(3):
            delivery = rig.claim_one()
            assert (delivery.attempts, delivery.crashes) == (1, crashes)
            rig.lapse()

        assert (rig.record("a").attempts, rig.record("a").crashes) == (1, 3)

    def test_a_job_that_is_extended_is_not_reclaimed(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()

        for _ in range(12):
            rig.pass_time(15)
            assert rig.broker.extend([delivery]).lost == []

        assert rig.settle(ack(delivery)) == frozenset()

    def test_many_leases_that_run_out_at_once_are_all_reclaimed(self, rig: Rig) -> None:
        ids = [f"{n:03}" for n in range(500)]
        for start in range(0, 500, 250):
            rig.enqueue(*ids[start : start + 250])
            rig.claim(250)

        rig.lapse()
        for _ in range(10):
            rig.touch()

        assert rig.listed(JobState.READY) == ids

    # The mark of a requested cancellation

    def test_a_marked_job_ends_as_cancelled_when_its_lease_runs_out(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.claim_one()
        assert rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp()) == [Cancellation.REQUESTED]

        rig.lapse()

        record = rig.record("a")
        assert (record.state, record.reason) == (JobState.CANCELLED, "requested")
        assert rig.claim(1) == []

    @pytest.mark.parametrize("delay", [None, 0, 30])
    def test_a_marked_job_ends_as_cancelled_when_requeued(self, rig: Rig, delay: float | None) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        refused = rig.settle(hand_back(delivery) if delay is None else requeue(delivery, delay, keep=2 * HOUR))

        record = rig.record("a")
        assert refused == frozenset()
        assert (record.state, record.reason, record.ended_at) == (JobState.CANCELLED, "requested", rig.clock.now())
        assert record.kept_until == rig.clock.now() + (HOUR if delay is None else 2 * HOUR)

    # Expiry

    def test_a_job_that_waits_beyond_its_expiry_is_cancelled(self, rig: Rig) -> None:
        rig.enqueue("ready", expires=MINUTE)
        rig.enqueue("delayed", expires=MINUTE, delay=600)
        rig.enqueue("by moment", expires=rig.clock.now() + MINUTE)
        assert rig.record("ready").expires_at == rig.clock.now() + MINUTE

        rig.clock.advance(61)
        assert rig.claimed_ids() == []

        for id in ("ready", "delayed", "by moment"):
            record = rig.record(id)
            assert (record.state, record.reason) == (JobState.CANCELLED, "expired"), id

    def test_a_job_claimed_before_its_expiry_runs_on(self, rig: Rig) -> None:
        rig.enqueue("a", expires=20 * SECOND)
        delivery = rig.claim_one()

        rig.pass_time(30)

        assert rig.state("a") is JobState.RUNNING
        assert rig.settle(ack(delivery)) == frozenset()

    def test_a_job_that_fell_due_and_expired_in_one_step_does_not_run(self, rig: Rig) -> None:
        rig.enqueue("a", delay=5, expires=6 * SECOND)

        rig.clock.advance(7)

        assert rig.claimed_ids() == []
        assert rig.record("a").reason == "expired"

    def test_a_crowd_that_expires_at_once_never_runs(self, rig: Rig) -> None:
        for start in range(0, 750, 250):
            rig.enqueue(*[f"{n:03}" for n in range(start, start + 250)], expires=5 * SECOND)
        rig.enqueue("alive")
        rig.clock.advance(6)

        claimed = [id for _ in range(20) for id in rig.claimed_ids()]

        assert claimed == ["alive"]
        assert rig.inspector.counts(QUEUE).ready == 0

    # Clocks that jump

    def test_after_a_jump_keepers_may_extend_before_anything_is_reclaimed(self, rig: Rig) -> None:
        rig.enqueue("kept", "silent")
        kept, silent = rig.claim(2)

        rig.clock.advance(3600)
        assert rig.claimed_ids() == []
        rig.pass_time(14)
        assert rig.broker.extend([kept]).lost == []
        rig.outlast_a_jump()

        assert (rig.state("kept"), rig.state("silent")) == (JobState.RUNNING, JobState.READY)
        assert rig.claim_one().number > silent.number

    def test_after_a_jump_nothing_is_reclaimed_for_a_quarter_lease_and_five_seconds(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.claim_one()
        rig.clock.advance(3600)
        rig.touch()

        rig.pass_time(19)
        assert rig.state("a") is JobState.RUNNING
        rig.pass_time(3)
        assert rig.state("a") is JobState.READY

    def test_a_step_below_the_bound_is_no_jump(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.claim_one()
        rig.pass_time(55)

        rig.clock.advance(9.9)
        rig.touch()

        assert rig.state("a") is JobState.READY

    def test_the_clock_of_each_queue_is_its_own(self, rig: Rig) -> None:
        rig.enqueue("m", queue=QUEUE)
        rig.enqueue("p", queue=OTHER)
        rig.claim_one(QUEUE)
        rig.claim_one(OTHER)

        rig.pass_time(65, QUEUE)
        rig.touch(OTHER)

        assert (rig.state("m", QUEUE), rig.state("p", OTHER)) == (JobState.READY, JobState.RUNNING)

    @pytest.mark.parametrize("back", [1, 3600])
    def test_after_a_step_back_nothing_is_reclaimed_at_first(self, rig: Rig, back: float) -> None:
        rig.enqueue("a")
        rig.claim_one()
        rig.pass_time(58)

        rig.clock.advance(-back)
        rig.touch()
        rig.pass_time(19)

        assert rig.state("a") is JobState.RUNNING

    def test_after_a_step_back_no_lease_reaches_further_than_one_lease(self, rig: Rig) -> None:
        rig.enqueue("a", "b")
        delivery, _ = rig.claim(2)

        rig.clock.advance(-3600)
        rig.touch()

        now = rig.clock.now()
        assert [rig.record(id).lease_until for id in "ab"] == [now + MINUTE] * 2
        assert rig.broker.extend([delivery]).lost == []
        rig.lapse()
        assert [rig.state(id) for id in "ab"] == [JobState.READY] * 2
        assert rig.settle(ack(delivery)) == {0}

    def test_after_a_step_back_a_delivery_still_holds_its_job(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()

        rig.clock.advance(-3600)
        rig.touch()

        assert rig.settle(ack(delivery)) == frozenset()
