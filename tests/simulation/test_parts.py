"""What a simulation is made of."""

from __future__ import annotations

import threading

import pytest

from taskforge.errors import BrokerUnavailable
from taskforge.testing.simulation.choices import Choices
from taskforge.testing.simulation.network import Network
from taskforge.testing.simulation.scheduler import Process, Scheduler, SimulatedClock, Violation
from taskforge.testing.simulation.trace import Trace


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(SimulatedClock())


@pytest.fixture
def network(scheduler: Scheduler) -> Network:
    return Network(scheduler, Trace(scheduler.clock.monotonic))


class TestChoices:
    def test_recorded_draws_repeat_themselves(self) -> None:
        drawn = Choices(7)
        before = [drawn.stream(name).pick((1, 2, 3)) for name in "abcabcabc"]

        dictated = Choices(given=drawn.made)

        assert [dictated.stream(name).pick((1, 2, 3)) for name in "abcabcabc"] == before

    def test_leaving_one_stream_out_moves_no_other(self) -> None:
        drawn = Choices(7)
        before = [(drawn.stream("a").pick((1, 9)), drawn.stream("b").one_of("xyz")) for _ in range(9)]

        dictated = Choices(given={"b": drawn.made["b"]})

        after = [(dictated.stream("a").pick((1, 9)), dictated.stream("b").one_of("xyz")) for _ in range(9)]
        assert after == [(0, second) for _, second in before]

    def test_numbers_that_mean_nothing_are_the_plainest(self) -> None:
        stream = Choices(given={"a": (99, 99)}).stream("a")

        assert (stream.pick((1, 1)), stream.one_of("xyz")) == (0, "x")

    def test_in_the_calm_nothing_is_drawn_or_written_down(self) -> None:
        choices = Choices(7)
        choices.calm = True

        assert not any(choices.stream("a").chance(99) for _ in range(20))
        assert choices.made == {}


class TestScheduler:
    def test_a_sleeper_goes_on_when_its_time_has_come(self, scheduler: Scheduler) -> None:
        done: list[bool] = []
        sleeper = scheduler.spawn(Process("p"), "sleeper", lambda: done.append(scheduler.sleep(2)))
        scheduler.let(sleeper)

        scheduler.clock.advance(1_999)
        assert scheduler.ready() == []
        scheduler.clock.advance(1)

        assert scheduler.ready() == [sleeper]
        scheduler.let(sleeper)
        assert (done, scheduler.actors) == ([False], [])

    def test_an_event_ends_a_wait(self, scheduler: Scheduler) -> None:
        event, heard = threading.Event(), list[bool]()
        waiter = scheduler.spawn(Process("p"), "waiter", lambda: heard.append(scheduler.clock.wait(event, 60)))
        scheduler.let(waiter)

        event.set()

        assert scheduler.ready() == [waiter]
        scheduler.let(waiter)
        assert heard == [True]

    def test_what_a_crash_ends_cleans_nothing_up(self, scheduler: Scheduler) -> None:
        cleaned: list[str] = []

        def work() -> None:
            try:
                scheduler.sleep(1)
            finally:
                cleaned.append("up")

        process = Process("p")
        scheduler.let(scheduler.spawn(process, "worker", work))

        dropped = scheduler.drop(process)
        scheduler.clock.advance(60_000)

        assert (scheduler.ready(), cleaned) == ([], [])
        scheduler.end(dropped)

    def test_a_frozen_process_goes_on_later(self, scheduler: Scheduler) -> None:
        process = Process("p")
        scheduler.let(scheduler.spawn(process, "sleeper", lambda: scheduler.sleep(1)))
        process.frozen_until = 5_000

        scheduler.clock.advance(4_999)
        assert (scheduler.ready(), scheduler.next_timer()) == ([], 5_000)
        scheduler.clock.advance(1)

        assert len(scheduler.ready()) == 1
        scheduler.end([])

    def test_an_actor_that_dies_of_an_error_breaks_a_promise(self, scheduler: Scheduler) -> None:
        def stumble() -> None:
            raise KeyError("no such thing")

        actor = scheduler.spawn(Process("worker A"), "keeper", stumble)

        with pytest.raises(Violation, match="worker A: keeper died of KeyError: 'no such thing'"):
            scheduler.let(actor)

    def test_the_end_gets_through_every_handler(self, scheduler: Scheduler) -> None:
        def stubborn() -> None:
            for _ in range(3):
                try:
                    scheduler.sleep(1)
                except BaseException:
                    continue

        actor = scheduler.spawn(Process("p"), "stubborn", stubborn)
        scheduler.let(actor)

        scheduler.end([])

        assert actor.over


