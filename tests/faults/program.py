"""The app that the workers of these tests run: its runs note when they begin and end, its workers what settled."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskforge import Fixed, Retry, Snooze, Taskforge, current_job
from taskforge.job import Delivery
from tests.faults.clocks import BrokersClock, WorkersClock
from tests.faults.kinds import seconds_of
from tests.faults.ledger import FOLDER, write_down

#: Environment variables that name a file with seconds by which a clock is off: the worker's own, or the broker's.
WORKERS_CLOCK, BROKERS_CLOCK = "FAULTS_WORKERS_CLOCK", "FAULTS_BROKERS_CLOCK"
#: All that ends is kept: the verdict counts it.
EVERYTHING = 10_000_000

app = Taskforge(
    "faults",
    retry=Retry(attempts=2, backoff=Fixed(0.1)),
    max_crashes=1_000,
    finished_count=EVERYTHING,
    result_count=EVERYTHING,
    result_bytes=1 << 40,
    dead_count=EVERYTHING,
    finished_age=24 * 3600,
    result_age=24 * 3600,
)
if os.environ.get(BROKERS_CLOCK):
    app.clock = BrokersClock(Path(os.environ[BROKERS_CLOCK]))
if os.environ.get(WORKERS_CLOCK):
    app.clock = WorkersClock(Path(os.environ[WORKERS_CLOCK]))
    time.time = app.clock.time
# Jobs that fail on purpose are many.
logging.getLogger("taskforge.worker").addFilter(lambda record: record.msg not in ("job_buried", "job_retried"))


def _note(what: str) -> Callable[..., None]:
    def receive(_app: object, delivery: Delivery, **_facts: object) -> None:
        write_down(what, delivery.id)

    return receive


app.signals.job_succeeded.connect(_note("succeeded"), weak=False)
app.signals.job_buried.connect(_note("buried"), weak=False)
app.signals.lease_lost.connect(_note("refused"), weak=False)


@contextmanager
def noted() -> Iterator[str]:
    """A run: its id, with its begin and its end written down."""
    job_id = current_job().id
    write_down("began", job_id)
    try:
        yield job_id
    finally:
        write_down("ended", job_id)


def first_time() -> bool:
    """Whether the job runs for the first time: no later run, in whatever process, is told so."""
    try:
        (Path(os.environ[FOLDER]).parent / "markers" / current_job().id).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task(queue="quick", keep_result=False)
def fast(number: int) -> None:
    with noted():
        pass


@app.task(queue="slow")
def slow(number: int) -> int:
    with noted():
        threading.Event().wait(seconds_of(number))
    return number


@app.task(queue="quick", keep_result=False)
async def coroutine(number: int) -> None:
    with noted():
        await asyncio.sleep(seconds_of(number))


@app.task(queue="slow", isolate=True)
def isolated(number: int) -> int:
    with noted():
        threading.Event().wait(seconds_of(number) / 10)
    return number


@app.task(queue="slow", isolate=True)
def crashing(number: int) -> int:
    """Takes its own process down when it runs for the first time, in one of two ways."""
    with noted():
        if first_time():
            os._exit(3) if number % 2 else os.kill(os.getpid(), signal.SIGKILL)
    return number


@app.task(queue="quick")
def failing(number: int) -> None:
    with noted():
        raise ValueError(number)


@app.task(queue="slow")
def retried(number: int) -> int:
    with noted():
        if current_job().attempt == 1:
            raise OSError("the first attempt fails")
    return number


@app.task(queue="quick", keep_result=False)
def snoozed(number: int) -> None:
    with noted():
        if first_time():
            raise Snooze(0.2)


@app.task(queue="slow", keep_result=False)
def delayed(number: int) -> None:
    with noted():
        pass


@app.task(timeout=120)
def hold(seconds: float, again: float = 0.0) -> str:
    """Busy for so long, later runs for `again`; it takes no notice of requests to stop."""
    first = first_time()  # before others can see that it began, and kill it
    with noted():
        threading.Event().wait(seconds if first else again)
    return "first" if first else "again"


@app.task(keep_result=False)
def call_the_roll() -> None:
    """Takes so long that whoever has a free slot gets one of many."""
    write_down("present", current_job().id)
    threading.Event().wait(0.2)


@app.task(timeout=120)
def hog(seconds: float) -> str:
    """Keeps the interpreter to itself for so long, once: no other thread of its process gets a turn."""
    first = first_time()
    with noted():
        if not first:
            return "again"
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return "first"


@app.task(timeout=120)
def use_up_files(seconds: float) -> int:
    """Opens files until there are no more, and keeps them for so long."""
    opened: list[int] = []
    with noted():
        try:
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            threading.Event().wait(seconds)
        finally:
            for each in opened:
                os.close(each)
    return len(opened)


@app.task(keep_result=False)
def die_at_first() -> None:
    """Kills its process without a word when it runs for the first time."""
    write_down("began", current_job().id)
    if first_time():
        os.kill(os.getpid(), signal.SIGKILL)
    write_down("ended", current_job().id)
