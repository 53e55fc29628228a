"""How waiting workers learn of jobs to claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from taskforge.brokers.protocol import Broker, Holding
from taskforge.brokers.stamp import Sender
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    OTHER,
    QUEUE,
    Rig,
    ack,
    bury,
    new_job,
    requeue,
)

#: Seconds. LONG is never waited out by a broker that keeps its promises; SHORT always is.
LONG, SHORT = 20.0, 0.05


class Bells(Suite):
    def test_a_wait_ends_when_its_time_is_up(self, rig: Rig) -> None:
        began = time.monotonic()

        assert rig.broker.wait([QUEUE], SHORT) is True

        assert time.monotonic() - began < LONG / 2

    def test_a_new_job_rings(self, rig: Rig) -> None:
        with _waiting(rig.broker, [OTHER, QUEUE]) as answer:
            _until_heard(answer, lambda n: rig.another().enqueue([new_job(str(n))], Sender().stamp()))

            assert answer.result(0) is True

    def test_a_delayed_job_that_is_now_the_first_to_fall_due_rings(self, rig: Rig) -> None:
        rig.enqueue("later", delay=3600)

        with _waiting(rig.broker, [QUEUE]) as answer:
            _until_heard(answer, lambda n: rig.enqueue(f"sooner {n}", delay=1000 - n))

            assert answer.result(0) is True

    @pytest.mark.parametrize("how", ["promote", "redrive", "requeue", "release", "then"])
    def test_whatever_makes_a_job_ready_rings(self, rig: Rig, how: str) -> None:
        rig.enqueue(*[str(n) for n in range(20)])
        deliveries = rig.claim(20)
        rig.enqueue(*[f"delayed {n}" for n in range(20)], delay=3600)
        if how == "redrive":
            rig.settle(*[bury(delivery) for delivery in deliveries])
        make_ready: dict[str, Callable[[int], object]] = {
            "promote": lambda n: rig.inspector.promote(QUEUE, [f"delayed {n}"], rig.stamp()),
            "redrive": lambda n: rig.inspector.redrive(QUEUE, [str(n)], rig.stamp()),
            "requeue": lambda n: rig.settle(requeue(deliveries[n], 0)),
            "release": lambda n: rig.broker.release("dead", [], [Holding(*deliveries[n][:3], started=True)], b"why"),
            "then": lambda n: rig.settle(ack(deliveries[n], then=[new_job(f"child {n}")])),
        }

        with _waiting(rig.another(), [QUEUE]) as answer:
            _until_heard(answer, make_ready[how])

            assert answer.result(0) is True

    def test_waking_ends_the_wait_under_way(self, rig: Rig) -> None:
        with _waiting(rig.broker, [QUEUE]) as answer:
            rig.broker.wake()

            assert answer.result(LONG / 2) is False

    def test_waking_nobody_ends_the_next_wait(self, rig: Rig) -> None:
        rig.broker.wake()

        assert rig.broker.wait([QUEUE], LONG) is False

    def test_after_a_wake_the_wait_goes_on(self, rig: Rig) -> None:
        rig.broker.wake()
        assert rig.broker.wait([QUEUE], LONG) is False

        with _waiting(rig.broker, [QUEUE]) as answer:
            _until_heard(answer, lambda n: rig.another().enqueue([new_job(str(n))], Sender().stamp()))

            assert answer.result(0) is True

    def test_waking_one_broker_wakes_no_other(self, rig: Rig) -> None:
        other = rig.another()

        rig.broker.wake()

        assert other.wait([QUEUE], SHORT) is True
        assert rig.broker.wait([QUEUE], LONG) is False

    def test_verbs_work_while_a_thread_waits(self, rig: Rig) -> None:
        with _waiting(rig.broker, ["quiet"]):
            rig.enqueue("a")
            assert rig.settle(ack(rig.claim_one(), result=b"r")) == frozenset()
            assert rig.record("a").result == b"r"
            rig.broker.wake()


@contextmanager
def _waiting(broker: Broker, queues: list[str]) -> Iterator[Future[bool]]:
    """A thread that waits meanwhile; its answer. It is woken at the end if nothing rang."""
    arrived = threading.Event()

    def wait() -> bool:
        arrived.set()
        return broker.wait(queues, LONG)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(wait)
        arrived.wait(LONG)
        try:
            yield answer
        finally:
            if not answer.done():
                broker.wake()


def _until_heard(answer: Future[bool], ring: Callable[[int], object]) -> None:
    """Ring until it is heard: the first time may come before the other thread listens."""
    for n in range(5):
        ring(n)
        try:
            answer.result(timeout=1.0)
            return
        except TimeoutError:
            continue
    raise AssertionError("nothing was heard")
