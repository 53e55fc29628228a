"""The exchanger's rounds, one by one, against a broker in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from taskforge import Args, JobState, Taskforge
from taskforge.brokers.protocol import Broker, Demand, Exchange, Extension
from taskforge.brokers.stamp import Stamp
from taskforge.job import Delivery
from taskforge.outcome import HandedBack, Succeeded
from taskforge.run import Run
from taskforge.settlement import Settlement
from taskforge.testing import FakeClock, FlakyBroker
from taskforge.worker.exchanger import AHEAD_AT_MOST, Exchanger
from taskforge.worker.line import Line
from taskforge.worker.runner import Runner
from taskforge.worker.slots import Slots


class Recording(FlakyBroker):
    """Keeps what was asked."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.asked: list[tuple[Demand, int, Stamp]] = []
        self.waits: list[float] = []
        self.extended: list[Delivery] = []

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        self.extended += deliveries
        return super().extend(deliveries)

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        self.asked.append((demand, len(settlements), stamp))
        return super().exchange(demand, settlements, stamp)

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        """The bell rings at once."""
        self.waits.append(timeout)
        return True


class Executor:
    """Puts runs in line, and runs nothing by itself."""

    def __init__(self) -> None:
        self.line = Line()

    def submit(self, runs: Sequence[Run], now: float) -> None:
        for run in runs:
            run.handed_out = now
        self.line.add(runs)


class Rounds:
    """An exchanger without its thread."""

    def __init__(
        self,
        app: Taskforge,
        threads: int = 3,
        *,
        burst: bool = False,
        ahead: float = 0.0,
        queues: Sequence[str] = ("default",),
    ) -> None:
        self.clock = app.clock = FakeClock()
        self.broker, self.plain, self.asynchronous = Recording(app.broker), Executor(), Executor()
        self.slots = Slots((threads, 3), queues, lambda queue: [False], in_order=len(queues) == 1, ahead=ahead)
        self.exchanger = Exchanger(app, self.broker, Runner(app), self.slots, queues, burst)
        self.exchanger.threads, self.exchanger.loop = self.plain, self.asynchronous  # type: ignore[assignment]

    def tick(self, times: int = 1) -> list[bool]:
        return [self.exchanger.tick() for _ in range(times)]

    def finish(self, count: int, value: object = None) -> None:
        """The oldest runs return."""
        for _ in range(count):
            self.exchanger.done(self.start(), Succeeded(value))

    def start(self) -> Run:
        """A slot takes the oldest run that stands in line."""
        run = self.plain.line.next()
        assert run is not None
        run.begin(self.clock.monotonic())
        return run


@pytest.fixture
def rounds(app: Taskforge) -> Rounds:
    app.task(name="note")(lambda: None)
    return Rounds(app)


