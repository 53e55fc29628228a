"""What tests of bad input share: an app that leaves nothing behind, a burst of its worker, raw jobs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskforge import JobHandle, Taskforge
from taskforge.brokers.stamp import Sender
from taskforge.job import NewJob
from taskforge.worker import Worker

#: Seconds anything may take that happens in threads or processes.
LIMIT = 20.0
ROOT = Path(__file__).parents[2]


@contextmanager
def an_app(url: str = "memory://", **given: object) -> Iterator[Taskforge]:
    """An app on this broker, closed at the end."""
    with Taskforge("shop", broker=url, **given) as app:
        yield app


def run_ready(app: Taskforge) -> None:
    """Run what is ready, until nothing is; then the worker must end by itself, and in health."""
    with app.worker(threads=2, slots=2, burst=True) as worker:
        assert worker.wait(LIMIT), "the burst did not end"
    assert_alive(worker)


def assert_alive(worker: Worker) -> None:
    """Nothing has broken the worker's loop."""
    assert worker.exchanger.failure is None


def put(app: Taskforge, body: bytes, job_id: str = "raw", queue: str = "default") -> JobHandle[object]:
    """A job whose body is these bytes, whoever may have written them."""
    app.broker.announce([queue])
    app.broker.enqueue([NewJob(job_id, queue, body)], Sender().stamp())
    return app.job(job_id, queue)


def script(source: str, *arguments: str) -> str:
    """Run this program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT * 2,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start
