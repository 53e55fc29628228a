"""The floor on Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.floor.jobs import pack
from benchmarks.floor.wire import Wire

PREFIX = "floor:{q}:"
#: In the order exchange.lua takes them.
KEYS = [PREFIX + name for name in ("jobs", "ready", "running", "deliveries", "finished", "delayed", "bell", "seq")]
ENQUEUE_KEYS = [PREFIX + name for name in ("jobs", "ready", "seq", "finished", "bell")]
BELL = PREFIX + "bell"

#: (id, number, body) and (id, number, result or None, whom to tell or None).
Job = tuple[Any, int, Any]
Settlement = tuple[Any, int, object, str | None]


class RedisBroker:
    """What floor.worker.Worker needs of a broker; besides, `enqueue`."""

    def __init__(self, port: int, lease_ms: int = 60_000, keep: int = 1_000) -> None:
        self.wire, self._bell = Wire(port), Wire(port)
        self._exchange, self._enqueue = self.wire.load("exchange"), self.wire.load("enqueue")
        self._lease, self._keep = lease_ms, keep
        self.refused = 0
        self.fd = self._bell.sock.fileno()

    def enqueue(self, jobs: Sequence[tuple[str, bytes]]) -> int:
        """How many were new."""
        new: int = self.wire.call("EVALSHA", self._enqueue, 5, *ENQUEUE_KEYS, *[part for job in jobs for part in job])
        return new

    def exchange(self, batch: Sequence[Settlement], want: int) -> list[Job]:
        """Settle and claim in one round trip."""
        return self.parse(self.wire.call(*self.command(batch, want)), len(batch))

    def command(self, batch: Sequence[Settlement], want: int) -> tuple[Any, ...]:
        """The call of exchange.lua."""
        extra_keys: list[str] = []
        tail: list[object] = []
        flat = [part for each in batch for part in each[:2]]
        if any(each[2] is not None for each in batch):
            batch = sorted(batch, key=lambda each: each[2] is None)
            flat = [part for each in batch for part in each[:2]]
            for job_id, _, result, reply in batch:
                if result is not None:
                    extra_keys.append(f"{PREFIX}r:{job_id.decode()}")
                    tail += (pack(result), reply or "")
        head = ("EVALSHA", self._exchange, 8 + len(extra_keys), *KEYS, *extra_keys)
        return (*head, want, self._lease, self._keep, len(batch), len(extra_keys), *flat, *tail)

    def parse(self, reply: list[Any], sent: int) -> list[Job]:
        """The claimed jobs; refused settlements are counted."""
        self.refused += sent - reply[0]
        if len(reply) > 3 and reply[3]:
            return list(zip(reply[1], reply[3], reply[2], strict=True))
        return [(job_id, 1, body) for job_id, body in zip(reply[1], reply[2], strict=True)]

    def arm(self) -> None:
        """Listen for the bell: `fd` becomes readable."""
        self._bell.send(("BLPOP", BELL, 5))

    def woken(self, want: int) -> list[Job]:
        """The bell rang, or its time was up: claim."""
        self._bell.read()
        return self.exchange([], want)

    def left(self) -> dict[str, int]:
        """How many jobs stand where; to check a run."""
        sizes = [
            ("jobs", "HLEN"),
            ("ready", "ZCARD"),
            ("running", "ZCARD"),
            ("delayed", "ZCARD"),
            ("finished", "ZCARD"),
        ]
        return {name: self.wire.call(command, PREFIX + name) for name, command in sizes}

    def close(self) -> None:
        """Let the connections go."""
        self.wire.sock.close()
        self._bell.sock.close()
