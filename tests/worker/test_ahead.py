"""What a worker holds beyond its free slots: only what it has shown to finish soon, and not for long."""

from __future__ import annotations

import pytest

from taskforge import JobHandle, JobState, Taskforge
from taskforge.brokers.protocol import Demand
from taskforge.brokers.stamp import Sender
from taskforge.outcome import Succeeded
from taskforge.worker.exchanger import AHEAD_AT_MOST
from taskforge.worker.line import Line
from taskforge.worker.pace import STALE, WINDOW, Pace
from taskforge.worker.slots import LOOP, THREADS, Slots
from tests.worker.deliveries import run_of
from tests.worker.test_exchanger import Rounds

SPAN = 0.020


def quick(pace: Pace, per_second: int = 10_000, *, start: float = 100.0) -> float:
    """Runs that end at this rate, for a while; when the last of them ended."""
    for step in range(10):
        pace.ended(int(per_second * WINDOW), 0.001, start + step * WINDOW)
    return start + 9 * WINDOW


def test_at_first_nothing_is_earned() -> None:
    assert Pace(SPAN).allowance(100.0) == 0


def test_what_finishes_within_the_span_is_earned() -> None:
    pace = Pace(SPAN)

    now = quick(pace, per_second=10_000)

    assert pace.allowance(now) == pytest.approx(10_000 * SPAN, abs=1)


def test_a_run_that_takes_longer_than_the_span_ends_all_credit() -> None:
    pace = Pace(SPAN)
    now = quick(pace)

    pace.ended(1, SPAN + 0.001, now)

    assert pace.allowance(now) == 0


def test_credit_is_earned_anew_after_a_slow_run() -> None:
    pace = Pace(SPAN)
    pace.ended(1, 30.0, quick(pace))

    now = quick(pace, start=200.0)

    assert pace.allowance(now) > 0


def test_what_was_shown_long_ago_is_no_promise() -> None:
    pace = Pace(SPAN)

    now = quick(pace)

    assert pace.allowance(now + STALE + 0.1) == 0


def test_a_line_gives_the_first_to_a_slot_and_the_last_to_who_hands_back(app: Taskforge) -> None:
    task = app.task(name="task")(lambda: None)
    runs = [run_of(app, task) for _ in range(4)]
    line = Line()
    line.add(runs)

    first, back = line.next(), line.take_back(2)

    assert first is runs[0]
    assert back == [runs[3], runs[2]]
    assert (line.take_back(9), line.next(), line.waiting_since()) == ([runs[1]], None, float("inf"))


def test_of_a_closed_line_nothing_starts(app: Taskforge) -> None:
    run = run_of(app, app.task(name="task")(lambda: None))
    line = Line()
    line.add([run])

    line.close()

    assert line.next() is None
    assert line.take_back(1) == [run]


def test_in_strict_order_only_the_first_queue_is_claimed_ahead(app: Taskforge) -> None:
    task = app.task(name="task", queue="second")(lambda: None)
    strict = Slots((8, 8), ["first", "second"], lambda queue: [False], in_order=True, ahead=SPAN)
    fair = Slots((8, 8), ["first", "second"], lambda queue: [False], in_order=False, ahead=SPAN)

    for slots in (strict, fair):
        for step in range(10):
            runs = [run_of(app, task) for _ in range(5)]
            slots.take(runs)
            for run in runs:
                run.begin(100.0 + step * WINDOW)
            slots.end(runs, 100.0 + step * WINDOW)

    assert not strict.demand(100.2).ahead.get("second")
    assert fair.demand(100.2).ahead["second"] > 0


def test_a_queue_that_got_no_room_comes_first_and_nothing_is_claimed_ahead_meanwhile() -> None:
    slots = Slots((8, 8), ["a", "b", "c"], lambda queue: [False], in_order=False, ahead=SPAN)

    slots.hungry(frozenset({"b"}))
    hungry = [slots.demand(100.0) for _ in range(3)]
    slots.hungry(frozenset())

    assert [demand.queues[0][0] for demand in hungry] == ["b", "b", "b"]
    assert all(not demand.ahead for demand in hungry)
    assert slots.demand(100.0).ahead.keys() == {"a", "b", "c"}


def test_a_queue_that_is_at_its_bound_is_not_one_that_gets_nothing(app: Taskforge) -> None:
    slots = Slots((8, 8), ["a", "b"], lambda queue: [False], in_order=False, ahead=SPAN)
    task = app.task(name="task", queue="a")(lambda: None)
    runs = [run_of(app, task), run_of(app, task)]
    slots.take(runs)

    full = slots.hungry(frozenset({"a"}))
    beside = slots.hungry(frozenset({"a", "b"}))
    slots.end(runs, 100.0)
    ended = slots.hungry(frozenset({"a"}))

    assert (full, beside, ended) == (False, True, True)


