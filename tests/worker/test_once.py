"""at_most_once: a job whose run has begun is never run again."""

from __future__ import annotations

import pytest

from taskforge import Fail, JobState, RetryLater, Snooze, Taskforge
from taskforge.outcome import Crashed, Failed, HandedBack, Outcome, RunTimeout, outcome_of
from taskforge.run import Run
from taskforge.settlement import Bury, Requeue
from taskforge.worker.runner import Runner
from tests.worker.deliveries import delivery, run_of
from tests.worker.test_exchanger import Rounds


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Failed(OSError("no")), "error"),
        (Failed(RunTimeout("late"), "timeout"), "timeout"),
        (outcome_of(RetryLater(5)), "error"),
        (outcome_of(Fail("no")), "error"),
        (HandedBack(), "shutdown"),
        (Crashed(OSError("SIGSEGV")), "crashed"),
    ],
)
def test_once_it_has_begun_every_way_to_fail_is_the_last(app: Taskforge, outcome: Outcome, reason: str) -> None:
    run = run_of(app, app.task(name="pay", at_most_once=True)(lambda: None))
    run.begin(0)

    settlement = Runner(app).judge(run, outcome)

    assert isinstance(settlement, Bury)
    assert settlement.reason == reason


def test_the_task_itself_may_ask_to_be_run_later(app: Taskforge) -> None:
    run = run_of(app, app.task(name="pay", at_most_once=True)(lambda: None))
    run.begin(0)

    assert isinstance(Runner(app).judge(run, outcome_of(Snooze(5))), Requeue)


def test_what_has_not_begun_goes_back(app: Taskforge) -> None:
    run = run_of(app, app.task(name="pay", at_most_once=True)(lambda: None))

    assert isinstance(Runner(app).judge(run, HandedBack()), Requeue)


def test_after_a_crash_it_is_dead_without_a_further_run(app: Taskforge) -> None:
    once = app.task(name="pay", at_most_once=True)(lambda: None)
    often = app.task(name="note")(lambda: None)

    opened = [Runner(app).open(delivery(app, call, crashes=1)) for call in (once, often)]

    assert isinstance(opened[0], Bury)
    assert opened[0].reason == "crashed"
    assert isinstance(opened[1], Run)


def test_also_for_a_sender_that_does_not_know_the_task(app: Taskforge) -> None:
    job = app.by_name("pay").using(at_most_once=True)
    given = delivery(app, job)
    app.task(name="pay")(lambda: None)
    run = Runner(app).open(given)
    assert isinstance(run, Run)
    run.begin(0)

    assert isinstance(Runner(app).judge(run, Failed(OSError("no"))), Bury)


def test_the_broker_knows_that_it_has_begun_before_it_does(app: Taskforge) -> None:
    app.task(name="pay", at_most_once=True)(lambda: None)
    app.task(name="note")(lambda: None)
    rounds = Rounds(app)
    once, often = app.enqueue("pay"), app.enqueue("note")

    rounds.tick()

    assert [each.id for each in rounds.broker.extended] == [once.id]
    assert len(rounds.plain.line) == 2
    assert often.state() is JobState.RUNNING


def test_it_does_not_begin_while_the_broker_cannot_be_told(app: Taskforge) -> None:
    app.task(name="pay", at_most_once=True)(lambda: None)
    rounds = Rounds(app)
    job = app.enqueue("pay")
    rounds.broker.lose_request("extend")

    rounds.tick()

    assert len(rounds.plain.line) == 0
    rounds.tick(3)
    assert len(rounds.plain.line) == 1  # handed back, and claimed again
    assert job.info().crashes == 0


def test_it_does_not_begin_once_its_lease_is_lost(app: Taskforge) -> None:
    app.task(name="pay", at_most_once=True)(lambda: None)
    rounds = Rounds(app)
    app.enqueue("pay")
    rounds.broker.lose_reply("exchange")  # asked again, its claim is old, and by then another's

    broker = rounds.broker
    passed_on = broker.extend
    broker.extend = lambda deliveries: passed_on(deliveries)._replace(lost=list(deliveries))  # type: ignore[method-assign]
    rounds.tick()

    assert len(rounds.plain.line) == 0


def test_a_parent_is_told_before_it_begins_that_it_must_not_go_back(app: Taskforge) -> None:
    app.task(name="pay", at_most_once=True)(lambda: None)
    app.task(name="note")(lambda: None)
    rounds = Rounds(app)
    told: list[str] = []
    rounds.exchanger.note_begun = lambda runs: told.extend(f"{run.id} {run.seq}" for run in runs)
    rounds.exchanger.note = lambda deliveries: 7
    app.enqueue("note")
    once = app.enqueue("pay")

    rounds.tick()

    assert told == [f"{once.id} 8"]
