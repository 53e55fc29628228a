"""What a user's type checker sees of a task: its function's own parameters and result, and refusals of the rest.

Read by mypy (with warn_unused_ignores: a `type: ignore` is a promise that the line is an error) and pyright, never run.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import assert_type

from taskforge import Args, Call, JobHandle, JobInfo, JobState, Keep, Retry, Run, Task, Taskforge, current_job, task

app = Taskforge("typing", broker="memory://", threads=2)


# Declaring: bare, with options, on the app and without one; def and async def.


@app.task
def plain(path: str, size: int = 256) -> bytes:
    return f"{path} {size}".encode()


@app.task(queue="photos", timeout=30, retry=Retry(attempts=2), keep=Keep(count=10), priority=5)
def with_options(path: str, *, fast: bool = False) -> list[int]:
    return [len(path), fast]


@app.task
async def coroutine(url: str) -> float:
    return float(len(url))


@app.task(name="fetch", aliases=["get"], delay=timedelta(seconds=5))
async def coroutine_with_options(url: str, tries: int) -> dict[str, int]:
    return {url: tries}


@task
def without_app(number: int) -> str | None:
    return str(number) if number else None


@task(queue="later")
async def coroutine_without_app(number: int) -> int:
    return number


@app.task
def nothing() -> None:
    return None


def declared() -> None:
    assert_type(plain("a.jpg"), bytes)
    assert_type(with_options("a", fast=True), list[int])
    assert_type(without_app(1), str | None)
    assert_type(plain.name, str)


async def awaited() -> None:
    assert_type(await coroutine("x"), float)
    assert_type(await coroutine_with_options("x", 1), dict[str, int])
    assert_type(await coroutine_without_app(1), int)


# Enqueuing: the parameters of the function, a handle of its result.


def enqueued() -> None:
    assert_type(plain.enqueue("a.jpg"), JobHandle[bytes])
    assert_type(plain.enqueue("a.jpg", size=512), JobHandle[bytes])
    assert_type(plain.delay("a.jpg", 512), JobHandle[bytes])
    assert_type(with_options.enqueue("a.jpg", fast=True), JobHandle[list[int]])
    assert_type(coroutine.enqueue("x"), JobHandle[float])
    assert_type(coroutine_with_options.enqueue("x", tries=2), JobHandle[dict[str, int]])
    assert_type(without_app.enqueue(1), JobHandle[str | None])
    assert_type(coroutine_without_app.enqueue(1), JobHandle[int])
    assert_type(nothing.enqueue(), JobHandle[None])


def enqueued_with_options() -> None:
    assert_type(plain.using(delay=60, priority=5).enqueue("a.jpg"), JobHandle[bytes])
    assert_type(plain.using(at=datetime.now(UTC)).using(job_id="one").enqueue("a.jpg", 3), JobHandle[bytes])
    assert_type(coroutine.using(queue="slow", timeout=None).enqueue("x"), JobHandle[float])
    assert_type(plain.using(keep_result=False).enqueue_many([("a",)]), list[JobHandle[bytes]])


def enqueued_by_many() -> None:
    assert_type(plain.enqueue_many([("a.jpg",), ("b.jpg", 512)]), list[JobHandle[bytes]])
    assert_type(plain.enqueue_many(Args(name, size=1) for name in ["a", "b"]), list[JobHandle[bytes]])
    assert_type(coroutine.enqueue_many([("x",)]), list[JobHandle[float]])


async def enqueued_from_a_loop() -> None:
    assert_type(await plain.aenqueue("a.jpg", size=512), JobHandle[bytes])
    assert_type(await coroutine.aenqueue("x"), JobHandle[float])
    assert_type(await coroutine.using(delay=1).aenqueue("x"), JobHandle[float])
    assert_type(await plain.aenqueue_many([("a.jpg",)]), list[JobHandle[bytes]])
    assert_type(await (await coroutine.aenqueue("x")).aresult(timeout=5), float)


def enqueued_by_name() -> None:
    assert_type(app.enqueue("photos.thumbnail", "a.jpg", size=1), JobHandle[object])
    assert_type(app.job("01j"), JobHandle[object])


# Handles, and a run seen from inside.


def looked_at(job: JobHandle[bytes]) -> None:
    assert_type(job.result(timeout=10), bytes)
    assert_type(job.result(timeout=timedelta(minutes=1)), bytes)
    assert_type(nothing.enqueue().result(), None)
    assert_type(job.state(), JobState)
    assert_type(job.info(), JobInfo)


def inside_a_run() -> None:
    assert_type(current_job(), Run)
    assert_type(current_job().enqueue_on_success(plain, "a.jpg", size=3), JobHandle[bytes])
    assert_type(current_job().enqueue_on_success(coroutine.using(delay=3), "x"), JobHandle[float])


# A handle of a narrower result, and a task as a call, go where a wider one is asked for.


def takes_object(job: JobHandle[object]) -> None: ...


def takes_call(call: Call[[str], float]) -> None: ...


def takes_task(which: Task[[str], float, Coroutine[object, object, float]]) -> None: ...


def passed_on() -> None:
    takes_object(plain.enqueue("a.jpg"))
    takes_call(coroutine)
    takes_call(coroutine.using(delay=1))
    takes_task(coroutine)


# Refused: wrong arguments, misspelt or unfit options, results that are something else.


def refused_arguments() -> None:
    plain.enqueue()  # type: ignore[call-arg]
    plain.enqueue(1)  # type: ignore[arg-type]
    plain.enqueue("a.jpg", sise=512)  # type: ignore[call-arg]
    plain.delay("a.jpg", "big")  # type: ignore[arg-type]
    plain("a.jpg", 1, 2)  # type: ignore[call-arg]
    with_options.enqueue("a.jpg", True)  # type: ignore[call-arg]
    coroutine.enqueue(1)  # type: ignore[arg-type]
    coroutine_with_options.using(delay=1).enqueue("x")  # type: ignore[call-arg]
    without_app.enqueue("1")  # type: ignore[arg-type]
    plain.enqueue_many([1, 2])  # type: ignore[list-item]
    current_job().enqueue_on_success(plain, size=1)  # type: ignore[call-arg]


async def refused_arguments_in_a_loop() -> None:
    await plain.aenqueue(1)  # type: ignore[arg-type]
    await coroutine.using(delay=1).aenqueue()  # type: ignore[call-arg]


def refused_options() -> None:
    plain.using(dealy=1)  # type: ignore[call-arg]
    plain.using(priority="high")  # type: ignore[arg-type]
    plain.using(at=60)  # type: ignore[arg-type]
    plain.using(retry=3)  # type: ignore[arg-type]
    app.queue("photos", prioritty=1)  # type: ignore[call-arg]

    @app.task(tiemout=3)  # type: ignore[call-overload,untyped-decorator]
    def misspelt() -> None: ...

    @task(job_id="one")  # type: ignore[call-overload,untyped-decorator]
    def of_one_call_only() -> None: ...


def refused_results() -> None:
    text: str = plain.enqueue("a.jpg").result()  # type: ignore[assignment]
    takes_call(plain)  # type: ignore[arg-type]
    del text
