"""What a worker's threads must survive: drains at the wrong moment, strangers' exceptions, forks."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from taskforge import AppError, Call, JobCancelled, JobFailed, JobState, Retry, Run, Taskforge, current_job
from taskforge.brokers import open_broker
from taskforge.brokers.protocol import BATCH_BYTES, Broker, BrokerSettings, Demand, Exchange
from taskforge.brokers.stamp import Stamp
from taskforge.settlement import Settlement
from taskforge.worker import Worker
from taskforge.worker.slots import Slots
from tests.servers import wait_until
from tests.worker.test_exchanger import Rounds


def a_note() -> None: ...


def test_what_a_drain_finds_under_way_goes_back_without_running_and_without_blame(app: Taskforge) -> None:
    app.task(name="note")(a_note)
    jobs = app.by_name("note").enqueue_many([()] * 3)
    rounds = Rounds(app)

    class DrainsMeanwhile(type(rounds.broker)):  # type: ignore[misc]  # a class made here of a class made there
        def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
            answer: Exchange = super().exchange(demand, settlements, stamp)
            rounds.exchanger.drain()
            return answer

    rounds.exchanger.broker = rounds.exchanger.persistence.broker = DrainsMeanwhile(app.broker)
    rounds.tick(2)

    assert len(rounds.plain.line) == 0
    assert [job.state() for job in jobs] == [JobState.READY] * 3
    assert [job.info().crashes for job in jobs] == [0, 0, 0]


def test_the_claims_of_a_repeated_call_start_with_new_leases_and_lost_ones_do_not_start(app: Taskforge) -> None:
    app.task(name="note")(a_note)
    app.by_name("note").enqueue_many([()] * 2)
    rounds = Rounds(app)
    rounds.broker.lose_reply("exchange")

    rounds.tick()

    assert len(rounds.plain.line) == 2
    assert len(rounds.broker.extended) == 2


def test_an_exchange_carries_about_a_mebibyte_of_results_and_the_next_one_the_rest(app: Taskforge) -> None:
    big = b"x" * (BATCH_BYTES // 2 - 1_000)
    app.configure(result_limit=BATCH_BYTES)
    app.task(name="note")(a_note)
    app.by_name("note").enqueue_many([()] * 3)
    rounds = Rounds(app)
    rounds.tick()

    rounds.finish(3, big)
    rounds.tick(2)

    assert [settled for _, settled, _ in rounds.broker.asked] == [0, 2, 1]


def test_queues_without_an_order_take_turns_and_those_with_one_do_not() -> None:
    fair = Slots((1, 1), ["a", "b", "c"], lambda queue: [False], in_order=False)
    strict = Slots((1, 1), ["a", "b", "c"], lambda queue: [False], in_order=True)

    firsts = [fair.demand(0.0).queues[0][0] for _ in range(6)]

    assert sorted(firsts[:3]) == ["a", "b", "c"]
    assert firsts[:3] == firsts[3:]
    assert [strict.demand(0.0).queues[0][0] for _ in range(3)] == ["a", "a", "a"]


def test_progress_that_cannot_travel_is_the_tasks_own_error(app: Taskforge) -> None:
    @app.task
    def odd() -> None:
        current_job().progress(object())  # type: ignore[arg-type]  # that is the test

    @app.task
    def surrogate() -> str:
        current_job().progress(1, 2, "\udcff")
        return "went on"

    with app.worker(threads=1) as worker:
        assert surrogate.enqueue().result(10) == "went on"
        with pytest.raises(JobFailed, match="done must be a number"):
            odd.using(retry=once()).enqueue().result(10)
        assert worker.healthy


def test_an_async_run_that_is_cancelled_before_its_first_step_ends_as_cancelled(app: Taskforge) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    @app.task
    async def blocks() -> None:
        blocked.set()
        go_on.wait(10)

    @app.task
    async def late() -> None: ...

    with app.worker() as worker:
        first = blocks.enqueue()
        assert blocked.wait(10)
        job = late.enqueue()
        [run] = wait_for_run(worker, job.id)
        job.cancel()
        assert worker.keeper.extend([run])
        go_on.set()
        with pytest.raises(JobCancelled):
            job.result(10)
        first.result(10)


def test_an_exit_in_a_coroutine_of_a_run_ends_neither_the_loop_nor_its_neighbours(app: Taskforge) -> None:
    @app.task
    async def leaves() -> None:
        async def inner() -> None:
            sys.exit(3)

        await asyncio.gather(inner())

    @app.task
    async def stays() -> str:
        return "here"

    with app.worker():
        with pytest.raises(JobFailed, match="SystemExit"):
            leaves.using(retry=once()).enqueue().result(10)
        assert stays.enqueue().result(10) == "here"


def test_a_child_forked_while_others_write_can_write_too(tmp_path: Path) -> None:
    with Taskforge("parts", broker=f"sqlite:///{tmp_path}/jobs.db", call_timeout=5) as app:
        app.task(name="note")(a_note)
        note, stop = app.by_name("note"), threading.Event()

        def write() -> None:
            while not stop.is_set():
                note.enqueue()

        writers = [threading.Thread(target=write) for _ in range(3)]
        for writer in writers:
            writer.start()
        codes = list(exit_codes(note, 8))
        stop.set()
        for writer in writers:
            writer.join()

        assert codes == [0] * 8


def test_threads_that_use_an_app_first_at_once_share_one_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = threading.Barrier(2)

    def slowly(url: str, settings: BrokerSettings) -> Broker:
        with suppress(threading.BrokenBarrierError):
            opened.wait(0.2)  # for a second thread to come along, if it may
        return open_broker(url, settings)

    monkeypatch.setattr("taskforge.app.open_broker", slowly)
    app = Taskforge("parts", broker="memory://")
    app.task(name="note")(a_note)
    barrier = threading.Barrier(8)

    def enqueue() -> None:
        barrier.wait(10)
        app.enqueue("note")

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert app.inspector.counts("default").ready == 8
    app.close()


def test_an_app_is_not_closed_under_its_worker(app: Taskforge) -> None:
    with app.worker(), pytest.raises(AppError, match="stop that one"):
        app.close()


def once() -> Retry:
    return Retry(attempts=1)


def wait_for_run(worker: Worker, job_id: str) -> list[Run]:
    found: list[Run] = []

    def look() -> bool:
        found[:] = [run for run in worker.slots.runs() if run.id == job_id]
        return bool(found)

    wait_until(look, 10)
    return found


def exit_codes(note: Call[..., object], children: int) -> Iterator[int]:
    """Children that enqueue one job each, forked one after the other; 0 where that went well."""
    for _ in range(children):
        child = os.fork()
        if child == 0:
            try:
                note.enqueue()
                os._exit(0)
            except BaseException:
                os._exit(1)
        yield os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