def test_quick_jobs_do_not_keep_another_queue_waiting(app: Taskforge) -> None:
    app.task(name="quick", queue="quick")(lambda: None)
    app.task(name="other", queue="other")(lambda: None)
    rounds = Ahead(app, "quick", "other")
    app.by_name("quick").enqueue_many([()] * 300)
    rounds.tick()
    rounds.work(40, took=0.001)
    earned = rounds.slots.demand(rounds.clock.monotonic()).ahead["quick"]
    rounds.slots._paces["other"]._rate = 50.0  # it has earned one once, less than the other holds
    rounds.slots._paces["other"]._latest = rounds.clock.monotonic()
    job = app.by_name("other").enqueue()

    rounds.work(30, took=0.001)

    assert earned > 10
    assert job.state() is not JobState.READY


class Ahead(Rounds):
    """Rounds of an exchanger that claims ahead, for a task whose runs take as long as they are told."""

    def __init__(self, app: Taskforge, *queues: str) -> None:
        super().__init__(app, threads=2, ahead=SPAN, queues=queues or ("default",))

    def work(self, count: int, took: float) -> None:
        """So many runs, one after the other, each taking so long (seconds)."""
        for _ in range(count):
            run = self.plain.line.next()
            assert run is not None
            run.begin(self.clock.monotonic())
            self.clock.advance(took)
            self.exchanger.done(run, Succeeded(None))
            self.tick()


@pytest.fixture
def ahead(app: Taskforge) -> Ahead:
    app.task(name="note")(lambda: None)
    return Ahead(app)


def test_a_worker_of_quick_jobs_holds_what_it_finishes_within_the_span(app: Taskforge, ahead: Ahead) -> None:
    app.by_name("note").enqueue_many([()] * 100)
    ahead.tick()
    at_first = len(ahead.plain.line)

    ahead.work(20, took=0.002)

    assert at_first == 2
    assert len(ahead.plain.line) == pytest.approx(2 + SPAN / 0.002, abs=1)


def test_of_slow_jobs_nothing_is_held_beyond_the_slots(app: Taskforge, ahead: Ahead) -> None:
    app.by_name("note").enqueue_many([()] * 100)
    ahead.tick()

    ahead.work(20, took=0.030)

    assert len(ahead.plain.line) == 2


def test_what_has_not_started_in_time_goes_back_to_its_place(app: Taskforge, ahead: Ahead) -> None:
    jobs = app.by_name("note").enqueue_many([()] * 100)
    ahead.tick()
    ahead.work(20, took=0.002)
    stuck = [ahead.plain.line.next(), ahead.plain.line.next()]  # both slots are taken, and stay so

    ahead.clock.advance(AHEAD_AT_MOST)
    ahead.tick()
    ready = [job.state() for job in jobs[22:]]

    assert None not in stuck
    assert set(ready) == {JobState.READY}
    assert all(job.info().attempts == job.info().crashes == 0 for job in jobs[22:])
    assert [record.id for record in app.inspector.list("default", JobState.READY, 0, 3)] == [j.id for j in jobs[22:25]]


def test_after_that_nothing_is_claimed_ahead_until_it_is_earned_anew(app: Taskforge, ahead: Ahead) -> None:
    app.by_name("note").enqueue_many([()] * 100)
    ahead.tick()
    ahead.work(20, took=0.002)
    stuck = [ahead.plain.line.next(), ahead.plain.line.next()]
    ahead.clock.advance(AHEAD_AT_MOST)

    ahead.tick(3)

    assert None not in stuck
    assert len(ahead.plain.line) == 0
    assert (ahead.slots.surplus(THREADS), ahead.slots.surplus(LOOP)) == (0, 0)


def test_a_job_that_may_not_be_claimed_ahead_starts_with_the_next_free_slot(app: Taskforge, ahead: Ahead) -> None:
    crashed = crash(app)
    app.by_name("note").enqueue_many([()] * 22)
    ahead.tick()

    ahead.work(20, took=0.002)
    in_line, while_slots_are_taken = len(ahead.plain.line), crashed.state()
    ahead.work(1, took=0.002)

    assert (in_line, while_slots_are_taken) == (2, JobState.READY)
    assert crashed.state() is JobState.RUNNING


def crash(app: Taskforge) -> JobHandle[object]:
    """A job, behind all others, that waits again after its lease ran out in another worker."""
    job = app.by_name("note").using(priority=-9).enqueue()
    app.broker.exchange(Demand((1,), (("default", (0,)),)), [], Sender().stamp())
    lease = app.settings.lease.total_seconds()
    for _ in range(4):
        app.clock.advance(lease / 4 + 0.1)  # type: ignore[attr-defined]  # a FakeClock
        app.broker.exchange(Demand((0,), (("default", (0,)),)), [], Sender().stamp())
    assert job.info().crashes == 1
    return job


def test_a_drain_hands_back_at_once_what_has_not_started(app: Taskforge, ahead: Ahead) -> None:
    app.by_name("note").enqueue_many([()] * 100)
    ahead.tick()
    ahead.work(20, took=0.002)
    held = len(ahead.plain.line)

    ahead.exchanger.drain()
    ahead.tick()

    counts = app.inspector.counts("default")
    assert held > 2
    assert (counts.succeeded, counts.running, counts.ready) == (20, 0, 80)
