"""What counts as a crash, and what is told of it."""

from __future__ import annotations

import pytest

from taskforge.brokers.losses import read_loss
from taskforge.brokers.protocol import ERRORS_BYTES, Demand
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.losing import Mortal
from taskforge.testing.conformance.rig import HOUR, MINUTE, QUEUE, Rig, ack, bury, requeue


class Crashing(Suite):
    @pytest.fixture
    def mortal(self, rig: Rig) -> Mortal:
        return Mortal(rig)

    # A run that took the process along which it had to itself

    def test_a_requeue_may_count_a_crash_in_place_of_an_attempt(self, rig: Rig) -> None:
        rig.enqueue("at once", "later")
        at_once, later = rig.claim(2)

        rig.settle(
            requeue(at_once, 0, counts=False, error=b"signal 11")._replace(crashed=True),
            requeue(later, 30, counts=False)._replace(crashed=True),
        )

        records = [rig.record(id) for id in ("at once", "later")]
        assert [(record.attempts, record.crashes) for record in records] == [(0, 1), (0, 1)]
        assert [record.state for record in records] == [JobState.READY, JobState.DELAYED]
        assert [record.errors for record in records] == [(b"signal 11",), ()]
        assert rig.inspector.counts(QUEUE).retrying == 0
        assert rig.claim_one().crashes == 1

    @pytest.mark.parametrize("error", [None, b"signal 9"])
    def test_a_bury_may_count_a_crash_in_place_of_an_attempt(self, rig: Rig, error: bytes | None) -> None:
        rig.enqueue("a", "b")
        a, b = rig.claim(2)

        rig.settle(bury(a, reason="crashed", counts=False, error=error)._replace(crashed=True), bury(b))

        crashed, failed = rig.record("a"), rig.record("b")
        assert (crashed.state, crashed.reason) == (JobState.DEAD, "crashed")
        assert [(each.attempts, each.crashes) for each in (crashed, failed)] == [(0, 1), (1, 0)]

    def test_crashes_of_both_kinds_add_up(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, counts=False)._replace(crashed=True))
        rig.claim_one()
        rig.lapse()
        Mortal(rig).claim(1)
        worker = Mortal(rig)

        rig.lapse()
        delivery = worker.claim(1)[0]

        assert (delivery.attempts, delivery.crashes) == (0, 3)

    def test_a_crashed_run_of_a_job_that_was_asked_to_stop_ends_it_and_counts(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        rig.settle(requeue(delivery, 0, counts=False)._replace(crashed=True))

        record = rig.record("a")
        assert (record.state, record.reason, record.crashes) == (JobState.CANCELLED, "requested", 1)

    def test_a_job_whose_run_crashed_is_claimed_into_a_free_slot_only(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, counts=False)._replace(crashed=True))

        beyond = rig.broker.exchange(Demand((0,), ((QUEUE, (0,)),), {QUEUE: 2}), (), rig.stamp()).deliveries

        assert (beyond, rig.claimed_ids()) == ([], ["a"])

    # What a lease that ran out leaves

    def test_a_lease_that_runs_out_leaves_a_note_of_when_and_whose_it_was(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("other", "a")
        claimed_at = rig.clock.now()
        rig.settle(ack(rig.claim_one()))
        mortal.claim(1)

        rig.lapse()

        record = rig.record("a")
        [error] = record.errors
        loss = read_loss(error)
        assert loss is not None
        assert (loss.claimed_at, loss.worker) == (claimed_at, mortal.sender.id)
        assert claimed_at + MINUTE <= loss.at <= rig.clock.now()
        assert record.crashes == 1

    def test_each_crash_leaves_its_note(self, rig: Rig) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"why"))
        workers = [Mortal(rig), Mortal(rig)]
        for worker in workers:
            worker.claim(1)
            rig.lapse()

        error, *notes = rig.record("a").errors

        assert error == b"why"
        assert [_worker(note) for note in notes] == [worker.sender.id for worker in workers]

    def test_a_loss_that_counts_no_crash_leaves_no_note(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        mortal.claim(0, ahead=1)

        rig.lapse()

        assert (rig.record("a").crashes, rig.record("a").errors) == (0, ())

    def test_a_lost_job_that_was_asked_to_stop_keeps_the_note(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        mortal.claim(1)
        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        rig.lapse()

        record = rig.record("a")
        assert record.state is JobState.CANCELLED
        assert [_worker(error) for error in record.errors] == [mortal.sender.id]

    def test_a_broker_s_note_that_does_not_fit_replaces_the_earlier_errors(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"x" * (ERRORS_BYTES - 5)))
        mortal.claim(1)

        rig.lapse()

        assert [_worker(error) for error in rig.record("a").errors] == [mortal.sender.id]


def _worker(error: bytes) -> str | None:
    loss = read_loss(error)
    return None if loss is None else loss.worker
