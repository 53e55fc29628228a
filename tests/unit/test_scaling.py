"""How many processes are wanted: at single moments, and over the course of simulated queues."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from taskforge.scaling import CALM, HOLD, ROUND, Course, Goal, Load, drain_time, needed, parse_range, steer

GOAL = Goal(0, 10, drain=30.0)


# A single moment


@pytest.mark.parametrize(
    ("why", "load", "wanted"),
    [
        ("nothing at all", Load(), 0),
        ("nothing waits and nothing runs", Load(processes=4, places=8), 0),
        ("a job is ready where no process is", Load(ready=1), 1),
        ("a job is soon due where no process is", Load(soon=1), 1),
        ("very many are ready where no process is", Load(ready=100_000, oldest=60), 1),
        ("three long jobs run on eight threads", Load(busy=3, processes=1, places=8), 1),
        ("three long jobs have just come to eight idle threads", Load(ready=3, oldest=0.1, processes=1, places=8), 1),
        ("as many run as there are threads", Load(busy=8, processes=1, places=8), 1),
        ("what waits is done in 10 s", Load(100, 0, 10, 8, 1, 8, throughput=10), 1),
        ("what waits takes 60 s", Load(600, 0, 10, 8, 1, 8, throughput=10), 2),
        ("what waits takes 60 s, for two", Load(1_200, 0, 10, 16, 2, 8, throughput=20), 4),
        ("what waits and what is soon due take 60 s", Load(300, 300, 10, 8, 1, 8, throughput=10), 2),
        ("it would take an hour", Load(36_000, 0, 10, 8, 1, 8, throughput=10), 10),
        ("the oldest waits too long, though all will be done in 12 s", Load(12, 0, 31, 8, 1, 8, throughput=1), 2),
        ("the oldest waits too long, but all will be done in 1 s", Load(12, 0, 31, 8, 1, 8, throughput=10), 1),
        ("the oldest waits for ever, though all will be done in 1 s", Load(12, 0, 121, 8, 1, 8, throughput=10), 2),
        ("a few slow jobs wait: no more than they fill", Load(4, 0, 600, 8, 1, 8, throughput=0.01), 2),
        ("many slow jobs wait, none has ended yet", Load(400, 0, 31, 8, 1, 8), 2),
        ("a burst has come to idle threads, whose speed is known", Load(900, 0, 0.1, 0, 1, 8, 0.1, per_job=0.1), 1),
        ("a burst has come to idle threads, whose speed is not known", Load(900, 0, 0.1, 0, 1, 8, 0.1), 1),
        ("free slots that nobody's jobs can have", Load(50, 0, 40, 8, 1, 108, throughput=0.1), 8),
        ("forty slow jobs have just come to ten idle processes", Load(40, 0, 0.1, 0, 10, 8, 0.1, per_job=600), 5),
        ("quick jobs have just come to ten idle processes", Load(40, 0, 0.1, 0, 10, 8, 0.1, per_job=0.01), 1),
        ("many slow jobs fall due soon", Load(0, 100, None, 0, 1, 8, 0.1, per_job=600), 10),
        ("few slow jobs fall due soon", Load(0, 3, None, 0, 1, 8, 0.1, per_job=600), 1),
        ("jobs run that no living process holds", Load(busy=3), 1),
        ("most of them idle", Load(busy=4, processes=4, places=8), 1),
        ("the rest would be too full", Load(busy=12, processes=2, places=8), 2),
        ("one less would still have room", Load(busy=10, processes=3, places=8), 2),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_load_needs_so_many_processes(why: str, load: Load, wanted: int) -> None:
    assert needed(GOAL, load) == wanted


@pytest.mark.parametrize(("low", "high", "found"), [(2, 4, 2), (0, 1, 1), (5, 5, 5)])
def test_what_is_needed_stays_within_the_goals_range(low: int, high: int, found: int) -> None:
    goal = Goal(low, high)

    few, many = needed(goal, Load()), needed(goal, Load(10_000, 0, 60, 8, 1, 8, throughput=1.0))

    assert (few, many) == (low, found if low == high else min(high, 10))


def test_the_drain_time_is_what_waits_over_what_is_done() -> None:
    assert drain_time(Load()) == 0.0
    assert drain_time(Load(ready=5)) is None
    assert drain_time(Load(600, 0, 20, 8, 1, 8, throughput=10)) == 60.0
    assert drain_time(Load(300, 300, 20, 16, 2, 8, throughput=10)) == 60.0


@pytest.mark.parametrize("text", ["", "4", "1..", "..4", "4..1", "0..0", "-1..4", "1...4", "a..b", "1..4x"])
def test_a_range_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"range"):
        parse_range(text)


def test_a_range_is_read() -> None:
    assert [parse_range(text) for text in ("1..8", " 0 .. 3 ", "2..2")] == [(1, 8), (0, 3), (2, 2)]


@pytest.mark.parametrize("drain", [0.0, -1.0, math.inf, math.nan])
def test_a_drain_time_that_is_none_is_refused(drain: float) -> None:
    with pytest.raises(ValueError, match="drain time"):
        Goal(0, 1, drain)


# Round after round


def test_it_grows_to_twice_what_there_is_at_most() -> None:
    flood = Load(1_000_000, 0, 20, 8, 1, 8, throughput=1.0)
    course, seen = Course(1), []

    for _ in range(5):
        seen.append(course.wanted)
        course = steer(Goal(0, 100), course, replace(flood, busy=8 * course.wanted, processes=course.wanted))

    assert seen == [1, 2, 4, 8, 16]


def test_it_asks_for_no_more_while_those_it_asked_for_are_not_there() -> None:
    flood = Load(1_000_000, 0, 20, 8, 1, 8, throughput=1.0)
    course, seen = Course(1), []

    for _ in range(HOLD + 2):
        course = steer(Goal(0, 100), course, flood)
        seen.append(course.wanted)

    assert seen == [2] * (HOLD + 1) + [4]


def test_it_shrinks_after_calm_rounds_to_what_the_neediest_of_them_needed() -> None:
    course = Course(6)

    for n in range(CALM):
        assert course.wanted == 6
        course = steer(GOAL, course, Load(busy=20 if n == 3 else 1, processes=6, places=8))

    assert course.wanted == 4


def test_it_shrinks_by_half_at_most_and_then_waits_anew() -> None:
    course, seen = Course(10), []

    for _ in range(3 * CALM):
        course = steer(GOAL, course, Load(processes=course.wanted, places=8))
        seen.append(course.wanted)

    assert seen == [10] * (CALM - 1) + [5] * CALM + [2] * CALM + [1]


def test_one_round_that_needs_them_all_begins_the_calm_anew() -> None:
    calm, busy = Load(busy=1, processes=2, places=8), Load(busy=12, processes=2, places=8)
    course, seen = Course(2), []

    for load in [calm] * 5 + [busy] + [calm] * CALM:
        course = steer(GOAL, course, load)
        seen.append(course.wanted)

    assert seen == [2] * (5 + CALM) + [1]


def test_from_zero_it_grows_at_the_first_job_and_goes_back_when_all_is_done() -> None:
    course = steer(GOAL, Course(0), Load(soon=1))
    assert course.wanted == 1

    for _ in range(CALM):
        course = steer(GOAL, course, Load(processes=1, places=8))

    assert course.wanted == 0


def test_what_a_process_can_do_is_learned_only_from_those_that_have_enough_to_do() -> None:
    idle = steer(GOAL, Course(1), Load(busy=1, processes=1, places=8, throughput=2.0))
    fresh = steer(GOAL, idle, Load(50, 0, 1, 8, 1, 8, throughput=2.0))
    stuck = steer(GOAL, fresh, Load(50, 0, 6, 8, 1, 8, throughput=100.0))
    slower = steer(GOAL, stuck, Load(50, 0, 6, 8, 1, 8, throughput=0.0))
    idle_again = steer(GOAL, slower, Load(busy=1, processes=1, places=8, throughput=2.0))
    quick = steer(GOAL, idle_again, Load(busy=1, processes=1, places=8, throughput=70.0))

    courses = (idle, fresh, stuck, slower, idle_again, quick)
    assert [course.each for course in courses] == [None, None, 100.0, 50.0, 50.0, 70.0]


# Simulated queues


@dataclass
class Queue:
    """A queue in made-up time: jobs come, processes that start a little late run them, and the policy is asked."""

    goal: Goal
    takes: Callable[[float], float]  # seconds that a job takes which starts at this moment
    places: int = 8
    starts_in: float = 2.0
    step: float = 0.1
    processes: int = 0
    now: float = 0.0
    waiting: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    coming: list[float] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    longest: float = 0.0
    steering: Callable[[Goal, Course, Load], Course] = steer

    def run(self, rate: Callable[[float], float], seconds: float) -> Queue:
        """Jobs come at this rate for so long."""
        course, due, done, asked = Course(self.goal.minimum), 0.0, 0, 0.0
        self.processes = self.goal.minimum
        for tick in range(int(seconds / self.step)):
            self.now = tick * self.step
            due += rate(self.now) * self.step
            self.waiting += [self.now] * int(due)
            due -= int(due)
            done += self._work()
            if self.now >= asked:
                course = self.steering(self.goal, course, self._load(done / ROUND))
                self._become(course.wanted)
                done, asked = 0, asked + ROUND
        return self

    def _work(self) -> int:
        while self.coming and self.coming[0] <= self.now:
            heapq.heappop(self.coming)
            self.processes += 1
        before = len(self.running)
        self.running = [end for end in self.running if end > self.now]
        done = before - len(self.running)
        free = max(0, min(self.processes * self.places - len(self.running), len(self.waiting)))
        started, self.waiting = self.waiting[:free], self.waiting[free:]
        self.longest = max([self.longest, *(self.now - each for each in started)])
        self.running += [self.now + self.takes(self.now)] * len(started)
        return done

    def _load(self, throughput: float) -> Load:
        oldest = self.now - self.waiting[0] if self.waiting else None
        return Load(len(self.waiting), 0, oldest, len(self.running), self.processes, self.places, throughput)

    def _become(self, wanted: int) -> None:
        self.wanted.append(wanted)
        there = self.processes + len(self.coming)
        for _ in range(there, wanted):
            heapq.heappush(self.coming, self.now + self.starts_in)
        if wanted < there:
            self.coming = []
            self.processes = min(self.processes, wanted)

    def turns(self, since: float = 0.0) -> int:
        """How often the number of processes changed its direction after this moment."""
        steps = [b - a for a, b in pairwise(self.wanted[int(since / ROUND) :]) if a != b]
        return sum(1 for a, b in pairwise(steps) if (a > 0) != (b > 0))

    def settled(self, since: float) -> set[int]:
        return set(self.wanted[int(since / ROUND) :])


class Outside:
    """An outside scaler that follows what each single moment needs: up at once, down to the most of five minutes."""

    def __init__(self) -> None:
        self.lately: deque[int] = deque(maxlen=int(300 / ROUND))

    def __call__(self, goal: Goal, course: Course, load: Load) -> Course:
        self.lately.append(needed(goal, replace(load, per_job=0.5)))
        if self.lately[-1] > course.wanted:
            return Course(min(self.lately[-1], max(2 * course.wanted, course.wanted + 4)))
        return Course(min(course.wanted, max(self.lately)))


@pytest.mark.parametrize("rate", [1, 7, 15, 16, 17, 24, 30, 31, 47, 79, 81, 140])
def test_a_steady_load_finds_its_number_of_processes_and_keeps_it(rate: float) -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 0.5)  # 16 a second and process

    queue.run(lambda at: rate, 1_200)

    least = math.ceil(rate / 16)
    assert len(queue.settled(600)) == 1, queue.wanted
    assert least <= queue.wanted[-1] <= math.ceil(least * 1.5) + 1
    assert queue.turns() <= 1
    assert queue.longest < 60


@pytest.mark.parametrize("period", [10, 20, 40])
def test_bursts_closer_than_a_minute_do_not_make_it_flap(period: float) -> None:
    queue = Queue(Goal(0, 40), takes=lambda at: 0.5)

    queue.run(lambda at: 200 if at % period < 5 else 0, 1_200)

    assert queue.turns(since=240) == 0, queue.wanted
    assert queue.longest < 60


@pytest.mark.parametrize("period", [30, 60, 240])
def test_a_sawtooth_does_not_make_it_flap(period: float) -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 0.5)

    queue.run(lambda at: 100 * (at % period) / period, 1_920)

    # At most once up and once down for each tooth, and then only for teeth longer than the calm it waits for.
    assert queue.turns(since=480) <= (2 * (1_920 - 480) / period if period > CALM * ROUND else 0), queue.wanted
    assert queue.longest < 60


def test_three_jobs_of_ten_minutes_do_not_grow_it() -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 600.0)

    queue.run(lambda at: 30 if at < 0.1 else 0, 1_000)

    assert set(queue.wanted) == {1}


def test_slow_jobs_that_fill_every_slot_get_processes_but_no_more_than_they_fill() -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 600.0)

    queue.run(lambda at: 300 if at < 0.1 else 0, 500)

    assert max(queue.wanted) == 4  # thirty jobs, eight to each


def test_when_jobs_become_slow_it_grows_again() -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 0.1 if at < 300 else 2.0)

    queue.run(lambda at: 20, 1_200)

    assert queue.settled(600) & set(range(5, 10)) == queue.settled(600)
    assert queue.turns() <= 1
    assert queue.longest < 60


def test_after_the_load_it_goes_back_to_its_minimum() -> None:
    queue = Queue(Goal(0, 40), takes=lambda at: 0.5)

    queue.run(lambda at: 200 if at < 120 else 0, 900)

    assert max(queue.wanted) >= 8
    assert queue.wanted[-1] == 0
    assert queue.turns() == 1


@pytest.mark.parametrize("rate", [1, 15, 17, 31, 79, 140])
def test_an_outside_scaler_that_is_slow_to_shrink_finds_the_number_for_a_steady_load(rate: float) -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 0.5, steering=Outside())

    queue.run(lambda at: rate, 1_200)

    assert len(queue.settled(600)) == 1, queue.wanted
    assert math.ceil(rate / 16) <= queue.wanted[-1] <= math.ceil(rate / 16 * 1.5) + 1
    assert queue.longest < 60


@pytest.mark.parametrize("period", [10, 40, 200])
def test_an_outside_scaler_that_is_slow_to_shrink_does_not_flap_under_bursts(period: float) -> None:
    queue = Queue(Goal(0, 40), takes=lambda at: 0.5, steering=Outside())

    queue.run(lambda at: 200 if at % period < 5 else 0, 1_800)

    assert queue.turns(since=600) == 0, queue.wanted
    assert queue.longest < 60


@pytest.mark.parametrize(("jobs", "most"), [(2_000, 4), (10_000, 25)])
def test_many_jobs_that_were_enqueued_at_once_do_not_grow_it_when_they_are_nearly_done(jobs: int, most: int) -> None:
    queue = Queue(Goal(1, 40), takes=lambda at: 0.1, places=2)  # 20 a second and process

    queue.run(lambda at: 10 * jobs if at < 0.1 else 0, 90)

    assert max(queue.wanted) == most, queue.wanted
    assert queue.turns() == 0
    assert queue.longest < 60
