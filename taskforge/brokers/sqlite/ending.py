"""The end of a job, whatever the way, and of its record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from taskforge.brokers.sqlite import senders, verbs
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import JobState

#: The most records that one step looks at in one call, so that no call holds the database for long.
STEP = 250
SHELVES = ("finished", "results", "dead", "cancelled")


class Ending(NamedTuple):
    """How one job ends. `keep` in milliseconds."""

    seq: int
    state: JobState
    keep: int
    reason: str


def end(call: Call, queue: Queue, endings: Sequence[Ending]) -> None:
    """End these jobs, which nobody settled."""
    if endings:
        call.db.execute("delete from held")
        insert = "insert into held(seq, state, keep, reason, counts) values(?, ?, ?, ?, 0)"
        call.db.executemany(insert, endings)
        verbs.run(call.db, "finish", queue=queue.id, now=call.now, **call.bounds(queue))


def forget(call: Call, queue: Queue, seqs: Collection[int]) -> None:
    """Remove records for good."""
    if seqs:
        insert = "insert into gone(seq, shelf, result_bytes) select seq, shelf, result_bytes from jobs where seq = ?"
        call.db.executemany(insert, [(seq,) for seq in seqs])
        verbs.run(call.db, "forget", queue=queue.id)


def sweep(call: Call, queue: Queue) -> None:
    """Remove what has aged out: records, and senders that call no more. Goes on at the next call if a bound cut it."""
    if 0 <= call.now - queue.swept < verbs.SWEEP_EVERY:
        return
    aged = call.db.execute(
        f"select seq from jobs where queue = ? and shelf in {SHELVES} and kept_until <= ? limit ?",
        (queue.id, call.now, STEP),
    ).fetchall()
    forget(call, queue, [seq for (seq,) in aged])
    senders.drop_old(call, queue, STEP)
    if len(aged) < STEP:
        call.db.execute("update queues set swept = ? where id = ?", (call.now, queue.id))
