"""Ids and bodies of the floor's jobs, and the functions that they call."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgpack

TEXT = "x" * 64
pack: Callable[[object], bytes] = msgpack.packb
unpack: Callable[..., Any] = msgpack.unpackb

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_TRIPLES = [_DIGITS[i >> 10] + _DIGITS[i >> 5 & 31] + _DIGITS[i & 31] for i in range(32768)]
_process = "".join(secrets.choice(_DIGITS) for _ in range(7))
_count = itertools.count().__next__
_last, _head = 0, ""

#: What ran, by index, and how long after its enqueue it started (seconds). `list.append` is atomic.
ran: list[int] = []
started_after: list[float] = []


def new_id(clock: Callable[[], float] = time.time) -> str:
    """22 characters that sort by time: 9 digits of milliseconds, 7 of the process, 6 of a counter."""
    global _last, _head
    ms = int(clock() * 1000)
    if ms != _last:
        _last, _head = ms, _TRIPLES[ms >> 30] + _TRIPLES[ms >> 15 & 32767] + _TRIPLES[ms & 32767] + _process
    n = _count()
    return _head + _TRIPLES[n >> 15 & 32767] + _TRIPLES[n & 32767]


def body(i: int, task: str = "noop", text: str = TEXT, reply: str | None = None) -> bytes:
    """A byte of rank (100 - priority) that the scripts read; then task, arguments, and whom to tell the result."""
    return b"\x64" + pack((task, (i, 2, text), reply))


def new_job(i: int, task: str = "noop", text: str = TEXT, reply: str | None = None) -> tuple[str, bytes]:
    """Id and body."""
    return new_id(), body(i, task, text, reply)


def noop(i: int, b: int, text: str) -> None:
    ran.append(i)


def burn(i: int, b: int, text: str) -> None:
    """200 µs of this thread's CPU."""
    end = time.thread_time_ns() + 200_000
    while time.thread_time_ns() < end:
        pass
    ran.append(i)


def stamp(i: int, b: int, text: str) -> None:
    started_after.append(time.monotonic() - float(text))
    ran.append(i)


def add(i: int, b: int, text: str) -> int:
    ran.append(i)
    return i + 1


async def anoop(i: int, b: int, text: str) -> None:
    ran.append(i)


REGISTRY: dict[str, Callable[..., object]] = {"noop": noop, "burn": burn, "stamp": stamp, "add": add, "anoop": anoop}
