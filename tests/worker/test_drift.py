"""Workers of different releases of an app: what one cannot run is left for one that can."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskforge import Taskforge
from taskforge.outcome import Outcome, Unfit
from taskforge.run import Run
from taskforge.settlement import Bury, Requeue, Settlement
from taskforge.worker.runner import Runner
from taskforge.workers import Colleagues, WorkerCard, signature_digest
from tests.worker.deliveries import delivery, run_of
from tests.worker.test_runner import no_async


def of_two(a: int, b: int) -> None: ...


def of_one(a: int) -> None: ...


def settle(app: Taskforge, colleagues: Callable[[], Colleagues | None] | None, age: float = 0.0) -> Settlement:
    """What becomes of a job for `of_two` in a worker that has `of_one` under its name."""
    other = Taskforge("other", broker="memory://")
    [sent] = [delivery(other, other.task(name="resize", queue="default")(of_two), 1, 2, age=age)]
    app.task(name="resize")(of_one)
    runner = Runner(app)
    runner.judging.colleagues = colleagues
    run = runner.open(sent)
    assert isinstance(run, Run)
    outcome: Outcome = runner.call(run, no_async)
    assert isinstance(outcome, Unfit)
    return runner.judge(run, outcome)


def knowing(function: Callable[..., None], *, queues: tuple[str, ...] = ("default",)) -> Callable[[], Colleagues]:
    digest = signature_digest(Taskforge("third", broker="memory://").task(name="resize")(function))
    card = WorkerCard("elsewhere", queues=queues, tasks={"resize": digest})
    return lambda: Colleagues((card,), datetime.now(UTC))


def test_arguments_that_fit_another_workers_signature_are_left_for_it(app: Taskforge) -> None:
    settlement = settle(app, knowing(of_two))

    assert isinstance(settlement, Requeue)
    assert not settlement.counts
    assert settlement.delay == timedelta(seconds=1)


def test_the_older_it_is_the_longer_it_waits(app: Taskforge) -> None:
    settlement = settle(app, knowing(of_two), age=60)

    assert isinstance(settlement, Requeue)
    assert settlement.delay is not None
    assert settlement.delay.total_seconds() == pytest.approx(30, abs=1)


def test_where_all_workers_agree_it_is_dead_at_once(app: Taskforge) -> None:
    settlement = settle(app, knowing(of_one))

    assert isinstance(settlement, Bury)
    assert (settlement.reason, settlement.counts) == ("arguments", False)


def test_a_worker_that_does_not_serve_the_queue_is_no_reason_to_wait(app: Taskforge) -> None:
    assert isinstance(settle(app, knowing(of_two, queues=("mail",))), Bury)


def test_while_nobody_can_be_asked_it_waits(app: Taskforge) -> None:
    assert isinstance(settle(app, lambda: None), Requeue)


def test_after_a_day_it_is_dead_all_the_same(app: Taskforge) -> None:
    settlement = settle(app, knowing(of_two), age=app.settings.unknown_task_age.total_seconds() + 1)

    assert isinstance(settlement, Bury)
    assert settlement.reason == "arguments"


def test_what_fits_is_never_asked_about(app: Taskforge) -> None:
    def asked() -> None:
        raise AssertionError("asked")

    run = run_of(app, app.task(name="resize")(of_one), 1)
    runner = Runner(app)
    runner.judging.colleagues = asked

    assert not isinstance(runner.judge(run, runner.call(run, no_async)), Bury)


def test_an_option_of_a_later_release_is_left_for_a_worker_that_knows_it(app: Taskforge) -> None:
    sent = delivery(app, app.task(name="note")(lambda: None).using(isolate=True))
    body = sent.body.replace(b"isolate", b"isolatf")

    settlement = Runner(app).open(sent._replace(body=body))

    assert isinstance(settlement, Requeue)
    assert b"isolatf" in (settlement.error or b"")
