"""assert_no_leftovers: quiet about a test that leaves nothing, loud about one that does."""

from __future__ import annotations

from contextlib import closing

import pytest
import redis

from taskforge import Discard, Fail, JobState, RetryLater, Taskforge, current_job
from taskforge.brokers.protocol import Demand
from taskforge.brokers.stamp import Sender
from taskforge.testing import Kit, LeftOver, under_test


def live(app: Taskforge, kit: Kit) -> None:
    """At least one job through every state and every way to end, and some that have not ended."""

    @app.task
    def end(how: str) -> str:
        job = current_job()
        job.progress(1, 2, how)
        match how:
            case "fail":
                raise Fail("no")
            case "discard":
                raise Discard("nothing to do")
            case "retry" if job.attempt == 1:
                raise RetryLater(5)
            case "parent":
                job.enqueue_on_success(end.using(delay=60), "child")
        return how

    for how in ("return", "fail", "discard", "retry", "parent"):
        end.enqueue(how)
    kit.run_until_idle(raise_errors=False)
    end.enqueue("waits for nobody")
    end.using(delay=3600, expires=60).enqueue("waits for its time")
    end.using(queue="default", keep_result=3600).enqueue("waits, too").set_priority(5)
    app.broker.exchange(Demand((1,), (("default", (0,)),)), [], Sender().stamp())  # and one whose worker has died


def test_a_test_that_leaves_nothing_passes(app: Taskforge, kit: Kit) -> None:
    live(app, kit)

    kit.assert_no_leftovers()


def test_in_a_file_too(app: Taskforge, sqlite_url: str) -> None:
    with under_test(app, broker=sqlite_url) as kit:
        live(app, kit)

        kit.assert_no_leftovers()


def test_on_redis_too(app: Taskforge, redis_url: str) -> None:
    with under_test(app, broker=redis_url) as kit:
        live(app, kit)

        kit.assert_no_leftovers()


def test_many_jobs_are_swept_as_well(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note(number: int) -> int:
        return number

    note.enqueue_many([(n,) for n in range(600)])
    kit.run_until_idle()
    note.enqueue_many([(n,) for n in range(600)])

    kit.assert_no_leftovers()


def test_jobs_that_wait_are_ended_without_a_run(app: Taskforge, kit: Kit) -> None:
    ran: list[str] = []

    @app.task
    def note() -> None:
        ran.append("note")

    note.enqueue()

    kit.assert_no_leftovers()

    assert ran == []
    assert app.jobs(JobState.READY) == []


def test_queues_whose_names_are_made_up_are_left_over(app: Taskforge, kit: Kit) -> None:
    @app.task
    def note() -> None: ...

    note.using(queue="customer-17").enqueue()
    note.using(queue="customer-18").enqueue()

    with pytest.raises(
        LeftOver, match="jobs went to 'customer-17', 'customer-18', which no task, declaration or route"
    ):
        kit.assert_no_leftovers()

    app.queue("customer-17")
    app.queue("customer-18")
    kit.assert_no_leftovers()


def test_a_row_too_many_is_left_over(app: Taskforge, sqlite_url: str) -> None:
    with under_test(app, broker=sqlite_url) as kit:
        live(app, kit)
        with kit._storage._connections.write() as db:  # type: ignore[attr-defined]  # as a defect of the broker would
            db.execute("insert into progress(seq, value) values(99, 'x')")

        with pytest.raises(LeftOver, match="1 thing is left in sqlite:///.*\n  1 rows of progress"):
            kit.assert_no_leftovers()


def test_a_key_too_many_is_left_over(app: Taskforge, redis_url: str) -> None:
    with under_test(app, broker=redis_url) as kit, closing(redis.Redis.from_url(redis_url)) as client:
        live(app, kit)
        client.set(f"{app.settings.prefix}:{{default}}:strange", "x")

        with pytest.raises(LeftOver, match="the key tf-test:.*strange"):
            kit.assert_no_leftovers()
