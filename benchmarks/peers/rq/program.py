"""RQ: two workers that run jobs in their own process (SimpleWorker), for forking per job is an order slower."""

from __future__ import annotations

from collections.abc import Sequence

import redis
import tasks
from rq import Queue

from benchmarks.peers import common
from benchmarks.peers.common import Job


class Peer:
    def __init__(self) -> None:
        self._queue = Queue(connection=redis.Redis.from_url(common.url()))

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        self._queue.enqueue(tasks.stamp if stamped else tasks.noop, args=job, result_ttl=0)

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        self._queue.enqueue_many([Queue.prepare_data(tasks.noop, args=job, result_ttl=0) for job in jobs])

    def waiting(self) -> int:
        return int(self._queue.count)

    def worker(self) -> list[str]:
        kind = ["-w", "rq.worker.SimpleWorker"] if common.spec().get("simple", True) else []
        return ["rq", "worker-pool", "-n", "2", *kind, "-u", common.url(), "-l", "WARNING"]


if __name__ == "__main__":
    common.run(Peer)