def test_it_claims_into_free_slots_and_no_more(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").enqueue_many([()] * 5)

    rounds.tick()

    assert (len(rounds.plain.line), app.inspector.counts("default").ready) == (3, 2)


def test_it_settles_and_claims_in_one_exchange(app: Taskforge, rounds: Rounds) -> None:
    jobs = app.by_name("note").enqueue_many([()] * 5)
    rounds.tick()

    rounds.finish(2)
    rounds.tick()

    assert [settled for _, settled, _ in rounds.broker.asked] == [0, 2]
    assert [job.state() for job in jobs[:3]] == [JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.RUNNING]
    assert len(rounds.plain.line) == 3


def test_an_exchange_enqueues_about_a_batch_of_jobs_on_success_and_the_next_one_the_rest(
    app: Taskforge, rounds: Rounds
) -> None:
    app.by_name("note").enqueue_many([()] * 3)
    rounds.tick()

    for _ in range(3):
        run = rounds.start()
        run.then = app.desk.new_jobs(app.by_name("note"), [Args()] * 250)
        rounds.exchanger.done(run, Succeeded(None))
    rounds.exchanger.drain()
    rounds.tick(4)

    assert [settled for _, settled, _ in rounds.broker.asked] == [0, 1, 1, 1]
    assert app.inspector.counts("default").ready == 750


def test_a_run_that_was_given_up_and_ends_after_all_is_settled_once(app: Taskforge, rounds: Rounds) -> None:
    app.enqueue("note")
    rounds.tick()
    run = rounds.start()

    rounds.exchanger.done(run, HandedBack())
    rounds.exchanger.done(run, Succeeded(None))
    rounds.exchanger.drain()
    rounds.tick(2)

    assert [settled for _, settled, _ in rounds.broker.asked] == [0, 1]


def test_a_call_is_repeated_the_same_until_it_is_answered(app: Taskforge, rounds: Rounds) -> None:
    told: list[str] = []
    app.signals.broker_lost.connect(lambda app, error: told.append("lost"), weak=False)
    app.signals.broker_back.connect(lambda app: told.append("back"), weak=False)
    app.by_name("note").enqueue_many([()] * 3)
    rounds.broker.lose_request("exchange")
    rounds.broker.lose_reply("exchange", 2)

    rounds.tick()

    assert len(rounds.broker.asked) == 4
    assert len({repr(asked) for asked in rounds.broker.asked}) == 1
    assert len(rounds.plain.line) == 3
    assert told == ["lost", "back"]


def test_each_call_has_a_number_above_the_last(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").enqueue_many([()] * 5)
    rounds.tick()
    rounds.finish(1)
    rounds.tick(2)

    stamps = [stamp for _, _, stamp in rounds.broker.asked]
    assert len({stamp.sender for stamp in stamps}) == 1
    assert [stamp.number for stamp in stamps] == sorted({stamp.number for stamp in stamps})


def test_with_nothing_to_claim_it_listens_until_the_next_job_falls_due(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").using(delay=0.7).enqueue()

    rounds.tick(2)

    assert len(rounds.broker.asked) == 1
    assert 0.5 < rounds.broker.waits[0] <= 0.7


def test_it_looks_by_itself_every_two_seconds_at_least(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").using(delay=700).enqueue()

    rounds.tick(2)

    assert 1.9 < rounds.broker.waits[0] <= 2


def test_after_a_bell_it_claims(app: Taskforge, rounds: Rounds) -> None:
    rounds.tick(2)
    app.enqueue("note")

    rounds.tick()

    assert len(rounds.plain.line) == 1


def test_while_it_drains_it_settles_and_claims_nothing(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").enqueue_many([()] * 5)
    rounds.tick()
    running = [rounds.start() for _ in range(3)]
    rounds.exchanger.drain()

    for run in running:
        rounds.exchanger.done(run, Succeeded(None))
    rounds.tick()

    counts = app.inspector.counts("default")
    assert (counts.succeeded, counts.running, counts.ready) == (3, 0, 2)
    assert rounds.exchanger.empty.is_set()


def test_a_kind_of_job_that_gets_no_slot_is_handed_back_soon(app: Taskforge, rounds: Rounds) -> None:
    async def odd() -> None: ...

    app.task(name="odd")(odd)
    rounds.slots.sizes, rounds.slots._free = (3, 0), [3, 0]
    job = app.enqueue("odd")

    rounds.tick()
    in_line = job.state()
    rounds.clock.advance(AHEAD_AT_MOST)
    rounds.tick()

    assert in_line is JobState.RUNNING
    assert (job.state(), job.info().attempts, job.info().crashes) == (JobState.READY, 0, 0)
    assert len(rounds.asynchronous.line) == 0


def test_a_burst_has_nothing_to_do_once_nothing_is_ready_or_running(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)
    rounds = Rounds(app, burst=True)
    app.enqueue("note")

    claimed = rounds.tick()
    rounds.finish(1)
    rest = rounds.tick(4)

    assert claimed == [True]
    assert rest[-1] is False
    assert app.inspector.counts("default").succeeded == 1
    assert rounds.broker.waits == []


def test_when_everything_ended_is_settled_it_stops(app: Taskforge, rounds: Rounds) -> None:
    app.by_name("note").enqueue_many([()] * 3)
    rounds.tick()
    rounds.finish(3)

    rounds.exchanger.stop()
    rounds.exchanger.run()

    assert app.inspector.counts("default").succeeded == 3
    assert rounds.exchanger.failure is None
