"""What time does to a queue: jobs expire, leases run out, delayed jobs fall due."""

from __future__ import annotations

from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.ending import STEP, Ending, end
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import JobState

#: How long the record of a job is kept that no run began in time (ms): as long as any finished job's by default.
_KEEP_EXPIRED = 3600 * 1000

# Each step handles at most STEP jobs and returns True when that bound cut it.


def expire(call: Call, queue: Queue) -> bool:
    """Cancel waiting jobs that no run has begun in time."""
    rows = call.db.execute(
        "select seq from jobs where queue = ? and expires is not null and expires <= ? order by expires limit ?",
        (queue.id, call.now, STEP + 1),
    ).fetchall()
    end(call, queue, [Ending(seq, JobState.CANCELLED, _KEEP_EXPIRED, "expired") for (seq,) in rows[:STEP]])
    return len(rows) > STEP


def reclaim(call: Call, queue: Queue) -> bool:
    """Put jobs whose lease ran out back to their places; those that were asked to stop have stopped."""
    if call.now < queue.hold:
        return False
    rows = call.db.execute(
        "select seq, stop from jobs where queue = ? and state = 'running' and lease <= ? order by lease limit ?",
        (queue.id, call.now, STEP + 1),
    ).fetchall()
    if not rows:
        return False
    call.db.executemany("update jobs set crashes = crashes + 1 where seq = ?", [(seq,) for seq, _ in rows[:STEP]])
    stopped = [(seq, keep) for seq, keep in rows[:STEP] if keep is not None]
    end(call, queue, [Ending(seq, JobState.CANCELLED, keep, "requested") for seq, keep in stopped])
    call.db.executemany(
        "update jobs set state = 'ready', lease = null, started = null, worker = null where seq = ?",
        [(seq,) for seq, keep in rows[:STEP] if keep is None],
    )
    call.stirred.add(queue.name)
    return len(rows) > STEP


def promote(call: Call, queue: Queue) -> bool:
    """Make due jobs ready, each last of its priority, in the order of their due times."""
    rows = call.db.execute(
        "select seq from jobs where queue = ? and state = 'delayed' and due <= ? order by due, rank, id limit ?",
        (queue.id, call.now, STEP + 1),
    ).fetchall()
    if rows:
        make_ready(call, queue, [seq for (seq,) in rows[:STEP]])
    return len(rows) > STEP


def make_ready(call: Call, queue: Queue, seqs: list[int]) -> None:
    """Put delayed jobs at the end of the ready ones, in this order."""
    call.db.executemany(
        "update jobs set state = 'ready', turn = ?, due = null, retrying = 0 where seq = ?",
        [(queue.next_turn(), seq) for seq in seqs],
    )
    call.stirred.add(queue.name)


def next_due(call: Call, queue: Queue) -> int | None:
    """How long (ms) until a delayed job falls due or a lease runs out and may be reclaimed."""
    due, lease = call.db.execute(
        "select (select min(due) from jobs where queue = ?1 and state = 'delayed'), "
        "(select min(lease) from jobs where queue = ?1 and state = 'running')",
        (queue.id,),
    ).fetchone()
    moments = [due] if due is not None else []
    if lease is not None:
        moments.append(max(lease, queue.hold))
    return max(0, min(moments) - call.now) if moments else None
