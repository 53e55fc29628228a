"""Makes job ids: 26 characters that sort by time, and stay unique across processes and forks."""

from __future__ import annotations

import itertools
import os
import threading
import time
from datetime import UTC, datetime

# Crockford's base 32 in lower case: no i, l, o, u; the letters sort as their values.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_LENGTH = 26


class _Ids:
    """9 digits of milliseconds, 6 of a counter, 11 of the process (55 random bits).

    In one process ids rise; between processes the random part keeps them apart. The counter goes round after 2**30
    ids, when the milliseconds have long moved on.
    """

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        self._process = "".join([_DIGITS[byte & 31] for byte in os.urandom(11)])
        self._count = itertools.count().__next__
        self._lock = threading.Lock()
        self._last = 0
        self._head = ""

    def new(self) -> str:
        ms = time.time_ns() // 1_000_000
        if ms > self._last:
            with self._lock:
                if ms > self._last:  # a clock that steps back leaves the last millisecond standing: ids go on rising
                    self._head = "".join([_DIGITS[ms >> shift & 31] for shift in range(40, -1, -5)])
                    self._last = ms
        n = self._count()
        return self._head + _PAIRS[n >> 20 & 1023] + _PAIRS[n >> 10 & 1023] + _PAIRS[n & 1023] + self._process


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.start_anew)


def new_id() -> str:
    """A new job id."""
    return _ids.new()


def made_at(job_id: str) -> datetime | None:
    """When an id of ours was made, by its maker's clock; None for an id that someone chose."""
    if len(job_id) != _LENGTH or any(c not in _DIGITS for c in job_id):
        return None
    ms = 0
    for digit in job_id[:9]:
        ms = ms * 32 + _DIGITS.index(digit)
    return datetime.fromtimestamp(ms / 1000, UTC)
