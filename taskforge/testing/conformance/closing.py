"""That a dead worker process is done with: its sender makes no more calls, however much it held."""

from __future__ import annotations

import pytest

from taskforge.brokers.protocol import BATCH, SENDER_AGE, Holding
from taskforge.brokers.releasing import release_all
from taskforge.brokers.stamp import Stamp
from taskforge.errors import BrokerUnavailable, StaleCall
from taskforge.job import JobState
from taskforge.testing.conformance.base import Suite
from taskforge.testing.conformance.losing import NOTE, Mortal, started, unstarted
from taskforge.testing.conformance.rig import HOUR, OTHER, QUEUE, SECOND, Rig, ack, demand, new_job
from taskforge.testing.faults import FlakyBroker


class Closing(Suite):
    @pytest.fixture
    def mortal(self, rig: Rig) -> Mortal:
        return Mortal(rig)

    @pytest.mark.parametrize("step", [-1, 0, 1, 2**40])
    def test_a_closed_sender_is_refused_whatever_the_number(self, rig: Rig, mortal: Mortal, step: int) -> None:
        rig.enqueue("a", "b")
        mortal.claim(1)
        last = mortal.sender.stamp()
        rig.broker.exchange(demand(0, QUEUE), (), last)
        mortal.release()
        before, late = rig.look(), Stamp(last.sender, last.number + step)

        for call in (
            lambda: rig.broker.exchange(demand(2, QUEUE), (), late),
            lambda: rig.broker.enqueue([new_job("c")], late),
            lambda: rig.inspector.cancel(QUEUE, ["a"], HOUR, late),
        ):
            with pytest.raises(StaleCall):
                call()

        assert rig.look() == before

    def test_it_is_closed_in_the_queues_it_served_and_in_those_of_what_it_held(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("p", queue=OTHER)
        [held] = mortal.claim(1, queue=OTHER)

        mortal.release(started(held))

        for queue in (QUEUE, OTHER):
            with pytest.raises(StaleCall):
                rig.broker.enqueue([new_job("late", queue)], mortal.sender.stamp())
        assert rig.broker.enqueue([new_job("elsewhere", "third")], mortal.sender.stamp())[0].new

    def test_it_stays_closed_for_as_long_as_senders_are_remembered(self, rig: Rig, mortal: Mortal) -> None:
        mortal.release()

        for _ in range(7):
            rig.pass_time((SENDER_AGE / 7 - SECOND).total_seconds())
            with pytest.raises(StaleCall):
                mortal.call()

    def test_other_senders_are_not_closed(self, rig: Rig, mortal: Mortal) -> None:
        mortal.release()

        assert rig.enqueue("a")[0].new

    def test_what_the_dead_worker_had_sent_changes_nothing_any_more(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        [a] = mortal.claim(1)

        mortal.release(started(a))

        assert rig.settle(ack(a)) == {0}
        assert rig.broker.extend([a]).lost == [a]
        assert not rig.broker.report(a, b"late")
        again = rig.claim_one()
        assert again.number > a.number
        assert [rig.settle(ack(each)) for each in (a, again)] == [frozenset({0}), frozenset()]

    # Said again, or of too much

    def test_the_second_time_nothing_is_held(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a", "b")
        a, b = mortal.claim(2)
        mortal.release(started(a), unstarted(b))
        before = rig.look()

        assert mortal.release(started(a), unstarted(b)) == []

        assert rig.look() == before

    def test_a_lost_answer_costs_nothing(self, rig: Rig, mortal: Mortal) -> None:
        rig.enqueue("a")
        [a] = mortal.claim(1)
        flaky = FlakyBroker(rig.broker)
        flaky.lose_reply("release")

        with pytest.raises(BrokerUnavailable):
            flaky.release(mortal.sender.id, [QUEUE], [started(a)], NOTE)

        assert flaky.release(mortal.sender.id, [QUEUE], [started(a)], NOTE) == []
        assert (rig.state("a"), rig.record("a").crashes) == (JobState.READY, 1)

    def test_one_call_names_no_more_than_a_batch(self, rig: Rig, mortal: Mortal) -> None:
        held = [Holding(QUEUE, str(n), 1, False) for n in range(BATCH + 1)]

        with pytest.raises(ValueError, match=str(BATCH)):
            mortal.release(*held)

        assert mortal.release(*held[:BATCH]) == []

    def test_more_than_a_batch_is_released_in_steps_that_lose_no_crash(self, rig: Rig, mortal: Mortal) -> None:
        ids = [f"{n:03}" for n in range(2 * BATCH)]
        for half in (ids[:BATCH], ids[BATCH:]):
            rig.enqueue(*half)
        held = [*mortal.claim(BATCH), *mortal.claim(BATCH)]

        let_go = release_all(rig.broker, mortal.sender.id, [QUEUE, OTHER], [started(each) for each in held], NOTE)

        assert sorted(let_go) == sorted(map(started, held))
        assert rig.listed(JobState.READY) == ids
        assert {rig.record(id).crashes for id in ids[::50]} == {1}
