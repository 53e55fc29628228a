"""What time does to a queue: jobs expire, leases run out, delayed jobs fall due."""

from __future__ import annotations

import json
from collections.abc import Sequence

from taskforge.brokers.losses import pack_loss
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.ending import STEP, Ending, end
from taskforge.brokers.sqlite.notes import keep_notes
from taskforge.brokers.sqlite.queues import Queue, next_turn
from taskforge.job import JobState

_THESE = "(select value from json_each(?))"
#: A lease ran out. What was claimed ahead and not extended since had hardly begun: that counts no crash.
_LOST = f"update jobs set crashes = crashes + (ahead != 1), ahead = iif(ahead = 1, 2, ahead) where seq in {_THESE}"

# Each step handles at most STEP jobs and returns True when that bound cut it.


def expire(call: Call, queue: Queue) -> bool:
    """Cancel waiting jobs that no run has begun in time."""
    rows = call.db.execute(
        "select seq from jobs where queue = ? and expires is not null and expires <= ? order by expires limit ?",
        (queue.id, call.now, STEP + 1),
    ).fetchall()
    end(call, queue, [Ending(seq, JobState.CANCELLED, call.keep_expired, "expired") for (seq,) in rows[:STEP]])
    return len(rows) > STEP


def reclaim(call: Call, queue: Queue) -> bool:
    """Put jobs whose lease ran out back to their places, with a note of it unless they had hardly begun."""
    if call.now < queue.hold:
        return False
    rows = call.db.execute(
        "select seq, ahead, started, worker from jobs where queue = ? and state = 'running' and lease <= ? "
        "order by lease limit ?",
        (queue.id, call.now, STEP + 1),
    ).fetchall()
    if not rows:
        return False
    lapsed = rows[:STEP]
    seqs = [row[0] for row in lapsed]
    call.db.execute(_LOST, (json.dumps(seqs),))
    keep_notes(call, [(seq, pack_loss(call.now, at, worker)) for seq, ahead, at, worker in lapsed if ahead != 1])
    give_back(call, queue, seqs)
    return len(rows) > STEP


def give_back(call: Call, queue: Queue, seqs: Sequence[int]) -> None:
    """Put jobs whose workers are gone back to their places; those that were asked to stop have stopped."""
    these = json.dumps(seqs)
    stopped = call.db.execute(f"select seq, stop from jobs where seq in {_THESE} and stop is not null", (these,))
    end(call, queue, [Ending(seq, JobState.CANCELLED, keep, "requested") for seq, keep in stopped.fetchall()])
    call.db.execute(
        "update jobs set state = 'ready', lease = null, started = null, worker = null "
        f"where seq in {_THESE} and state = 'running'",
        (these,),
    )
    call.stirred.add(queue.name)


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
    call.db.execute(
        "update jobs set state = 'ready', turn = ? + e.key, since = min(due, ?), due = null, retrying = 0 "
        "from json_each(?) e where jobs.seq = e.value",
        (next_turn(call.db, queue, len(seqs)), call.now, json.dumps(seqs)),
    )
    call.stirred.add(queue.name)
