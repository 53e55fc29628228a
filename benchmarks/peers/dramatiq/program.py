"""Dramatiq over Redis: its default middleware, 2 processes of 8 threads, which is its default on this many cores."""

from __future__ import annotations

from collections.abc import Sequence

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import common
from benchmarks.peers.common import Job

broker = RedisBroker(url=common.url())
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop")
def noop(i: int, b: int, text: str) -> None:
    common.record(i)


@dramatiq.actor(actor_name="stamp")
def stamp(i: int, b: int, text: str) -> None:
    common.record(i, common.age_of(text))


class Peer:
    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(common.url())

    def enqueue(self, job: Job, stamped: bool = False) -> None:
        (stamp if stamped else noop).send(*job)

    def enqueue_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:  # Dramatiq's broker sends one message at a time, in a group, too
            noop.send(*job)

    def waiting(self) -> int:
        return int(self._redis.llen("dramatiq:default"))

    def worker(self) -> list[str]:
        return ["dramatiq", "program", "--processes", "2", "--threads", "8"]


if __name__ == "__main__":
    common.run(Peer)
