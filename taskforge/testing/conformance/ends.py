"""How callers learn that their jobs have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskforge.brokers.inspecting import Waiter
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    HOUR,
    NO_TIME,
    OTHER,
    QUEUE,
    SECOND,
    Rig,
    ack,
    bury,
    cancel,
    requeue,
)

#: Seconds. LONG is never waited out by a broker that keeps its promises; SHORT always is.
LONG, SHORT = 20.0, 0.05


def _by_ack(rig: Rig) -> None:
    rig.settle(ack(rig.claim_one(), result=b"r"))


def _by_ack_kept_for_no_time(rig: Rig) -> None:
    rig.settle(ack(rig.claim_one(), keep=NO_TIME))


def _by_bury(rig: Rig) -> None:
    rig.settle(bury(rig.claim_one()))


def _by_cancelling_its_run(rig: Rig) -> None:
    rig.settle(cancel(rig.claim_one()))


def _by_cancel(rig: Rig) -> None:
    rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())


def _by_requeue_of_a_marked_job(rig: Rig) -> None:
    delivery = rig.claim_one()
    rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())
    rig.settle(requeue(delivery, 5))


def _by_reclaim_of_a_marked_job(rig: Rig) -> None:
    rig.claim_one()
    rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())
    rig.lapse()


def _by_purge(rig: Rig) -> None:
    rig.inspector.purge(QUEUE, JobState.READY, rig.stamp())


def _by_expiry(rig: Rig) -> None:
    rig.clock.advance(301)
    rig.touch()


WAYS_TO_END: dict[str, Callable[[Rig], None]] = {
    "ack": _by_ack,
    "ack, kept for no time": _by_ack_kept_for_no_time,
    "bury": _by_bury,
    "a run that ends as cancelled": _by_cancelling_its_run,
    "cancel": _by_cancel,
    "requeue of a marked job": _by_requeue_of_a_marked_job,
    "reclaim of a marked job": _by_reclaim_of_a_marked_job,
    "purge": _by_purge,
    "expiry": _by_expiry,
}


class Ends(Suite):
    @pytest.fixture
    def waiter(self, rig: Rig) -> Iterator[Waiter]:
        """A waiter on another broker object than the one that ends jobs."""
        waiter = rig.another().waiter()
        yield waiter
        waiter.close()

    @pytest.mark.parametrize("how", WAYS_TO_END)
    def test_a_waiter_is_told_however_its_job_ends(self, rig: Rig, waiter: Waiter, how: str) -> None:
        rig.enqueue("a", expires=300 * SECOND)
        (record,) = waiter.watch(QUEUE, "a")
        assert record.state is JobState.READY

        WAYS_TO_END[how](rig)

        assert _told(waiter, 1) == ["a"]

    def test_watching_reads_the_job(self, rig: Rig, waiter: Waiter) -> None:
        rig.bring("a", JobState.SUCCEEDED)

        assert waiter.watch(QUEUE, "a") == [rig.record("a")]
        assert waiter.watch(QUEUE, "unknown") == []
        assert rig.record("a").result == b"result of a"

    def test_watching_without_a_queue_looks_in_all_known_ones(self, rig: Rig, waiter: Waiter) -> None:
        rig.broker.announce([QUEUE, OTHER])
        rig.enqueue("a", queue=QUEUE)
        rig.enqueue("a", "b", queue=OTHER)

        assert {record.queue for record in waiter.watch(None, "a")} == {QUEUE, OTHER}
        assert [record.queue for record in waiter.watch(None, "b")] == [OTHER]
        assert waiter.watch(None, "unknown") == []

    def test_a_job_watched_without_its_queue_is_told_too(self, rig: Rig, waiter: Waiter) -> None:
        rig.broker.announce([QUEUE, OTHER])
        rig.enqueue("a", queue=OTHER)
        waiter.watch(None, "a")

        rig.settle(ack(rig.claim_one(OTHER)))

        assert _told(waiter, 1) == ["a"]

    def test_only_the_watched_are_told(self, rig: Rig, waiter: Waiter) -> None:
        rig.enqueue("a", "b", "c")
        a, b, c = rig.claim(3)
        waiter.watch(QUEUE, "c")

        rig.settle(ack(a), ack(b))
        rig.settle(ack(c))

        assert _told(waiter, 1) == ["c"]

    def test_a_job_that_only_comes_back_is_not_told(self, rig: Rig, waiter: Waiter) -> None:
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")

        rig.settle(requeue(rig.claim_one(), 0))
        assert waiter.listen(SHORT) == []

        rig.settle(ack(rig.claim_one()))
        assert _told(waiter, 1) == ["a"]

    def test_several_waiters_are_told_of_one_job(self, rig: Rig, waiter: Waiter) -> None:
        second = rig.another().waiter()
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")
        second.watch(QUEUE, "a")

        rig.settle(ack(rig.claim_one()))

        assert [_told(waiter, 1), _told(second, 1)] == [["a"], ["a"]]
        second.close()

    def test_a_waiter_watches_many_jobs(self, rig: Rig, waiter: Waiter) -> None:
        ids = [str(n) for n in range(50)]
        rig.enqueue(*ids)
        for id in ids:
            waiter.watch(QUEUE, id)

        rig.settle(*[ack(delivery) for delivery in rig.claim(50)])

        assert sorted(_told(waiter, 50)) == sorted(ids)

    def test_jobs_in_the_broker_object_of_their_waiter_are_told_as_well(self, rig: Rig) -> None:
        waiter = rig.broker.waiter()
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")

        rig.settle(ack(rig.claim_one()))

        assert _told(waiter, 1) == ["a"]
        waiter.close()

    def test_listening_ends_when_its_time_is_up(self, rig: Rig, waiter: Waiter) -> None:
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")
        began = time.monotonic()

        assert waiter.listen(SHORT) == []

        assert time.monotonic() - began < LONG / 2

    def test_a_waiter_that_never_watched_may_listen(self, waiter: Waiter) -> None:
        assert waiter.listen(SHORT) == []

    def test_a_listening_thread_is_told_at_once(self, rig: Rig, waiter: Waiter) -> None:
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(_told, waiter, 1)
            rig.settle(ack(rig.claim_one()))

            assert told.result(LONG / 2) == ["a"]

    def test_closing_ends_the_listening_of_another_thread(self, rig: Rig, waiter: Waiter) -> None:
        rig.enqueue("a")
        waiter.watch(QUEUE, "a")

        with ThreadPoolExecutor(1) as pool:
            heard = pool.submit(waiter.listen, LONG)
            waiter.close()

            assert heard.result(LONG / 2) == []


def _told(waiter: Waiter, count: int) -> list[str]:
    """The ids of the first `count` ends that the waiter is told of."""
    told: list[str] = []
    deadline = time.monotonic() + LONG / 2
    while len(told) < count and time.monotonic() < deadline:
        told += waiter.listen(1.0)
    return told
