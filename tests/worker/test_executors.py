"""Where functions run."""

from __future__ import annotations

import threading

from taskforge import Taskforge
from taskforge.outcome import Outcome
from taskforge.run import Run
from taskforge.worker.executors import LoopExecutor, ThreadExecutor
from taskforge.worker.runner import Runner
from tests.servers import wait_until
from tests.worker.deliveries import run_of


def test_runs_that_come_together_start_in_as_many_threads(app: Taskforge) -> None:
    together = threading.Barrier(4)
    ended: list[Run] = []

    def done(run: Run, outcome: Outcome) -> None:
        ended.append(run)

    runner = Runner(app)
    executor = ThreadExecutor(4, runner, LoopExecutor(1, runner, done, print), done)
    executor.start()
    task = app.task(name="task")(lambda: together.wait(10))
    runs = [run_of(app, task) for _ in range(4)]

    executor.submit(runs, 0.0)

    wait_until(lambda: len(ended) == 4, 10, "all four having met")
    assert not together.broken
    executor.stop(5)
