"""Calls from a running event loop, and from a forked child."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator

import pytest

from taskforge import JobHandle, Taskforge, WouldBlock
from tests.bad_input.harness import an_app, script

#: The methods of a handle that wait, each with the twin that its refusal must name.
WAITING = {
    "result": "aresult",
    "state": "astate",
    "info": "ainfo",
    "cancel": "acancel",
    "redrive": "aredrive",
    "promote": "apromote",
}


@pytest.fixture
def app() -> Iterator[Taskforge]:
    with an_app() as app:
        app.task(name="shop.add")(lambda a: a + 1)
        yield app


@pytest.mark.parametrize("name", WAITING)
def test_a_waiting_call_inside_a_running_loop_is_refused_naming_its_twin(app: Taskforge, name: str) -> None:
    job = app.enqueue("shop.add", 1)

    async def main() -> None:
        getattr(job, name)()

    with pytest.raises(WouldBlock, match=rf"await …{WAITING[name]}\(\)"):
        asyncio.run(main())


def test_setting_a_priority_inside_a_running_loop_is_refused_naming_its_twin(app: Taskforge) -> None:
    job = app.enqueue("shop.add", 1)

    async def main() -> None:
        job.set_priority(5)

    with pytest.raises(WouldBlock, match=r"await …aset_priority\(\)"):
        asyncio.run(main())


def test_the_async_twins_work_inside_a_running_loop(app: Taskforge) -> None:
    async def main() -> tuple[object, ...]:
        job = await app.aenqueue("shop.add", 1)
        async with app.worker(threads=1):
            return await job.aresult(10), (await job.ainfo()).state, await job.acancel()

    assert asyncio.run(main()) == (2, "succeeded", "ended")


ENQUEUES: dict[str, Callable[[Taskforge], object]] = {
    "enqueue": lambda app: app.by_name("shop.add").enqueue(1),
    "delay": lambda app: app.by_name("shop.add").delay(1),
    "using": lambda app: app.by_name("shop.add").using(priority=1).enqueue(1),
    "many": lambda app: app.by_name("shop.add").enqueue_many([(1,)]),
    "app": lambda app: app.enqueue("shop.add", 1),
}


@pytest.mark.parametrize("name", ENQUEUES)
def test_a_sync_enqueue_inside_a_running_loop_warns_once_at_its_call_site(app: Taskforge, name: str) -> None:
    async def main() -> None:
        for _ in range(3):
            ENQUEUES[name](app)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        asyncio.run(main())

    assert len(caught) == 1
    assert (caught[0].filename, caught[0].lineno) == (__file__, ENQUEUES[name].__code__.co_firstlineno)
    assert "aenqueue" in str(caught[0].message)
    assert app.inspector.counts("default").ready == 3, "it warns, and does what it was asked"


def test_an_enqueue_outside_a_loop_does_not_warn(app: Taskforge) -> None:
    job: JobHandle[object] = app.enqueue("shop.add", 1)  # a warning would be an error here

    assert job.new


FORK = """
import os, sys
from taskforge import Taskforge

app = Taskforge("shop", broker=sys.argv[1])

@app.task(name="shop.add")
def add(a): return a + 1

first = add.enqueue(0)
child = os.fork()
if child == 0:
    try:
        jobs = [add.enqueue(n) for n in range(20)]
        os._exit(0 if len({job.id for job in jobs}) == 20 else 9)
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
        os._exit(1)
mine = [add.enqueue(n) for n in range(20)]
_, status = os.waitpid(child, 0)
code = os.waitstatus_to_exitcode(status)
mine.append(add.enqueue(0))
print(code, app.inspector.counts("default").ready, len(app.inspector.list("default", first.state())))
app.close()
"""


def test_a_child_forked_after_the_app_connected_enqueues_beside_its_parent(sqlite_url: str) -> None:
    assert script(FORK, sqlite_url).split() == ["0", "42", "42"]


def test_a_forked_child_of_a_redis_client_enqueues_beside_its_parent(redis_url: str) -> None:
    assert script(FORK, redis_url).split() == ["0", "42", "42"]


def test_a_forked_child_of_a_memory_broker_gets_a_clear_error_and_its_parent_goes_on() -> None:
    said = script(FORK, "memory://")

    error, counts = said.splitlines()
    assert error.startswith("BrokerUnsupported a memory:// broker lives in the process that made it")
    assert "sqlite:/// or redis://" in error
    assert counts.split() == ["1", "22", "22"]


FORK_WAITING = """
import os, sys
from taskforge import Taskforge

app = Taskforge("shop", broker=sys.argv[1])

@app.task(name="shop.add")
def add(a): return a + 1

with app.worker(threads=1):
    assert add.enqueue(0).result(10) == 1
    child = os.fork()
    if child == 0:
        try:
            got = add.enqueue(5).result(10)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0 if got == 6 else 9)
    _, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
app.close()
"""


def test_a_forked_child_waits_for_results_as_its_parent_did(sqlite_url: str) -> None:
    assert script(FORK_WAITING, sqlite_url).strip() == "0"


def test_a_forked_child_of_a_redis_client_waits_for_results_as_its_parent_did(redis_url: str) -> None:
    assert script(FORK_WAITING, redis_url).strip() == "0"
