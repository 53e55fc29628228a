"""Requests and replies that are lost on the way: nothing is lost with them, delayed by them, or counted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

import pytest

from taskforge import Cancellation, JobState, Retry, Taskforge, current_job
from taskforge.brokers.protocol import Broker
from taskforge.testing import FlakyBroker
from tests.cases.apps import MakeApp, Watch, around_broker, wait_for, wait_for_state

ONE_ENGINE = True
Lost = Literal["request", "reply"]

#: What user code and workers send in the story below.
VERBS = [
    *("open", "announce", "enqueue", "exchange", "extend", "report", "wait", "watch", "listen"),
    *("get", "find", "cancel", "promote", "reprioritise", "redrive"),
]


class Interlude(FlakyBroker):
    """Lets something happen between a lost message and its repetition."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.meanwhile: Callable[[], None] | None = None

    def open(self) -> None:
        """Asked before anything is sent again."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().open()


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_message_changes_nothing_for_anyone(apps: MakeApp, verb: str, lost: Lost) -> None:
    app = apps(lease=2) if verb == "extend" else apps()
    flaky, watch = around_broker(app, FlakyBroker), Watch(app)

    lose(flaky, verb, lost)
    # Keepers take their time: a quarter of a lease; for progress a second, after a run has proved to be no short one.
    story(app, watch, lambda: lose(flaky, verb, lost), {"extend": 0.8, "report": 2.0}.get(verb, 0.02))

    assert flaky._faults.requests[verb] + flaky._faults.replies[verb] < 3, "none of the three planned losses happened"
    counts = app.inspector.counts("default")
    assert (counts.ready, counts.delayed, counts.running) == (0, 0, 0)
    assert (counts.succeeded, counts.cancelled, counts.dead) == (3, 1, 0)
    assert len(watch.of("job_started")) == 4


def story(app: Taskforge, watch: Watch, again: Callable[[], None], lasts: float) -> None:
    """Every verb that user code and workers send; `again` is called amid it."""
    broken = True

    @app.task
    def report() -> str:
        current_job().progress(1, 2, "half")
        again()
        current_job().wait_stop(lasts)
        return "reported"

    @app.task(retry=Retry(attempts=1))
    def mended() -> str:
        if broken:
            raise OSError("broken")
        return "mended"

    begun = time.monotonic()
    with app.worker(threads=2):
        assert report.enqueue().result(20) == "reported"
        doomed = mended.enqueue()
        watch.wait("job_buried", within=20)
        again()
        broken = False
        assert doomed.redrive()
        assert doomed.result(20) == "mended"
        dropped, hurried = report.using(delay=600).enqueue(), mended.using(delay=600).enqueue()
        assert app.job(dropped.id).cancel() is Cancellation.CANCELLED
        assert hurried.set_priority(5)
        assert hurried.promote()
        assert hurried.result(20) == "mended"
    assert time.monotonic() - begun < 20, "something waited for a lease"
    assert doomed.info().crashes == hurried.info().crashes == 0


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_lost_claim_starts_its_jobs_without_waiting_for_a_lease(app: Taskforge, lost: Lost) -> None:
    flaky = around_broker(app, FlakyBroker)
    runs: list[int] = []
    app.task(name="note")(lambda number: runs.append(number))
    jobs = [app.enqueue("note", number) for number in range(5)]

    lose(flaky, "exchange", lost)
    with app.worker(threads=2):
        for job in jobs:
            job.result(10)

    assert sorted(runs) == list(range(5))
    assert [job.info().crashes for job in jobs] == [0] * 5


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("thousand", [0, 1000])
def test_a_lost_ack_is_counted_once_though_others_end_in_between(apps: MakeApp, lost: Lost, thousand: int) -> None:
    app, other = apps(finished_count=10), apps(finished_count=10)
    flaky, watch, elsewhere = around_broker(app, Interlude), Watch(app), Watch(other)
    followers: list[int] = []

    @app.task(name="parent", keep_result=False)
    def parent() -> None:
        current_job().enqueue_on_success(child)
        flaky.meanwhile = many_jobs_end
        lose(flaky, "exchange", lost)

    def many_jobs_end() -> None:
        other.by_name("note").enqueue_many([()] * thousand)
        with other.worker(queues=["default"], burst=True) as worker:
            assert worker.wait(60)

    @app.task(name="child", queue="children")
    def child() -> None:
        followers.append(1)

    other.task(name="note")(lambda: None)
    with app.worker():
        parent.enqueue()
        watch.wait("job_succeeded", 2, within=60)

    assert followers == [1]
    assert sorted(event.facts["run"].task for event in watch.of("job_succeeded")) == ["child", "parent"]
    assert len(elsewhere.of("job_succeeded")) == thousand
    assert len(watch.of("job_started")) == 2


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_lost_retry_spends_one_attempt(app: Taskforge, lost: Lost) -> None:
    flaky = around_broker(app, FlakyBroker)
    attempts: list[int] = []

    @app.task(retry=Retry(attempts=3, backoff=lambda attempt, error: 0.0))
    def failing() -> None:
        attempts.append(current_job().attempt)
        lose(flaky, "exchange", lost)
        raise OSError("no")

    watch = Watch(app)
    with app.worker():
        job = failing.enqueue()
        watch.wait("job_buried")

    assert attempts == [1, 2, 3]
    assert (job.info().attempts, len(job.info().errors), job.info().crashes) == (3, 3, 0)


@pytest.mark.parametrize("thousand", [0, 1000])
def test_a_lost_reply_to_an_enqueue_makes_one_job_even_after_it_has_run_and_aged_out(
    apps: MakeApp, thousand: int
) -> None:
    app, other = apps(finished_count=10), apps(finished_count=10)
    flaky, elsewhere = around_broker(app, Interlude), Watch(other)
    runs: list[str] = []
    note = app.task(name="note")(lambda what: runs.append(what))
    other.task(name="note")(lambda what: runs.append(what))

    def all_of_it_runs() -> None:
        other.by_name("note").enqueue_many([("other",)] * thousand)
        with other.worker(burst=True) as worker:
            assert worker.wait(60)

    flaky.meanwhile = all_of_it_runs
    flaky.lose_reply("enqueue")
    job = note.enqueue("mine")
    with other.worker(burst=True) as worker:
        assert worker.wait(60)

    assert job.new
    assert runs.count("mine") == 1
    assert len(elsewhere.of("job_succeeded")) == thousand + 1


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_batch_with_lost_messages_is_enqueued_whole_and_once(app: Taskforge, lost: Lost) -> None:
    flaky = around_broker(app, FlakyBroker)
    note = app.task(name="note")(lambda number: None)

    lose(flaky, "enqueue", lost, times=2)
    jobs = note.enqueue_many([(number,) for number in range(600)])

    assert all(job.new for job in jobs)
    assert app.inspector.counts("default").ready == 600


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_hand_back_whose_message_is_lost_is_still_one_hand_back(apps: MakeApp, lost: Lost) -> None:
    app = apps(grace=0)
    flaky, began = around_broker(app, FlakyBroker), threading.Event()

    @app.task
    def heed() -> None:
        began.set()
        current_job().wait_stop(20)
        lose(flaky, "exchange", lost, times=5)
        current_job().raise_if_stopped()

    with app.worker():
        job = heed.enqueue()
        wait_for(began)
    wait_for_state(job, JobState.READY, 1)

    assert (job.info().attempts, job.info().crashes) == (0, 0)


def lose(flaky: FlakyBroker, verb: str, lost: Lost, times: int = 1) -> None:
    if lost == "request":
        flaky.lose_request(verb, times)
    else:
        flaky.lose_reply(verb, times)


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_lost_word_of_a_jobs_end_costs_its_waiter_next_to_nothing(app: Taskforge, lost: Lost) -> None:
    flaky, go_on = around_broker(app, FlakyBroker), threading.Event()
    app.task(name="wait")(lambda: wait_for(go_on))
    app.task(name="note")(lambda: None)
    ended: list[float] = []

    def wait() -> None:
        job.result(10)
        ended.append(time.monotonic())

    watch = Watch(app)

    with app.worker():
        app.enqueue("note").result(10)  # somebody listens from here on
        job = app.enqueue("wait")
        waiter = threading.Thread(target=wait)
        watch.wait("job_started", 2)
        lose(flaky, "listen", lost)
        waiter.start()
        go_on.set()
        waiter.join(10)
    [_, event] = watch.of("job_succeeded")

    assert ended[0] - event.at < 1
