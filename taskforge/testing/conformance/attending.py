"""What a worker hears: that a job of its own was asked to stop, and that there is something to look at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskforge.brokers.register import Attention
from taskforge.brokers.stamp import Sender
from taskforge.job import Cancellation
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import HOUR, OTHER, QUEUE, Rig, demand

#: Seconds. LONG is never waited out by a broker that keeps its promises; SHORT always is.
LONG, SHORT = 20.0, 0.05


class Attending(Suite):
    @pytest.fixture
    def ear(self, rig: Rig) -> Iterator[Attention]:
        """The ear of the rig's own sender, on another broker object, after its first look."""
        ear = rig.another().attend(rig.sender.id)
        assert ear.listen(LONG) == [""]
        yield ear
        ear.close()

    def test_the_first_call_says_to_look(self, rig: Rig) -> None:
        ear = rig.broker.attend("a")

        assert ear.listen(LONG) == [""]
        assert ear.listen(SHORT) == []
        ear.close()

    def test_a_running_job_that_is_cancelled_is_told_to_its_worker(self, rig: Rig, ear: Attention) -> None:
        rig.enqueue("a", "b", "c")
        rig.claim(2)

        answer = rig.another().inspector.cancel(QUEUE, ["a", "c", "b"], HOUR, Sender().stamp())

        assert answer == [Cancellation.REQUESTED, Cancellation.CANCELLED, Cancellation.REQUESTED]
        assert sorted(_heard(ear, 2)) == ["a", "b"]
        assert ear.listen(SHORT) == []

    def test_whose_job_it_is_hears_of_it_and_nobody_else(self, rig: Rig, ear: Attention) -> None:
        rig.enqueue("mine", "yours")
        rig.claim_one()
        you = Sender()
        rig.broker.exchange(demand(1, QUEUE), [], you.stamp())
        yours = rig.another().attend(you.id)
        assert yours.listen(LONG) == [""]

        rig.inspector.cancel(QUEUE, ["yours"], HOUR, rig.stamp())

        assert _heard(yours, 1) == ["yours"]
        assert ear.listen(SHORT) == []
        yours.close()

    def test_a_job_that_was_claimed_again_is_told_to_who_has_it_now(self, rig: Rig, ear: Attention) -> None:
        rig.enqueue("a")
        rig.broker.exchange(demand(1, QUEUE), [], Sender().stamp())
        rig.lapse()
        rig.claim_one()

        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        assert _heard(ear, 1) == ["a"]

    def test_jobs_of_every_queue_are_told(self, rig: Rig, ear: Attention) -> None:
        for queue in (QUEUE, OTHER):
            rig.enqueue("a of " + queue, queue=queue)
            rig.claim_one(queue)

            rig.inspector.cancel(queue, ["a of " + queue], HOUR, rig.stamp())

            assert _heard(ear, 1) == ["a of " + queue]

    def test_a_cancel_sent_again_is_answered_the_same(self, rig: Rig, ear: Attention) -> None:
        rig.enqueue("a")
        rig.claim_one()
        stamp = rig.stamp()

        answers = [rig.inspector.cancel(QUEUE, ["a"], HOUR, stamp) for _ in range(2)]

        assert answers == [[Cancellation.REQUESTED]] * 2
        assert set(_heard(ear, 1)) == {"a"}

    def test_a_wish_is_told_to_those_named_and_nobody_else(self, rig: Rig, ear: Attention) -> None:
        other = rig.another().attend("other")
        assert other.listen(LONG) == [""]

        rig.broker.register.wish("*", b"stop", HOUR, ["other", "nobody"])

        assert _heard(other, 1) == [""]
        assert ear.listen(SHORT) == []
        other.close()

    def test_what_is_said_while_a_worker_does_not_listen_is_kept_for_it(self, rig: Rig, ear: Attention) -> None:
        rig.enqueue("a")
        rig.claim_one()
        rig.broker.register.wish("*", b"", HOUR, [rig.sender.id])

        rig.inspector.cancel(QUEUE, ["a"], HOUR, rig.stamp())

        assert sorted(_heard(ear, 2)) == ["", "a"]

    def test_closing_ends_a_listen_under_way(self, rig: Rig, ear: Attention) -> None:
        arrived = threading.Event()

        def listen() -> list[str]:
            arrived.set()
            return ear.listen(LONG)

        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(listen)
            arrived.wait(LONG)
            ear.close()

            assert answer.result(LONG / 2) == []
        assert ear.listen(LONG) == []


def _heard(ear: Attention, count: int) -> list[str]:
    """The next so many words."""
    heard: list[str] = []
    while len(heard) < count:
        words = ear.listen(LONG)
        assert words, f"nothing was heard after {heard}"
        heard += words
    return heard
