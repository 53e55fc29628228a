"""How the scripts' rows are read back: deliveries, and the records of jobs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import cast

from taskforge.brokers.moments import stamped
from taskforge.brokers.redis.link import Reply
from taskforge.job import MAX_PRIORITY, Delivery, JobRecord, JobState

#: A place is (100 - priority) * 2^45 + turn (see keys.py).
_TURN_BITS = 45
#: Before each body stand 6 bytes: when it was enqueued.
_HEAD = 6
_COUNTS = struct.Struct(">HH")
#: number, claimed-at, attempts, crashes; after one byte that says how the job is held.
_ENTRY = struct.Struct(">x6s6sHHB")
#: ended-at, took, size of the result.
_ENDING = struct.Struct(">6s6sI")


def deliveries(queue: str, answer: list[Reply]) -> list[Delivery]:
    """The claim in one queue's part of the answer to an exchange."""
    number, ids, places, bodies, again = cast(
        "tuple[int, list[bytes], list[bytes], list[bytes | None], list[int | bytes]]", answer[4:]
    )
    counts = {cast(int, again[i]): _COUNTS.unpack(cast(bytes, again[i + 1])) for i in range(0, len(again), 2)}
    claimed = []
    moments: dict[bytes, datetime] = {}
    for position, (job_id, place, kept) in enumerate(zip(ids, places, bodies, strict=True), 1):
        head = kept[:_HEAD] if kept is not None else bytes(_HEAD)
        enqueued_at = moments.get(head)  # jobs enqueued together share it
        if enqueued_at is None:
            enqueued_at = moments[head] = _moment(head)
        attempts, crashes = counts.get(position, (0, 0))
        body = kept[_HEAD:] if kept is not None else b""
        claimed.append(Delivery(queue, job_id.decode(), number, body, attempts, crashes, _priority(place), enqueued_at))
    return claimed


def record(queue: str, row: Reply) -> JobRecord:
    """A row of include/records."""
    job_id, state_name, score, kept, *rest = cast("list[bytes]", row)
    entry, expires, stop, errors, progress, result = cast("list[bytes | None]", rest)
    state = JobState(state_name.decode())
    facts = _Facts(entry)
    if state is JobState.DELAYED:
        due, rank = divmod(int(float(score)), 256)
        priority, due_at = MAX_PRIORITY - rank, stamped(due)
    else:
        priority, due_at = _priority(score if state is JobState.READY else facts.place), None
    return JobRecord(
        id=job_id.decode(),
        queue=queue,
        state=state,
        body=kept[_HEAD:],
        priority=priority,
        attempts=facts.attempts,
        crashes=facts.crashes,
        enqueued_at=_moment(kept[:_HEAD]),
        reason=facts.reason,
        due_at=due_at,
        expires_at=stamped(int(float(expires))) if expires is not None else None,
        started_at=facts.started_at,
        lease_until=stamped(int(float(score))) if state is JobState.RUNNING else None,
        worker=facts.worker if state is JobState.RUNNING else None,
        stop_requested=stop is not None,
        ended_at=facts.ended_at,
        kept_until=stamped(int(float(score))) if state.ended else None,
        result=result,
        progress=progress,
        errors=tuple(_frames(errors or b"")),
    )


class _Facts:
    """An entry of the hash `facts` (the layout is told in lua/include/entry.lua)."""

    def __init__(self, entry: bytes | None) -> None:
        self.attempts = self.crashes = 0
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.worker: str | None = None
        self.reason: str | None = None
        self.place = b"0"
        if entry is None:
            return
        _, claimed, self.attempts, self.crashes, length = _ENTRY.unpack_from(entry)
        if any(claimed):
            self.started_at = _moment(claimed)
        sender, rest = entry[_ENTRY.size : _ENTRY.size + length], entry[_ENTRY.size + length :]
        self.worker = sender.decode() or None
        self.place, ended, ending = rest.partition(b"|")
        if ended:
            at, _, _ = _ENDING.unpack_from(ending)
            self.ended_at = _moment(at)
            self.reason = ending[_ENDING.size :].decode() or None


def _frames(errors: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(errors):
        end = at + 4 + _int(errors[at : at + 4])
        yield errors[at + 4 : end]
        at = end


def _priority(place: bytes) -> int:
    return MAX_PRIORITY - (int(place if place.isdigit() else float(place)) >> _TURN_BITS)


def _moment(big_endian: bytes) -> datetime:
    return stamped(_int(big_endian))


def _int(big_endian: bytes) -> int:
    return int.from_bytes(big_endian, "big")
