"""The warden's rounds, each at a moment of the test's choosing: what is timed out, and what is forgiven."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskforge import Taskforge
from taskforge.run import Run, StopCause
from taskforge.worker import loopwatch
from taskforge.worker.loopwatch import LoopWatch
from taskforge.worker.slots import Slots
from taskforge.worker.warden import PACE, Warden
from tests.worker.deliveries import run_of


class ALoop:
    """A loop that turns when it is told to."""

    ident = 1

    def __init__(self) -> None:
        self.answers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return 2

    def ping(self, answer: Callable[[], None]) -> None:
        self.answers.append(answer)

    def turn(self) -> None:
        while self.answers:
            self.answers.pop()()


class Ward:
    """A warden, its loop, and what it said."""

    def __init__(self, app: Taskforge, patience: float = 30.0) -> None:
        self.app, self.loop = app, ALoop()
        self.slots = Slots((100, 300), ["default"], lambda queue: [])
        self.overstaying: list[Run] = []
        self.failures: list[Exception] = []
        self.told: list[tuple[Run | None, float]] = []
        self.adopted: list[Run] = []
        self.warden = Warden(self.slots, app.clock, app.settings, self.overstaying.append, self.adopted.extend)
        self.watch = LoopWatch(app, self.loop, patience, self.overstaying.append, self.failures.append)
        app.signals.loop_blocked.connect(self._tell)
        self.warden.loop = self.watch

        async def asynchronous() -> None: ...

        self.plain, self.asynchronous = app.task(name="plain")(lambda: None), app.task(name="async")(asynchronous)

    def running(self, *, timeout: float | None, began: float, on_loop: bool = False) -> Run:
        run = run_of(self.app, (self.asynchronous if on_loop else self.plain).using(timeout=timeout))
        self.slots.take([run])
        run.begin(began)
        return run

    def rounds(self, start: float, end: float, turning: bool = True) -> None:
        """All rounds from one moment to the other, at the usual pace."""
        now = start
        while now <= end:
            self.warden.tick(now)
            if turning:
                self.loop.turn()
            now += PACE

    def _tell(self, app: Taskforge, *, run: Run | None, seconds: float, stack: str) -> None:
        self.told.append((run, seconds))


@pytest.fixture
def ward(app: Taskforge) -> Ward:
    return Ward(app)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run | None], None]:
    """Has this run be found on the loop's thread."""
    return lambda run: monkeypatch.setattr(loopwatch, "run_on", lambda ident: run)


def test_a_quick_run_is_never_adopted(ward: Ward) -> None:
    quick = ward.running(timeout=None, began=0)
    ward.warden.tick(0.1)
    ward.slots.let_go([quick])

    ward.rounds(0.35, 2)

    assert ward.adopted == []


def test_a_run_that_waits_for_its_turn_is_timed_out_by_its_own_start(ward: Ward) -> None:
    run = run_of(ward.app, ward.plain.using(timeout=5))
    ward.slots.take([run])
    ward.rounds(0, 100)
    run.begin(100)

    ward.rounds(100, 104.75)
    before = run.should_stop
    ward.rounds(105, 105)

    assert (before, run.cause) == (False, StopCause.TIMEOUT)


def test_what_held_the_process_up_is_forgiven_all_runs_but_those_that_were_overdue_before(ward: Ward) -> None:
    overdue, neighbour = ward.running(timeout=5, began=0), ward.running(timeout=11, began=0)
    ward.rounds(0, 4.75)  # then the interpreter is held from 6 to 16

    ward.warden.held_up(10, 16)
    ward.rounds(16, 20.75)
    before = neighbour.should_stop
    ward.rounds(21, 21.25)

    assert (overdue.cause, before, neighbour.cause) == (StopCause.TIMEOUT, False, StopCause.TIMEOUT)
    assert (ward.warden.held_ups, ward.warden.held_up_for) == (1, 10)


def test_a_run_that_began_while_the_process_was_held_up_is_forgiven_only_what_it_missed(ward: Ward) -> None:
    run = ward.running(timeout=5, began=14)

    ward.warden.held_up(10, 16)
    ward.rounds(16, 20.75)
    before = run.should_stop
    ward.rounds(21, 21)

    assert (before, run.cause) == (False, StopCause.TIMEOUT)


def test_the_grace_of_a_run_that_was_asked_does_not_run_while_the_process_is_held_up(ward: Ward) -> None:
    run = ward.running(timeout=5, began=0)
    ward.rounds(0, 5)

    ward.warden.held_up(10, 16)
    ward.rounds(16, 17.75)
    before = list(ward.overstaying)
    ward.rounds(18, 18.5)

    assert (run.cause, before, set(ward.overstaying)) == (StopCause.TIMEOUT, [], {run})


