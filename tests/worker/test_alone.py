"""A job that has crashed twice runs in a process that runs nothing else."""

from __future__ import annotations

import pytest

from taskforge import Isolate, Taskforge
from taskforge.errors import ProcessDied
from taskforge.outcome import Crashed, Outcome, Packed
from taskforge.run import Run, StopCause
from taskforge.settlement import Ack, Bury, Cancel, Requeue
from taskforge.task import AnyTask
from taskforge.worker.runner import Runner
from taskforge.worker.slots import LOOP, THREADS, Slots
from tests.worker.deliveries import delivery, run_of
from tests.worker.test_runner import no_async

DIED = Crashed(ProcessDied("SIGSEGV"))


class Pen:
    """Notes what comes, and says how it ended."""

    def __init__(self, outcome: Outcome, *, takes: bool = True) -> None:
        self.outcome, self._takes = outcome, takes
        self.ran: list[Run] = []

    def takes(self, task: AnyTask) -> bool:
        return self._takes

    def call(self, run: Run) -> Outcome:
        self.ran.append(run)
        return self.outcome


async def wait() -> None: ...


def note() -> str:
    return "here"


@pytest.mark.parametrize("function", [note, wait])
@pytest.mark.parametrize(("crashes", "alone"), [(0, False), (1, False), (2, True)])
def test_from_the_second_crash_on_a_job_runs_alone_whatever_its_kind(
    app: Taskforge, function: object, crashes: int, alone: bool
) -> None:
    runner = Runner(app)
    runner.pen = Pen(Packed(None))
    task = app.task(name="note")(function)  # type: ignore[call-overload]

    run = runner.open(delivery(app, task, crashes=crashes))

    assert isinstance(run, Run)
    assert (run.alone, run.isolated) == (alone, alone)
    assert run.on_loop == (function is wait and not alone)


def test_an_async_run_that_is_alone_takes_a_thread_which_looks_after_its_process(app: Taskforge) -> None:
    runner, slots = Runner(app), Slots((2, 2), ["default"], lambda queue: [True])
    runner.pen = Pen(Packed(None))
    task = app.task(name="wait")(wait)
    plain, alone = (runner.open(delivery(app, task, crashes=crashes)) for crashes in (0, 2))
    assert isinstance(plain, Run)
    assert isinstance(alone, Run)

    slots.take([plain, alone])

    assert slots.demand(0).free == (1, 1)
    assert slots.demand(0).queues == (("default", (THREADS, LOOP)),)


def test_what_no_other_process_could_find_runs_here_all_the_same(app: Taskforge) -> None:
    runner = Runner(app)
    runner.pen = Pen(DIED, takes=False)

    run = runner.open(delivery(app, app.task(name="note")(note), crashes=2))

    assert isinstance(run, Run)
    assert not run.isolated


def test_an_isolated_run_goes_to_the_pen_and_comes_back_packed(app: Taskforge) -> None:
    runner, run = Runner(app), run_of(app, app.task(name="note", isolate=Isolate(reuse=5))(note))
    pen = runner.pen = Pen(Packed(app.codec.result("note", "there", run.task_object.types)))

    settlement = runner.judge(run, runner.call(run, no_async))

    assert pen.ran == [run]
    assert isinstance(settlement, Ack)
    assert app.codec.read_result(settlement.result, run.task_object.types) == "there"


def test_an_isolated_task_that_keeps_no_result_keeps_none(app: Taskforge) -> None:
    run = run_of(app, app.task(name="note", isolate=True, keep_result=False)(note))

    settlement = Runner(app).judge(run, Packed(b"result"))

    assert isinstance(settlement, Ack)
    assert settlement.result is None


@pytest.mark.parametrize(("crashes", "dead"), [(0, False), (1, False), (2, True)])
def test_a_run_that_kills_its_process_counts_a_crash_and_no_attempt_and_the_third_is_the_last(
    app: Taskforge, crashes: int, dead: bool
) -> None:
    runner = Runner(app)
    run = runner.open(delivery(app, app.task(name="note", isolate=True)(note), crashes=crashes))
    assert isinstance(run, Run)

    settlement = runner.judge(run, DIED)

    assert isinstance(settlement, Bury if dead else Requeue)
    assert (settlement.crashed, settlement.counts) == (True, False)
    assert b"SIGSEGV" in (settlement.error or b"")
    if isinstance(settlement, Bury):
        assert settlement.reason == "crashed"


def test_a_run_that_was_to_be_cancelled_and_was_killed_for_it_is_cancelled(app: Taskforge) -> None:
    run = run_of(app, app.task(name="note", isolate=True)(note))
    run.request_stop(StopCause.CANCEL)

    assert isinstance(Runner(app).judge(run, DIED), Cancel)


def test_an_async_task_that_a_sender_by_name_wants_isolated_is_isolated(app: Taskforge) -> None:
    given = delivery(app, app.by_name("wait").using(isolate=True))
    app.task(name="wait")(wait)
    runner = Runner(app)
    runner.pen = Pen(Packed(None))

    run = runner.open(given)

    assert isinstance(run, Run)
    assert (run.isolated, run.on_loop) == (True, False)
