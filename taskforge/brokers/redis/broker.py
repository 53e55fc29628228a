"""The broker on Redis: each verb one script, one round trip, one try."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from taskforge.brokers.moments import moment, span
from taskforge.brokers.protocol import BATCH, BrokerSettings, Demand, Exchange, Extension
from taskforge.brokers.redis.bell import Bell
from taskforge.brokers.redis.inspector import RedisInspector
from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.preflight import check
from taskforge.brokers.redis.records import deliveries
from taskforge.brokers.redis.requests import ExchangeRequest, job_row, pack
from taskforge.brokers.redis.scripts import script
from taskforge.brokers.redis.waiter import RedisWaiter
from taskforge.brokers.redis.wire import Wire
from taskforge.brokers.stamp import Stamp
from taskforge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from taskforge.job import Counts, Delivery, Enqueued, NewJob
from taskforge.settlement import Settlement

Item = TypeVar("Item", NewJob, Delivery)

#: The part of the timeout that a wait for durability may take, so that its answer still comes in time.
_CONFIRM_WITHIN = 0.8


class RedisBroker:
    """A Broker on one Redis server: redis://, rediss:// or unix://."""

    def __init__(self, url: str, settings: BrokerSettings) -> None:
        self._settings = settings
        self._lease = span(settings.lease)
        self._wire = Wire(url, settings.timeout.total_seconds(), partial(check, durability=settings.durability))
        self._keys = Keys(settings.prefix)
        self._bell = Bell(self._wire, self._keys)
        self._inspector = RedisInspector(self._wire, self._keys, settings, self._now)
        within = int(settings.timeout.total_seconds() * 1000 * _CONFIRM_WITHIN)
        if settings.durability == "disk":
            self._wire.confirm_with("WAITAOF", 1, 0, within)
        elif settings.durability == "replicated":
            self._wire.confirm_with("WAIT", 1, within)
        elif settings.durability != "default":
            raise SettingsError(f"durability: {settings.durability!r} is not default, disk or replicated")

    @property
    def inspector(self) -> RedisInspector:
        return self._inspector

    def open(self) -> None:
        self._wire.open()

    def describe(self) -> str:
        return self._wire.describe()

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        if not jobs:
            return []
        if len(jobs) > BATCH:
            raise ValueError(f"at most {BATCH} jobs a call, not {len(jobs)}")
        by_queue = _by_queue(jobs)
        enqueue, now = script("enqueue"), self._now()
        commands = [
            enqueue.call(
                self._numbered(queue, stamp), now=now, number=stamp.number, jobs=pack([job_row(job) for job in batch])
            )
            for queue, batch in by_queue.items()
        ]
        try:
            replies = self._wire.call(commands, changing=True)
        except BrokerRefused as refusal:
            if len(commands) == 1:
                raise
            raise BrokerUnavailable(f"{refusal}; but jobs for other queues of the batch may be accepted") from refusal
        answers = {queue: iter(cast(bytes, reply)) for queue, reply in zip(by_queue, replies, strict=True)}
        return [Enqueued(job.id, next(answers[job.queue]) == ord("1")) for job in jobs]

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        if len(settlements) > BATCH:
            raise ValueError(f"an exchange settles at most {BATCH} deliveries, not {len(settlements)}")
        request = ExchangeRequest(demand, settlements, self._settings)
        if not request.queues:
            return Exchange([])
        keys = tuple(key for queue in request.queues for key in self._numbered(queue, stamp))
        command = script("exchange").call(
            keys,
            now=self._now(),
            number=stamp.number,
            claimer=stamp.sender.encode()[:255],
            lease=self._lease,
            request=request.packed(),
        )
        answers = cast("list[list[Reply]]", self._wire.call([command], changing=True)[0])
        return _exchange(request, demand, answers)

    def extend(self, deliveries: Sequence[Delivery]) -> Extension:
        lost: list[Delivery] = []
        stop: list[Delivery] = []
        chunks = [
            (queue, held[at : at + BATCH])
            for queue, held in _by_queue(deliveries).items()
            for at in range(0, len(held), BATCH)
        ]
        if not chunks:
            return Extension(lost, stop)
        extend, now = script("extend"), self._now()
        commands = [
            extend.call(
                self._keys.queue(queue),
                now=now,
                lease=self._lease,
                deliveries=pack([cell for delivery in held for cell in (delivery.id, delivery.number)]),
            )
            for queue, held in chunks
        ]
        for (_, held), reply in zip(chunks, self._wire.call(commands), strict=True):
            for delivery, letter in zip(held, cast(bytes, reply).decode(), strict=True):
                if letter == "l":
                    lost.append(delivery)
                elif letter == "s":
                    stop.append(delivery)
        return Extension(lost, stop)

    def report(self, delivery: Delivery, progress: bytes) -> bool:
        command = script("report").call(
            self._keys.queue(delivery.queue), id=delivery.id, delivery=delivery.number, progress=progress
        )
        return self._wire.call([command])[0] == 1

    def wait(self, queues: Sequence[str], timeout: float) -> bool:
        return self._bell.wait(queues, timeout)

    def wake(self) -> None:
        self._bell.wake()

    def announce(self, queues: Sequence[str]) -> None:
        idle = self._announce(queues, []) if queues else []
        empty = [queue for queue in idle if self._inspector.counts(queue) == Counts()]
        if empty:
            self._announce([], empty)

    def tend(self) -> None:
        """Nothing to do: Redis looks after its memory and its files by itself."""

    def waiter(self) -> RedisWaiter:
        return RedisWaiter(self._wire, self._keys, self._now, self._inspector.queues)

    def close(self) -> None:
        self._bell.close()
        self._wire.close()

    def _announce(self, queues: Sequence[str], empty: Sequence[str]) -> list[str]:
        announce = script("announce")
        command = announce.call((self._keys.queues,), now=self._now(), queues=pack(queues), empty=pack(empty))
        return [name.decode() for name in cast("list[bytes]", self._wire.call([command])[0])]

    def _numbered(self, queue: str, stamp: Stamp) -> tuple[str, ...]:
        return (*self._keys.queue(queue), self._keys.sender(queue, stamp.sender))

    def _now(self) -> int | str:
        """What scripts get as `now`: nothing, for the server knows; but in tests, the time of their clock."""
        clock = self._settings.clock
        return "" if clock is None else moment(clock.now())


def _exchange(request: ExchangeRequest, demand: Demand, answers: list[list[Reply]]) -> Exchange:
    demanded = {queue for queue, _ in demand.queues}
    claimed: list[Delivery] = []
    refused: set[int] = set()
    lost: list[tuple[str, str]] = []
    more, due = False, []
    for queue, answer in zip(request.queues, answers, strict=True):
        late, gone, again, next_due = cast("tuple[list[int], list[bytes], int, int]", answer[:4])
        indexes = request.indexes(queue)
        refused.update(indexes[row - 1] for row in late)
        lost += [(queue, job_id.decode()) for job_id in gone]
        claimed += deliveries(queue, answer)
        more = more or bool(again)
        if queue in demanded and next_due >= 0:
            due.append(next_due)
    soonest = timedelta(milliseconds=min(due)) if due else None
    return Exchange(claimed, frozenset(refused), more, soonest, tuple(lost))


def _by_queue(items: Sequence[Item]) -> dict[str, list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.queue, []).append(item)
    return grouped
