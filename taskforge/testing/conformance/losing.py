"""What becomes of the jobs of a worker process that has died."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from taskforge.brokers.protocol import ERRORS_BYTES, Demand, Holding
from taskforge.brokers.stamp import Sender
from taskforge.job import Delivery, JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.bells import LONG, SHORT
from taskforge.testing.conformance.rig import (
    MINUTE,
    OTHER,
    QUEUE,
    Rig,
    ack,
    new_job,
    requeue,
)

NOTE = b"killed by signal 9"


class Mortal:
    """A worker process that will die: it claims under a sender of its own."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.sender = rig, Sender()

    def claim(self, want: int, ahead: int = 0, queue: str = QUEUE) -> list[Delivery]:
        wish = Demand((want,), ((queue, (0,)),), {queue: ahead})
        return self.rig.broker.exchange(wish, (), self.sender.stamp()).deliveries

    def call(self) -> None:
        """Make another call in QUEUE, that claims nothing."""
        self.claim(0)

    def release(self, *held: Holding, queues: Sequence[str] = (QUEUE,), note: bytes = NOTE) -> list[Holding]:
        """It has died, and its parent says what it held."""
        return self.rig.broker.release(self.sender.id, queues, held, note)


def started(delivery: Delivery) -> Holding:
    return Holding(delivery.queue, delivery.id, delivery.number, True)


def unstarted(delivery: Delivery) -> Holding:
    return Holding(delivery.queue, delivery.id, delivery.number, False)


