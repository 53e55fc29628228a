"""Reading and mending queues on Redis."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import cast

from taskforge.brokers.inspecting import Pressure
from taskforge.brokers.moments import MS, span
from taskforge.brokers.protocol import BATCH, PAGE, BrokerSettings
from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.records import record
from taskforge.brokers.redis.requests import pack, retention_row
from taskforge.brokers.redis.scripts import Value, script
from taskforge.brokers.redis.wire import Wire
from taskforge.brokers.stamp import Stamp
from taskforge.job import MAX_PRIORITY, MIN_PRIORITY, Cancellation, Counts, JobRecord, JobState

_CANCELLATIONS = {"c": Cancellation.CANCELLED, "r": Cancellation.REQUESTED, "e": Cancellation.ENDED}


class RedisInspector:
    """The Inspector of a RedisBroker; it shares the broker's connections."""

    def __init__(self, wire: Wire, keys: Keys, settings: BrokerSettings, now: Callable[[], int | str]) -> None:
        self._wire, self._keys, self._settings, self._now = wire, keys, settings, now

    def queues(self) -> list[str]:
        names = cast("list[bytes]", self._wire.call([("ZRANGE", self._keys.queues, 0, -1)])[0])
        return sorted(name.decode() for name in names)

    def counts(self, queue: str) -> Counts:
        numbers = cast("list[int]", self._read("counts", queue))
        ready, delayed, retrying, running, succeeded, dead, cancelled = numbers
        return Counts(ready, delayed, retrying, 0, running, succeeded, dead, cancelled)

    def pressure(self, queue: str, within: timedelta) -> Pressure:
        ready, oldest, soon, running = cast("list[int]", self._read("pressure", queue, within=span(within)))
        return Pressure(ready, oldest * MS if oldest >= 0 else None, soon, running)

    def list(self, queue: str, state: JobState, offset: int = 0, limit: int = 100) -> builtins.list[JobRecord]:
        if not 0 <= limit <= PAGE or offset < 0:
            raise ValueError(f"list takes an offset from 0 and a limit up to {PAGE:,}, not {offset} and {limit}")
        if state is JobState.BLOCKED or limit == 0:
            return []
        rows = cast("builtins.list[Reply]", self._read("list", queue, state=state.value, offset=offset, limit=limit))
        return [record(queue, row) for row in rows]

    def get(self, queue: str, job_id: str) -> JobRecord | None:
        row = self._read("look", queue, id=job_id)
        return record(queue, row) if row else None

    def find(self, job_id: str) -> builtins.list[JobRecord]:
        queues = self.queues()
        if not queues:
            return []
        look = script("look")
        rows = self._wire.call([look.call(self._keys.queue(queue), now=self._now(), id=job_id) for queue in queues])
        return [record(queue, row) for queue, row in zip(queues, rows, strict=True) if row]

    def cancel(self, queue: str, job_ids: Sequence[str], keep: timedelta, stamp: Stamp) -> builtins.list[Cancellation]:
        if not _some(job_ids):
            return []
        retention = pack(retention_row(self._settings.retention(queue)))
        told = self._keys.told("")
        letters = self._change(
            "cancel", queue, stamp, keep=span(keep), retention=retention, ids=pack(job_ids), told=told
        )
        return [_CANCELLATIONS[letter] for letter in letters]

    def promote(self, queue: str, job_ids: Sequence[str], stamp: Stamp) -> builtins.list[bool]:
        return self._flags("promote", queue, job_ids, stamp)

    def reprioritise(self, queue: str, job_ids: Sequence[str], priority: int, stamp: Stamp) -> builtins.list[bool]:
        if not MIN_PRIORITY <= priority <= MAX_PRIORITY:
            raise ValueError(f"a priority lies between {MIN_PRIORITY} and {MAX_PRIORITY}, not at {priority}")
        return self._flags("reprioritise", queue, job_ids, stamp, priority=priority)

    def redrive(
        self, queue: str, job_ids: Sequence[str], stamp: Stamp, body: bytes | None = None
    ) -> builtins.list[bool]:
        if body is not None and len(job_ids) != 1:
            raise ValueError(f"a new body is for exactly one job, not for {len(job_ids)}")
        # Whether there is a body is said apart, for an empty one is a body too.
        new = b"" if body is None else b"=" + body
        return self._flags("redrive", queue, job_ids, stamp, body=new)

    def purge(self, queue: str, state: JobState, stamp: Stamp) -> int:
        if state is JobState.RUNNING:
            raise ValueError("running jobs cannot be purged; cancel them")
        if state is JobState.BLOCKED:
            return 0
        return int(self._change("purge", queue, stamp, state=state.value))

    def _read(self, name: str, queue: str, **arguments: Value) -> Reply:
        return self._wire.call([script(name).call(self._keys.queue(queue), now=self._now(), **arguments)])[0]

    def _change(self, name: str, queue: str, stamp: Stamp, **arguments: Value) -> str:
        command = script(name).call(
            self._keys.numbered(queue, stamp.sender), now=self._now(), number=stamp.number, **arguments
        )
        return cast(bytes, self._wire.call([command], changing=True)[0]).decode()

    def _flags(
        self, name: str, queue: str, job_ids: Sequence[str], stamp: Stamp, **arguments: Value
    ) -> builtins.list[bool]:
        if not _some(job_ids):
            return []
        return [flag == "1" for flag in self._change(name, queue, stamp, ids=pack(job_ids), **arguments)]


def _some(job_ids: Sequence[str]) -> bool:
    if len(job_ids) > BATCH:
        raise ValueError(f"at most {BATCH} ids a call, not {len(job_ids)}")
    return len(job_ids) > 0
