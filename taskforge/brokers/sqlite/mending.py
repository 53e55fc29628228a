"""What an operator changes: one job at a time, each step of a call seeing the one before."""

from __future__ import annotations

from datetime import timedelta

from taskforge.brokers import moments
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.due import make_ready
from taskforge.brokers.sqlite.ending import Ending, end, forget
from taskforge.brokers.sqlite.queues import Queue, next_turn
from taskforge.brokers.sqlite.records import page
from taskforge.brokers.sqlite.verbs import SMALL_BODY
from taskforge.job import Cancellation, JobState


def cancel(call: Call, queue: Queue, job_id: str, keep: timedelta) -> Cancellation:
    """End a waiting job; ask a running one to stop, and tell its worker."""
    seq, state = _find(call, queue, job_id)
    if state is None or JobState(state).ended:
        return Cancellation.ENDED
    if state == "running":
        stop = "update jobs set stop = ? where seq = ? returning worker"
        (worker,) = call.db.execute(stop, (moments.span(keep), seq)).fetchone()
        call.nudged.append((worker, job_id))
        return Cancellation.REQUESTED
    end(call, queue, [Ending(seq, JobState.CANCELLED, moments.span(keep), "requested")])
    return Cancellation.CANCELLED


def promote(call: Call, queue: Queue, job_id: str) -> bool:
    """Make a delayed job ready now."""
    seq, state = _find(call, queue, job_id)
    if state != "delayed":
        return False
    make_ready(call, queue, [seq])
    return True


def reprioritise(call: Call, queue: Queue, job_id: str, priority: int) -> bool:
    """Move a job that has not ended to the end of another priority."""
    seq, state = _find(call, queue, job_id)
    if state is None or JobState(state).ended:
        return False
    move = "update jobs set rank = ?, turn = ?, since = ? where seq = ?"
    call.db.execute(move, (-priority, next_turn(call.db, queue), call.now, seq))
    return True


def redrive(call: Call, queue: Queue, job_id: str, body: bytes | None) -> bool:
    """Make a dead or cancelled job ready, as if it were new but for its delivery number and its errors."""
    seq, state = _find(call, queue, job_id)
    if state not in ("dead", "cancelled"):
        return False
    call.db.execute(
        "update jobs set state = 'ready', turn = ?, enqueued = ?, attempts = 0, crashes = 0, ahead = 0, since = null, "
        "shelf = null, reason = null, ended = null, took = null, kept_until = null, started = null where seq = ?",
        (next_turn(call.db, queue), call.now, seq),
    )
    call.db.execute(f"update queues set {state} = {state} - 1 where id = ?", (queue.id,))
    if body is not None:
        small = body if len(body) <= SMALL_BODY else None
        call.db.execute("update jobs set body = ? where seq = ?", (small, seq))
        call.db.execute("delete from bodies where seq = ?", (seq,))
        if small is None:
            call.db.execute("insert into bodies(seq, body) values(?, ?)", (seq, body))
    call.rung.add(queue.name)
    return True


def purge(call: Call, queue: Queue, prefix: str, state: JobState, limit: int) -> int:
    """Delete the first jobs in a state."""
    ids = [record.id for record in page(call.db, call.now, prefix, queue.name, state, 0, limit)]
    seqs = [_find(call, queue, job_id)[0] for job_id in ids]
    forget(call, queue, seqs)
    return len(seqs)


def _find(call: Call, queue: Queue, job_id: str) -> tuple[int, str | None]:
    """The row and the state of a job; state None when the queue does not know it."""
    row = call.db.execute(
        "select seq, state from jobs where queue = ? and id = ? and (kept_until is null or kept_until > ?)",
        (queue.id, job_id, call.now),
    ).fetchone()
    return (0, None) if row is None else (row[0], row[1])
