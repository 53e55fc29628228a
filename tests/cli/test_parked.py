"""Jobs that no worker can run yet: found by their reason, on both brokers."""

from __future__ import annotations

import json

import pytest

from taskforge import JobState, Taskforge
from taskforge.brokers.protocol import PAGE
from taskforge.cli.loading import load_app
from tests.cli.harness import LIMIT, Run


@pytest.fixture(params=["sqlite", "redis"])
def shop(request: pytest.FixtureRequest, module: str, monkeypatch: pytest.MonkeyPatch) -> Taskforge:
    """The app, on either broker."""
    if request.param == "redis":
        monkeypatch.setenv("TASKFORGE_BROKER", request.getfixturevalue("a_redis_url"))
    return load_app(module)


def work(app: Taskforge) -> None:
    with app.worker(threads=2, burst=True) as worker:
        assert worker.wait(LIMIT)


def found(run: Run, *arguments: str) -> list[str]:
    said = run("jobs", *arguments, "--json")
    assert said.code == 0, said.err
    return [job["id"] for job in json.loads(said.out)]


def test_a_job_that_no_worker_knows_is_found_by_its_reason_among_others(run: Run, shop: Taskforge) -> None:
    unknown = shop.enqueue("shop.elsewhere", 1)
    waiting = shop.by_name("shop.add").using(delay=3600).enqueue(1)
    failed = shop.enqueue("shop.fail")
    work(shop)

    assert found(run, "--reason", "unknown_task") == [unknown.id]
    assert found(run, "delayed", "--reason", "unknown_task") == [unknown.id]
    assert found(run, "dead", "--reason", "unknown_task") == []
    assert found(run, "--reason", "error") == [failed.id]
    assert sorted(found(run, "delayed")) == sorted([unknown.id, waiting.id])


def test_what_it_waits_for_is_shown_with_the_job(run: Run, shop: Taskforge) -> None:
    unknown = shop.enqueue("shop.elsewhere", 1)
    work(shop)

    assert unknown.info().reason == "unknown_task"
    assert "delayed (unknown_task)" in run("job", unknown.id).out
    assert "unknown_task: UnknownTask: " in run("jobs", "--reason", "unknown_task").out


def test_a_retried_job_is_not_taken_for_a_parked_one_whatever_its_error(run: Run, shop: Taskforge) -> None:
    @shop.task(name="shop.asks_elsewhere")
    def asks() -> None:
        shop.tasks["shop.elsewhere"]

    job = shop.enqueue("shop.asks_elsewhere")
    work(shop)

    info = job.info()
    assert (info.state, info.attempts, info.reason) == (JobState.DELAYED, 1, None)
    assert info.errors[-1].type == "taskforge.errors.UnknownTask"
    assert found(run, "--reason", "unknown_task") == []


def test_only_what_falls_due_soon_is_read_to_find_them(
    run: Run, shop: Taskforge, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = shop.enqueue("shop.elsewhere", 1)
    work(shop)
    shop.by_name("shop.add").using(delay=86_400).enqueue_many([(n,) for n in range(2 * PAGE)])
    read: list[int] = []
    jobs = shop.jobs

    def counted(state: JobState, queue: str | None = None, *, offset: int = 0, limit: int = 100) -> object:
        read.append(offset)
        return jobs(state, queue, offset=offset, limit=limit)

    monkeypatch.setattr(shop, "jobs", counted)

    assert found(run, "delayed", "--queue", "default", "--reason", "unknown_task") == [unknown.id]
    assert read == [0]


def test_a_list_without_a_state_or_a_reason_is_wrong_usage(run: Run) -> None:
    said = run("jobs")

    assert said.code == 2
    assert "say a state, one of ready, delayed" in said.err