class Losing(Suite):
    @pytest.fixture
    def mortal(self, rig: Rig) -> Mortal:
        return Mortal(rig)

    # What goes back

    def test_what_a_dead_worker_held_goes_back_to_its_places_at_once(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("low", priority=-1)
        rig.enqueue("a", "b", "c")
        a, b = mortal.claim(2)

        let_go = mortal.release(started(a), unstarted(b))

        assert set(let_go) == {started(a), unstarted(b)}
        assert rig.listed(JobState.READY) == ["a", "b", "c", "low"]
        assert rig.listed(JobState.RUNNING) == []
        assert rig.claimed_ids() == ["a", "b", "c", "low"]

    def test_a_run_that_had_started_counts_a_crash_and_the_others_count_nothing(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("started", "not")
        first, second = mortal.claim(2)

        mortal.release(started(first), unstarted(second))

        records = [rig.record(id) for id in ("started", "not")]
        assert [(record.crashes, record.attempts) for record in records] == [(1, 0), (0, 0)]
        assert [record.errors for record in records] == [(NOTE,), ()]

    def test_a_job_claimed_ahead_counts_as_any_other(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("into a slot", "ahead and started", "ahead")
        _, second, third = mortal.claim(1, ahead=2)

        mortal.release(started(second), unstarted(third))

        assert [rig.record(id).crashes for id in ("into a slot", "ahead and started", "ahead")] == [0, 1, 0]

    def test_what_had_not_started_may_be_claimed_ahead_again_and_what_had_may_not(
        self, rig: Rig, mortal: Mortal
    ) -> None:
        rig.enqueue("a", "b", "c")
        a, b, c = mortal.claim(0, ahead=3)

        mortal.release(unstarted(a), started(b), unstarted(c))

        again = Mortal(rig)
        assert [delivery.id for delivery in again.claim(0, ahead=3)] == ["a"]
        assert [delivery.id for delivery in again.claim(1, ahead=3)] == ["b", "c"]

    def test_progress_errors_and_attempts_stay(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"first"))
        [delivery] = mortal.claim(1)
        rig.broker.report(delivery, b"half")

        mortal.release(started(delivery))

        record = rig.record("a")
        assert (record.attempts, record.crashes, record.progress) == (1, 1, b"half")
        assert record.errors == (b"first", NOTE)

    def test_a_note_that_does_not_fit_replaces_the_earlier_errors(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        rig.settle(requeue(rig.claim_one(), 0, error=b"x" * (ERRORS_BYTES - 5)))

        mortal.release(started(mortal.claim(1)[0]))

        assert rig.record("a").errors == (NOTE,)

    def test_a_job_that_was_asked_to_stop_ends_as_cancelled(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a", "b")
        a, b = mortal.claim(2)
        rig.inspector.cancel(QUEUE, ["a", "b"], MINUTE, rig.stamp())

        let_go = mortal.release(started(a), unstarted(b))

        records = [rig.record(id) for id in "ab"]
        assert set(let_go) == {started(a), unstarted(b)}
        assert {(each.state, each.reason) for each in records} == {(JobState.CANCELLED, "requested")}
        assert {each.kept_until for each in records} == {rig.clock.now() + MINUTE}
        assert [(each.crashes, each.errors) for each in records] == [(1, (NOTE,)), (0, ())]

    def test_two_queues_are_let_go_in_one_call(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("m")
        rig.enqueue("p", queue=OTHER)
        held = [*mortal.claim(1), *mortal.claim(1, queue=OTHER)]

        mortal.release(*map(started, held), queues=())

        assert (rig.record("m").crashes, rig.record("p", OTHER).crashes) == (1, 1)
        assert (rig.state("m"), rig.state("p", OTHER)) == (JobState.READY, JobState.READY)

    def test_a_waiting_worker_is_woken(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        [a] = mortal.claim(1)
        other = rig.another()
        other.wait([QUEUE], SHORT)  # whatever rang before is heard now
        began = time.monotonic()

        mortal.release(started(a))

        assert other.wait([QUEUE], LONG)
        assert time.monotonic() - began < LONG / 2

    # What is ignored

    def test_deliveries_that_hold_nothing_any_more_are_ignored(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("done", "handed back", "another's", "held")
        done, back, taken, held = mortal.claim(4)
        rig.settle(ack(done), requeue(back, 300), requeue(taken, 0))
        rig.claim_one()
        mortal.call()
        before = {id: rig.record(id) for id in ("done", "handed back", "another's")}

        let_go = mortal.release(*map(started, [done, back, taken, held]), Holding(QUEUE, "unknown", 1, True))

        assert let_go == [started(held)]
        assert {id: rig.record(id) for id in before} == before

    def test_a_delivery_named_twice_is_let_go_once_and_had_started_if_it_is_said_once(
        self, rig: Rig, mortal: Mortal
    ) -> None:
        rig.enqueue("a", "b")
        a, b = mortal.claim(2)

        let_go = mortal.release(started(a), unstarted(a), unstarted(b), started(b))

        assert sorted(let_go) == [started(a), started(b)]
        assert [(rig.record(id).crashes, rig.record(id).errors) for id in "ab"] == [(1, (NOTE,))] * 2

    def test_the_jobs_of_others_are_left_alone(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("mine", "another's")
        [mine] = mortal.claim(1)
        rig.claim_one()
        before = rig.record("another's")

        mortal.release(started(mine))

        assert rig.record("another's") == before

    # What it claimed and never learned of

    def test_what_its_last_call_claimed_goes_back_without_blame_though_nobody_names_it(
        self, rig: Rig, mortal: Mortal
    ) -> None:
        rig.enqueue("a", "b", "c")
        [a] = mortal.claim(1)
        lost = mortal.claim(2)

        let_go = mortal.release(started(a))

        assert set(let_go) == {started(a), *map(unstarted, lost)}
        assert rig.listed(JobState.READY) == ["a", "b", "c"]
        assert [rig.record(id).crashes for id in "abc"] == [1, 0, 0]

    def test_each_queue_has_a_last_call_of_its_own(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("m")
        rig.enqueue("p", queue=OTHER)
        mortal.claim(1, queue=OTHER)
        mortal.claim(1)

        mortal.release(queues=(QUEUE, OTHER))

        assert (rig.state("m"), rig.state("p", OTHER)) == (JobState.READY, JobState.READY)

    def test_what_an_earlier_call_claimed_is_left_to_its_lease(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        mortal.claim(1)
        mortal.call()

        assert mortal.release() == []

        assert rig.state("a") is JobState.RUNNING

    def test_a_last_call_that_claimed_nothing_is_no_hindrance(self, rig: Rig, mortal: Mortal) -> None:
        jobs = [new_job("a"), new_job("b"), new_job("a"), new_job("b"), new_job("b")]
        rig.broker.enqueue(jobs, mortal.sender.stamp())

        assert mortal.release() == []

        assert rig.listed(JobState.READY) == ["a", "b"]

    def test_a_sender_that_never_called_holds_nothing(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")

        assert mortal.release(queues=()) == []
        assert mortal.release(queues=(QUEUE, OTHER)) == []
