"""How each kind of run is stopped, cell by cell as docs/how-to/stopping.md has it: {asked at its timeout, what comes a
grace later, cancelled by id from another machine} for {a thread, one that may be interrupted, async def, isolated}.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskforge import Cancellation, JobHandle, JobState, Taskforge
from taskforge.worker import Worker
from tests.cases.places import broker_url, pytest_generate_tests, servers
from tests.servers import wait_until

__all__ = ["broker_url", "pytest_generate_tests", "servers"]

ONE_ENGINE = True
KINDS = ["thread", "interrupted", "async", "isolated"]
#: Seconds: soon, for a run; and beyond any load of the machine.
TIMEOUT, LONG = 0.3, 40.0


class Scene:
    """An app on one machine, the same app on another, and a folder where its runs leave notes."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        module = "tests.worker.stoppable_apart" if kind == "isolated" else "tests.worker.stoppable"
        sys.modules.pop(module, None)  # each test has an app that was never used
        self.app: Taskforge = importlib.import_module(module).app
        self.elsewhere = Taskforge("stoppable", broker=url)
        self.module, self.kind, self.folder = module, kind, folder

    def enqueue(self, how: str, timeout: float | None = None) -> JobHandle[object]:
        [task] = [task for task in self.app.tasks if task.name == f"{self.module}.{self.kind}_{how}"]
        return task.using(timeout=timeout).enqueue(str(self.folder))

    def cancel(self, job: JobHandle[object]) -> Cancellation:
        """By its id, from the other machine, once it runs."""
        self.wait("inside")
        return self.elsewhere.job(job.id).cancel()

    def noted(self, word: str) -> bool:
        return (self.folder / word).exists()

    def note(self, word: str) -> None:
        (self.folder / word).touch()

    def wait(self, word: str) -> None:
        wait_until(lambda: self.noted(word), LONG, f"the run is {word}")

    def ended(self, job: JobHandle[object]) -> tuple[JobState, str | None]:
        wait_until(lambda: job.state() not in (JobState.READY, JobState.RUNNING), LONG, "the job's end")
        info = job.info()
        return info.state, info.reason

    @contextmanager
    def working(self) -> Iterator[Worker]:
        with self.app.worker(threads=2, slots=2) as worker:
            try:
                yield worker
            finally:
                self.note("released")

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is a program of its own."""
        with subprocess.Popen([sys.executable, "-m", self.module]) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def scene(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Scene]]:
    made: list[Scene] = []

    def make(kind: str) -> Scene:
        made.append(Scene(kind, tmp_path, broker_url))
        return made[-1]

    monkeypatch.setenv("STOPPABLE", broker_url)
    yield make
    for scene in made:
        scene.app.close()
        scene.elsewhere.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_heeds_it_ends_at_its_timeout(kind: str, scene: Callable[[str], Scene]) -> None:
    it = scene(kind)

    with it.working() as worker:
        job = it.enqueue("heeds", TIMEOUT)
        ended = it.ended(job)

    assert ended == (JobState.DEAD, "timeout")
    assert it.noted("cleaned up")
    assert worker.healthy


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_heeds_it_ends_when_it_is_cancelled_by_id_from_another_machine(
    kind: str, scene: Callable[[str], Scene]
) -> None:
    it = scene(kind)

    with it.working() as worker:
        job = it.enqueue("heeds")
        answer = it.cancel(job)
        ended = it.ended(job)

    assert (answer, ended) == (Cancellation.REQUESTED, (JobState.CANCELLED, "requested"))
    assert it.noted("cleaned up")
    assert worker.healthy


@pytest.mark.parametrize("kind", ["thread", "interrupted", "async"])
def test_a_run_that_ignores_its_timeout_ends_with_its_process(kind: str, scene: Callable[[str], Scene]) -> None:
    it = scene(kind)
    job = it.enqueue("ignores", TIMEOUT)

    with it.process() as process:
        code = process.wait(LONG)
    ended = it.ended(job)

    assert (code, ended) == (1, (JobState.DEAD, "timeout"))
    assert it.noted("swallowed") is (kind != "thread")


def test_an_isolated_run_that_ignores_its_timeout_is_killed_and_nothing_else_is(
    scene: Callable[[str], Scene],
) -> None:
    it = scene("isolated")

    with it.working() as worker:
        job = it.enqueue("ignores", TIMEOUT)
        ended = it.ended(job)

    assert ended == (JobState.DEAD, "timeout")
    assert it.noted("swallowed")
    assert worker.healthy


@pytest.mark.parametrize("kind", ["thread", "interrupted", "async"])
def test_a_run_that_ignores_that_it_was_cancelled_goes_on_to_its_end(kind: str, scene: Callable[[str], Scene]) -> None:
    it = scene(kind)

    with it.working() as worker:
        job = it.enqueue("ignores")
        it.cancel(job)
        if kind != "thread":
            it.wait("swallowed")
        it.note("released")
        ended = it.ended(job)

    assert ended == (JobState.SUCCEEDED, None)
    assert worker.healthy


def test_an_isolated_run_that_ignores_that_it_was_cancelled_is_killed(scene: Callable[[str], Scene]) -> None:
    it = scene("isolated")

    with it.working() as worker:
        job = it.enqueue("ignores")
        it.cancel(job)
        ended = it.ended(job)

    assert ended == (JobState.CANCELLED, "requested")
    assert worker.healthy


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_where_nothing_can_be_pushed_a_cancel_arrives_with_the_keepers_next_beat(
    kind: str, scene: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = scene(kind)

    with it.working() as worker:
        monkeypatch.setattr(worker.keeper, "look", lambda ids: None)
        job = it.enqueue("heeds")
        it.cancel(job)
        ended = it.ended(job)

    assert ended == (JobState.CANCELLED, "requested")
