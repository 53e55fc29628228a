"""Huey over Redis: blocking reads, no results, 8 threads."""

from __future__ import annotations

from collections.abc import Sequence

from tasks import huey, noop, stamp

from benchmarks.peers import common
from benchmarks.peers.common import Job


class Peer:
    def enqueue(self, job: Job, stamped: bool = False) -> None:
        (stamp if stamped else noop)(*job)

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:  # Huey has no call that sends many messages at once
            noop(*job)

    def waiting(self) -> int:
        return int(huey.pending_count())

    def worker(self) -> list[str]:
        chosen = common.spec()
        return ["huey_consumer", "tasks.huey", "-k", chosen["kind"], "-w", str(chosen["workers"]), "-q", "-n"]


if __name__ == "__main__":
    common.run(Peer)
