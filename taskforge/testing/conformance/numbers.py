"""That every call may be sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from taskforge.brokers.protocol import SENDER_AGE, Exchange
from taskforge.brokers.stamp import Sender, Stamp
from taskforge.errors import BrokerUnavailable, StaleCall
from taskforge.job import JobState
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
    demand,
    new_job,
    requeue,
    stale,
)
from taskforge.testing.faults import FlakyBroker

T = TypeVar("T")

#: A numbered call, to be made again and again with the same arguments, whatever has happened in between.
Call = Callable[[Stamp], object]


def _enqueue(rig: Rig) -> Call:
    rig.enqueue("known")
    jobs = [new_job("known"), new_job("a"), new_job("a"), new_job("b", OTHER), new_job("c", delay=MINUTE)]
    return lambda stamp: rig.broker.enqueue(jobs, stamp)


def _claim(rig: Rig) -> Call:
    rig.enqueue("a", "b", "c")
    return lambda stamp: _lasting(rig.broker.exchange(demand(2, QUEUE), (), stamp))


def _settle(rig: Rig) -> Call:
    rig.enqueue("a", "b", "c", "d")
    rig.enqueue("e", queue=OTHER)
    a, b, c, d = rig.claim(4)
    e = rig.claim_one(OTHER)
    children = [new_job("child", QUEUE), new_job("child", OTHER)]
    settlements: list[Settlement] = [
        *(ack(stale(b)), ack(a, then=children), requeue(b, 0), bury(c)),
        *(requeue(d, 30), ack(e), bury(c)),
    ]
    return lambda stamp: _lasting(rig.broker.exchange(demand(0, QUEUE, OTHER), settlements, stamp))


def _settle_and_claim(rig: Rig) -> Call:
    rig.enqueue("a", "b", "c")
    settlements = [ack(rig.claim_one(), result=b"r", then=[new_job("child")])]
    return lambda stamp: _lasting(rig.broker.exchange(demand(1, QUEUE), settlements, stamp))


def _cancel(rig: Rig) -> Call:
    rig.enqueue("running", "waiting")
    rig.claim_one()
    ids = ["waiting", "running", "unknown"]
    return lambda stamp: rig.inspector.cancel(QUEUE, ids, HOUR, stamp)


def _promote(rig: Rig) -> Call:
    rig.enqueue("ready")
    rig.enqueue("delayed", delay=600)
    return lambda stamp: rig.inspector.promote(QUEUE, ["ready", "delayed", "unknown"], stamp)


def _reprioritise(rig: Rig) -> Call:
    rig.enqueue("running", "a", "b")
    rig.claim_one()
    return lambda stamp: rig.inspector.reprioritise(QUEUE, ["a", "running", "unknown"], 5, stamp)


def _redrive(rig: Rig) -> Call:
    rig.bring("a", JobState.DEAD)
    rig.bring("b", JobState.CANCELLED)
    return lambda stamp: rig.inspector.redrive(QUEUE, ["a", "b", "unknown"], stamp)


def _redrive_mended(rig: Rig) -> Call:
    rig.bring("a", JobState.DEAD)
    return lambda stamp: rig.inspector.redrive(QUEUE, ["a"], stamp, body=b"mended")


def _purge(rig: Rig) -> Call:
    rig.enqueue("a", "b")
    return lambda stamp: rig.inspector.purge(QUEUE, JobState.READY, stamp)


def _lasting(answer: Exchange) -> tuple[object, ...]:
    """The part of an exchange's answer that stays true: how long until something is due does not."""
    return answer.deliveries, answer.refused, answer.lost


VERBS: dict[str, Callable[[Rig], Call]] = {
    "enqueue": _enqueue,
    "claim": _claim,
    "settle": _settle,
    "settle and claim": _settle_and_claim,
    "cancel": _cancel,
    "promote": _promote,
    "reprioritise": _reprioritise,
    "redrive": _redrive,
    "redrive mended": _redrive_mended,
    "purge": _purge,
}

#: Verbs whose answer names no claims, so that it is the same for ever.
WITHOUT_CLAIMS = [verb for verb in VERBS if "claim" not in verb]


