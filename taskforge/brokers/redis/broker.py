"""The broker on Redis: each verb one script, one round trip, one try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar, cast

from taskforge.brokers.moments import moment, span
from taskforge.brokers.protocol import BATCH, BrokerSettings, Demand, Exchange, Extension, Holding
from taskforge.brokers.redis.attention import RedisAttention
from taskforge.brokers.redis.bell import Bell
from taskforge.brokers.redis.channel import Channel
from taskforge.brokers.redis.inspector import RedisInspector
from taskforge.brokers.redis.keys import Keys
from taskforge.brokers.redis.link import Command, Reply
from taskforge.brokers.redis.preflight import check
from taskforge.brokers.redis.records import exchanged, released
from taskforge.brokers.redis.register import RedisRegister
from taskforge.brokers.redis.requests import ExchangeRequest, pack, pack_jobs, retention_row
from taskforge.brokers.redis.scripts import script
from taskforge.brokers.redis.waiter import RedisWaiter
from taskforge.brokers.redis.wire import Wire
from taskforge.brokers.stamp import Stamp
from taskforge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from taskforge.job import MAX_PRIORITY, Counts, Delivery, Enqueued, NewJob
from taskforge.settlement import Settlement

Item = TypeVar("Item", NewJob, Delivery, Holding)

#: How enqueue.lua says that a job is new.
_NEW = ord("1")
#: The part of the timeout that a wait for durability may take, so that its answer still comes in time.
_CONFIRM_WITHIN = 0.8


class RedisBroker:
    """A Broker on one Redis server: redis://, rediss:// or unix://; or on the master that sentinels name."""

    def __init__(self, url: str, settings: BrokerSettings) -> None:
        self._settings = settings
        self._lease, self._keep_expired = span(settings.lease), span(settings.keep_expired)
        self._wire = Wire(url, settings.timeout.total_seconds(), partial(check, durability=settings.durability))
        self._keys = Keys(settings.prefix)
        self._bell = Bell(self._wire, self._keys)
        self._inspector = RedisInspector(self._wire, self._keys, settings, self._now)
        self._register = RedisRegister(self._wire, self._keys, self._now)
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

    @property
    def register(self) -> RedisRegister:
        return self._register

    def open(self) -> None:
        self._wire.open()

    def describe(self) -> str:
        return self._wire.describe()

    def enqueue(self, jobs: Sequence[NewJob], stamp: Stamp) -> list[Enqueued]:
        if not jobs:
            return []
        if len(jobs) > BATCH:
            raise ValueError(f"at most {BATCH} jobs a call, not {len(jobs)}")
        queue = jobs[0].queue
        if len(jobs) == 1 and self._enqueue_one(jobs[0], stamp):
            return [Enqueued(jobs[0].id, True)]
        if len(jobs) > 1 and any(job.queue != queue for job in jobs):
            return self._enqueue_apart(_by_queue(jobs), jobs, stamp)
        flags = cast(bytes, self._wire.call([self._enqueue(queue, jobs, stamp)], changing=True)[0])
        return [Enqueued(job.id, flag == _NEW) for job, flag in zip(jobs, flags, strict=True)]

    def exchange(self, demand: Demand, settlements: Sequence[Settlement], stamp: Stamp) -> Exchange:
        if len(settlements) > BATCH:
            raise ValueError(f"an exchange settles at most {BATCH} deliveries, not {len(settlements)}")
        request = ExchangeRequest(demand, settlements)
        if not request.parts:
            return Exchange([])
        sender = stamp.sender
        keys = [self._keys.numbered(queue, sender) for queue in request.parts]
        command = script("exchange").call(
            keys[0] if len(keys) == 1 else tuple(chain.from_iterable(keys)),
            now=self._now(),
            number=stamp.number,
            claimer=sender.encode()[:255],
            lease=self._lease,
            request=request.packed(self._settings.retention, self._keep_expired),
        )
        answers = cast("list[list[Reply]]", self._wire.call([command], changing=True)[0])
        return exchanged(request.parts, answers)

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

    def release(self, sender: str, queues: Sequence[str], held: Sequence[Holding], note: bytes) -> list[Holding]:
        if len(held) > BATCH:
            raise ValueError(f"a release names at most {BATCH} deliveries, not {len(held)}")
        named = {**{queue: [] for queue in queues}, **_by_queue(held)}
        if not named:
            return []
        release, now = script("release"), self._now()
        commands = [
            release.call(
                self._keys.numbered(queue, sender),
                now=now,
                retention=pack(retention_row(self._settings.retention(queue))),
                named=pack([cell for _, id, number, started in mine for cell in (id, number, int(started))]),
                note=note,
            )
            for queue, mine in named.items()
        ]
        replies = self._wire.call(commands, changing=True)
        return [each for queue, reply in zip(named, replies, strict=True) for each in released(queue, reply)]

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

    def attend(self, name: str) -> RedisAttention:
        return RedisAttention(Channel(self._wire, self._keys.told(name)))

    def close(self) -> None:
        self._bell.close()
        self._wire.close()

    def _announce(self, queues: Sequence[str], empty: Sequence[str]) -> list[str]:
        announce = script("announce")
        command = announce.call((self._keys.queues,), now=self._now(), queues=pack(queues), empty=pack(empty))
        return [name.decode() for name in cast("list[bytes]", self._wire.call([command])[0])]

    def _enqueue_one(self, job: NewJob, stamp: Stamp) -> bool:
        """Accept it the quick way if it is a new one and ready at once; False when nothing was done."""
        job_id, queue, body, priority, delay, at, expires = job
        if not (delay is None and at is None and expires is None):
            return False
        command = script("enqueue_one").call(
            self._keys.for_one(queue, stamp.sender),
            now=self._now(),
            number=stamp.number,
            id=job_id,
            body=body,
            rank=MAX_PRIORITY - priority,
        )
        return self._wire.call([command], changing=True)[0] == 1

    def _enqueue(self, queue: str, jobs: Sequence[NewJob], stamp: Stamp) -> Command:
        keys = self._keys.numbered(queue, stamp.sender)
        return script("enqueue").call(keys, now=self._now(), number=stamp.number, jobs=pack_jobs(jobs))

    def _enqueue_apart(
        self, by_queue: Mapping[str, Sequence[NewJob]], jobs: Sequence[NewJob], stamp: Stamp
    ) -> list[Enqueued]:
        """Over several queues: one script for each."""
        commands = [self._enqueue(queue, batch, stamp) for queue, batch in by_queue.items()]
        try:
            replies = self._wire.call(commands, changing=True)
        except BrokerRefused as refusal:
            raise BrokerUnavailable(f"{refusal}; but jobs for other queues of the batch may be accepted") from refusal
        answers = {queue: iter(cast(bytes, reply)) for queue, reply in zip(by_queue, replies, strict=True)}
        return [Enqueued(job.id, next(answers[job.queue]) == _NEW) for job in jobs]

    def _now(self) -> int | str:
        """What scripts get as `now`: nothing, for the server knows; but in tests, the time of their clock."""
        clock = self._settings.clock
        return "" if clock is None else moment(clock.now())


def _by_queue(items: Sequence[Item]) -> dict[str, list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.queue, []).append(item)
    return grouped
