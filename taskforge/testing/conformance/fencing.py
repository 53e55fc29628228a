"""That only the delivery which holds a job may settle, extend or report on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskforge.job import Cancellation, Delivery
from taskforge.settlement import Settlement
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.rig import (
    HOUR,
    MINUTE,
    OTHER,
    QUEUE,
    Rig,
    ack,
    bury,
    cancel,
    hand_back,
    new_job,
    requeue,
    stale,
)

#: One settlement of each kind.
KINDS: dict[str, Callable[[Delivery], Settlement]] = {
    "ack": lambda delivery: ack(delivery, result=b"late", then=[new_job("late child"), new_job("late child", OTHER)]),
    "retry": lambda delivery: requeue(delivery, 5, error=b"late"),
    "requeue at once": lambda delivery: requeue(delivery, 0, error=b"late"),
    "hand back": hand_back,
    "bury": lambda delivery: bury(delivery, error=b"late"),
    "cancel": cancel,
}


def _lease_lost_and_claimed_again(rig: Rig) -> Delivery:
    rig.enqueue("a")
    late = rig.claim_one()
    rig.lapse()
    rig.claim_one()
    return late


def _lease_lost_and_waiting(rig: Rig) -> Delivery:
    rig.enqueue("a")
    late = rig.claim_one()
    rig.lapse()
    return late


def _settled(*settlement: Callable[[Delivery], Settlement]) -> Callable[[Rig], Delivery]:
    def prepare(rig: Rig) -> Delivery:
        rig.enqueue("a")
        late = rig.claim_one()
        rig.settle(*[make(late) for make in settlement])
        return late

    return prepare


def _lost_to_a_number_below(rig: Rig) -> Delivery:
    rig.enqueue("a")
    return stale(rig.claim_one())


def _never_known(rig: Rig) -> Delivery:
    rig.enqueue("other")
    delivery = rig.claim_one()
    return Delivery(QUEUE, "unknown", delivery.number, b"", 0, 0, 0, delivery.enqueued_at)


#: Ways in which a delivery comes to hold its job no longer.
LATE: dict[str, Callable[[Rig], Delivery]] = {
    "claimed by another": _lease_lost_and_claimed_again,
    "reclaimed": _lease_lost_and_waiting,
    "succeeded": _settled(lambda delivery: ack(delivery, result=b"first")),
    "delayed": _settled(lambda delivery: requeue(delivery, 300)),
    "handed back": _settled(hand_back),
    "dead": _settled(bury),
    "cancelled": _settled(cancel),
    "lower number": _lost_to_a_number_below,
    "unknown": _never_known,
}


class Fencing(Suite):
    @pytest.mark.parametrize("late", LATE)
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_late_settlement_is_refused_and_changes_nothing(self, rig: Rig, kind: str, late: str) -> None:
        delivery = LATE[late](rig)
        before = rig.look(QUEUE), rig.look(OTHER)

        assert rig.settle(KINDS[kind](delivery)) == {0}

        assert (rig.look(QUEUE), rig.look(OTHER)) == before

    def test_an_extended_lease_starts_anew(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.clock.advance(9)

        answer = rig.broker.extend([delivery])

        assert (answer.lost, answer.stop) == ([], [])
        assert rig.record("a").lease_until == rig.clock.now() + MINUTE

    @pytest.mark.parametrize("late", LATE)
    def test_a_late_extension_is_told_and_changes_nothing(self, rig: Rig, late: str) -> None:
        delivery = LATE[late](rig)
        before = rig.look()

        answer = rig.broker.extend([delivery])

        assert (answer.lost, answer.stop) == ([delivery], [])
        assert rig.look() == before

    def test_an_extension_tells_the_lost_the_stopped_and_the_kept_apart(self, rig: Rig) -> None:
        rig.enqueue("lost", "stopped", "kept")
        rig.enqueue("elsewhere", queue=OTHER)
        lost, stopped, kept = rig.claim(3)
        elsewhere = rig.claim_one(OTHER)
        rig.settle(ack(lost))
        assert rig.inspector.cancel(QUEUE, ["stopped"], HOUR, rig.stamp()) == [Cancellation.REQUESTED]
        rig.clock.advance(9)

        answer = rig.broker.extend([lost, elsewhere, stopped, kept])

        assert (answer.lost, answer.stop) == ([lost], [stopped])
        for id, queue in [("stopped", QUEUE), ("kept", QUEUE), ("elsewhere", OTHER)]:
            assert rig.record(id, queue).lease_until == rig.clock.now() + MINUTE

    def test_progress_is_kept_beside_a_running_job(self, rig: Rig) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()

        assert rig.broker.report(delivery, b"1 of 2")
        assert rig.broker.report(delivery, b"2 of 2")

        assert rig.record("a").progress == b"2 of 2"

    @pytest.mark.parametrize("late", LATE)
    def test_late_progress_is_refused_and_changes_nothing(self, rig: Rig, late: str) -> None:
        delivery = LATE[late](rig)
        before = rig.look()

        assert not rig.broker.report(delivery, b"late")

        assert rig.look() == before

    @pytest.mark.parametrize("kind", ["ack", "bury", "cancel"])
    def test_progress_is_gone_when_the_job_has_ended(self, rig: Rig, kind: str) -> None:
        rig.enqueue("a")
        delivery = rig.claim_one()
        rig.broker.report(delivery, b"1 of 2")

        rig.settle(KINDS[kind](delivery))

        assert rig.record("a").progress is None