def test_a_coroutine_that_blocks_the_loop_is_timed_out_and_its_neighbours_are_not(
    ward: Ward, blocks: Callable[[Run | None], None]
) -> None:
    culprit = ward.running(timeout=5, began=0, on_loop=True)
    neighbours = [ward.running(timeout=5, began=0, on_loop=True) for _ in range(2)]
    thread = ward.running(timeout=8, began=0)
    ward.rounds(0, 2)
    blocks(culprit)

    ward.rounds(2, 12, turning=False)

    assert (culprit.cause, [run.cause for run in neighbours]) == (StopCause.TIMEOUT, [None, None])
    assert thread.cause is StopCause.TIMEOUT
    assert set(ward.overstaying) == {culprit, thread}


def test_what_the_loop_stood_still_is_added_to_the_neighbours_time(
    ward: Ward, blocks: Callable[[Run | None], None]
) -> None:
    culprit, neighbour = (ward.running(timeout=timeout, began=0, on_loop=True) for timeout in (100, 5))
    ward.rounds(0, 2)
    blocks(culprit)
    ward.rounds(2, 12, turning=False)
    ward.loop.turn()

    ward.rounds(12.25, 14.5)
    before = neighbour.should_stop
    ward.rounds(14.75, 15.5)

    assert (before, neighbour.cause) == (False, StopCause.TIMEOUT)
    assert culprit.due == 100


def test_a_loop_that_has_much_to_do_is_not_blocked(ward: Ward, blocks: Callable[[Run | None], None]) -> None:
    busy = [ward.running(timeout=5, began=0, on_loop=True) for _ in range(2)]
    ward.rounds(0, 2)

    for n in range(20):
        blocks(busy[n % 2])
        ward.warden.tick(2 + n * PACE)

    assert [run.cause for run in busy] == [StopCause.TIMEOUT] * 2
    assert ward.told == []


def test_a_blocked_loop_is_told_of_once_with_the_run(
    ward: Ward, blocks: Callable[[Run | None], None], caplog: pytest.LogCaptureFixture
) -> None:
    culprit = ward.running(timeout=None, began=0, on_loop=True)
    ward.rounds(0, 1)
    blocks(culprit)

    ward.rounds(1, 20, turning=False)

    [(run, seconds)] = ward.told
    [record] = [record for record in caplog.records if record.message == "loop_blocked"]
    assert run is culprit
    assert 5 <= seconds < 6
    assert (record.__dict__["job"], record.__dict__["task"]) == (culprit.id, "async")
    assert (ward.watch.count, ward.overstaying) == (1, [])


def test_a_run_that_blocks_the_loop_beyond_patience_overstays(ward: Ward, blocks: Callable[[Run | None], None]) -> None:
    culprit = ward.running(timeout=None, began=0, on_loop=True)
    ward.rounds(0, 1)
    blocks(culprit)

    ward.rounds(1, 40, turning=False)

    assert (ward.overstaying, culprit.cause) == ([culprit], StopCause.TIMEOUT)
    assert ward.failures == []


def test_a_loop_that_something_unknown_blocks_beyond_patience_has_failed(
    ward: Ward, blocks: Callable[[Run | None], None]
) -> None:
    ward.running(timeout=None, began=0, on_loop=True)
    ward.rounds(0, 1)
    blocks(None)

    ward.rounds(1, 40, turning=False)

    assert (len(ward.failures), ward.overstaying) == (1, [])


def test_the_loop_is_not_blamed_for_what_held_up_the_process(ward: Ward, blocks: Callable[[Run | None], None]) -> None:
    run = ward.running(timeout=50, began=0, on_loop=True)
    ward.rounds(0, 1)
    blocks(None)
    ward.warden.tick(1.25)

    ward.warden.held_up(40, 41.5)
    ward.warden.tick(41.5)
    ward.loop.turn()
    ward.warden.tick(41.75)

    assert (ward.failures, ward.told) == ([], [])
    assert run.due == 90


def test_nothing_is_remembered_of_runs_that_have_ended(ward: Ward) -> None:
    for n in range(40):
        runs = [ward.running(timeout=1800, began=float(n)) for _ in range(50)]
        ward.warden.tick(n + 0.5)
        ward.warden.tick(n + 0.75)
        ward.slots.let_go(runs)
    asked = ward.running(timeout=1, began=50.0)
    ward.rounds(51, 52)
    ward.slots.let_go([asked])
    ward.rounds(52, 53)

    assert len(ward.warden._dues) < 500
    assert not ward.warden._asked
