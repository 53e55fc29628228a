"""A bench for single scripts: runs one on an empty server, and shows all that is in a queue afterwards."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
import pytest
import redis

from taskforge.brokers.redis.keys import QUEUE_KEYS, REGISTER_KEYS, Keys
from taskforge.brokers.redis.scripts import script

#: Where the tests' clock stands, in ms.
NOW = 1_900_000_000_000
HOUR = 3_600_000
LEASE = 60_000
#: Kept as the next moment at which time does something, when there is none.
NEVER = 2**48 - 1
#: As include/save writes them.
META_CELLS = ("epoch", "level", "now", "due", "jumped", "cut", "swept", "turn", "number", "bytes")
META = struct.Struct(">2s2s6s6s6s1s6s6s6s6s")
#: finished, results, result bytes, dead
RETENTION = [1_000, 1_000, 1_000_000, 1_000]


def place(turn: int, priority: int = 0) -> float:
    """The place of the job that took this turn."""
    return float((100 - priority) * 2**45 + turn)


def due(ms: int, priority: int = 0) -> float:
    """The score of a delayed job."""
    return float(ms * 256 + 100 - priority)


def packed(place: float) -> bytes:
    """A place in 7 bytes."""
    rank, turn = divmod(int(place), 2**45)
    return bytes([rank]) + turn.to_bytes(6, "big")


def body(text: bytes, turn: int, at: int = NOW, priority: int = 0) -> bytes:
    """What `jobs` holds of a job that was enqueued at this time and took this turn; 0: its head does not tell."""
    return at.to_bytes(6, "big") + packed(place(turn, priority)) + text


def state(now: int, turn: int = 0, number: int = 0, size: int = 0, due: int = NEVER, **other: int) -> dict[str, int]:
    """What `meta` holds of a queue whose clock never jumped."""
    plain = {"epoch": 1, "level": 1, "now": now, "due": due, "jumped": 0, "cut": 0, "swept": 0}
    return {**plain, "turn": turn, "number": number, "bytes": size, **other}


def part(
    *rows: list[Any], pools: Sequence[int] = (), ahead: int = 0, keep: int = HOUR, retention: Sequence[int] = RETENTION
) -> list[Any]:
    """A part of a request: what one queue is asked. Rows of id, number, how."""
    return [[cell for row in rows for cell in row], keep, list(pools), ahead, list(retention)]


class Bench:
    """One queue, `q`, one sender, and a clock that stands still until it is set."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.keys = Keys("t")
        self.now = NOW
        self.number = 0

    def run(self, name: str, *queues: str, again: bool = False, sender: str = "s", **arguments: Any) -> Any:
        """Run a script on these queues (`q` if none); lists go in as msgpack. `again` repeats the last number."""
        called = script(name)
        numbered = "number" in called.arguments or name == "release"
        keys = [key for queue in queues or ("q",) for key in self._keys(queue, sender, numbered)]
        if "number" in called.arguments:
            self.number += not again
            arguments["number"] = self.number
        if "now" in called.arguments:
            arguments["now"] = self.now
        if "told" in called.arguments:
            arguments["told"] = self.keys.told("")
        packed = {k: msgpack.packb(v, use_bin_type=False) if isinstance(v, list) else v for k, v in arguments.items()}
        _, _, count, *rest = called.call(tuple(keys), **packed)
        return self.client.eval(called.source, count, *rest)

    def register(self, verb: str, **arguments: Any) -> Any:
        """Run a script on the register of workers."""
        called = script(verb)
        packed = {k: msgpack.packb(v, use_bin_type=False) if isinstance(v, list) else v for k, v in arguments.items()}
        _, _, count, *rest = called.call(self.keys.register, now=self.now, **packed)
        return self.client.eval(called.source, count, *rest)

    def registered(self) -> dict[str, Any]:
        """Every key of the register that exists."""
        shown = {name: self._shown(key) for name, key in zip(REGISTER_KEYS, self.keys.register, strict=True)}
        return {name: value for name, value in shown.items() if value}

    def enqueue(self, *rows: list[Any], queue: str = "q", again: bool = False) -> bytes:
        """Rows of id, body, priority and, for some, what include/accept takes beyond them."""
        given = [cell for id, text, *more in rows for cell in (id, text, more if len(more) > 1 else more[0])]
        return self.run("enqueue", queue, jobs=given, again=again)

    def exchange(self, want: int = 0, *rows: list[Any], again: bool = False, retention: list[int] = RETENTION) -> Any:
        """Settle (rows of id, number, how) and claim in `q`; its part of the answer."""
        return self.exchange_all([part(*rows, pools=[1], retention=retention)], [want], again=again)[0]

    def exchange_all(
        self, parts: list[Any], free: list[int], *then: Any, queues: tuple[str, ...] = ("q",), again: bool = False
    ) -> Any:
        """The whole request: a part for each queue, free slots per pool, jobs to enqueue on success."""
        request = msgpack.packb([parts, free, list(then), HOUR], use_bin_type=False)
        return self.run("exchange", *queues, again=again, lease=LEASE, claimer="s", request=request)

    def key(self, name: str, queue: str = "q") -> str:
        return self.keys.queue(queue)[QUEUE_KEYS.index(name)]

    def state(self, queue: str = "q") -> dict[str, Any]:
        """Every key of the queue that exists, but for `meta`, which `meta` shows."""
        shown = {name: self._shown(self.key(name, queue)) for name in QUEUE_KEYS if name != "meta"}
        return {name: value for name, value in shown.items() if value}

    def meta(self, queue: str = "q") -> dict[str, int]:
        kept = self.client.get(self.key("meta", queue))
        assert len(kept) == META.size
        cells = META.unpack(kept)
        return {name: int.from_bytes(cell, "big") for name, cell in zip(META_CELLS, cells, strict=True)}

    def _keys(self, queue: str, sender: str, numbered: bool) -> tuple[str, ...]:
        return self.keys.numbered(queue, sender) if numbered else self.keys.queue(queue)

    def _shown(self, key: str) -> Any:
        match self.client.type(key):
            case b"zset":
                return dict(self.client.zrange(key, 0, -1, withscores=True))
            case b"hash":
                return self.client.hgetall(key)
            case b"set":
                return self.client.smembers(key)
            case b"list":
                return self.client.lrange(key, 0, -1)
        return None


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    client = redis.Redis.from_url(redis_url)
    yield Bench(client)
    client.close()
