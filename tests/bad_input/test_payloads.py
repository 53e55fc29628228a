"""Arguments and results that cannot travel: refused by name, and no work is done twice for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from taskforge import EncodeError, JobFailed, JobState, PayloadTooLarge, Taskforge
from tests.bad_input.harness import an_app, run_ready


@pytest.fixture
def app() -> Iterator[Taskforge]:
    with an_app(payload_limit=2_000, result_limit=1_000) as app:
        app.task(name="shop.echo")(_echo)
        yield app


def _echo(first: object = None, second: object = None) -> object:
    return first


def test_arguments_over_the_limit_are_refused_naming_the_largest(app: Taskforge) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        app.enqueue("shop.echo", "small", second=b"x" * 3_000)

    said = str(caught.value)
    assert "shop.echo" in said
    assert "2,000" in said
    assert "'second'" in said
    assert "pass a path or a key" in said
    assert app.inspector.counts("default").ready == 0


def test_arguments_at_the_limit_travel(app: Taskforge) -> None:
    room = app.settings.payload_limit - len(app.codec.arguments("shop.echo", [b""], {}, app.types_of("shop.echo")))

    job = app.enqueue("shop.echo", b"x" * (room - 1))  # a longer length takes one byte more

    assert job.state() is JobState.READY


def _cycle() -> object:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


def _deep() -> object:
    deep: object = 1
    for _ in range(5_000):
        deep = [deep]
    return deep


UNFIT = {
    "lock": (threading.Lock(), "which cannot travel"),
    "function": (_echo, "pass its name"),
    "cycle": (_cycle(), "contains itself"),
    "deep": (_deep(), "nested deeper than"),
    "surrogate": ("\udcff", "lone surrogate"),
    "object": (object(), "which cannot travel"),
}


@pytest.mark.parametrize("value, says", UNFIT.values(), ids=UNFIT)
def test_an_argument_that_cannot_travel_is_refused_with_its_name_and_what_to_do(
    app: Taskforge, value: object, says: str
) -> None:
    with pytest.raises(EncodeError) as caught:
        app.enqueue("shop.echo", {"in": [value]})

    assert says in str(caught.value)
    assert "'first' of shop.echo" in str(caught.value)
    assert app.inspector.counts("default").ready == 0


@pytest.mark.parametrize("value, says", UNFIT.values(), ids=UNFIT)
def test_a_result_that_cannot_travel_makes_a_dead_job_after_one_run(app: Taskforge, value: object, says: str) -> None:
    runs: list[int] = []

    @app.task(name="shop.make")
    def make() -> object:
        runs.append(1)
        return value

    job = make.enqueue()

    run_ready(app)

    with pytest.raises(JobFailed, match=says) as caught:
        job.result(0)
    assert caught.value.reason == "result"
    assert "shop.make" in caught.value.error_message
    assert len(runs) == 1


def test_a_result_over_its_limit_makes_a_dead_job_that_says_what_to_do(app: Taskforge) -> None:
    job = app.by_name("shop.echo").using().enqueue(b"x" * 1_500)

    run_ready(app)

    with pytest.raises(JobFailed, match=r"over the limit of 1,000.*return a path or a key") as caught:
        job.result(0)
    assert caught.value.reason == "result"


def test_a_result_nobody_keeps_may_be_anything(app: Taskforge) -> None:
    @app.task(name="shop.lock", keep_result=False)
    def lock() -> object:
        return threading.Lock()

    job = lock.enqueue()

    run_ready(app)

    assert job.result(0) is None
    assert job.state() is JobState.SUCCEEDED


def test_an_async_result_that_cannot_travel_is_told_the_same_way(app: Taskforge) -> None:
    @app.task(name="shop.alock")
    async def alock() -> object:
        return threading.Lock()

    job = alock.enqueue()

    run_ready(app)

    assert job.info().reason == "result"
