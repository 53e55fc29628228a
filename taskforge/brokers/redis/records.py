"""How the scripts' rows are read back: deliveries, and the records of jobs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from taskforge.brokers.moments import stamped
from taskforge.brokers.protocol import Exchange, Holding
from taskforge.brokers.redis.link import Reply
from taskforge.brokers.redis.requests import Part
from taskforge.job import MAX_PRIORITY, Delivery, JobRecord, JobState

#: A place is (100 - priority) * 2^45 + turn (see keys.py).
_TURN_BITS = 45
#: Before each body: when it was enqueued, and its first place as 100 - priority and turn.
_HEAD = 13
#: Of the head, what jobs that were enqueued together share.
_SHARED = 7
#: In place of a job that a stranger has deleted.
_NOTHING = bytes(_HEAD)
#: attempts, crashes, rank
_TOLD = struct.Struct(">HHB")
#: number, claimed-at, attempts, crashes, lost ahead, rank, turn, length of the sender; after one byte that says how the
#: job is held.
_ENTRY = struct.Struct(">x6s6sHHxB6xB")
#: A rank that says: as in the head.
_AS_HEAD = 255
#: ended-at, took, size of the result.
_ENDING = struct.Struct(">6s6sI")


def exchanged(parts: Mapping[str, Part], answers: Sequence[list[Reply]]) -> Exchange:
    """The answer to an exchange."""
    claimed: list[Delivery] = []
    refused: list[int] = []
    lost: list[tuple[str, str]] = []
    starved: list[str] = []
    more, soonest = False, -1
    for (queue, part), answer in zip(parts.items(), answers, strict=True):
        late, gone, again, due, starving = cast("tuple[list[int], list[bytes], int, int, int]", answer[:5])
        claimed += deliveries(queue, answer[5:])
        more = more or bool(again)
        if late:
            refused += [part.indexes[position - 1] for position in late]
        if gone:
            lost += [(queue, job_id.decode()) for job_id in gone]
        if starving:
            starved.append(queue)
        if part.pools and due >= 0 and (soonest < 0 or due < soonest):
            soonest = due
    next_due = None if soonest < 0 else timedelta(milliseconds=soonest)
    return Exchange(claimed, frozenset(refused), more, next_due, tuple(lost), frozenset(starved))


def deliveries(queue: str, answer: list[Reply]) -> list[Delivery]:
    """The claim in one queue's part of the answer to an exchange."""
    number, ids, bodies, again = cast("tuple[int, list[bytes], list[bytes | None], list[int | bytes]]", answer)
    new = tuple.__new__  # what a named tuple's own ways come down to, at half the time
    claimed: list[Delivery] = []
    latest, priority, enqueued_at = b"", 0, stamped(0)
    for job_id, kept in zip(ids, bodies, strict=True):
        whole = kept or _NOTHING
        head = whole[:_SHARED]
        if head != latest:
            latest, priority, enqueued_at = head, MAX_PRIORITY - head[6], _moment(head[:6])
        job = (queue, job_id.decode(), number, whole[_HEAD:], 0, 0, priority, enqueued_at)
        claimed.append(new(Delivery, job))
    for i in range(0, len(again), 2):
        position = cast(int, again[i]) - 1
        attempts, crashes, rank = _TOLD.unpack(cast(bytes, again[i + 1]))
        claimed[position] = claimed[position]._replace(attempts=attempts, crashes=crashes, priority=MAX_PRIORITY - rank)
    return claimed


def released(queue: str, answer: Reply) -> list[Holding]:
    """What release.lua gave back of one queue."""
    held = iter(cast("list[bytes | int]", answer))
    return [
        Holding(queue, cast(bytes, job_id).decode(), cast(int, number), started == 1)
        for job_id, number, started in zip(held, held, held, strict=True)
    ]


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
        rank = int(float(score)) >> _TURN_BITS if state is JobState.READY else facts.rank
        priority, due_at = MAX_PRIORITY - (kept[6] if rank == _AS_HEAD else rank), None
    return JobRecord(
        id=job_id.decode(),
        queue=queue,
        state=state,
        body=kept[_HEAD:],
        priority=priority,
        attempts=facts.attempts,
        crashes=facts.crashes,
        enqueued_at=_moment(kept[:6]),
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
        self.rank = _AS_HEAD
        if entry is None:
            return
        _, claimed, self.attempts, self.crashes, self.rank, length = _ENTRY.unpack_from(entry)
        if any(claimed):
            self.started_at = _moment(claimed)
        sender, rest = entry[_ENTRY.size : _ENTRY.size + length], entry[_ENTRY.size + length :]
        self.worker = sender.decode() or None
        if rest:
            at, _, _ = _ENDING.unpack_from(rest)
            self.ended_at = _moment(at)
            self.reason = rest[_ENDING.size :].decode() or None


def _frames(errors: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(errors):
        end = at + 4 + _int(errors[at : at + 4])
        yield errors[at + 4 : end]
        at = end


def _moment(big_endian: bytes) -> datetime:
    return stamped(_int(big_endian))


def _int(big_endian: bytes) -> int:
    return int.from_bytes(big_endian, "big")
