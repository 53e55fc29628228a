"""How jobs come into a queue."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskforge.brokers.protocol import BATCH, BATCH_BYTES
from taskforge.job import MAX_PRIORITY, MIN_PRIORITY, Enqueued, JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import HOUR, MINUTE, OTHER, QUEUE, Rig, ack, bury, new_job

STRANGE_IDS = ["a:b{c}", "ünïcødé", "x" * 100, "0", "-1", "with space", "line\nbreak", "'; --", "*", "%s", "nul\0nul"]
#: Every state that a job can be in without flows.
STATES = [state for state in JobState if state is not JobState.BLOCKED]


class Enqueueing(Suite):
    def test_an_accepted_job_is_ready_as_it_was_given(self, rig: Rig) -> None:
        job = new_job("a", body=b"the body", priority=7)

        answer = rig.broker.enqueue([job], rig.stamp())

        assert answer == [Enqueued("a", new=True)]
        record = rig.record("a")
        assert (record.id, record.queue, record.state) == ("a", QUEUE, JobState.READY)
        assert (record.body, record.priority, record.enqueued_at) == (b"the body", 7, rig.clock.now())
        assert (record.attempts, record.crashes, record.errors, record.result) == (0, 0, (), None)
        assert (record.due_at, record.lease_until, record.ended_at, record.reason) == (None, None, None, None)

    @pytest.mark.parametrize("state", STATES)
    def test_a_known_id_changes_nothing_in_whatever_state(self, rig: Rig, state: JobState) -> None:
        rig.bring("a", state)
        before = rig.look()

        answer = rig.broker.enqueue([new_job("a", body=b"another", priority=9)], rig.stamp())

        assert answer == [Enqueued("a", new=False)]
        assert rig.look() == before

    def test_the_first_of_equal_ids_in_a_batch_stands_for_all(self, rig: Rig) -> None:
        first, second = new_job("a", body=b"first"), new_job("a", body=b"second", priority=9)

        answer = rig.broker.enqueue([first, new_job("b"), second], rig.stamp())

        assert answer == [Enqueued("a", True), Enqueued("b", True), Enqueued("a", False)]
        assert rig.record("a").body == b"first"
        assert rig.inspector.counts(QUEUE).ready == 2

    def test_an_id_belongs_to_one_queue(self, rig: Rig) -> None:
        rig.enqueue("a", queue=QUEUE)

        answer = rig.broker.enqueue([new_job("a", QUEUE), new_job("a", OTHER)], rig.stamp())

        assert answer == [Enqueued("a", False), Enqueued("a", True)]

    def test_a_batch_over_several_queues_is_answered_in_its_own_order(self, rig: Rig) -> None:
        rig.enqueue("known", queue=OTHER)
        jobs = [new_job("1", QUEUE), new_job("known", OTHER), new_job("2", QUEUE), new_job("3", OTHER)]

        answer = rig.broker.enqueue(jobs, rig.stamp())

        assert answer == [Enqueued("1", True), Enqueued("known", False), Enqueued("2", True), Enqueued("3", True)]
        assert rig.claimed_ids(queue=QUEUE) == ["1", "2"]
        assert rig.claimed_ids(queue=OTHER) == ["known", "3"]

    def test_an_empty_batch_is_answered_with_nothing(self, rig: Rig) -> None:
        assert rig.broker.enqueue([], rig.stamp()) == []

    def test_a_full_batch_is_accepted(self, rig: Rig) -> None:
        ids = [f"{n:03}" for n in range(BATCH)]

        answer = rig.enqueue(*ids)

        assert answer == [Enqueued(id, True) for id in ids]
        assert rig.listed(JobState.READY) == ids

    def test_a_single_job_larger_than_a_batch_travels_alone(self, rig: Rig) -> None:
        body = bytes(BATCH_BYTES + 1)

        rig.broker.enqueue([new_job("a", body=body)], rig.stamp())

        assert rig.claim_one().body == body

    @pytest.mark.parametrize("id", STRANGE_IDS)
    def test_any_text_is_an_id(self, rig: Rig, id: str) -> None:
        rig.enqueue(id, "plain")

        delivery = rig.claim_one()

        assert delivery.id == id
        assert rig.settle(ack(delivery, result=b"r")) == frozenset()
        assert rig.record(id).result == b"r"
        assert rig.listed(JobState.SUCCEEDED) == [id]

    @pytest.mark.parametrize("queue", ["a b", "q.1-2_3", "ünïcødé", "{x}", "a:b", "%"])
    def test_queues_of_strange_names_are_queues_of_their_own(self, rig: Rig, queue: str) -> None:
        rig.enqueue("a", queue=queue)

        assert rig.claimed_ids(queue=QUEUE) == []
        assert rig.claimed_ids(queue=queue) == ["a"]

    def test_a_body_is_kept_byte_for_byte(self, rig: Rig) -> None:
        bodies = {"empty": b"", "every": bytes(range(256)), "text": "ü\0\n".encode(), "zeros": bytes(1000)}
        rig.broker.enqueue([new_job(id, body=body) for id, body in bodies.items()], rig.stamp())

        claimed = {delivery.id: delivery.body for delivery in rig.claim(10)}

        assert claimed == bodies
        assert {id: rig.record(id).body for id in bodies} == bodies

    @pytest.mark.parametrize("priority", [MIN_PRIORITY, -1, 0, 1, MAX_PRIORITY])
    def test_a_priority_is_kept_as_given(self, rig: Rig, priority: int) -> None:
        rig.enqueue("a", priority=priority)

        assert rig.record("a").priority == priority
        assert rig.claim_one().priority == priority

    def test_a_delayed_job_knows_when_it_falls_due(self, rig: Rig) -> None:
        moment = rig.clock.now() + timedelta(minutes=5)

        rig.enqueue("by span", delay=60)
        rig.broker.enqueue([new_job("by moment", at=moment)], rig.stamp())

        assert (rig.state("by span"), rig.state("by moment")) == (JobState.DELAYED, JobState.DELAYED)
        assert rig.record("by span").due_at == rig.clock.now() + MINUTE
        assert rig.record("by moment").due_at == moment

    def test_no_delay_and_a_moment_past_mean_ready_at_once(self, rig: Rig) -> None:
        now = rig.clock.now()
        jobs = [new_job("zero", delay=timedelta(0)), new_job("now", at=now), new_job("past", at=now - HOUR)]

        rig.broker.enqueue(jobs, rig.stamp())

        assert rig.listed(JobState.READY) == ["zero", "now", "past"]
        assert rig.claimed_ids() == ["zero", "now", "past"]

    def test_an_id_that_has_aged_out_is_new_again_and_its_deliveries_number_higher(self, rig: Rig) -> None:
        rig.enqueue("a")
        first = rig.claim_one()
        rig.settle(bury(first, keep=MINUTE))
        rig.clock.advance(61)

        answer = rig.enqueue("a")

        assert answer == [Enqueued("a", new=True)]
        second = rig.claim_one()
        assert second.number > first.number
        assert (second.attempts, second.crashes) == (0, 0)
        assert rig.settle(ack(first)) == {0}

    def test_a_purged_id_is_new_again_and_its_deliveries_number_higher(self, rig: Rig) -> None:
        first = rig.bring("a", JobState.SUCCEEDED)
        assert first is not None
        rig.inspector.purge(QUEUE, JobState.SUCCEEDED, rig.stamp())

        answer = rig.enqueue("a")

        assert answer == [Enqueued("a", new=True)]
        assert rig.claim_one().number > first.number
