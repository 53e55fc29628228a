"""How deliveries end."""

from __future__ import annotations

from taskforge.brokers.protocol import BATCH, ERRORS_BYTES
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    HOUR,
    MINUTE,
    OTHER,
    QUEUE,
    SECOND,
    Rig,
    ack,
    bury,
    cancel,
    hand_back,
    new_job,
    requeue,
    stale,
)


class Settling(Suite):
    def test_the_refused_are_named_and_hinder_no_other(self, rig: Rig) -> None:
        rig.enqueue("a", "b", "c")
        a, b, c = rig.claim(3)

        refused = rig.settle(ack(a), ack(stale(b)), bury(a), ack(c), bury(stale(c)))

        assert refused == {1, 2, 4}
        assert [rig.state(id) for id in "abc"] == [JobState.SUCCEEDED, JobState.RUNNING, JobState.SUCCEEDED]

    def test_a_full_batch_is_settled(self, rig: Rig) -> None:
        rig.enqueue(*[f"{n:03}" for n in range(BATCH)])
        deliveries = rig.claim(BATCH)

        assert rig.settle(*[ack(delivery) for delivery in deliveries]) == frozenset()

        assert rig.inspector.counts(QUEUE).succeeded == BATCH

    def test_deliveries_of_several_queues_are_settled_together(self, rig: Rig) -> None:
        rig.enqueue("a", queue=QUEUE)
        rig.enqueue("a", queue=OTHER)
        mine, other = rig.claim_one(QUEUE), rig.claim_one(OTHER)

        assert rig.settle(ack(stale(mine)), bury(other), ack(mine)) == {0}

        assert (rig.state("a", QUEUE), rig.state("a", OTHER)) == (JobState.SUCCEEDED, JobState.DEAD)

    # Ack

    def test_an_acked_job_has_succeeded_and_keeps_its_result(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.clock.advance(2)

        rig.settle(ack(delivery, result=b"\0 result", keep=HOUR))

        record = rig.record("a")
        assert (record.state, record.result, record.reason) == (JobState.SUCCEEDED, b"\0 result", None)
        assert (record.ended_at, record.kept_until) == (rig.clock.now(), rig.clock.now() + HOUR)
        assert record.lease_until is None
        assert record.body == delivery.body

    def test_lists_leave_results_out(self, rig: Rig) -> None:
        rig.bring("a", JobState.SUCCEEDED)

        (record,) = rig.inspector.list(QUEUE, JobState.SUCCEEDED)

        assert (record.id, record.result) == ("a", None)

    def test_an_empty_result_is_a_result(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(ack(rig.claim_one(), result=b""))

        assert rig.record("a").result == b""

    def test_the_jobs_of_an_accepted_ack_exist_in_whatever_queue(self, rig: Rig) -> None:
        rig.enqueue("a")
        children = [
            new_job("here", QUEUE, priority=5, body=b"1"),
            new_job("there", OTHER, body=b"2"),
            new_job("later", OTHER, delay=MINUTE, body=b"3"),
        ]

        rig.settle(ack(rig.claim_one(), then=children))

        here, there, later = rig.record("here"), rig.record("there", OTHER), rig.record("later", OTHER)
        assert (here.state, here.priority, here.body) == (JobState.READY, 5, b"1")
        assert (there.state, there.body) == (JobState.READY, b"2")
        assert (later.state, later.due_at) == (JobState.DELAYED, rig.clock.now() + MINUTE)

    def test_the_job_of_an_ack_whose_id_is_known_changes_nothing(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.enqueue("child")

        rig.settle(ack(delivery, then=[new_job("child", body=b"another"), new_job("a", body=b"another")]))

        assert rig.record("child").body == b"body of child"
        assert rig.state("a") is JobState.SUCCEEDED

    # Requeue

    def test_a_handed_back_job_keeps_its_place(self, rig: Rig) -> None:
        rig.enqueue("1", "2", "3", "4")
        one, two, three = rig.claim(3)

        rig.settle(hand_back(three), hand_back(one))

        assert rig.listed(JobState.READY) == ["1", "3", "4"]
        assert rig.claimed_ids() == ["1", "3", "4"]
        assert two.id == "2"

    def test_a_handed_back_job_was_not_tried(self, rig: Rig) -> None:
        rig.enqueue("a")
        first = rig.claim_one()

        rig.settle(hand_back(first))

        second = rig.claim_one()
        assert (second.attempts, second.crashes) == (0, 0)
        assert second.number > first.number

    def test_a_job_requeued_without_delay_goes_last(self, rig: Rig) -> None:
        rig.enqueue("1", "2")
        rig.enqueue("low", priority=-1)

        rig.settle(requeue(rig.claim_one(), 0))

        assert rig.claimed_ids() == ["2", "1", "low"]

    def test_a_retry_waits_and_has_spent_an_attempt(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(requeue(rig.claim_one(), 30, counts=True))

        record, counts = rig.record("a"), rig.inspector.counts(QUEUE)
        assert (record.state, record.attempts) == (JobState.DELAYED, 1)
        assert record.due_at == rig.clock.now() + 30 * SECOND
        assert record.lease_until is None
        assert (counts.delayed, counts.retrying, counts.running) == (1, 1, 0)
        rig.clock.advance(30)
        assert rig.claim_one().attempts == 1

    def test_a_snooze_waits_and_has_spent_none(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(requeue(rig.claim_one(), 30, counts=False))

        counts = rig.inspector.counts(QUEUE)
        assert (counts.delayed, counts.retrying) == (1, 0)
        rig.clock.advance(30)
        assert rig.claim_one().attempts == 0
        assert rig.inspector.counts(QUEUE).retrying == 0

    def test_a_retry_that_came_back_is_no_longer_retrying(self, rig: Rig) -> None:
        rig.enqueue("retry", "snooze")
        retry, snooze = rig.claim(2)
        rig.settle(requeue(retry, 8, counts=True), requeue(snooze, 8, counts=False))

        rig.clock.advance(8)
        rig.touch()

        counts = rig.inspector.counts(QUEUE)
        assert (counts.ready, counts.delayed, counts.retrying) == (2, 0, 0)

    def test_attempts_add_up(self, rig: Rig) -> None:
        rig.enqueue("a")

        for attempts in range(4):
            delivery = rig.claim_one()
            assert delivery.attempts == attempts
            rig.settle(requeue(delivery, 0, counts=True))

    # Bury and cancel

    def test_a_buried_job_is_dead_for_its_reason(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(bury(rig.claim_one(), reason="timeout", keep=HOUR))

        record = rig.record("a")
        assert (record.state, record.reason, record.attempts) == (JobState.DEAD, "timeout", 1)
        assert (record.ended_at, record.kept_until) == (rig.clock.now(), rig.clock.now() + HOUR)

    def test_a_bury_that_does_not_count_spends_no_attempt(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(bury(rig.claim_one(), counts=False))

        assert rig.record("a").attempts == 0

    def test_a_run_may_end_as_cancelled(self, rig: Rig) -> None:
        rig.enqueue("a")

        rig.settle(cancel(rig.claim_one(), reason="discarded", keep=HOUR))

        record = rig.record("a")
        assert (record.state, record.reason) == (JobState.CANCELLED, "discarded")
        assert (record.ended_at, record.kept_until) == (rig.clock.now(), rig.clock.now() + HOUR)

    # Errors

    def test_error_texts_are_kept_in_their_order(self, rig: Rig) -> None:
        rig.enqueue("a")
        for text in (b"first", b"second"):
            rig.settle(requeue(rig.claim_one(), 0, error=text))

        rig.settle(bury(rig.claim_one(), error=b"third"))

        assert rig.record("a").errors == (b"first", b"second", b"third")

    def test_an_error_that_does_not_fit_replaces_the_earlier_ones(self, rig: Rig) -> None:
        rig.enqueue("a")
        texts = [letter * (ERRORS_BYTES // 2 - 1000) for letter in (b"1", b"2", b"3")]

        for text in texts:
            rig.settle(requeue(rig.claim_one(), 0, error=text))

        assert rig.record("a").errors == (texts[2],)

    def test_a_settlement_without_error_keeps_the_earlier_ones(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"first"))
        rig.settle(hand_back(rig.claim_one()))

        rig.claim_one()

        assert rig.record("a").errors == (b"first",)
