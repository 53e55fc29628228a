"""The note that a broker itself leaves among a job's errors: its worker was silent for a whole lease."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from taskforge.brokers.moments import stamped

#: How a note begins. No msgpack does, and msgpack is what all other errors are.
_MARK = b"\xc1"
#: Then two moments in unix milliseconds, big-endian, of so many bytes each: when the lease was found to have run out,
#: and when the job was claimed; then the worker's name in UTF-8, of which so many bytes are kept.
_MOMENT, _NAME = 6, 255
_HEAD = len(_MARK) + 2 * _MOMENT


class Loss(NamedTuple):
    """What is known of a run whose worker was not heard of again. `worker` is the sender that had claimed the job."""

    at: datetime
    claimed_at: datetime
    worker: str


def pack_loss(at: int, claimed_at: int, worker: str) -> bytes:
    """The note, of unix milliseconds. On Redis `lua/include/loss.lua` writes the same."""
    return _MARK + b"".join(moment.to_bytes(_MOMENT, "big") for moment in (at, claimed_at)) + worker.encode()[:_NAME]


def read_loss(error: bytes) -> Loss | None:
    """What a note says; None for any other error."""
    if not error.startswith(_MARK) or len(error) < _HEAD:
        return None
    at, claimed_at = error[len(_MARK) : _HEAD - _MOMENT], error[_HEAD - _MOMENT : _HEAD]
    name = error[_HEAD:].decode(errors="replace")
    try:
        return Loss(stamped(int.from_bytes(at, "big")), stamped(int.from_bytes(claimed_at, "big")), name)
    except OverflowError:
        return None  # no broker wrote that: a datetime cannot tell it
