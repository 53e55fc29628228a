"""Handles: what they are, apart from what brokers answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskforge import (
    BrokerUnavailable,
    EnqueueFailed,
    JobFailed,
    JobNotFound,
    JobState,
    ResultExpired,
    Retry,
    Taskforge,
)
from taskforge.client import Client
from taskforge.testing import FlakyBroker


def test_handles_of_one_job_are_equal_and_may_be_kept_in_sets(app: Taskforge) -> None:
    job = app.task(name="note")(lambda: None).enqueue()

    assert app.job(job.id, "default") == job
    assert len({job, app.job(job.id, "default")}) == 1
    assert job.id in repr(job)


def test_making_a_handle_asks_nobody(app: Taskforge) -> None:
    assert app.job("whatever").id == "whatever"


def test_an_id_older_than_any_result_counts_as_expired_and_one_that_never_was_does_not(app: Taskforge) -> None:
    app.task(name="note")(lambda: None)

    with pytest.raises(JobNotFound) as caught:
        app.job("0" * 26).result(1)
    assert isinstance(caught.value, ResultExpired)
    with pytest.raises(JobNotFound) as caught:
        app.job("order-17").result(1)
    assert not isinstance(caught.value, ResultExpired)


def test_every_verb_has_an_async_twin(app: Taskforge) -> None:
    note = app.task(name="note", retry=Retry(attempts=1))(lambda fail: 1 / 0 if fail else 7)

    async def main() -> list[object]:
        async with app.worker():
            done = await (await note.aenqueue(False)).aresult(10)
            failing = await note.aenqueue(True)
            with pytest.raises(JobFailed):
                await failing.aresult(10)
            redriven = await failing.aredrive()
            waiting = await note.using(delay=600).aenqueue(False)
            raised = await waiting.aset_priority(7)
            info = await waiting.ainfo()
            promoted = await waiting.apromote()
            await waiting.aresult(10)
            state = await waiting.astate()
            dropped = await note.using(delay=600).aenqueue(False)
            return [done, redriven, raised, info.priority, promoted, state, str(await dropped.acancel())]

    assert asyncio.run(main()) == [7, True, True, 7, True, JobState.SUCCEEDED, "cancelled"]


def test_what_cannot_be_read_is_shown_as_unreadable(app: Taskforge) -> None:
    job = app.task(name="note")(lambda: None).enqueue()
    app.task(name="fails", retry=Retry(attempts=1))(lambda: 1 / 0)
    dead = app.enqueue("fails")
    with app.worker(burst=True) as worker:
        assert worker.wait(10)

    with_body = app.client.change(lambda stamp: app.inspector.redrive("default", [dead.id], stamp, body=b"garbage"))

    info = dead.info()
    assert with_body == [True]
    assert (info.args, info.kwargs, info.task) == (None, None, None)
    assert info.unreadable
    assert job.state() is JobState.SUCCEEDED


def test_a_batch_that_is_not_confirmed_names_what_is_done_unknown_and_unsent(app: Taskforge) -> None:
    app.configure(call_timeout=0.2)
    flaky = Stubborn(app.broker)
    app._client = Client(flaky, app.settings)
    note = app.task(name="note")(lambda n: None)

    with pytest.raises(EnqueueFailed) as caught:
        note.enqueue_many([(n,) for n in range(600)])

    error = caught.value
    assert [len(ids) for ids in (error.done, error.unknown, error.unsent)] == [250, 250, 100]
    assert len({*error.done, *error.unknown, *error.unsent}) == 600
    assert error.unknown[0] in str(error)
    assert isinstance(error, BrokerUnavailable)


class Stubborn(FlakyBroker):
    """Answers the first enqueue, and none after."""

    calls = 0

    def enqueue(self, *given: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise BrokerUnavailable("no answer, on purpose")
        return super().enqueue(*given)
