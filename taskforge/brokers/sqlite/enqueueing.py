"""How jobs enter a queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from taskforge.brokers import moments
from taskforge.brokers.sqlite.calls import Call
from taskforge.brokers.sqlite.ending import forget
from taskforge.brokers.sqlite.lists import marks
from taskforge.brokers.sqlite.queues import Queue
from taskforge.job import NewJob

_INSERT = (
    "insert into jobs(seq, queue, id, state, rank, turn, enqueued, due, expires) values(?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def accept(call: Call, queue: Queue, jobs: Sequence[NewJob]) -> list[int]:
    """Add the jobs that the queue does not know yet; the positions of those it does, or that come twice."""
    known = _known(call, queue, [job.id for job in jobs])
    seq: int = call.db.execute("select coalesce(max(seq), 0) from jobs").fetchone()[0]
    delayed: list[int] = []
    repeated, rows, bodies = [], [], []
    for position, job in enumerate(jobs):
        if job.id in known:
            repeated.append(position)
            continue
        known.add(job.id)
        seq += 1
        due = _due(call, job)
        state = "ready" if due is None else "delayed"
        if due is None:
            call.rung.add(queue.name)
        else:
            delayed.append(due)
        expires = _expires(call, job)
        rows.append((seq, queue.id, job.id, state, -job.priority, queue.next_turn(), call.now, due, expires))
        bodies.append((seq, job.body))
    ring_if_earlier(call, queue, delayed)
    call.db.executemany(_INSERT, rows)
    call.db.executemany("insert into bodies(seq, body) values(?, ?)", bodies)
    return repeated


def ring_if_earlier(call: Call, queue: Queue, dues: Sequence[int]) -> None:
    """Ring when one of the jobs about to be delayed will be the first to fall due: who waits then waits too long."""
    if dues:
        select = "select min(due) from jobs where queue = ? and state = 'delayed'"
        earliest = call.db.execute(select, (queue.id,)).fetchone()[0]
        if earliest is None or min(dues) < earliest:
            call.rung.add(queue.name)


def _known(call: Call, queue: Queue, ids: Sequence[str]) -> set[str]:
    """Those of the ids that the queue knows. What has aged out is forgotten here, so that its id is free again."""
    found: list[tuple[int, str, int | None]] = []
    for some, values in marks(ids):
        select = f"select seq, id, kept_until from jobs where queue = ? and id in {some}"
        found += call.db.execute(select, (queue.id, *values))
    aged = {seq for seq, _, kept_until in found if kept_until is not None and kept_until <= call.now}
    if aged:
        forget(call, queue, sorted(aged))
    return {job_id for seq, job_id, _ in found if seq not in aged}


def _due(call: Call, job: NewJob) -> int | None:
    """When the job falls due; None: now."""
    if job.delay is not None:
        due = call.now + moments.span(job.delay)
    elif job.at is not None:
        due = moments.moment(job.at)
    else:
        return None
    return due if due > call.now else None


def _expires(call: Call, job: NewJob) -> int | None:
    if job.expires is None:
        return None
    if isinstance(job.expires, timedelta):
        return call.now + moments.span(job.expires)
    return moments.moment(job.expires)
