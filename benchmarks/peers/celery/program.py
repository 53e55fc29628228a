"""Celery over Redis: no result backend, acknowledged early and prefetching as by default."""

from __future__ import annotations

from collections.abc import Sequence

import redis
from celery import Celery

from benchmarks.peers import common
from benchmarks.peers.common import Job

app = Celery("program", broker=common.url())
app.conf.update(task_ignore_result=True, worker_send_task_events=False, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(i: int, b: int, text: str) -> None:
    common.record(i)


@app.task(name="stamp")
def stamp(i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))


class Peer:
    """`options` pool and concurrency: prefork with 2 processes, or threads."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(common.url())

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        (stamp if stamped else noop).delay(*job)

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:  # Celery has no call that sends many messages at once
            noop.delay(*job)

    def waiting(self) -> int:
        return int(self._redis.llen("celery"))

    def worker(self) -> list[str]:
        chosen = common.spec()
        lean = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
        return ["celery", "-A", "program", "worker", "-P", chosen["pool"], "-c", str(chosen["concurrency"]), *lean]


if __name__ == "__main__":
    common.run(Peer)
