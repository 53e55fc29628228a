"""The floor on one event loop: a worker that makes an asyncio task per job, and a sender that coalesces enqueues."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis

from benchmarks.floor.jobs import REGISTRY, unpack
from benchmarks.floor.redis_broker import ENQUEUE_KEYS, RedisBroker, Settlement
from benchmarks.floor.sqlite_broker import SqliteBroker


class Link(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._reply: asyncio.Future[Any]
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP connection's transport is one

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not False:
            self._reply.set_result(reply)

    async def call(self, *command: Any) -> Any:
        """One command, one answer."""
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(hiredis.pack_command(command))
        return await self._reply


async def work(broker: RedisBroker | SqliteBroker, port: int, n: int, depth: int = 4_000, cap: int = 500) -> None:
    """Run and settle `n` jobs, at most `depth` at a time. SQLite is called on the loop, which blocks it for a batch."""
    loop = asyncio.get_running_loop()
    link = (await loop.create_connection(Link, "127.0.0.1", port))[1] if isinstance(broker, RedisBroker) else None
    done: deque[Settlement] = deque()
    ended, alive = asyncio.Event(), set()

    async def run(job_id: Any, number: int, body: Any) -> None:
        task, args, reply = unpack(memoryview(body)[1:])
        result = await REGISTRY[task](*args)  # type: ignore[misc]  # every task here is async
        done.append((job_id, number, result, reply))
        ended.set()

    held = settled = 0
    while settled < n:
        batch = [done.popleft() for _ in range(min(len(done), cap))]
        held -= len(batch)
        want = min(cap, depth - held)
        if isinstance(broker, RedisBroker):
            assert link is not None
            jobs = broker.parse(await link.call(*broker.command(batch, want)), len(batch))
        else:
            jobs = broker.exchange(batch, want)
        settled, held = settled + len(batch), held + len(jobs)
        for job in jobs:
            task = loop.create_task(run(*job))
            alive.add(task)
            task.add_done_callback(alive.discard)
        if not done:
            ended.clear()
            if held:
                await ended.wait()


class RedisSender(asyncio.Protocol):
    """The jobs that are enqueued in one step of the loop share one script call."""

    def __init__(self, sha: str) -> None:
        self._sha, self._reader = sha, hiredis.Reader()
        self._callers: deque[list[asyncio.Future[None]]] = deque()
        self._waiting: list[asyncio.Future[None]] = []
        self._jobs: list[tuple[str, bytes]] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP connection's transport is one

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            for caller in self._callers.popleft():
                caller.set_exception(reply) if isinstance(reply, Exception) else caller.set_result(None)

    def enqueue(self, job: tuple[str, bytes]) -> asyncio.Future[None]:
        """Sent at the end of this step of the loop."""
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[None] = loop.create_future()
        if not self._jobs:
            loop.call_soon(self._flush)
        self._jobs.append(job)
        self._waiting.append(caller)
        return caller

    def _flush(self) -> None:
        parts = [part for job in self._jobs for part in job]
        self._callers.append(self._waiting)
        self._jobs, self._waiting = [], []
        command: tuple[Any, ...] = ("EVALSHA", self._sha, 5, *ENQUEUE_KEYS, *parts)
        self._transport.write(hiredis.pack_command(command))


class SqliteSender:
    """The same on SQLite, on the loop: a thread would cost a hop."""

    def __init__(self, broker: SqliteBroker) -> None:
        self._broker = broker
        self._waiting: list[tuple[tuple[str, bytes], asyncio.Future[None]]] = []

    def enqueue(self, job: tuple[str, bytes]) -> asyncio.Future[None]:
        """Written at the end of this step of the loop."""
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((job, caller))
        return caller

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._broker.enqueue([job for job, _ in waiting])
        for _, caller in waiting:
            caller.set_result(None)
