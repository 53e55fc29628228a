"""The keeper's rounds, each at a moment of the test's choosing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from taskforge import BrokerUnavailable, Taskforge
from taskforge.brokers.protocol import BATCH, Broker, Extension
from taskforge.job import Delivery
from taskforge.run import Run, StopCause
from taskforge.testing import FlakyBroker
from taskforge.worker.keeper import EXPECT_FOR, REPORTS, Keeper
from taskforge.worker.slots import Slots
from tests.worker.deliveries import run_of

#: A lease of 10 s is extended this often.
BEAT = 2.5


class Recording(FlakyBroker):
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.extended: list[list[str]] = []
        self.reported: list[bytes] = []
        self.announced: list[list[str]] = []
        self.lost: list[Delivery] = []
        self.stop: list[Delivery] = []
        self.away = False

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        self.extended.append([delivery.id for delivery in deliveries])
        self._answer()
        return Extension(self.lost, self.stop)

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        self._answer()
        self.reported.append(progress)
        return True

    def announce(self, queues: Sequence[str]) -> None:
        self.announced.append(list(queues))
        self._answer()

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailable("away")


class Kept:
    """A keeper, what it keeps, and what it said."""

    def __init__(self, app: Taskforge) -> None:
        self.app, self.broker = app, Recording(app.broker)
        self.slots = Slots((100, 300), ["default"], lambda queue: [])
        self.overstaying: list[Run] = []
        self.keeper = Keeper(
            self.broker, app.codec, app.settings, app.clock, self.slots, ["default"], self.overstaying.append
        )
        self.task = app.task(name="task")(lambda: None)
        self.keeper.tick(0.0)

    def running(self, timeout: float | None = None, began: float = 0.0) -> Run:
        """A run that holds a slot, begun at this moment."""
        run = run_of(self.app, self.task.using(timeout=timeout))
        self.slots.take([run])
        run.begin(began)
        return run


@pytest.fixture
def kept(app: Taskforge) -> Kept:
    return Kept(app)


def test_leases_are_extended_four_times_in_their_life(kept: Kept) -> None:
    run = kept.running()

    for tenth in range(101):
        kept.keeper.tick(tenth / 10)

    assert kept.broker.extended == [[run.id]] * 4


def test_what_has_just_come_into_line_is_not_said_to_have_begun(kept: Kept) -> None:
    fresh, old = (run_of(kept.app, kept.task) for _ in range(2))
    kept.slots.take([old])
    kept.keeper.tick(1.0)
    fresh.handed_out = BEAT - 0.3
    kept.slots.take([fresh])
    kept.keeper.tick(BEAT - 0.2)

    kept.keeper.tick(BEAT)

    assert kept.broker.extended == [[old.id]]


def test_nothing_running_means_nothing_to_extend(kept: Kept) -> None:
    for second in range(100):
        kept.keeper.tick(float(second))

    assert kept.broker.extended == []


def test_a_missed_beat_is_made_up_for_within_a_second(kept: Kept) -> None:
    kept.running()
    kept.broker.away = True
    kept.keeper.tick(BEAT)
    kept.broker.away = False

    kept.keeper.tick(BEAT + 0.9)
    before = len(kept.broker.extended)
    kept.keeper.tick(BEAT + 1.0)

    assert (before, len(kept.broker.extended)) == (1, 2)


def test_many_runs_are_extended_in_batches(kept: Kept) -> None:
    async def sleep() -> None: ...

    task = kept.app.task(name="async")(sleep)
    for _ in range(300):
        kept.slots.take([run_of(kept.app, task)])
    kept.keeper.tick(1.0)

    kept.keeper.tick(BEAT)

    assert sorted(len(batch) for batch in kept.broker.extended) == [50, 250]


@pytest.mark.parametrize(("answer", "cause"), [("lost", StopCause.LOST), ("stop", StopCause.CANCEL)])
def test_what_the_broker_says_of_a_delivery_reaches_its_run(kept: Kept, answer: str, cause: StopCause) -> None:
    asked, spared = kept.running(), kept.running()
    getattr(kept.broker, answer).append(asked.delivery)

    kept.keeper.tick(BEAT)

    assert (asked.should_stop, asked.cause) == (True, cause)
    assert not spared.should_stop


def test_a_lost_lease_outweighs_an_earlier_request(kept: Kept) -> None:
    run = kept.running()
    kept.broker.stop.append(run.delivery)
    kept.keeper.tick(BEAT)
    kept.broker.lost.append(run.delivery)

    kept.keeper.tick(2 * BEAT)

    assert run.cause is StopCause.LOST


def test_only_the_latest_progress_travels_at_most_once_a_second(kept: Kept) -> None:
    run = kept.running()

    for tenth in range(25):
        run.progress(tenth)
        kept.keeper.tick(100 + tenth / 10)

    done = [kept.app.codec.read_plain(blob) for blob in kept.broker.reported]
    assert done == [[0, None, ""], [10, None, ""], [20, None, ""]]


def test_progress_that_could_not_be_sent_is_sent_later(kept: Kept) -> None:
    run = kept.running()
    run.progress(5)
    kept.broker.away = True
    kept.keeper.tick(1.0)
    kept.broker.away = False

    kept.keeper.tick(3.0)

    assert len(kept.broker.reported) == 1


def test_a_run_is_asked_to_stop_at_its_timeout_and_not_before(kept: Kept) -> None:
    run = kept.running(timeout=5, began=100)

    kept.keeper.tick(104.9)
    before = run.should_stop
    kept.keeper.tick(105)

    assert (before, run.should_stop, run.cause) == (False, True, StopCause.TIMEOUT)
    assert kept.overstaying == []


def test_a_run_that_outstays_its_grace_is_said_to(kept: Kept) -> None:
    run = kept.running(timeout=5, began=100)
    kept.keeper.tick(105)

    kept.keeper.tick(105 + 3)
    within_grace = list(kept.overstaying)
    kept.keeper.tick(105 + 3.1)

    assert (within_grace, set(kept.overstaying)) == ([], {run})


def test_a_run_that_has_ended_is_not_timed_out(kept: Kept) -> None:
    run = kept.running(timeout=5, began=100)
    run.ended = True

    kept.keeper.tick(200)

    assert not run.should_stop


def test_queues_are_announced_each_minute_and_sooner_after_a_failure(kept: Kept) -> None:
    for second in range(1, 61):
        kept.keeper.tick(float(second))
    each_minute = len(kept.broker.announced)
    kept.broker.away = True
    kept.keeper.tick(120.0)
    kept.broker.away = False
    kept.keeper.tick(122.0)

    assert (each_minute, len(kept.broker.announced)) == (2, 4)


def test_few_runs_that_came_at_different_times_are_soon_extended_together(kept: Kept) -> None:
    for n in range(6):
        kept.running(began=n / 10).handed_out = n / 10
        kept.keeper.tick(n / 10)

    for tenth in range(6, 120):
        kept.keeper.tick(tenth / 10)

    assert kept.broker.extended[-1:] != []
    assert all(len(batch) == 6 for batch in kept.broker.extended)
    assert len(kept.broker.extended) in (4, 5)


def test_the_batches_of_many_that_came_at_once_are_spread_over_the_beat(kept: Kept) -> None:
    kept.slots.take([run_of(kept.app, kept.task) for _ in range(5 * BATCH)])
    kept.keeper.tick(0.1)

    in_a_round = []
    for tenth in range(2, 102):
        before = len(kept.broker.extended)
        kept.keeper.tick(tenth / 10)
        in_a_round.append(len(kept.broker.extended) - before)

    times = Counter(job for batch in kept.broker.extended for job in batch)
    assert max(in_a_round) <= 2
    assert len(times) == 5 * BATCH
    assert set(times.values()) <= {4, 5}


def test_what_has_ended_but_is_not_settled_keeps_its_lease_and_what_is_settled_does_not(kept: Kept) -> None:
    unsettled, settled = kept.running(), kept.running()
    kept.keeper.tick(0.5)
    unsettled.ended = settled.ended = True
    kept.slots.let_go([settled])

    kept.keeper.tick(BEAT)

    assert kept.broker.extended == [[unsettled.id]]


def test_of_many_runs_that_ended_within_a_beat_nothing_is_kept(kept: Kept) -> None:
    for n in range(60):
        runs = [kept.running() for _ in range(50)]
        kept.keeper.tick(n / 100)
        kept.keeper.tick(n / 100)
        kept.slots.let_go(runs)

    assert len(kept.keeper.leases) < 500
    assert kept.broker.extended == []


def test_while_the_broker_is_away_it_is_asked_once_a_second_and_warned_of_once(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.slots.take([run_of(kept.app, kept.task) for _ in range(4 * BATCH)])
    kept.keeper.tick(0.5)
    kept.broker.away = True

    for tenth in range(25, 55):
        kept.keeper.tick(tenth / 10)
    asked = len(kept.broker.extended)
    kept.broker.away = False
    kept.keeper.tick(6.6)

    warnings = [record for record in caplog.records if record.message == "lease_not_extended"]
    assert asked <= 4
    assert len(warnings) == 1
    assert {job for batch in kept.broker.extended[asked:] for job in batch} == {run.id for run in kept.slots.runs()}


def test_of_many_runs_that_make_progress_each_gets_its_turn(kept: Kept) -> None:
    runs = [kept.running() for _ in range(2 * REPORTS)]
    kept.keeper.tick(1.0)
    for second in range(2, 5):
        for run in runs:
            run.progress(second)
        kept.keeper.tick(float(second))

    assert len(kept.broker.reported) == 3 * REPORTS
    assert len({run.id for run in runs if run.latest_progress is None}) == REPORTS


def test_a_job_that_was_asked_to_stop_is_looked_at_at_once(kept: Kept) -> None:
    asked, spared = kept.running(), kept.running()
    kept.broker.stop.append(asked.delivery)

    kept.keeper.look([asked.id])

    assert kept.broker.extended == [[asked.id]]
    assert (asked.cause, spared.cause) == (StopCause.CANCEL, None)


def test_a_request_to_stop_that_is_heard_of_before_its_job_is_here_is_not_forgotten(kept: Kept) -> None:
    run = run_of(kept.app, kept.task)
    kept.broker.stop.append(run.delivery)
    kept.keeper.look([run.id])
    kept.slots.take([run])

    kept.keeper.tick(0.25)

    assert run.cause is StopCause.CANCEL


def test_a_request_to_stop_of_a_job_that_never_comes_is_not_looked_for_for_long(kept: Kept) -> None:
    kept.keeper.look(["elsewhere"])

    kept.keeper.tick(kept.app.clock.monotonic() + EXPECT_FOR + 1)

    assert kept.keeper._expected == {}


def test_a_request_to_stop_is_looked_at_again_when_the_broker_did_not_answer(kept: Kept) -> None:
    run = kept.running()
    kept.broker.stop.append(run.delivery)
    kept.broker.away = True
    kept.keeper.look([run.id])
    kept.broker.away = False

    kept.keeper.tick(0.25)

    assert run.cause is StopCause.CANCEL
