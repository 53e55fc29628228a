"""SAQ: one process on uvloop, 100 jobs side by side; succeeded jobs are not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import uvloop
from saq import Queue

from benchmarks.peers import common
from benchmarks.peers.common import Job

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
queue = Queue.from_url(common.url())


async def noop(context: Any, *, i: int, b: int, text: str) -> None:
    common.record(i)


async def stamp(context: Any, *, i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))


settings = {"queue": queue, "functions": [noop, stamp], "concurrency": 100}


class Peer:
    """SAQ has no call for many jobs: a gather of 100 is the fastest way it shows."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._queue = Queue.from_url(common.url())

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        self._loop.run_until_complete(self._enqueue(job, "stamp" if stamped else "noop"))

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        for i in range(0, len(jobs), 100):
            self._loop.run_until_complete(self._gather(jobs[i : i + 100]))

    def waiting(self) -> int:
        return int(self._loop.run_until_complete(self._queue.count("queued")))

    def worker(self) -> list[str]:
        return ["saq", "program.settings"]

    async def _gather(self, jobs: Sequence[Job]) -> None:
        await asyncio.gather(*(self._enqueue(job, "noop") for job in jobs))

    async def _enqueue(self, job: Job, task: str) -> None:
        await self._queue.enqueue(task, i=job[0], b=job[1], text=job[2], ttl=-1)


if __name__ == "__main__":
    common.run(Peer)
