"""What a Redis loses when its plug is pulled, counted job by job: python -m tests.faults.durability --help."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from taskforge import Args, Taskforge, current_job
from taskforge.errors import BrokerError
from taskforge.job import Delivery
from tests.faults.under_load import LIMIT
from tests.sentinels import NAME, watched
from tests.servers import Engine, engines, serve, start, stop, wait_until

#: Jobs of one enqueue, and threads that enqueue.
BATCH, THREADS = 20, 4
#: Where this app keeps the bodies of its queue: a job that is known has one.
BODIES = "tf:shop:{default}:jobs"
#: appendfsync, and the durability asked for.
KILLED = (("no", "default"), ("everysec", "default"), ("always", "disk"))
#: How a failover comes about.
WAYS = ("kill", "freeze", "order")


@dataclass(frozen=True)
class Loss:
    """What was confirmed, and how much of it was gone.

    `window` is how long (seconds) before the fault the oldest lost enqueue had been confirmed; below zero: after it.
    """

    enqueued: int
    settled: int
    jobs: int
    settlements: int
    window: float

    def __str__(self) -> str:
        window = f", {self.window * 1000:+.0f} ms before the fault" if self.jobs else ""
        return (
            f"{self.enqueued} enqueues and {self.settled} settlements confirmed; "
            f"{self.jobs} jobs and {self.settlements} settlements lost{window}"
        )


@dataclass
class Work:
    """Threads that enqueue, and a worker that runs the jobs. Times are monotonic seconds."""

    app: Taskforge
    jobs: int
    enqueued: dict[str, float] = field(default_factory=dict)
    settled: dict[str, float] = field(default_factory=dict)
    #: Settled and confirmed, and run again after all.
    again: set[str] = field(default_factory=set)
    ending: threading.Event = field(default_factory=threading.Event)

    def enqueue(self) -> None:
        """Until so many jobs are confirmed, or until told to end."""
        while len(self.enqueued) < self.jobs and not self.ending.is_set():
            batch = self.app.desk.new_jobs(self.app.by_name("shop.work"), [Args()] * BATCH)
            while not self.ending.is_set():
                try:
                    self.app.client.enqueue(batch)
                except BrokerError:
                    continue  # whether they were enqueued is unknown: the same again
                self.enqueued.update(dict.fromkeys([job.id for job in batch], time.monotonic()))
                break

    def run(self) -> None:
        """What a job does."""
        job = current_job().id
        if job in self.settled:
            self.again.add(job)

    def loss(self, known: Sequence[bytes | str], at: float) -> Loss:
        """What is missing among the known jobs, after a fault at this moment."""
        lost = self.enqueued.keys() - {str(each, "ascii") if isinstance(each, bytes) else each for each in known}
        window = at - min([self.enqueued[job] for job in lost], default=at)
        return Loss(len(self.enqueued), len(self.settled), len(lost), len(self.again), window)


@contextmanager
def working(url: str, durability: str, jobs: int) -> Iterator[Work]:
    """Clients and a worker at work until so many jobs are confirmed; at the end all that is known has run."""
    with Taskforge("shop", broker=url, durability=durability, call_timeout=2, finished_count=10_000_000) as app:
        work = Work(app, jobs)

        @app.task(name="shop.work")
        def run() -> None:
            work.run()

        def settled(sender: Taskforge, delivery: Delivery, **facts: object) -> None:
            work.settled.setdefault(delivery.id, time.monotonic())

        app.signals.job_succeeded.connect(settled)
        threads = [threading.Thread(target=work.enqueue, daemon=True) for _ in range(THREADS)]
        with app.worker(threads=1):
            for thread in threads:
                thread.start()
            wait_until(lambda: len(work.enqueued) >= jobs / 2, LIMIT * 5, "the first half")
            yield work
            for thread in threads:
                thread.join(LIMIT * 5)
            wait_until(lambda: _nothing_left(app), LIMIT * 5, "the last jobs")


def kill(engine: Engine, options: Sequence[str], durability: str, jobs: int) -> Loss:
    """kill -9 of the server while these work, and a start of the same on the files that it left."""
    with serve(engine, *options) as own, ExitStack() as restarted:
        with working(own.url, durability, jobs) as work:
            at = time.monotonic()
            os.kill(own.pid, signal.SIGKILL)
            os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)  # `serve` collects it
            restarted.callback(stop, start(engine, own.folder, options))
        with own.client() as client:
            return work.loss(cast("list[bytes]", client.hkeys(BODIES)), at)


def failover(engine: Engine, way: str, durability: str, jobs: int, *options: str, replicas: int = 2) -> Loss:
    """A failover while these work: the primary is killed or frozen, or the sentinels are ordered to replace it."""
    with watched(engine, *options, replicas=replicas) as setting:
        with working(setting.url, durability, jobs) as work:
            old, at = setting.master(), time.monotonic()
            if way == "order":
                with setting.sentinels[0].client() as client:
                    client.execute_command("SENTINEL", "FAILOVER", NAME)
            else:
                old.process.send_signal(signal.SIGKILL if way == "kill" else signal.SIGSTOP)
            new = setting.wait_for_new_master(old)
        with new.client() as client:
            return work.loss(cast("list[str]", client.hkeys(BODIES)), at)


def main() -> None:
    """Print the table's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="confirmed enqueues per trial [%(default)s]")
    parser.add_argument("--trials", type=int, default=1, help="of each line [%(default)s]")
    parser.add_argument("--engine", default="valkey", help="a name, or how it begins [%(default)s]")
    parser.add_argument("--only", default="", help="lines whose name has this in it")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    [engine, *_] = [each for each in engines() if each.name.startswith(asked.engine)]
    lines: dict[str, Callable[[], object]] = {}
    for fsync, durability in KILLED:
        options = ("--appendonly", "yes", "--appendfsync", fsync)
        lines[f"kill -9, appendfsync {fsync}, {durability}"] = partial(kill, engine, options, durability, asked.jobs)
    for way in WAYS:
        for durability in ("default", "replicated"):
            lines[f"failover ({way}), {durability}"] = partial(failover, engine, way, durability, asked.jobs)
        careful = partial(failover, engine, way, "default", asked.jobs, "--min-replicas-to-write", "1", replicas=1)
        if way != "kill":  # who is left alone after a kill would refuse for ever
            lines[f"failover ({way}), default, min-replicas-to-write 1"] = careful
    for name, trial in lines.items():
        for _ in range(asked.trials if asked.only in name else 0):
            start = time.monotonic()
            print(f"{name}: {trial()} ({time.monotonic() - start:.0f} s)", flush=True)


def _nothing_left(app: Taskforge) -> bool:
    try:
        counts = app.inspector.counts("default")
    except BrokerError:
        return False  # the new master's replica is not back yet
    return counts.ready + counts.running + counts.delayed == 0


if __name__ == "__main__":
    main()
