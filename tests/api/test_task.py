"""Tasks: declaring, naming, calling, enqueuing."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskforge import (
    Args,
    EncodeError,
    OptionError,
    PayloadTooLarge,
    Retry,
    TaskAlreadyRegistered,
    TaskError,
    Taskforge,
    UnknownTask,
)


def add(a: int, b: int = 0) -> int:
    """Adds."""
    return a + b


def test_a_task_is_still_its_function(app: Taskforge) -> None:
    task = app.task(add)

    assert task(1, b=2) == 3
    assert (task.__name__, task.__doc__, task.__wrapped__) == ("add", "Adds.", add)  # type: ignore[attr-defined]


def test_an_async_task_is_still_its_function(app: Taskforge) -> None:
    @app.task
    async def aadd(a: int, b: int) -> int:
        return a + b

    assert asyncio.run(aadd(1, 2)) == 3
    assert aadd.is_async


def test_a_task_is_named_after_its_module_and_function(app: Taskforge) -> None:
    assert app.task(add).name == f"{__name__}.add"
    assert app.tasks[f"{__name__}.add"].function is add


def test_a_tasks_name_is_the_same_when_its_module_is_run_as_a_script(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    program = """
        from taskforge import Taskforge
        app = Taskforge("shop", broker="memory://")
        @app.task
        def pay() -> None: ...
        if __name__ == "__main__":
            import shop.jobs
            print(pay.name, shop.jobs.pay.name)
    """
    (package / "jobs.py").write_text("\n".join(line[8:] for line in program.splitlines()))

    for command in ([str(package / "jobs.py")], ["-m", "shop.jobs"]):
        said = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert said.stdout.split() == ["shop.jobs.pay", "shop.jobs.pay"], said.stderr


def test_two_functions_of_one_name_are_refused_and_both_are_named(app: Taskforge) -> None:
    app.task(name="mine")(add)

    with pytest.raises(TaskAlreadyRegistered, match=r"(?s)'mine'.*add.*other") as caught:

        @app.task(name="mine")
        def other() -> None: ...

    assert "name=" in str(caught.value)


def test_an_alias_that_is_taken_is_refused_and_leaves_nothing_behind(app: Taskforge) -> None:
    app.task(name="taken")(add)

    with pytest.raises(TaskAlreadyRegistered, match="taken"):
        app.task(name="fresh", aliases=["taken"])(lambda: None)

    assert app.tasks.get("fresh") is None


def test_an_unknown_task_is_answered_with_the_nearest_name(app: Taskforge) -> None:
    app.task(name="photos.thumbnail")(add)

    with pytest.raises(UnknownTask, match=r"'photos\.thumbnail'"):
        app.tasks["photos.thumbnial"]


class Album:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    "thing", [7, None, Album, Album.method, generator, Album.__dict__["static"]], ids=lambda t: type(t).__name__
)
def test_what_cannot_be_a_task_is_refused(app: Taskforge, thing: object) -> None:
    with pytest.raises((TaskError, TypeError)):
        app.task(name="thing")(thing)  # type: ignore[call-overload]


def test_a_task_of_a_task_is_refused(app: Taskforge) -> None:
    with pytest.raises(TaskError, match="already"):
        app.task(app.task(add))


def test_a_decorated_async_function_is_async(app: Taskforge) -> None:
    async def base() -> int:
        return 7

    @functools.wraps(base)
    async def wrapped() -> int:
        return await base()

    assert app.task(wrapped).is_async


# Arguments.


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"c": 3}), ((1,), {"a": 2})])
def test_arguments_that_do_not_fit_are_refused_where_they_are_given(
    app: Taskforge, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    task = app.task(name="add")(add)

    with pytest.raises(TypeError, match=r"add\(a: .?int"):
        task.enqueue(*args, **kwargs)

    assert app.inspector.counts("default").ready == 0


def test_what_cannot_travel_is_refused_and_says_where_it_was(app: Taskforge) -> None:
    task = app.task(name="add")(add)

    with pytest.raises(EncodeError, match="a"):
        task.enqueue({"deep": [object()]})  # type: ignore[arg-type]
    with pytest.raises(PayloadTooLarge):
        task.enqueue("x" * 300_000)  # type: ignore[arg-type]


def test_a_kept_call_may_be_used_again_and_built_upon(app: Taskforge) -> None:
    urgent = app.task(name="add")(add).using(priority=9, queue="fast")
    later = urgent.using(delay=60, queue="slow")

    first, second, third = urgent.enqueue(1), urgent.enqueue(2), later.enqueue(3)

    assert [job.info().priority for job in (first, second, third)] == [9, 9, 9]
    assert [job.queue for job in (first, second, third)] == ["fast", "fast", "slow"]
    assert third.info().state == "delayed"


def test_delay_is_another_word_for_enqueue(app: Taskforge) -> None:
    assert list(app.task(name="add")(add).delay(1, b=2).info().args or ()) == [1]


# Many.


def test_enqueue_many_takes_tuples_and_args_and_returns_handles_in_order(app: Taskforge) -> None:
    jobs = app.task(name="add")(add).enqueue_many([(1,), (2, 3), Args(4, b=5), [6]])

    read = [(list(info.args or ()), info.kwargs) for info in (job.info() for job in jobs)]
    assert read == [([1], {}), ([2, 3], {}), ([4], {"b": 5}), ([6], {})]
    assert len({job.id for job in jobs}) == 4


def test_enqueue_many_of_nothing_is_nothing(app: Taskforge) -> None:
    assert app.task(name="add")(add).enqueue_many([]) == []


def test_one_misfit_refuses_the_whole_batch_before_anything_is_sent(app: Taskforge) -> None:
    with pytest.raises(TypeError):
        app.task(name="add")(add).enqueue_many([(1,), ()])

    assert app.inspector.counts("default").ready == 0


@pytest.mark.parametrize("each", ["text", b"bytes", 7])
def test_a_batch_of_bare_values_is_refused_with_the_remedy(app: Taskforge, each: object) -> None:
    with pytest.raises(TypeError, match=r"did you mean \("):
        app.task(name="add")(add).enqueue_many([each])  # type: ignore[list-item]


def test_one_job_id_cannot_name_many_jobs(app: Taskforge) -> None:
    with pytest.raises(OptionError, match="job_id"):
        app.task(name="add")(add).using(job_id="mine").enqueue_many([(1,)])


def test_a_batch_larger_than_one_call_may_be_is_enqueued_whole_and_in_order(app: Taskforge) -> None:
    jobs = app.task(name="add")(add).enqueue_many((n,) for n in range(600))

    listed = [record.id for record in app.inspector.list("default", jobs[0].state(), limit=1000)]
    assert listed == [job.id for job in jobs]


def test_a_callable_backoff_lives_on_the_task_and_cannot_be_given_for_one_call(app: Taskforge) -> None:
    own = Retry(backoff=lambda attempt, error: 1.0)
    task = app.task(name="add", retry=own)(add)

    with pytest.raises(OptionError, match="declaration"):
        task.using(retry=own)
