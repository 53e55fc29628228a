"""Taskiq over a Redis list (fast, unacknowledged) or a stream (acknowledged): 2 processes on uvloop, its default."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis
import uvloop
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.peers import common
from benchmarks.peers.common import Job

streamed = common.spec().get("kind") == "stream"
broker = (RedisStreamBroker if streamed else ListQueueBroker)(common.url(), queue_name="bench")


@broker.task(task_name="noop")
async def noop(i: int, b: int, text: str) -> None:
    common.record(i)


@broker.task(task_name="stamp")
async def stamp(i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))


class Peer:
    """Taskiq has no call for many jobs: a gather of 100 is the fastest way it shows."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._redis = redis.Redis.from_url(common.url())
        self._loop.run_until_complete(broker.startup())

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        self._loop.run_until_complete((stamp if stamped else noop).kiq(*job))

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        for i in range(0, len(jobs), 100):
            self._loop.run_until_complete(self._gather(jobs[i : i + 100]))

    def waiting(self) -> int:
        return int(self._redis.xlen("bench") if streamed else self._redis.llen("bench"))

    def worker(self) -> list[str]:
        lean = ["--log-level", "WARNING", "--ack-type", "when_executed"]
        return ["taskiq", "worker", "program:broker", "--workers", "2", "--max-async-tasks", "100", *lean]

    async def _gather(self, jobs: Sequence[Job]) -> None:
        await asyncio.gather(*(noop.kiq(*job) for job in jobs))


if __name__ == "__main__":
    common.run(Peer)
