"""What operators change in queues."""

from __future__ import annotations

import pytest

from taskforge.job import Cancellation, JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    HOUR,
    MINUTE,
    QUEUE,
    SECOND,
    Rig,
    ack,
    bury,
    hand_back,
    new_job,
    requeue,
)

ENDED = [JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED]


class Mending(Suite):
    # Cancel

    @pytest.mark.parametrize("state", [JobState.READY, JobState.DELAYED])
    def test_a_waiting_job_that_is_cancelled_has_ended(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)

        answer = rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        record = rig.record("a")
        assert answer == [Cancellation.CANCELLED]
        assert (record.state, record.reason) == (JobState.CANCELLED, "requested")
        assert (record.ended_at, record.kept_until) == (rig.clock.now(), rig.clock.now() + HOUR)
        rig.clock.advance(600)
        assert rig.claim(1) == []

    def test_a_running_job_that_is_cancelled_is_asked_to_stop(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()

        answer = rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        assert answer == [Cancellation.REQUESTED]
        assert (rig.state("a"), rig.record("a").stop_requested) == (JobState.RUNNING, True)
        assert rig.settle(ack(delivery)) == frozenset()
        assert rig.state("a") is JobState.SUCCEEDED

    @pytest.mark.parametrize("state", ENDED)
    def test_an_ended_job_is_not_cancelled(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)
        before = rig.look()

        answer = rig.inspector.cancel(QUEUE, ["a", "unknown"], HOUR, rig.stamp())

        assert answer == [Cancellation.ENDED, Cancellation.ENDED]
        assert rig.look() == before

    # Promote

    def test_promoted_jobs_are_ready_at_once(self, rig: Rig) -> None:
        rig.enqueue("ready")
        rig.enqueue("a", "b", delay=600)

        answer = rig.inspector.promote(QUEUE, ["a", "ready", "unknown", "b"], rig.stamp())

        assert answer == [True, False, False, True]
        assert rig.record("a").due_at is None
        assert rig.claimed_ids() == ["ready", "a", "b"]

    @pytest.mark.parametrize("state", [JobState.READY, JobState.RUNNING, *ENDED])
    def test_only_delayed_jobs_are_promoted(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)
        before = rig.look()

        assert rig.inspector.promote(QUEUE, ["a"], rig.stamp()) == [False]

        assert rig.look() == before

    # Reprioritise

    def test_a_ready_job_moves_to_the_end_of_its_new_priority(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3")
        rig.enqueue("high", priority=5)

        answer = rig.inspector.reprioritise(QUEUE, ["3", "1", "unknown"], 5, rig.stamp())

        assert answer == [True, True, False]
        assert rig.record("3").priority == 5
        assert [(d.id, d.priority) for d in rig.claim(10)] == [("high", 5), ("3", 5), ("1", 5), ("2", 0)]

    def test_a_delayed_job_comes_with_its_new_priority(self, rig: Rig) -> None:
        rig.enqueue("ready")
        rig.enqueue("delayed", delay=5)

        assert rig.inspector.reprioritise(QUEUE, ["delayed"], 5, rig.stamp()) == [True]

        assert (rig.state("delayed"), rig.record("delayed").priority) == (JobState.DELAYED, 5)
        rig.clock.advance(5)
        assert rig.claimed_ids() == ["delayed", "ready"]

    @pytest.mark.parametrize("how", ["handed back", "reclaimed", "requeued"])
    def test_a_running_job_comes_back_with_its_new_priority(self, rig: Rig, how: str) -> None:
        rig.enqueue("running")
        delivery = rig.claim_one()
        rig.enqueue("low")
        rig.enqueue("high", priority=5)

        assert rig.inspector.reprioritise(QUEUE, ["running"], 5, rig.stamp()) == [True]

        assert rig.record("running").priority == 5
        if how == "reclaimed":
            rig.lapse()
        else:
            rig.settle(hand_back(delivery) if how == "handed back" else requeue(delivery, 0))
        assert [(d.id, d.priority) for d in rig.claim(10)] == [("high", 5), ("running", 5), ("low", 0)]

    @pytest.mark.parametrize("state", ENDED)
    def test_an_ended_job_is_not_reprioritised(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)
        before = rig.look()

        assert rig.inspector.reprioritise(QUEUE, ["a"], 5, rig.stamp()) == [False]

        assert rig.look() == before

    # Redrive

    def test_a_redriven_job_starts_from_nothing_but_its_number(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, counts=True))
        rig.claim_one()
        rig.lapse()
        first = rig.claim_one()
        assert (first.attempts, first.crashes) == (1, 1)
        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())
        rig.settle(bury(first))

        answer = rig.inspector.redrive(QUEUE, ["a"], rig.stamp())

        record = rig.record("a")
        assert answer == [True]
        assert (record.state, record.attempts, record.crashes) == (JobState.READY, 0, 0)
        assert (record.stop_requested, record.reason, record.ended_at, record.kept_until) == (False, None, None, None)
        second = rig.claim_one()
        assert (second.attempts, second.crashes, second.body) == (0, 0, first.body)
        assert second.number > first.number
        assert rig.settle(ack(first)) == {0}

    def test_redriven_jobs_go_last_of_their_priority_in_the_order_asked(self, rig: Rig) -> None:
        rig.bring("a", JobState.DEAD)
        rig.bring("b", JobState.CANCELLED)
        rig.enqueue("waiting")
        rig.enqueue("low", priority=-1)

        assert rig.inspector.redrive(QUEUE, ["b", "a"], rig.stamp()) == [True, True]

        assert rig.claimed_ids() == ["waiting", "b", "a", "low"]

    def test_a_redrive_may_mend_the_body(self, rig: Rig) -> None:
        rig.bring("a", JobState.DEAD)

        rig.inspector.redrive(QUEUE, ["a"], rig.stamp(), body=b"mended")

        assert rig.record("a").body == b"mended"
        assert rig.claim_one().body == b"mended"

    @pytest.mark.parametrize("ids", [[], ["a", "b"]])
    def test_a_body_mends_exactly_one_job(self, rig: Rig, ids: list[str]) -> None:
        rig.bring("a", JobState.DEAD)
        rig.bring("b", JobState.DEAD)
        before = rig.look()

        with pytest.raises(ValueError, match="one"):
            rig.inspector.redrive(QUEUE, ids, rig.stamp(), body=b"mended")

        assert rig.look() == before

    @pytest.mark.parametrize("state", [JobState.READY, JobState.DELAYED, JobState.RUNNING, JobState.SUCCEEDED])
    def test_only_dead_and_cancelled_jobs_are_redriven(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)
        before = rig.look()

        assert rig.inspector.redrive(QUEUE, ["a"], rig.stamp(), body=b"mended") == [False]

        assert rig.look() == before

    def test_a_redriven_job_does_not_age_out(self, rig: Rig) -> None:
        rig.bring("a", JobState.DEAD)
        rig.inspector.redrive(QUEUE, ["a"], rig.stamp())

        rig.clock.advance(2 * HOUR)
        rig.touch()

        assert rig.state("a") is JobState.READY

    # Purge

    @pytest.mark.parametrize("state", [JobState.READY, JobState.DELAYED, *ENDED])
    def test_purged_jobs_are_gone_for_good(self, rig: Rig, state: JobState) -> None:
        rig.bring("other", JobState.DELAYED if state is not JobState.DELAYED else JobState.DEAD)
        rig.bring("a", state)

        assert rig.inspector.purge(QUEUE, state, rig.stamp()) == 1

        assert rig.state("a") is None
        assert rig.listed(state) == []
        assert set(rig.look().records) == {"other"}
        assert rig.inspector.purge(QUEUE, state, rig.stamp()) == 0

    def test_a_purge_takes_a_thousand_at_most_those_listed_first(self, rig: Rig) -> None:
        for start in range(0, 1_250, 250):
            rig.enqueue(*[f"{n:04}" for n in range(start, start + 250)])

        assert rig.inspector.purge(QUEUE, JobState.READY, rig.stamp()) == 1_000

        assert rig.listed(JobState.READY) == [f"{n:04}" for n in range(1_000, 1_250)]

    def test_a_purge_of_ended_jobs_takes_the_latest_first(self, rig: Rig) -> None:
        for start in range(0, 1_000, 250):
            rig.enqueue(*[f"{n:04}" for n in range(start, start + 250)])
            rig.settle(*[bury(delivery) for delivery in rig.claim(250)])
            rig.clock.advance(1)
        rig.enqueue("latest")
        rig.settle(bury(rig.claim_one()))
        first_listed = rig.listed(JobState.DEAD)

        assert rig.inspector.purge(QUEUE, JobState.DEAD, rig.stamp()) == 1_000

        assert "latest" in first_listed
        assert rig.inspector.counts(QUEUE).dead == 1
        assert rig.state("latest") is None

    def test_running_jobs_cannot_be_purged(self, rig: Rig) -> None:
        rig.bring("a", JobState.RUNNING)

        with pytest.raises(ValueError, match="running"):
            rig.inspector.purge(QUEUE, JobState.RUNNING, rig.stamp())

        assert rig.state("a") is JobState.RUNNING

    def test_what_was_swept_and_what_stays_are_told_apart(self, rig: Rig) -> None:
        rig.enqueue("short", "long")
        short, long = rig.claim(2)
        rig.settle(ack(short, keep=MINUTE), ack(long, keep=HOUR))

        rig.clock.advance(MINUTE + SECOND)
        rig.touch()

        assert rig.listed(JobState.SUCCEEDED) == ["long"]
        assert rig.broker.enqueue([new_job("short"), new_job("long")], rig.stamp())[0].new