class Caller:
    """Sends one request, and notes what became of it."""

    def __init__(self, network: Network, process: Process) -> None:
        self.network = network
        self.answers: list[object] = []
        self.applied = 0
        network.scheduler.let(network.scheduler.spawn(process, "caller", self._call))

    def _call(self) -> None:
        try:
            self.answers.append(self.network.send("verb", self._apply))
        except BrokerUnavailable:
            self.answers.append("unavailable")

    def _apply(self) -> str:
        self.applied += 1
        return "answer"


class TestNetwork:
    def test_an_answer_comes_back(self, network: Network) -> None:
        caller = Caller(network, Process("p"))

        network.arrive(network.requests[0])
        assert caller.answers == []
        network.come_back(network.replies[0])

        assert (caller.answers, caller.applied) == (["answer"], 1)

    def test_a_lost_request_never_arrives(self, network: Network) -> None:
        caller = Caller(network, Process("p"))

        network.lose_request(network.requests[0])

        assert (caller.answers, caller.applied, network.deliverable()) == (["unavailable"], 0, [])

    def test_a_lost_reply_has_taken_effect(self, network: Network) -> None:
        caller = Caller(network, Process("p"))
        network.arrive(network.requests[0])

        network.lose_reply(network.replies[0])

        assert (caller.answers, caller.applied) == (["unavailable"], 1)

    def test_a_request_that_was_held_up_may_still_arrive(self, network: Network) -> None:
        caller = Caller(network, Process("p"))

        network.give_up(network.requests[0])
        network.arrive(network.requests[0])

        assert (caller.answers, caller.applied, network.replies) == (["unavailable"], 1, [])

    def test_the_request_of_a_dead_process_may_still_arrive(self, network: Network) -> None:
        process = Process("p")
        caller = Caller(network, process)

        dropped = network.scheduler.drop(process)
        network.drop(process)
        network.arrive(network.requests[0])

        assert (caller.answers, caller.applied, network.replies) == ([], 1, [])
        network.scheduler.end(dropped)

    def test_a_process_that_is_cut_off_reaches_nobody(self, network: Network) -> None:
        process = Process("p")
        process.cut_until = 1_000

        caller = Caller(network, process)

        assert (caller.answers, network.requests) == (["unavailable"], [])


class TestTrace:
    def test_a_request_that_nothing_came_of_is_not_told(self, network: Network) -> None:
        Caller(network, Process("p"))

        network.arrive(network.requests[0])
        assert "sends verb" in str(network.trace)
        network.come_back(network.replies[0])

        assert str(network.trace) == ""

    def test_a_request_whose_reply_is_lost_is_told(self, network: Network) -> None:
        Caller(network, Process("p"))

        network.arrive(network.requests[0])
        network.lose_reply(network.replies[0])

        assert "sends verb" in str(network.trace)


def test_a_trace_is_a_table() -> None:
    clock = SimulatedClock()
    trace = Trace(clock.monotonic)

    trace.say("worker A", "crashes")
    clock.advance(1_500)
    trace.say("broker", "waits")

    assert str(trace).splitlines() == ["    0.000 s  worker A  crashes", "    1.500 s  broker    waits"]