class Numbers(Suite):
    @pytest.mark.parametrize("verb", VERBS)
    def test_a_call_sent_again_changes_nothing_and_gets_the_same_answer(self, rig: Rig, verb: str) -> None:
        call, stamp = VERBS[verb](rig), rig.stamp()
        first = call(stamp)
        before = rig.look(QUEUE), rig.look(OTHER)

        again = [call(stamp), call(stamp)]

        assert again == [first, first]
        assert (rig.look(QUEUE), rig.look(OTHER)) == before

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_stale_call_is_told_and_changes_nothing(self, rig: Rig, verb: str) -> None:
        call, early = VERBS[verb](rig), rig.stamp()
        rig.enqueue("other", queue=QUEUE)
        rig.enqueue("other", queue=OTHER)
        before = rig.look(QUEUE), rig.look(OTHER)

        with pytest.raises(StaleCall):
            call(early)

        assert (rig.look(QUEUE), rig.look(OTHER)) == before

    @pytest.mark.parametrize("verb", WITHOUT_CLAIMS)
    def test_an_answer_is_kept_however_many_jobs_end_in_between(self, rig: Rig, verb: str) -> None:
        call, stamp = VERBS[verb](rig), rig.stamp()
        first = call(stamp)
        _busy_others(rig, 1_000)
        before = rig.look(QUEUE)

        assert call(stamp) == first

        assert rig.look(QUEUE) == before

    @pytest.mark.parametrize("verb", WITHOUT_CLAIMS)
    def test_an_answer_is_kept_after_every_record_has_aged_out(self, rig: Rig, verb: str) -> None:
        call, stamp = VERBS[verb](rig), rig.stamp()
        first = call(stamp)
        _end_all(rig)
        rig.clock.advance(10 * MINUTE)
        rig.broker.exchange(demand(0, QUEUE), (), Sender().stamp())

        assert call(stamp) == first

        assert set(rig.look().records) == set()

    def test_a_claim_is_kept_however_many_jobs_end_in_between(self, rig: Rig) -> None:
        rig.enqueue("a", "b")
        stamp = rig.stamp()
        first = rig.broker.exchange(demand(2, QUEUE), (), stamp)
        _busy_others(rig, 1_000)

        again = rig.broker.exchange(demand(2, QUEUE), (), stamp)

        assert _lasting(again) == _lasting(first)

    def test_a_use_keeps_a_sender_known_for_another_while(self, rig: Rig) -> None:
        stamp, job = rig.stamp(), new_job("a")
        first = rig.broker.enqueue([job], stamp)

        for _ in range(4):
            rig.clock.advance(SENDER_AGE - MINUTE)
            rig.broker.exchange(demand(0, QUEUE), (), Sender().stamp())
            assert rig.broker.enqueue([job], stamp) == first

    def test_gaps_between_numbers_are_allowed(self, rig: Rig) -> None:
        sender = Sender().id

        for number in (1, 2, 10, 2**31, 2**40):
            answer = rig.broker.enqueue([new_job(str(number))], Stamp(sender, number))
            assert [enqueued.new for enqueued in answer] == [True]

        with pytest.raises(StaleCall):
            rig.broker.enqueue([new_job("late")], Stamp(sender, 2**40 - 1))

    def test_senders_do_not_know_of_each_other(self, rig: Rig) -> None:
        one, two = Sender().id, Sender().id

        rig.broker.enqueue([new_job("a")], Stamp(one, 7))
        answer = rig.broker.enqueue([new_job("b")], Stamp(two, 7))
        earlier = rig.broker.enqueue([new_job("c")], Stamp(Sender().id, 1))

        assert [answer[0].new, earlier[0].new] == [True, True]

    def test_each_queue_keeps_its_own_last_number(self, rig: Rig) -> None:
        sender = Sender().id
        rig.broker.enqueue([new_job("a", QUEUE)], Stamp(sender, 7))

        answer = rig.broker.enqueue([new_job("b", OTHER)], Stamp(sender, 5))

        assert answer[0].new

    def test_another_broker_object_knows_the_numbers(self, rig: Rig) -> None:
        stamp, job = rig.stamp(), new_job("a")
        first = rig.broker.enqueue([job], stamp)

        assert rig.another().enqueue([job], stamp) == first

    # Lost requests and lost replies, as a client meets them

    @pytest.mark.parametrize("lose", [FlakyBroker.lose_request, FlakyBroker.lose_reply])
    def test_a_lost_message_costs_nothing(self, rig: Rig, lose: Callable[[FlakyBroker, str], None]) -> None:
        flaky = FlakyBroker(rig.broker)
        jobs = [new_job("a"), new_job("b")]
        for verb in ("enqueue", "exchange", "exchange"):
            lose(flaky, verb)

        enqueued = _insist(rig, lambda stamp: flaky.enqueue(jobs, stamp))
        claimed = _insist(rig, lambda stamp: flaky.exchange(demand(2, QUEUE), (), stamp)).deliveries
        settled = _insist(rig, lambda stamp: flaky.exchange(demand(0, QUEUE), [ack(d) for d in claimed], stamp))

        assert [answer.new for answer in enqueued] == [True, True]
        assert [delivery.id for delivery in claimed] == ["a", "b"]
        assert settled.refused == frozenset()
        assert rig.inspector.counts(QUEUE).succeeded == 2


def _insist(rig: Rig, call: Callable[[Stamp], T]) -> T:
    """Send until an answer comes, always under the same stamp."""
    stamp = rig.stamp()
    for _ in range(5):
        try:
            return call(stamp)
        except BrokerUnavailable:
            continue
    raise AssertionError("no answer came")


def _busy_others(rig: Rig, count: int) -> None:
    """Other clients enqueue, run and end so many jobs, ahead of all that wait."""
    sender = Sender()
    for start in range(0, count, 250):
        ids = [f"busy {n}" for n in range(start, start + 250)]
        rig.broker.enqueue([new_job(id, priority=100) for id in ids], sender.stamp())
        claimed = rig.broker.exchange(demand(250, QUEUE), (), sender.stamp()).deliveries
        assert [delivery.id for delivery in claimed] == ids
        rig.broker.exchange(demand(0, QUEUE), [ack(delivery) for delivery in claimed], sender.stamp())


def _end_all(rig: Rig) -> None:
    """Other clients end every job that waits or runs, and delete all that ended."""
    sender = Sender()
    waiting = (JobState.READY, JobState.DELAYED)
    ids = [record.id for state in (*waiting, JobState.RUNNING) for record in rig.inspector.list(QUEUE, state)]
    rig.inspector.cancel(QUEUE, ids, MINUTE, sender.stamp())
    for _ in range(14):
        rig.clock.advance(5)
        rig.broker.exchange(demand(0, QUEUE), (), sender.stamp())
    for state in (JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED):
        rig.inspector.purge(QUEUE, state, sender.stamp())
